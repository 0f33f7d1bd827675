//! How a photo becomes a net's input, and the way back.
//!
//! A net's card carries its [`Preprocess`], so that nobody guesses: short side to `resize`, centre crop to `size`,
//! then x = (pixel * scale - mean) / std in the net's channel order. Pixels are resampled as PIL does it, to the bit;
//! how sizes are rounded is a convention of the code around it ([`Rounding`]). The convention for ImageNet nets is that of
//! Krizhevsky et al. 2012, with the 0.875 that the reference implementations of the later nets share.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

mod options;
mod placement;
mod reading;

pub use options::{Crop, Order, Resize, Rounding, Size};
pub use placement::Placement;

use self::options::Options;
use super::resample::Interpolation;
use super::{Image, PixelBox};
use crate::error::{Error, Result};

/// The grey around a photo in a letterbox, as Ultralytics has it.
const GROUND: u8 = 114;

/// The largest side of a net's input in pixels.
const MAX_SIDE: usize = 8192;

/// From a photo to a net's input tensor. Serialised with the option names of `load_model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Options")]
pub struct Preprocess {
    /// The net's input.
    pub size: Size,
    /// How the photo is brought to that size.
    pub resize: Resize,
    /// How values between pixels are interpolated.
    pub interpolation: Interpolation,
    /// How the sizes of resize and crop become whole numbers; written only where it is not the default.
    #[serde(default, skip_serializing_if = "Rounding::is_default")]
    pub rounding: Rounding,
    /// Which part of the resized photo the net sees.
    pub crop: Crop,
    /// The order of the net's channels.
    pub order: Order,
    /// The factor before mean and std; 1/255 takes pixels to `[0, 1]`.
    pub scale: f32,
    /// What is subtracted, one value a channel in the net's order, in units after scaling.
    pub mean: Vec<f32>,
    /// The divisor, one value a channel in the net's order, in units after scaling.
    pub std: Vec<f32>,
    /// 3, or 1 for nets that see grey (PIL's luma).
    pub channels: usize,
    /// Whether JPEG files are scaled down while they are decoded ([`Preprocess::open`]); written only where they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
}

impl Preprocess {
    /// Pixels in `[0, 1]`, RGB, of a short side of round(size / 0.875) (of the larger side where they differ), bicubic.
    pub fn new(size: impl Into<Size>, channels: usize) -> Result<Self> {
        let size = size.into();
        let made = Preprocess {
            size,
            resize: Resize::Short(Self::usual_short(size)),
            interpolation: Interpolation::default(),
            rounding: Rounding::default(),
            crop: Crop::default(),
            order: Order::default(),
            scale: 1.0 / 255.0,
            mean: vec![0.0; channels.min(3)],
            std: vec![1.0; channels.min(3)],
            channels,
            draft: false,
        };
        made.check()?;
        Ok(made)
    }

    /// The short side that the reference implementations of ImageNet nets resize photos to: round(size / 0.875).
    pub fn usual_short(size: Size) -> usize {
        (size.height.max(size.width) as f64 / 0.875).round_ties_even() as usize
    }

