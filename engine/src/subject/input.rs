//! The input of a probe: an image, a signal or volume, a tensor, a data set, or nothing.

use super::samples::Samples;
use crate::data::files::Dataset;
use crate::data::image::Image;
use crate::data::preprocess::{Placement, Preprocess, Size};
use crate::error::{Error, Result};
use crate::model::Model;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// The input of a probe.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    None,
    /// A photo, preprocessed as the net's card says.
    Image(Image),
    /// A preprocessed tensor, C x H x W or 1 x C x H x W.
    Tensor(Tensor),
    /// A signal or a volume.
    Samples(Samples),
    /// A data set.
    Data(Dataset),
    /// A value for each input of a net that takes several, by name.
    Several(BTreeMap<String, Input>),
}

/// One input, preprocessed for a net.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The preprocessed input, 1 x C x H x W, 1 x C x L of a signal, 1 x C x three axes of a volume.
    pub x: Tensor,
    /// The photo, where one was given.
    pub photo: Option<Image>,
    /// Where on the photo the net's input lies.
    pub placement: Option<Placement>,
    /// The signal or the volume, where one was given.
    pub samples: Option<Samples>,
}

impl Input {
    /// What was given, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Input::None => "no input",
            Input::Image(_) => "an image",
            Input::Tensor(_) => "a tensor",
            Input::Samples(Samples::Signal(_)) => "a signal",
            Input::Samples(Samples::Volume(_)) => "a volume",
            Input::Data(_) => "a data set",
            Input::Several(_) => "a map of inputs",
        }
    }

    /// The net with its other inputs held at the values of a map, and the map's value for the asked input. Anything but a map is
    /// the value of the asked input.
    ///
    /// # Errors
    /// Where the map lacks an input of the net or has one that the net lacks, or a value does not fit; the message names it.
    pub fn placed(&self, model: &Model) -> Result<(Model, Input)> {
        let Input::Several(given) = self else { return Ok((model.clone(), self.clone())) };
        let inputs = model.inputs();
        let asked = inputs.iter().find(|i| i.is_asked).map(|i| i.name.clone()).unwrap_or_default();
        let lacking = inputs.iter().find(|i| !i.is_held && !given.contains_key(&i.name));
        if let Some(lacking) = lacking {
            let all: Vec<String> = inputs.iter().map(|i| format!("`{}` {:?}", i.name, i.shape)).collect();
            return Err(Error::value(format!("the map lacks the input `{}` of `{}`", lacking.name, model.card().name))
                .hint(format!("its inputs are {}", all.join(", "))));
        }
        let others = given.iter().filter(|(name, _)| **name != asked);
        let others = others.map(|(name, value)| Ok((name.as_str(), value.held(model, name)?)));
        let held = model.given(others.collect::<Result<Vec<_>>>()?)?;
        Ok((held, given.get(&asked).cloned().unwrap_or_default()))
    }

    /// The value of this for the held input `name`: a tensor as it is, a photo preprocessed as the card
    /// says, for the input's size.
    ///
    /// # Errors
    /// Where the input takes no photo, or this is neither a photo nor a tensor.
    pub fn held(&self, model: &Model, name: &str) -> Result<Tensor> {
        let inputs = model.inputs();
        let input = inputs.iter().find(|i| i.name == name);
        match (self, input.map(|i| &i.shape[..])) {
            (Input::Tensor(t), _) => Ok(t.clone()),
            (Input::Samples(s), _) => Ok(s.values().clone()),
            (Input::Image(photo), Some(&[channels, height, width])) => {
                let known = model.card().preprocess()?;
                if known.channels != channels {
                    return Err(Error::value(format!(
                        "the input `{name}` takes {channels} channels, photos become {} by the net's card",
                        known.channels
                    ))
                    .hint("give it as a tensor"));
                }
                Preprocess { size: Size { height, width }, ..known.clone() }.apply(photo)
            }
            (Input::Image(_), Some(shape)) => {
                Err(Error::value(format!("the input `{name}` is {shape:?}, which no photo becomes"))
                    .hint("give it as a tensor, a list of numbers or a number"))
            }
            // An unknown name is said by who holds the value.
            (_, None) => Ok(Tensor::zeros(1, candle_core::DType::F32, &candle_core::Device::Cpu)?),
            (other, _) => Err(Error::value(format!("the input `{name}` takes an array, got {}", other.kind()))),
        }
    }

    /// One input for `model`.
    ///
    /// # Errors
    /// Where this is none or many, the net's card does not say how photos are preprocessed, or a tensor has another shape.
    pub fn prepared(&self, model: &Model) -> Result<Prepared> {
        match self {
            Input::Image(photo) => {
                let preprocess = model.card().preprocess()?;
                let x = model.batched(&preprocess.apply(photo)?)?;
                Ok(Prepared { x, placement: Some(preprocess.place(photo)), photo: Some(photo.clone()), samples: None })
            }
            Input::Tensor(t) => {
                let x = model.batched(t)?;
                if x.dims()[0] != 1 {
                    return Err(Error::shape(format!("one input is asked for, the tensor holds {}", x.dims()[0])));
                }
                Ok(Prepared { x, photo: None, placement: None, samples: None })
            }
            Input::Samples(samples) => {
                let x = model.batched(&samples.fitted(model)?)?;
                Ok(Prepared { x, photo: None, placement: None, samples: Some(samples.clone()) })
            }
            other => {
                Err(Error::subject(format!("expected an image, a signal, a volume or a tensor, got {}", other.kind())))
            }
        }
    }

    /// The data set.
    ///
    /// # Errors
    /// Where this is none; a single image counts as a set of one.
    pub fn data(&self) -> Result<Dataset> {
        match self {
            Input::Data(data) => Ok(data.clone()),
            Input::Image(image) => Ok(Dataset::from_images("image", [image.clone()])),
            other => Err(Error::subject(format!("expected a data set, got {}", other.kind()))
                .hint("`load_images(folder)` and `shapes(#{ n: 100 })` make one")),
        }
    }
}
