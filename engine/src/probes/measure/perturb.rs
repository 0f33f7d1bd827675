//! Perturbations of images by a known amount.

use crate::data::{Image, Interpolation, PixelBox};
use crate::error::{Error, Result};
use crate::random::Stream;

crate::choice! {
    /// A perturbation of an image.
    pub enum Perturbation {
        /// Rotation counter-clockwise, degrees; uncovered corners are black.
        Rotation = "rotation",
        /// Scaling about the centre, a factor; the uncovered border has the image's mean colour.
        Scale = "scale",
        /// Translation in a random direction, as a share of the shorter side; the uncovered border is black.
        Translation = "translation",
        /// A Gaussian's standard deviation, px of the photo.
        Blur = "blur",
        /// Gaussian noise's standard deviation, 0 to 255.
        Noise = "noise",
        /// A JPEG file's quality, 1 to 100.
        Jpeg = "jpeg",
        /// A factor on all pixels.
        Brightness = "brightness",
        /// A factor on the distance from mid grey.
        Contrast = "contrast",
        /// A grey square at a random place, its share of the area.
        Occlusion = "occlusion",
    }
}

impl Perturbation {
    /// The levels that a sweep takes unless others are given.
    pub fn levels(self) -> Vec<f64> {
        match self {
            Perturbation::Rotation => vec![-90.0, -60.0, -30.0, -15.0, 0.0, 15.0, 30.0, 60.0, 90.0],
            Perturbation::Scale => vec![0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8],
            Perturbation::Translation => vec![0.0, 0.05, 0.1, 0.2, 0.3, 0.4],
            Perturbation::Blur => vec![0.0, 0.5, 1.0, 2.0, 3.0, 4.0],
            Perturbation::Noise => vec![0.0, 5.0, 10.0, 20.0, 40.0, 80.0],
            Perturbation::Jpeg => vec![2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 100.0],
            Perturbation::Brightness => vec![0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0],
            Perturbation::Contrast => vec![0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5],
            Perturbation::Occlusion => vec![0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7],
        }
    }

    /// What a level is measured in.
    pub fn unit(self) -> &'static str {
        match self {
            Perturbation::Rotation => "rotation, degrees counter-clockwise",
            Perturbation::Scale => "scale, factor",
            Perturbation::Translation => "translation, share of the shorter side",
            Perturbation::Blur => "blur, standard deviation in px",
            Perturbation::Noise => "noise, standard deviation (0-255)",
            Perturbation::Jpeg => "JPEG quality",
            Perturbation::Brightness => "brightness, factor",
            Perturbation::Contrast => "contrast, factor",
            Perturbation::Occlusion => "occluded share of the area",
        }
    }

    /// The image perturbed; what is random follows from `stream` and `index`.
    ///
    /// # Errors
    /// Where the level makes no sense for this perturbation.
    pub fn apply(self, image: &Image, level: f64, stream: &Stream, index: usize) -> Result<Image> {
        let (w, h) = (image.width(), image.height());
        let draw = |k: u64| stream.uniform_at(4 * index as u64 + k);
        let positive = || {
            if level > 0.0 && level.is_finite() {
                return Ok(());
            }
            Err(Error::value(format!("a level of {level} for {}: it must be above 0", self.unit())))
        };
        match self {
            Perturbation::Rotation => image.rotate(level),
            Perturbation::Scale => positive().and_then(|()| scaled(image, level)),
            Perturbation::Translation => {
                let (angle, far) = (draw(0) * std::f64::consts::TAU, level * w.min(h) as f64);
                Ok(image.shift((libm::cos(angle) * far).round() as i64, (libm::sin(angle) * far).round() as i64))
            }
            Perturbation::Blur => image.blur(level),
            Perturbation::Noise => image.noise(level, stream.u64_at(4 * index as u64)),
            Perturbation::Jpeg if (1.0..=100.0).contains(&level) => image.jpeg(level.round() as u8),
            Perturbation::Jpeg => Err(Error::value(format!("a JPEG quality of {level} is not within 1 to 100"))),
            Perturbation::Brightness => image.brightness(level),
            Perturbation::Contrast => positive().and_then(|()| contrasted(image, level)),
            Perturbation::Occlusion if (0.0..=1.0).contains(&level) => {
                let side = |n: usize| ((level.sqrt() * n as f64).round() as usize).min(n);
                let (pw, ph) = (side(w), side(h));
                let at = |d: f64, n: usize, p: usize| (d * (n - p + 1) as f64) as usize;
                if pw == 0 || ph == 0 {
                    return Ok(image.clone());
                }
                let area = PixelBox::new(at(draw(0), w, pw).min(w - pw), at(draw(1), h, ph).min(h - ph), pw, ph);
                Ok(image.fill(area, [128; 3]))
            }
            Perturbation::Occlusion => Err(Error::value(format!("an occluded share of {level} is not within 0 to 1"))),
        }
    }
}