    /// An error when the options contradict each other or cannot be computed with.
    pub fn check(&self) -> Result<()> {
        let Size { height, width } = self.size;
        if height == 0 || width == 0 || height.max(width) > MAX_SIDE {
            return Err(Error::value(format!(
                "a net input of {height} x {width} is not within 1 to {MAX_SIDE} pixels"
            )));
        }
        if self.channels != 1 && self.channels != 3 {
            return Err(Error::value(format!("a net with {} input channels takes no photos", self.channels))
                .hint("photos have 3 channels or 1; give it tensors"));
        }
        self.resize.check(self.size)?;
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != self.channels {
                let (n, c) = (values.len(), self.channels);
                return Err(Error::value(format!("{name} has {n} values for a net with {c} input channels")));
            }
            if let Some(bad) = values.iter().find(|v| !v.is_finite() || (name == "std" && **v == 0.0)) {
                return Err(Error::value(format!("{name} holds {bad}")));
            }
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return Err(Error::value(format!("scale is {}", self.scale)));
        }
        Ok(())
    }

    /// The photo as the net sees it, still in 8-bit RGB: resized and cropped to [`Preprocess::size`].
    pub fn fit(&self, image: &Image) -> Result<Image> {
        let Size { height, width } = self.size;
        let (w, h) = self.resized(image.width(), image.height());
        if Image::check_size(w, h).is_err() {
            return Err(Error::value(format!(
                "an image of {} x {} is too narrow to be resized by its short side (to {w} x {h})",
                image.width(),
                image.height()
            ))
            .hint("crop it first, or load the net with `resize: \"direct\"`"));
        }
        if self.resize == Resize::Letterbox {
            return on_ground(&image.resize(w, h, self.interpolation)?, self.size);
        }
        let (left, top) = (self.rounding.offset(w, width), self.rounding.offset(h, height));
        image.resize_part((w, h), PixelBox { left, top, width, height }, self.interpolation)
    }

    /// The net's input for a photo: f32, `[channels, height, width]`, on the CPU.
    pub fn apply(&self, image: &Image) -> Result<Tensor> {
        self.check()?;
        let fitted = if self.channels == 1 { self.fit(&image.grey())? } else { self.fit(image)? };
        let plane = self.size.height * self.size.width;
        let mut values = Vec::with_capacity(self.channels * plane);
        for channel in 0..self.channels {
            let table: [f32; 256] = std::array::from_fn(|p| self.value(channel, p as f64) as f32);
            let offset = self.colour(channel);
            values.extend(fitted.pixels().as_chunks::<3>().0.iter().map(|p| table[usize::from(p[offset])]));
        }
        Ok(Tensor::from_vec(values, (self.channels, self.size.height, self.size.width), &Device::Cpu)?)
    }

    /// The photo of which `x` (`[channels, height, width]` of any height and width, or a batch of one) is the net's
    /// input: rounded to whole pixel values and clamped to 0 to 255. `undo(apply(photo))` is `fit(photo)`.
    pub fn undo(&self, x: &Tensor) -> Result<Image> {
        self.check()?;
        let x = if x.rank() == 4 && x.dim(0)? == 1 { x.squeeze(0)? } else { x.clone() };
        let (height, width) = match x.dims() {
            &[c, h, w] if c == self.channels => (h, w),
            other => {
                let c = self.channels;
                return Err(Error::shape(format!("a tensor of {other:?} is no net input of {c} x height x width")));
            }
        };
        Image::check_size(width, height)?;
        let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut pixels = vec![0; 3 * height * width];
        for (channel, plane) in values.chunks_exact(height * width).enumerate() {
            let (mean, std) = (f64::from(self.mean[channel]), f64::from(self.std[channel]));
            for (pixel, value) in pixels.chunks_exact_mut(3).zip(plane) {
                let shade = ((f64::from(*value) * std + mean) / f64::from(self.scale)).round() as u8;
                if self.channels == 1 {
                    pixel.fill(shade);
                } else {
                    pixel[self.colour(channel)] = shade;
                }
            }
        }
        Image::new(width, height, pixels)
    }

    /// The least and the greatest value that a photo can give each channel of the net's input.
    pub fn bounds(&self) -> Vec<(f32, f32)> {
        let ends = |channel| {
            let (a, b) = (self.value(channel, 0.0) as f32, self.value(channel, 255.0) as f32);
            (a.min(b), a.max(b))
        };
        (0..self.channels).map(ends).collect()
    }

    /// How far each channel of the net's input moves when a pixel value (0 to 255) moves by 1: |scale / std|. A
    /// budget of `eps` pixel steps is `eps * per_255()[c]` in channel `c`.
    pub fn per_255(&self) -> Vec<f32> {
        self.std.iter().map(|std| (self.scale / std).abs()).collect()
    }

    /// Which part of a photo the net's input shows.
    pub fn place(&self, image: &Image) -> Placement {
        let (w, h) = self.resized(image.width(), image.height());
        let (sx, sy) = (image.width() as f64 / w as f64, image.height() as f64 / h as f64);
        let Size { height, width } = self.size;
        // A crop begins inside the resized photo, the ground of a letterbox before it.
        let before =
            |own: usize, input: usize| self.rounding.offset(own, input) as f64 - (input.saturating_sub(own) / 2) as f64;
        Placement {
            left: before(w, width) * sx,
            top: before(h, height) * sy,
            width: width as f64 * sx,
            height: height as f64 * sy,
            input: self.size,
        }
    }

    /// Width and height of a photo after the resize and before the crop.
    fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        let in_proportion = |long: usize, short: usize, target: usize| {
            self.rounding.side(long as f64 * target as f64 / short as f64).max(target)
        };
        match self.resize {
            Resize::Squash(to) => (to.width, to.height),
            Resize::Direct => (self.size.width, self.size.height),
            Resize::Letterbox => {
                let Size { height: rows, width: columns } = self.size;
                let factor = (rows as f64 / height as f64).min(columns as f64 / width as f64);
                let side = |own: usize, most: usize| ((own as f64 * factor).round_ties_even() as usize).clamp(1, most);
                (side(width, columns), side(height, rows))
            }
            Resize::Auto if (width, height) == (self.size.width, self.size.height) => (width, height),
            Resize::Auto => {
                let short = Self::usual_short(self.size);
                Preprocess { resize: Resize::Short(short), ..self.clone() }.resized(width, height)
            }
            Resize::Short(short) if width <= height => (short, in_proportion(height, width, short)),
            Resize::Short(short) => (in_proportion(width, height, short), short),
        }
    }

    fn value(&self, channel: usize, pixel: f64) -> f64 {
        (pixel * f64::from(self.scale) - f64::from(self.mean[channel])) / f64::from(self.std[channel])
    }

    /// Which of R, G, B a channel of the net is.
    fn colour(&self, channel: usize) -> usize {
        match self.order {
            Order::Bgr if self.channels == 3 => 2 - channel,
            _ => channel,
        }
    }
}

