//! The catalog of probes. A probe is one file with a [`params!`](crate::params!) block and a [`Probe`] impl, plus its line in
//! [`catalog`]; the script function, the reference, completion and the contract tests follow from there.

pub mod accuracy_by_attribute;
pub mod activations;
pub mod alignment;
pub mod attack;
pub mod attribution;
pub mod baseline;
pub mod basis_test;
pub mod cam;
pub mod caricature;
pub mod carlini_wagner;
pub mod class_model;
pub mod codes;
pub mod coding;
pub mod compare;
pub mod compare_with_humans;
pub mod completeness;
pub mod correspondence;
pub mod deep_fool;
pub mod deep_lift;
pub mod dream;
pub mod embedding;
pub mod epsilon_sweep;
pub mod feature_reconstruction;
pub mod fgsm;
pub mod filters;
pub mod fooling_image;
pub mod gradient;
pub mod gradient_check;
pub mod gradient_x_input;
pub mod graph_cut;
pub mod insertion_deletion;
pub mod integrated_gradients;
pub mod invert;
pub mod judge;
pub mod keypoint_classification;
pub mod keypoint_transfer;
pub mod lbfgs;
pub mod linear_template;
pub mod lrp;
pub mod max_activating;
pub mod maxima;
pub mod maximize;
pub mod model_randomization;
pub mod nearest;
pub mod occlusion;
pub mod pairing;
pub mod part_correspondence;
pub mod pca;
pub mod perturbation_sweep;
pub mod pgd;
pub mod pointing_game;
pub mod projections;
pub mod rise;
pub mod saliency_box;
pub mod scoring;
pub mod sensitivity;
pub mod shape_bias;
pub mod smooth_grad;
pub mod sparsity;
pub mod transfer_matrix;
pub mod tsne;
pub mod universal;

use self::completeness::Promise;
use crate::error::{Error, Result, did_you_mean};
use crate::job::Job;
use crate::params::{Form, Param, Params, Spec, Value, wrong_kind};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What kind of question a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// What is in the net.
    Look,
    /// Where in the image.
    Where,
    /// Which images.
    Images,
    /// Images made by ascent.
    Dream,
    /// How much space survives.
    Space,
    /// How well, depending on what.
    Measure,
    /// How to fool it.
    Fool,
    /// Against people.
    Humans,
    /// How good is a map.
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

/// What a probe can be asked with.
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

/// What a probe is, besides its options: for the reference and for the contract tests.
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
    /// A line of script that runs on the embedded net, with `net`, `image` and `data` at hand.
    pub example: &'static str,
}

/// A technique with its settings: a question that can be put to a subject.
pub trait Probe: Params + Send + Sync + fmt::Debug {
    /// What it is.
    fn about(&self) -> About;

    /// Puts the question.
    ///
    /// # Errors
    /// Where the subject or the input is none that the probe takes. An interrupt is no error: the artifact then
    /// comes back with `complete: false`.
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact>;

