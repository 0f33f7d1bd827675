//! Baselines: the inputs that a map compares with.

use crate::data::blur::blur;
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;

/// One baseline.
#[derive(Clone, Debug)]
pub enum Baseline {
    /// Zeros of the preprocessed input.
    Zero,
    /// This value everywhere in the preprocessed input.
    Constant(f64),
    /// The input under a Gaussian blur with a standard deviation of a tenth of its side.
    Blur,
    /// Uniform noise over the range of each channel of the input.
    Random,
    /// An image, preprocessed as the net's card says.
    Image(Image),
    /// A preprocessed tensor.
    Tensor(Tensor),
}

/// One or several baselines; the maps of several are averaged.
#[derive(Clone, Debug)]
pub struct Baselines(pub Vec<Baseline>);

impl Default for Baselines {
    fn default() -> Self {
        Baselines(vec![Baseline::Zero])
    }
}

impl Param for Baseline {
    fn form() -> Form {
        Form {
            words: "\"zero\", \"blur\", \"random\", a number, an image or a tensor".into(),
            choices: vec!["zero", "blur", "random"],
        }
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(t) if t == "zero" => Ok(Baseline::Zero),
            Value::Text(t) if t == "blur" => Ok(Baseline::Blur),
            Value::Text(t) if t == "random" => Ok(Baseline::Random),
            Value::Text(t) => Err(Error::value(format!("takes {}, got {t:?}", Self::form().words))),
            Value::Float(v) => Ok(Baseline::Constant(*v)),
            Value::Int(v) => Ok(Baseline::Constant(*v as f64)),
            Value::Image(i) => Ok(Baseline::Image(i.clone())),
            Value::Tensor(t) => Ok(Baseline::Tensor(t.clone())),
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Baseline::Zero => Value::Text("zero".into()),
            Baseline::Blur => Value::Text("blur".into()),
            Baseline::Random => Value::Text("random".into()),
            Baseline::Constant(v) => Value::Float(*v),
            Baseline::Image(i) => Value::Image(i.clone()),
            Baseline::Tensor(t) => Value::Tensor(t.clone()),
        }
    }
}

impl Param for Baselines {
    fn form() -> Form {
        let one = Baseline::form();
        Form { words: format!("{}, or a list of these", one.words), choices: one.choices }
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::List(items) if items.is_empty() => Err(Error::value("an empty list of baselines")),
            Value::List(items) => Ok(Baselines(items.iter().map(Baseline::read).collect::<Result<_>>()?)),
            one => Ok(Baselines(vec![Baseline::read(one)?])),
        }
    }

    fn write(&self) -> Value {
        match &self.0[..] {
            [one] => one.write(),
            all => Value::List(all.iter().map(Baseline::write).collect()),
        }
    }
}

impl Baselines {
    /// Each baseline as an input shaped as `x` (1 x C x H x W).
    ///
    /// # Errors
    /// Where an image cannot be preprocessed or a tensor has another shape.
    pub fn tensors(&self, model: &Model, x: &Tensor, job: &Job) -> Result<Vec<Tensor>> {
        self.0.iter().enumerate().map(|(i, b)| b.tensor(i, model, x, job)).collect()
    }
}

impl Baseline {
    fn tensor(&self, number: usize, model: &Model, x: &Tensor, job: &Job) -> Result<Tensor> {
        match self {
            Baseline::Zero => Ok(x.zeros_like()?),
            Baseline::Constant(v) => Ok(x.zeros_like()?.affine(0.0, *v)?),
            Baseline::Image(image) => model.batched(&model.card().preprocess()?.apply(image)?),
            Baseline::Tensor(t) => {
                let t = model.batched(t)?;
                if t.dims() == x.dims() {
                    Ok(t)
                } else {
                    Err(Error::shape(format!("a baseline {:?} for an input {:?}", t.dims(), x.dims())))
                }
            }
            Baseline::Blur => blurred(x),
            Baseline::Random => {
                let rng = job.rng(&format!("baseline {number}"));
                let plane: usize = x.dims()[2..].iter().product();
                let mut values = to_f32(x)?;
                for (c, channel) in values.chunks_mut(plane).enumerate() {
                    let (low, high) =
                        channel.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
                    for (i, v) in channel.iter_mut().enumerate() {
                        *v = low + (high - low) * rng.uniform_at((c * plane + i) as u64) as f32;
                    }
                }
                tensor(values, x.dims())
            }
        }
    }
}

/// The input under a Gaussian blur with a standard deviation of a tenth of its shorter side.
fn blurred(x: &Tensor) -> Result<Tensor> {
    let [_, _, height, width] = *x.dims() else { return Err(Error::subject("only an image can be blurred")) };
    let sigma = height.min(width) as f64 / 10.0;
    let mut values = to_f64(x)?;
    values.chunks_mut(height * width).for_each(|plane| blur(plane, [height, width], sigma));
    tensor(values.into_iter().map(|v| v as f32).collect::<Vec<_>>(), x.dims())
}
