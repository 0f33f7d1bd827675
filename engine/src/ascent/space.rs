//! Net units and pixel values: x = slope p + offset in each channel, as the net's card says; bounds and budgets of
//! attacks live on the pixel side, 0 to 255.

use crate::data::image::Image;
use crate::data::preprocess::Preprocess;
use crate::error::{Error, Result};
use crate::kernels::disjoint::{DisjointSlice, vec_filled_by};
use crate::model::Model;
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// The size of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Frame {
    /// The size of a net's input.
    ///
    /// # Errors
    /// Where the net takes no images.
    pub fn of(model: &Model) -> Result<Self> {
        match model.input_shape() {
            &[channels, height, width] => Ok(Frame { channels, height, width }),
            other => Err(Error::subject(format!("`{}` takes {other:?}, no image", model.card().name))),
        }
    }

    /// Values of one image.
    pub fn len(self) -> usize {
        self.channels * self.plane()
    }

    /// Whether it holds no value.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Values of one channel.
    pub fn plane(self) -> usize {
        self.height * self.width
    }
}

/// A net's input as pixels: values from 0 to 255, C x H x W in the net's order of channels.
#[derive(Clone, Debug)]
pub struct Space {
    /// The size of one image.
    pub frame: Frame,
    /// Net units per pixel value, for each channel.
    pub slope: Vec<f64>,
    /// The net's input for a pixel value of 0, for each channel.
    pub offset: Vec<f64>,
}

impl Space {
    /// As the net's card says.
    ///
    /// # Errors
    /// Where the card does not say how photos are preprocessed, or the net takes no images.
    pub fn of(model: &Model) -> Result<Self> {
        let p = model.card().preprocess()?;
        let frame = Frame::of(model)?;
        if p.channels != frame.channels {
            return Err(Error::shape(format!("photos give {} channels, the net takes {}", p.channels, frame.channels)));
        }
        let std = |c: usize| f64::from(p.std[c]);
        Ok(Space {
            frame,
            slope: (0..p.channels).map(|c| f64::from(p.scale) / std(c)).collect(),
            offset: (0..p.channels).map(|c| -f64::from(p.mean[c]) / std(c)).collect(),
        })
    }

    /// As the card says; where it says nothing, pixel values of 1/64 net unit around zero, an initial scale for nets that take
    /// tensors only.
    ///
    /// # Errors
    /// Where the net takes no images.
    pub fn of_any(model: &Model) -> Result<Self> {
        if model.card().preprocess.is_some() {
            return Self::of(model);
        }
        let frame = Frame::of(model)?;
        let slope = vec![1.0 / 64.0; frame.channels];
        Ok(Space { frame, offset: slope.iter().map(|s| -127.5 * s).collect(), slope })
    }

    /// Net units of the images' pixel values.
    pub fn to_net(&self, pixels: &[f64]) -> Vec<f64> {
        self.each_channel(pixels, |c, p| p * self.slope[c] + self.offset[c])
    }

    /// Pixel values of the images in net units.
    pub fn to_pixels(&self, x: &[f64]) -> Vec<f64> {
        self.each_channel(x, |c, x| (x - self.offset[c]) / self.slope[c])
    }

    /// A gradient with respect to net units as one with respect to pixel values.
    pub fn pull(&self, gradient: &[f64]) -> Vec<f64> {
        self.each_channel(gradient, |c, g| g * self.slope[c])
    }

    /// The net's input for the images' pixel values.
    ///
    /// # Errors
    /// Where the values are not whole images.
    pub fn input(&self, model: &Model, pixels: &[f64]) -> Result<Tensor> {
        let Frame { channels, height, width } = self.frame;
        let dims = [pixels.len() / self.frame.len(), channels, height, width];
        match model.dtype() {
            DType::F32 => tensor(self.each_channel(pixels, |c, p| (p * self.slope[c] + self.offset[c]) as f32), &dims),
            _ => tensor(self.to_net(pixels), &dims),
        }
    }

