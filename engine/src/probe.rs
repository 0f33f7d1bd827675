//! A probe: a technique with its settings that can be run on a subject, and its description.
//!
//! The list of all probes is [`crate::probes::catalog`].

mod define;
mod inputs;
pub mod maps;

use crate::error::{Error, Result};
use crate::graph::op::{Alignment, Sampling};
use crate::job::Job;
use crate::kernels::resize;
use crate::params::{AnyProbe, Form, Param, Params, Spec, Value, wrong_kind};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::to_f64;
use candle_core::Tensor;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The family of a probe: what its question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// What is in the net.
    Look,
    /// Where in the image the evidence is.
    Where,
    /// Which images excite a unit, or are alike to a layer.
    Images,
    /// Images made by ascent.
    Dream,
    /// How precisely a layer knows positions.
    Space,
    /// How well the net does, and what that depends on.
    Measure,
    /// How the net can be fooled.
    Fool,
    /// How the net compares with people.
    Humans,
    /// How good a map is.
    Judge,
}

impl Family {
    /// All families, in the order of the reference.
    pub const ALL: [Family; 9] = [
        Family::Look,
        Family::Where,
        Family::Images,
        Family::Dream,
        Family::Space,
        Family::Measure,
        Family::Fool,
        Family::Humans,
        Family::Judge,
    ];

    /// The family's heading in the reference.
    pub fn title(self) -> &'static str {
        match self {
            Family::Look => "look inside",
            Family::Where => "where does it look",
            Family::Images => "which images",
            Family::Dream => "images by ascent",
            Family::Space => "how much space survives",
            Family::Measure => "measure",
            Family::Fool => "fool it",
            Family::Humans => "compare with people",
            Family::Judge => "judge a map",
        }
    }
}

/// The inputs that a probe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// One image or tensor.
    One,
    /// Nothing.
    Nothing,
    /// A data set.
    Data,
    /// An image, a tensor or a data set.
    Any,
}

/// The description of a probe, besides its options: for the reference and for the contract tests.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its family.
    pub family: Family,
    /// The paper and section that define it.
    pub source: &'static str,
    /// The subjects it takes, in words.
    pub subjects: &'static str,
    /// The input it takes.
    pub input: Takes,
    /// A line of script that runs on the embedded net, with variables `net`, `image` and `data` (`detector` and `vit` are the
    /// small nets of the gallery).
    pub example: &'static str,
}

/// A probe's description, from the head of its [`params!`](crate::params!) block.
pub trait Described {
    /// The description.
    fn about(&self) -> About;
}

/// A technique with its settings, which can be run on a subject.
pub trait Probe: Params + Described + Any + Send + Sync + fmt::Debug {
    /// Runs the probe on a subject and an input.
    ///
    /// # Errors
    /// Where the probe does not take the subject or the input. An interrupt is no error: the artifact then has
    /// `complete: false`.
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact>;

