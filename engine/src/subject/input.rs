//! What a probe is asked with: an image, a tensor, a data set, or nothing.

use crate::data::files::Dataset;
use crate::data::image::Image;
use crate::data::preprocess::Placement;
use crate::error::{Error, Result};
use crate::model::Model;
use candle_core::Tensor;

/// What a probe is asked with.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    None,
    /// A photo, preprocessed as the net's card says.
    Image(Image),
    /// A preprocessed tensor, C x H x W or 1 x C x H x W.
    Tensor(Tensor),
    /// A data set.
    Data(Dataset),
}

/// One input made ready for a net.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The preprocessed input, 1 x C x H x W.
    pub x: Tensor,
    /// The photo, where one was given.
    pub photo: Option<Image>,
    /// Where on the photo the net's input lies.
    pub placement: Option<Placement>,
}

impl Input {
    /// What was given, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Input::None => "no input",
            Input::Image(_) => "an image",
            Input::Tensor(_) => "a tensor",
            Input::Data(_) => "a data set",
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
                Ok(Prepared { x, placement: Some(preprocess.place(photo)), photo: Some(photo.clone()) })
            }
            Input::Tensor(t) => {
                let x = model.batched(t)?;
                if x.dims()[0] != 1 {
                    return Err(Error::shape(format!("one input is asked for, the tensor holds {}", x.dims()[0])));
                }
                Ok(Prepared { x, photo: None, placement: None })
            }
            other => Err(Error::subject(format!("an image or a tensor is asked for, got {}", other.kind()))),
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
            other => Err(Error::subject(format!("a data set is asked for, got {}", other.kind()))
                .hint("`load_images(folder)` and `shapes(#{ n: 100 })` make one")),
        }
    }
}