/// The image scaled about its centre at the same size. Masks, boxes and points do not follow.
fn scaled(image: &Image, factor: f64) -> Result<Image> {
    let (w, h) = (image.width(), image.height());
    let side = |n: usize| ((n as f64 * factor).round() as usize).max(1);
    let (sw, sh) = (side(w), side(h));
    if sw >= w && sh >= h {
        // Only the part that stays is enlarged.
        let part = |n: usize, s: usize| ((n * n) as f64 / s as f64).round().clamp(1.0, n as f64) as usize;
        return image.center_crop(part(w, sw), part(h, sh))?.resize(w, h, Interpolation::Bicubic);
    }
    let small = image.resize(sw, sh, Interpolation::Bicubic)?;
    let mut sums = [0u64; 3];
    image.pixels().chunks_exact(3).for_each(|p| (0..3).for_each(|c| sums[c] += u64::from(p[c])));
    let mean = sums.map(|s| (s / (w * h) as u64) as u8);
    let mut pixels = mean.repeat(w * h);
    let (left, top) = ((w - sw.min(w)) / 2, (h - sh.min(h)) / 2);
    for y in 0..sh.min(h) {
        let row = &small.pixels()[3 * y * sw..][..3 * sw.min(w)];
        pixels[3 * ((top + y) * w + left)..][..row.len()].copy_from_slice(row);
    }
    Ok(Image::new(w, h, pixels)?.with_label(image.label().map(str::to_string)))
}

/// Pixels at `factor` times their distance from mid grey.
fn contrasted(image: &Image, factor: f64) -> Result<Image> {
    let change = |p: &u8| (127.5 + factor * (f64::from(*p) - 127.5)).round().clamp(0.0, 255.0) as u8;
    let pixels = image.pixels().iter().map(change).collect();
    Ok(Image::new(image.width(), image.height(), pixels)?.with_label(image.label().map(str::to_string)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::params::Param as _;

    #[test]
    fn the_neutral_level_changes_nothing_and_the_others_do() {
        let pixels = (0..40 * 30 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let image = Image::new(40, 30, pixels).unwrap();
        let stream = Stream::new(1, "test");
        for word in Perturbation::form().choices {
            let p = Perturbation::read(&crate::params::Value::Text(word.into())).unwrap();
            for level in p.levels() {
                let changed = p.apply(&image, level, &stream, 3).unwrap();
                assert_eq!((changed.width(), changed.height()), (40, 30), "{word} {level}");
                let neutral = match word {
                    "scale" | "brightness" | "contrast" => level == 1.0,
                    _ => level == 0.0,
                };
                assert_eq!(changed == image, neutral, "{word} {level}");
                assert_eq!(changed, p.apply(&image, level, &stream, 3).unwrap());
            }
        }
        for (p, bad) in [(Perturbation::Scale, 0.0), (Perturbation::Jpeg, 0.0), (Perturbation::Occlusion, 2.0)] {
            assert!(p.apply(&image, bad, &stream, 0).is_err());
        }
    }
}