    /// The raw map of `target` (a subject with a score) for each of the inputs `x`, N x C x H x W: N maps, stacked.
    /// Probes that take other probes (SmoothGrad, comparisons, judges) call this.
    ///
    /// # Errors
    /// As [`Probe::run`].
    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let one = |n: usize| Ok(self.run(target, &Input::Tensor(x.get(n)?), job)?.value()?.clone());
        Ok(Tensor::stack(&(0..x.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Runs the probe and writes what it makes into a folder, piece by piece: for results that are too large to hold. `None` where the
    /// probe makes nothing of the kind; a probe of the family "where" has its maps of a data set written by [`maps::over`].
    ///
    /// # Errors
    /// As [`Probe::run`], and those of writing.
    fn run_into(
        &self,
        _on: &Subject,
        _input: &Input,
        _folder: &mut dyn maps::Folder,
        _job: &Job,
    ) -> Result<Option<Artifact>> {
        Ok(None)
    }

    /// The rules of the backward pass, where the probe is one.
    fn rules(&self) -> Option<Rules> {
        None
    }

    /// The promised sum of the probe's map of `target` at `x`, where its method promises one.
    ///
    /// # Errors
    /// Where a baseline does not fit the input.
    fn promise(&self, _target: &Subject, _x: &Tensor, _job: &Job) -> Result<Option<Promise>> {
        Ok(None)
    }

    /// The factor in each value of the probe's map of `target` at `x`, shaped as `x`: the input, or its difference from a
    /// baseline. `None` where the map is a change per unit of input, such as a gradient.
    ///
    /// # Errors
    /// Where a baseline does not fit the input.
    fn multiplied_by(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Option<Tensor>> {
        let Some(Promise::Difference(baselines)) = self.promise(target, x, job)? else { return Ok(None) };
        let sum = baselines.iter().try_fold(x.zeros_like()?, |sum, b| sum + b.to_dtype(x.dtype())?)?;
        Ok(Some((x - (sum / baselines.len().max(1) as f64)?)?))
    }

    /// One of the probe's maps of `target`, laid over the whole input where it lies over a part of it: a layer's map in a net that
    /// crops or pads.
    ///
    /// # Errors
    /// As [`Probe::attribute`].
    fn on_input(&self, _target: &Subject, map: Tensor) -> Result<Tensor> {
        Ok(map)
    }

    /// One of the probe's maps ([`Probe::on_input`]) as one importance for each pixel of an input of `size`, row by row: larger is
    /// more important.
    ///
    /// # Errors
    /// Where the map has no position on the input.
    fn importance(&self, map: &Tensor, size: [usize; 2]) -> Result<Vec<f64>> {
        importance(map, size)
    }
}

/// A probe as a value: for options, lists and scripts.
#[derive(Clone, Debug)]
pub struct ProbeArg(pub Arc<dyn Probe>);

impl Param for ProbeArg {
    const POSITIONAL: bool = true;

    fn form() -> Form {
        Form::words("a probe")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Probe(p) => (&**p as &dyn Any).downcast_ref().cloned().ok_or_else(|| wrong_kind::<Self>(value)),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        self.clone().into()
    }
}

impl From<ProbeArg> for Value {
    fn from(probe: ProbeArg) -> Self {
        Value::Probe(Arc::new(probe))
    }
}

impl AnyProbe for ProbeArg {
    fn settings(&self) -> serde_json::Value {
        self.0.settings()
    }
}

impl ProbeArg {
    /// Runs the probe and adds its settings, subject and input to the artifact. After an interrupt the artifact is not complete.
    ///
    /// # Errors
    /// As [`Probe::run`]; the message begins with the probe's name.
    pub fn ask(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        if let Input::Several(_) = input {
            return self.ask_of_several(on, input, job);
        }
        let before = job.ledger().map(|ledger| ledger.answered());
        let asked = match input {
            Input::Data(_) if maps::takes_each(self) => maps::over(self, on, input, None, job),
            _ => self.0.run(on, input, job),
        };
        let asked = match (asked, job.ledger()) {
            // Of a part there may be nothing to show; its state counts.
            (Err(error), Some(ledger)) if ledger.part.is_some() && Some(ledger.answered()) > before => {
                Ok(Artifact::new(format!("a part of a data set: {error}")))
            }
            (asked, _) => asked,
        };
        self.labelled(asked, on, input, job)
    }

    /// Runs the probe on a net with several inputs, all but the asked one held at their values. A probe that is a backward pass
    /// also gives its map of each other input, as arrays "input NAME".
    fn ask_of_several(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let named = |e: Error| e.context(format!("`{}`", self.0.name()));
        let (model, own) = on.model().and_then(|model| input.placed(model)).map_err(named)?;
        let on = on.with_model(&model);
        let artifact = self.ask(&on, &own, job)?;
        if self.0.rules().is_none() || matches!(own, Input::Data(_) | Input::None) {
            return Ok(artifact);
        }
        inputs::of_others(self, &on, &own, artifact, job).map_err(named)
    }

    /// Runs the probe into a folder, as [`Probe::run_into`] or [`maps::over`] does.
    ///
    /// # Errors
    /// As these; the message begins with the probe's name.
    pub fn ask_each(&self, on: &Subject, input: &Input, folder: &mut dyn maps::Folder, job: &Job) -> Result<Artifact> {
        let made = match self.0.run_into(on, input, folder, job) {
            Ok(None) => maps::over(self, on, input, Some(folder), job),
            Ok(Some(artifact)) => Ok(artifact),
            Err(error) => Err(error),
        };
        self.labelled(made, on, input, job)
    }

    /// The artifact with its settings, not complete where the job was interrupted; an error names the probe.
    fn labelled(&self, asked: Result<Artifact>, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let mut artifact = asked.map_err(|e| e.context(format!("`{}`", self.0.name())))?;
        if job.stopped() && artifact.complete {
            artifact.complete = false;
            artifact.notes.insert(0, "stopped early; what was done by then is shown".into());
        }
        if let (Input::Data(_), Ok(model)) = (input, on.model()) {
            artifact.notes.extend(model.card().preprocess.as_ref().and_then(|p| p.note()));
        }
        artifact.manifest = serde_json::json!({
            "probe": self.0.settings(),
            "subject": on.to_string(),
            "input": input.kind(),
            "seed": job.seed,
        });
        Ok(artifact)
    }
}

/// The promised sum of a map's values.
#[derive(Clone, Debug)]
pub enum Promise {
    /// The score at the input minus its mean over these baselines, each of the input's shape.
    Difference(Vec<Tensor>),
}

/// A map as one importance for each pixel: the largest magnitude over channels, or a coarse map enlarged bilinearly.
///
/// # Errors
/// Where the map is neither C x H x W nor h x w.
pub fn importance(map: &Tensor, size: [usize; 2]) -> Result<Vec<f64>> {
    match *map.dims() {
        [_, h, w] if [h, w] == size => to_f64(&map.abs()?.max(0)?),
        [h, w] => {
            let scale = [size[0] as f64 / h as f64, size[1] as f64 / w as f64];
            let g = resize::ResizeGeometry {
                input: [h, w],
                output: size,
                scale,
                sampling: Sampling::Linear,
                alignment: Alignment::HalfPixel,
            };
            Ok(resize::forward(&g, &to_f64(map)?))
        }
        ref other => Err(Error::shape(format!("a map {other:?} is no map over an input of {} x {}", size[0], size[1]))),
    }
}

/// An entry of the catalog.
pub struct Entry {
    make: fn() -> Box<dyn Probe>,
    build: fn(&[Value], &BTreeMap<String, Value>) -> Result<ProbeArg>,
}

impl Entry {
    /// The entry of the probe `P`.
    pub fn of<P: Probe + Default + 'static>() -> Self {
        Entry { make: || Box::new(P::default()), build: build::<P> }
    }

    /// The probe with its default settings.
    pub fn default_probe(&self) -> Box<dyn Probe> {
        (self.make)()
    }

    /// The probe's name in scripts.
    pub fn name(&self) -> &'static str {
        (self.make)().name()
    }

    /// The probe with options given by position and by name.
    ///
    /// # Errors
    /// Where an option is unknown or its value does not fit.
    pub fn build(&self, given: &[Value], options: &BTreeMap<String, Value>) -> Result<ProbeArg> {
        (self.build)(given, options)
    }
}

fn build<P: Probe + Default + 'static>(given: &[Value], options: &BTreeMap<String, Value>) -> Result<ProbeArg> {
    let mut probe = P::default();
    let positional: Vec<Spec> = probe.specs().into_iter().filter(|s| s.positional).collect();
    if given.len() > positional.len() {
        let (name, takes) = (probe.name(), positional.len());
        return Err(Error::value(format!("`{name}` takes {takes} values before its option map, got {}", given.len()))
            .hint(format!("options go into a map: {name}(#{{ .. }})")));
    }
    for (spec, value) in positional.iter().zip(given) {
        probe.set(spec.name, value)?;
    }
    for (name, value) in options {
        probe.set(name, value)?;
    }
    Ok(ProbeArg(Arc::new(probe)))
}
