//! The inputs of an attack: images as pixel values, their right classes, and the class that the prediction is to become.

use crate::ascent::{Aim, Space};
use crate::data::{Dataset, Image};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::stream::{StreamReport, stream};
use crate::subject::{Input, Subject, argmax};
use crate::tensor::to_f64;

/// The class that a prediction is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The class with this index.
    Index(usize),
    /// The class of this name.
    Name(String),
    /// The class that is the least probable for the clean image.
    LeastLikely,
    /// The class half the list further: (label + n / 2) mod n.
    Opposite,
}

impl Param for Target {
    fn form() -> Form {
        Form {
            words: "a class's name or index, \"least_likely\" or \"opposite\"".into(),
            choices: vec!["least_likely", "opposite"],
        }
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Int(i) if *i >= 0 => Ok(Target::Index(*i as usize)),
            Value::Text(t) if t == "least_likely" => Ok(Target::LeastLikely),
            Value::Text(t) if t == "opposite" => Ok(Target::Opposite),
            Value::Text(t) => Ok(Target::Name(t.clone())),
            Value::Subject(Subject::Class { index, .. }) => Ok(Target::Index(*index)),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        match self {
            Target::Index(i) => Value::Int(*i as i64),
            Target::Name(name) => Value::Text(name.clone()),
            Target::LeastLikely => Value::Text("least_likely".into()),
            Target::Opposite => Value::Text("opposite".into()),
        }
    }
}

impl Target {
    /// The class for an image with this right class and these clean scores.
    ///
    /// # Errors
    /// Where the net has no such class.
    pub fn class(&self, model: &Model, label: usize, scores: &[f64]) -> Result<usize> {
        match self {
            Target::Index(i) if *i < model.classes_len() => Ok(*i),
            Target::Index(i) => Subject::class_at(model, *i).map(|_| *i),
            Target::Name(name) => model.card().label_index(name),
            Target::LeastLikely => Ok(argmax(&scores.iter().map(|s| -s).collect::<Vec<_>>())),
            Target::Opposite => Ok((label + scores.len() / 2) % scores.len().max(1)),
        }
    }
}

/// The images under attack.
pub struct AttackInputs {
    /// The net.
    pub model: Model,
    /// How pixels become its input.
    pub space: Space,
    /// Pixel values, N x C x H x W, as the net sees the photos (resized and cropped, 8 bits).
    pub pixels: Vec<f64>,
    /// What each one is called: its file or its number.
    pub names: Vec<String>,
    /// The class that each one shows.
    pub labels: Vec<usize>,
    /// Whether the label was given, not just predicted.
    pub given: Vec<bool>,
    /// The clean scores.
    pub clean: Vec<Vec<f64>>,
    /// The class that each one's prediction is to become.
    pub aims: Vec<Aim>,
    /// Whether one image was given, not a data set.
    pub single: bool,
    /// Which images of a data set could not be read.
    pub report: StreamReport,
}

/// One image under attack.
struct AttackInput {
    /// Pixel values, as the net sees the photo.
    pixels: Vec<f64>,
    /// The class that the photo is labelled with.
    label: Option<usize>,
    name: String,
}

impl AttackInput {
    fn new(model: &Model, space: &Space, photo: &Image, name: String) -> Result<Self> {
        let x = to_f64(&model.card().preprocess()?.apply(photo)?)?;
        let pixels = space.to_pixels(&x).into_iter().map(f64::round).collect();
        let label = photo.label().and_then(|l| model.card().label_index(l).ok());
        Ok(AttackInput { pixels, label, name })
    }
}