    /// The raw map of `target` (a subject with a score) for each of the inputs `x`, N x C x H x W: N maps, stacked.
    /// Probes around probes (SmoothGrad, comparisons, judges) ask here.
    ///
    /// # Errors
    /// As [`Probe::run`].
    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let one = |n: usize| Ok(self.run(target, &Input::Tensor(x.get(n)?), job)?.value()?.clone());
        Ok(Tensor::stack(&(0..x.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// The rules of the probe's backward pass, where it is one.
    fn rules(&self) -> Option<Rules> {
        None
    }

    /// The attack that the probe is, where it is one: for probes that put attacks to data sets and nets.
    fn attack(&self) -> Option<&dyn attack::Attack> {
        None
    }

    /// What the values of the probe's map sum to, where its method promises a sum.
    fn promise(&self) -> Option<Promise> {
        None
    }

    /// One of the probe's maps as one importance a pixel of an input of `size`, row by row: larger is more important.
    ///
    /// # Errors
    /// Where the map has no place on the input.
    fn importance(&self, map: &Tensor, size: [usize; 2]) -> Result<Vec<f64>> {
        judge::importance(map, size)
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
            Value::Probe(p) => Ok(p.clone()),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::Probe(self.clone())
    }
}

impl ProbeArg {
    /// Runs the probe and puts its settings, subject and input into the artifact's manifest.
    ///
    /// # Errors
    /// As [`Probe::run`]; the message begins with the probe's name.
    pub fn ask(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let mut artifact = self.0.run(on, input, job).map_err(|e| e.context(format!("`{}`", self.0.name())))?;
        artifact.manifest = serde_json::json!({
            "probe": self.0.settings(),
            "subject": on.to_string(),
            "input": input.kind(),
            "seed": job.seed,
        });
        Ok(artifact)
    }
}

/// One line of the catalog.
pub struct Entry {
    make: fn() -> Box<dyn Probe>,
    build: fn(&[Value], &BTreeMap<String, Value>) -> Result<ProbeArg>,
}

impl Entry {
    fn of<P: Probe + Default + 'static>() -> Self {
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

    /// The probe with values given by place and by name.
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

/// Every probe, in the order of the reference.
pub fn catalog() -> Vec<Entry> {
    vec![
        Entry::of::<activations::Activations>(),
        Entry::of::<filters::Filters>(),
        Entry::of::<sparsity::Sparsity>(),
        Entry::of::<occlusion::Occlusion>(),
        Entry::of::<gradient::Gradient>(),
        Entry::of::<gradient::GuidedBackprop>(),
        Entry::of::<gradient::Deconvnet>(),
        Entry::of::<gradient_x_input::GradientXInput>(),
        Entry::of::<integrated_gradients::IntegratedGradients>(),
        Entry::of::<smooth_grad::SmoothGrad>(),
        Entry::of::<cam::GradCam>(),
        Entry::of::<cam::GradCamPlusPlus>(),
        Entry::of::<cam::LayerCam>(),
        Entry::of::<cam::ScoreCam>(),
        Entry::of::<cam::GuidedGradCam>(),
        Entry::of::<lrp::Lrp>(),
        Entry::of::<deep_lift::DeepLift>(),
        Entry::of::<rise::Rise>(),
        Entry::of::<saliency_box::SaliencyBox>(),
        Entry::of::<max_activating::MaxActivating>(),
        Entry::of::<basis_test::BasisTest>(),
        Entry::of::<codes::CodesOf>(),
        Entry::of::<tsne::Tsne>(),
        Entry::of::<pca::PcaOf>(),
        Entry::of::<nearest::Nearest>(),
        Entry::of::<correspondence::Correspondence>(),
        Entry::of::<alignment::Alignment>(),
        Entry::of::<keypoint_transfer::KeypointTransfer>(),
        Entry::of::<keypoint_classification::KeypointClassification>(),
        Entry::of::<feature_reconstruction::FeatureReconstruction>(),
        Entry::of::<part_correspondence::PartCorrespondence>(),
        Entry::of::<compare_with_humans::CompareWithHumans>(),
        Entry::of::<shape_bias::ShapeBias>(),
        Entry::of::<accuracy_by_attribute::AccuracyByAttribute>(),
        Entry::of::<perturbation_sweep::PerturbationSweep>(),
        Entry::of::<class_model::ClassModel>(),
        Entry::of::<maximize::Maximize>(),
        Entry::of::<invert::Invert>(),
        Entry::of::<caricature::Caricature>(),
        Entry::of::<fgsm::Fgsm>(),
        Entry::of::<pgd::Pgd>(),
        Entry::of::<lbfgs::Lbfgs>(),
        Entry::of::<deep_fool::DeepFool>(),
        Entry::of::<carlini_wagner::CarliniWagner>(),
        Entry::of::<fooling_image::FoolingImage>(),
        Entry::of::<linear_template::LinearTemplate>(),
        Entry::of::<universal::Universal>(),
        Entry::of::<epsilon_sweep::EpsilonSweep>(),
        Entry::of::<transfer_matrix::TransferMatrix>(),
        Entry::of::<compare::Compare>(),
        Entry::of::<completeness::Completeness>(),
        Entry::of::<insertion_deletion::InsertionDeletion>(),
        Entry::of::<pointing_game::PointingGame>(),
        Entry::of::<sensitivity::Sensitivity>(),
        Entry::of::<model_randomization::ModelRandomization>(),
        Entry::of::<gradient_check::GradientCheck>(),
    ]
}

/// The catalog's entry called `name`.
///
/// # Errors
/// Where there is none; the hint names the closest.
pub fn find(name: &str) -> Result<Entry> {
    let names: Vec<&'static str> = catalog().iter().map(Entry::name).collect();
    catalog().into_iter().find(|e| e.name() == name).ok_or_else(|| {
        let hint = did_you_mean(name, names).unwrap_or_else(|| "`convscope doc` lists all".to_string());
        Error::not_found(format!("no probe `{name}`")).hint(hint)
    })
}