    /// As [`Space::pull`] of a gradient at the net's input.
    ///
    /// # Errors
    /// Where its values cannot be read.
    pub fn pull_input(&self, gradient: &Tensor) -> Result<Vec<f64>> {
        with_real!(gradient, T => Ok(self.each_channel(&values::<T>(gradient)?, |c, g| g.f64() * self.slope[c])))
    }

    /// Calls `step` for each image of `pixels`, with its number and its part of a gradient at the net's input, as by
    /// [`Space::pull_input`]; several images at a time.
    ///
    /// # Errors
    /// Where the gradient's values cannot be read.
    pub fn follow(
        &self,
        gradient: &Tensor,
        pixels: &mut [f64],
        step: impl Fn(usize, &mut [f64], &[f64]) + Sync,
    ) -> Result<()> {
        let (each, plane) = (self.frame.len().max(1), self.frame.plane().max(1));
        with_real!(gradient, T => {
            let gradient = values::<T>(gradient)?;
            let images = pixels.par_chunks_mut(each).zip(gradient.par_chunks(each)).enumerate();
            images.for_each_init(Vec::new, |pulled, (n, (image, gradient))| {
                pulled.clear();
                let channels = gradient.chunks(plane).zip(&self.slope);
                channels.for_each(|(values, slope)| pulled.extend(values.iter().map(|g| g.f64() * slope)));
                step(n, image, pulled);
            });
            Ok(())
        })
    }

    /// The smallest and the largest net input of each channel that a photo can have.
    pub fn bounds(&self) -> Vec<(f64, f64)> {
        let ends = |(s, o): (&f64, &f64)| (o.min(o + 255.0 * s), o.max(o + 255.0 * s));
        self.slope.iter().zip(&self.offset).map(ends).collect()
    }

    /// A batch of images in net units as the net's input.
    ///
    /// # Errors
    /// Where the values are not whole images.
    pub fn tensor(&self, x: &[f64]) -> Result<Tensor> {
        let Frame { channels, height, width } = self.frame;
        tensor(x.to_vec(), &[x.len() / self.frame.len(), channels, height, width])
    }

    /// One image in net units as a picture: whole pixel values, clamped to 0 to 255.
    ///
    /// # Errors
    /// Where the net's card does not say how photos are preprocessed.
    pub fn picture(&self, model: &Model, x: &[f64]) -> Result<Image> {
        model.card().preprocess()?.undo(&self.tensor(x)?)
    }

    /// The pixel values of a picture of the net's own size, as they are: no resize, no crop.
    ///
    /// # Errors
    /// Where it has another size.
    pub fn read(&self, model: &Model, picture: &Image) -> Result<Vec<f64>> {
        let Frame { height, width, .. } = self.frame;
        if (picture.width(), picture.height()) != (width, height) {
            let (w, h) = (picture.width(), picture.height());
            return Err(Error::shape(format!("a picture of {w} x {h} is not of the net's size {width} x {height}")));
        }
        let direct =
            Preprocess { resize: crate::data::preprocess::Resize::Direct, ..model.card().preprocess()?.clone() };
        let x = crate::tensor::to_f64(&direct.apply(picture)?)?;
        Ok(self.to_pixels(&x).into_iter().map(f64::round).collect())
    }

    fn each_channel<A: Copy + Sync, B: Copy + Send>(&self, values: &[A], f: impl Fn(usize, A) -> B + Sync) -> Vec<B> {
        let (plane, channels) = (self.frame.plane().max(1), self.frame.channels);
        let fill = |to: DisjointSlice<B>| {
            values.par_chunks(plane).enumerate().for_each(|(i, values)| {
                // SAFETY: the part is this chunk's own.
                let to = unsafe { to.slice(i * plane, values.len()) };
                to.iter_mut().zip(values).for_each(|(to, v)| *to = f(i % channels, *v));
            });
        };
        // SAFETY: the chunks are all values.
        unsafe { vec_filled_by(values.len(), fill) }
    }
}