impl AttackInputs {
    /// One image, tensor or data set. A class as the subject is what the images show; for a net it is their own label,
    /// or what the net predicts for those without one.
    ///
    /// # Errors
    /// Where the subject is something else, or the net's card does not say what a pixel is.
    pub fn of(on: &Subject, input: &Input, target: Option<&Target>, job: &Job) -> Result<Self> {
        let model = match on {
            Subject::Model(model) | Subject::Class { model, .. } => model.clone(),
            other => {
                return Err(Error::subject(format!("{other} is neither a net nor a class"))
                    .hint("`probe.run(net, image)`; `net.class(name)` is the class that the image shows; the option `target` the class that the prediction is to become"));
            }
        };
        let space = Space::of(&model)?;
        let readout = model.classes_readout()?;
        if model.classes_len() < 2 {
            return Err(Error::subject(format!("`{}` has a single class: there is no other", model.card().name))
                .hint(format!("its outputs are read as {}", readout.kind.word())));
        }
        let mut inputs = AttackInputs {
            model,
            space,
            pixels: Vec::new(),
            names: Vec::new(),
            labels: Vec::new(),
            given: Vec::new(),
            clean: Vec::new(),
            aims: Vec::new(),
            single: !matches!(input, Input::Data(_)),
            report: StreamReport::default(),
        };
        match input {
            Input::Data(data) => inputs.add_all(on, data, job)?,
            Input::Image(photo) => {
                let one = AttackInput::new(&inputs.model, &inputs.space, photo, "image".into())?;
                inputs.push(on, vec![one])?;
            }
            one => {
                let x = to_f64(&one.prepared(&inputs.model)?.x)?;
                let pixels = inputs.space.to_pixels(&x);
                if let Some(out) = pixels.iter().find(|p| !(-0.51..=255.51).contains(*p)) {
                    return Err(Error::value(format!("the tensor holds a pixel value of {out:.1}, outside 0 to 255"))
                        .hint("attacks keep to what a photo can be; `net.preprocess(image)` makes such a tensor"));
                }
                let pixels = pixels.into_iter().map(|p| whole(p).clamp(0.0, 255.0)).collect();
                inputs.push(on, vec![AttackInput { pixels, label: None, name: "tensor".into() }])?;
            }
        }
        for n in 0..inputs.labels.len() {
            let label = inputs.labels[n];
            let aim = match target {
                None => Aim::Not(label),
                Some(t) => Aim::Be(t.class(&inputs.model, label, &inputs.clean[n])?),
            };
            inputs.aims.push(aim);
        }
        Ok(inputs)
    }

    /// Photos are decoded a batch ahead of the net; those that cannot be read are left out and counted.
    fn add_all(&mut self, on: &Subject, data: &Dataset, job: &Job) -> Result<()> {
        if data.is_empty() {
            return Err(Error::value(format!("`{}` holds no image", data.name)));
        }
        let (model, space) = (self.model.clone(), self.space.clone());
        let one = |i: usize, photo: Image| {
            let name = photo.path().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
            AttackInput::new(&model, &space, &photo, name.unwrap_or_else(|| i.to_string()))
        };
        let batch = crate::probes::synthesis::batch(&model, job);
        self.report = stream(
            std::slice::from_ref(&(0..data.len())),
            batch,
            (job, "clean predictions"),
            // What else is wrong with an image ends the attack.
            |i| Ok(one(i, data.get(i)?)),
            |items| self.push(on, items.into_iter().map(|(_, one)| one).collect::<Result<_>>()?),
        )?;
        Ok(())
    }

    fn push(&mut self, on: &Subject, inputs: Vec<AttackInput>) -> Result<()> {
        let pixels: Vec<f64> = inputs.iter().flat_map(|one| one.pixels.iter().copied()).collect();
        let clean = self.model.decisions(&self.space.input(&self.model, &pixels)?)?;
        self.pixels.extend(pixels);
        for (one, clean) in inputs.into_iter().zip(clean) {
            let label = if let Subject::Class { index, .. } = on { Some(*index) } else { one.label };
            self.given.push(label.is_some());
            self.labels.push(label.unwrap_or_else(|| argmax(&clean)));
            self.clean.push(clean);
            self.names.push(one.name);
        }
        Ok(())
    }

    /// Whether the clean prediction is right.
    pub fn right(&self, n: usize) -> bool {
        argmax(&self.clean[n]) == self.labels[n]
    }

    /// The pixel values of one image.
    pub fn image(&self, n: usize) -> &[f64] {
        let each = self.space.frame.len();
        &self.pixels[n * each..(n + 1) * each]
    }
}

/// The whole number that a pixel value is but for rounding errors; other values as they are.
fn whole(p: f64) -> f64 {
    if (p - p.round()).abs() < 1e-3 { p.round() } else { p }
}