/// An image in the middle of a grey ground of `size`, a pixel nearer to the upper left corner where the sides are odd.
fn on_ground(image: &Image, Size { height, width }: Size) -> Result<Image> {
    let (left, top) = ((width - image.width()) / 2, (height - image.height()) / 2);
    let mut pixels = vec![GROUND; 3 * width * height];
    for (y, row) in image.pixels().chunks_exact(3 * image.width()).enumerate() {
        let from = 3 * ((top + y) * width + left);
        pixels[from..from + row.len()].copy_from_slice(row);
    }
    Image::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(json: &str) -> Result<Preprocess, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    fn photo(width: usize, height: usize) -> Image {
        let pixels = (0..3 * width * height).map(|i| (i * 31 % 256) as u8).collect();
        Image::new(width, height, pixels).unwrap()
    }

    #[test]
    fn channels_are_in_the_net_s_order_and_undo_is_the_way_back() {
        for (order, first) in [("RGB", 0), ("BGR", 2)] {
            let json =
                format!(r#"{{"size": 8, "order": "{order}", "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 2.0]}}"#);
            let p = parse(&json).unwrap();
            let image = photo(20, 11);
            let x = p.apply(&image).unwrap();
            assert_eq!(x.dims(), [3, 8, 8]);
            let fitted = p.fit(&image).unwrap();
            let corner = x.get(0).unwrap().get(0).unwrap().get(0).unwrap().to_scalar::<f32>().unwrap();
            let pixel = f32::from(fitted.pixel(0, 0).unwrap()[first]);
            assert!((corner - (pixel / 255.0 - 0.1) / 0.5).abs() < 1e-6);
            assert_eq!(p.undo(&x).unwrap(), fitted);
            assert_eq!(p.undo(&x.unsqueeze(0).unwrap()).unwrap(), fitted);
            assert!(p.undo(&x.get(0).unwrap()).is_err());
        }
    }

    #[test]
    fn grey_nets_see_luma() {
        let p = parse(r#"{"size": 8, "channels": 1}"#).unwrap();
        let image = photo(9, 9);
        let x = p.apply(&image).unwrap();
        assert_eq!(x.dims(), [1, 8, 8]);
        assert_eq!(p.undo(&x).unwrap(), p.fit(&image.grey()).unwrap());
    }

    #[test]
    fn bounds_and_steps_are_in_net_units() {
        let p = parse(r#"{"size": 8, "scale": 1.0, "mean": [127.5], "std": [127.5]}"#).unwrap();
        assert_eq!(p.bounds(), [(-1.0, 1.0); 3]);
        assert_eq!(p.per_255(), [1.0 / 127.5; 3]);
    }

    #[test]
    fn sizes_are_rounded_as_the_references_do() {
        let p = Preprocess::new(224, 3).unwrap();
        assert_eq!(p.resized(451, 300), (385, 256));
        let p = Preprocess::new(227, 3).unwrap();
        assert_eq!(p.resized(353, 640), (259, 470));
        assert!(p.place(&photo(353, 640)).top - 121.0 * 640.0 / 470.0 < 1e-9);
    }

    /// torchvision 0.29: Resize(67) of 512 x 341 gives 100 x 67 (exactly 100.6), and CenterCrop(64) of 99 x 66 begins at column
    /// int(round(17.5)) = 18; transformers begins at int(17.5) = 17.
    #[test]
    fn sizes_are_rounded_by_the_convention_of_the_training_code() {
        for (rounding, short, long, left) in [
            (Rounding::Nearest, 67, 101, 18),
            (Rounding::Torchvision, 67, 100, 18),
            (Rounding::Torchvision, 66, 99, 18),
            (Rounding::Transformers, 66, 99, 17),
            (Rounding::Nearest, 66, 99, 17),
            (Rounding::Torchvision, 78, 117, 26),
        ] {
            let p = Preprocess { rounding, resize: Resize::Short(short), ..Preprocess::new(64, 3).unwrap() };
            let image = photo(512, 341);
            assert_eq!(p.resized(512, 341), (long, short), "{rounding:?} {short}");
            assert_eq!(p.resized(341, 512), (short, long), "{rounding:?} {short}");
            let place = p.place(&image);
            assert!((place.left - left as f64 * 512.0 / long as f64).abs() < 1e-9, "{rounding:?} {short}: {place:?}");
            let resized = image.resize(long, short, Interpolation::Bicubic).unwrap();
            let top = rounding.offset(short, 64);
            let part = resized.crop(PixelBox { left, top, width: 64, height: 64 }).unwrap();
            assert_eq!(p.fit(&image).unwrap(), part, "{rounding:?} {short}");
        }
    }

    #[test]
    fn a_squashed_photo_is_cropped() {
        let p = parse(r#"{"size": 64, "resize": [73, 80]}"#).unwrap();
        let image = photo(120, 90);
        let resized = image.resize(80, 73, Interpolation::Bicubic).unwrap();
        let part = resized.crop(PixelBox { left: 8, top: 4, width: 64, height: 64 }).unwrap();
        assert_eq!(p.fit(&image).unwrap(), part);
        let place = p.place(&image);
        assert_eq!((place.left, place.width), (12.0, 96.0));
        assert!((place.top - 4.0 * 90.0 / 73.0).abs() < 1e-12);
    }

    #[test]
    fn a_place_on_the_input_is_found_on_the_photo() {
        let p = Preprocess::new(224, 3).unwrap();
        let image = photo(512, 1024);
        let place = p.place(&image);
        assert_eq!((place.left, place.top, place.width, place.height), (32.0, 288.0, 448.0, 448.0));
        assert_eq!(place.to_photo(112.0, 112.0), (256.0, 512.0));
        assert_eq!(place.to_input(256.0, 512.0), (112.0, 112.0));
        let direct = Preprocess { resize: Resize::Direct, ..p };
        let place = direct.place(&image);
        assert_eq!((place.left, place.top, place.width, place.height), (0.0, 0.0, 512.0, 1024.0));
    }

    #[test]
    fn a_letterbox_holds_the_whole_photo_on_grey() {
        let p = parse(r#"{"size": [8, 16], "resize": "letterbox", "interpolation": "nearest"}"#).unwrap();
        let image = photo(10, 10);
        let fitted = p.fit(&image).unwrap();
        assert_eq!((fitted.width(), fitted.height()), (16, 8));
        // 10 x 10 becomes 8 x 8 between columns 4 and 12.
        let inner = image.resize(8, 8, Interpolation::Nearest).unwrap();
        assert_eq!(fitted.crop(PixelBox { left: 4, top: 0, width: 8, height: 8 }).unwrap(), inner);
        assert!([0, 3, 12, 15].iter().all(|x| (0..8).all(|y| fitted.pixel(*x, y).unwrap() == [114; 3])));
        let place = p.place(&image);
        assert_eq!((place.left, place.top, place.width, place.height), (-5.0, 0.0, 20.0, 10.0));
        assert_eq!((place.to_photo(4.0, 0.0), place.to_photo(12.0, 8.0)), ((0.0, 0.0), (10.0, 10.0)));
        // As Ultralytics: 1280 x 719 in 640 x 640 becomes 640 x 360 below 140 rows.
        let p = parse(r#"{"size": 640, "resize": "letterbox"}"#).unwrap();
        assert_eq!(p.resized(1280, 719), (640, 360));
        assert_eq!(p.place(&photo(1280, 719)).to_input(0.0, 0.0).1, 140.0);
        // A thread of an image keeps a pixel.
        assert_eq!(p.resized(4000, 2), (640, 1));
    }

    #[test]
    fn a_thread_of_an_image_is_an_error_and_not_a_memory_hog() {
        let p = Preprocess::new(224, 3).unwrap();
        let error = p.apply(&Image::filled(1, 100_000, [0; 3]).unwrap()).unwrap_err();
        assert!(error.message.contains("too narrow"), "{error}");
        assert!(p.apply(&photo(1, 1)).is_ok());
    }
}
