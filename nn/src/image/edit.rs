//! Changes to an image: geometry (crop, rotate, shift), degradation (blur, noise, brightness, JPEG), fill. Resizing is in
//! `resize`.
//!
//! Label, path and attributes stay; mask, bounding box and keypoints follow the geometry.
//! Positions are in pixels, x to the right and y down, and the centre of the first pixel is at (0.5, 0.5).

use std::sync::Arc;

use rayon::prelude::*;

use super::{Image, Mask, PixelBox};
use crate::error::{Error, Result};
use crate::random::Stream;

impl Image {
    /// The part of the image in `area`, which must lie within the image.
    pub fn crop(&self, area: PixelBox) -> Result<Self> {
        if area.within(self.width(), self.height()) != Some(area) {
            return Err(Error::value(format!(
                "a crop of {area} does not lie within an image of {} x {}",
                self.width(),
                self.height()
            )));
        }
        if (area.width, area.height) == (self.width(), self.height()) {
            return Ok(self.clone());
        }
        let cut = |values: &[u8], channels: usize| -> Vec<u8> {
            let row = |y: usize| {
                let at = (y * self.width() + area.left) * channels;
                &values[at..at + area.width * channels]
            };
            (area.top..area.top + area.height).map(row).collect::<Vec<_>>().concat()
        };
        let mask =
            self.mask().map(|m| Arc::new(Mask { width: area.width, height: area.height, values: cut(&m.values, 1) }));
        let bounding_box = self.bounding_box().and_then(|b| {
            let corner = |x: usize, y: usize| [x as f64 - area.left as f64, y as f64 - area.top as f64];
            let end = corner(b.left + b.width, b.top + b.height);
            outer_box(corner(b.left, b.top), end, (area.width, area.height))
        });
        let moved = |x: f64, y: f64| (x - area.left as f64, y - area.top as f64);
        Ok(self.with_pixels((area.width, area.height), cut(self.pixels(), 3), mask, bounding_box, moved))
    }

    /// The middle `width` x `height` pixels; an odd rest leaves one pixel more at the right and the bottom.
    pub fn center_crop(&self, width: usize, height: usize) -> Result<Self> {
        let left = self.width().saturating_sub(width) / 2;
        let top = self.height().saturating_sub(height) / 2;
        self.crop(PixelBox { left, top, width, height })
    }

    /// The image turned counter-clockwise about its centre at the same size, bilinear; what comes in from outside is
    /// black (PIL's `rotate` with bilinear resampling).
    pub fn rotate(&self, degrees: f64) -> Result<Self> {
        finite("degrees", degrees)?;
        let (w, h) = (self.width(), self.height());
        let turn = degrees.rem_euclid(360.0);
        let (sin, cos) = match turn {
            0.0 => return Ok(self.clone()),
            90.0 => (1.0, 0.0),
            180.0 => (0.0, -1.0),
            270.0 => (-1.0, 0.0),
            _ => (libm::sin(turn.to_radians()), libm::cos(turn.to_radians())),
        };
        let (cx, cy) = (w as f64 / 2.0, h as f64 / 2.0);
        let source = |x: f64, y: f64| (cos * (x - cx) - sin * (y - cy) + cx, sin * (x - cx) + cos * (y - cy) + cy);
        let moved = |x: f64, y: f64| (cos * (x - cx) + sin * (y - cy) + cx, cos * (y - cy) - sin * (x - cx) + cy);
        let mut pixels = vec![0; 3 * w * h];
        pixels.par_chunks_mut(3 * w).enumerate().for_each(|(y, row)| {
            for (x, out) in row.chunks_exact_mut(3).enumerate() {
                let (u, v) = source(x as f64 + 0.5, y as f64 + 0.5);
                if (0.0..w as f64).contains(&u) && (0.0..h as f64).contains(&v) {
                    out.copy_from_slice(&self.between(u - 0.5, v - 0.5));
                }
            }
        });
        let mask = self.mask().map(|mask| {
            let mut values = vec![0; w * h];
            for (i, out) in values.iter_mut().enumerate() {
                let (u, v) = source((i % w) as f64 + 0.5, (i / w) as f64 + 0.5);
                if (0.0..w as f64).contains(&u) && (0.0..h as f64).contains(&v) {
                    *out = mask.values[v as usize * w + u as usize];
                }
            }
            Arc::new(Mask { width: w, height: h, values })
        });
        let bounding_box = self.bounding_box().and_then(|b| {
            let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
            for (x, y) in [(0, 0), (b.width, 0), (0, b.height), (b.width, b.height)] {
                let (x, y) = moved((b.left + x) as f64, (b.top + y) as f64);
                for (k, value) in [x, y].into_iter().enumerate() {
                    low[k] = low[k].min(value);
                    high[k] = high[k].max(value);
                }
            }
            outer_box(low, high, (w, h))
        });
        Ok(self.with_pixels((w, h), pixels, mask, bounding_box, moved))
    }

    /// The image moved right by `dx` and down by `dy` pixels at the same size; what comes in from outside is black.
    pub fn shift(&self, dx: i64, dy: i64) -> Self {
        let (w, h) = (self.width(), self.height());
        let moved = |values: &[u8], channels: usize| {
            let mut out = vec![0; values.len()];
            for (i, pixel) in values.chunks_exact(channels).enumerate() {
                if let (Some(x), Some(y)) = (place(i % w, dx, w), place(i / w, dy, h)) {
                    out[(y * w + x) * channels..][..channels].copy_from_slice(pixel);
                }
            }
            out
        };
        let mask = self.mask().map(|m| Arc::new(Mask { width: w, height: h, values: moved(&m.values, 1) }));
        let bounding_box = self.bounding_box().and_then(|b| {
            let corner = |x: usize, y: usize| [x as f64 + dx as f64, y as f64 + dy as f64];
            outer_box(corner(b.left, b.top), corner(b.left + b.width, b.top + b.height), (w, h))
        });
        self.with_pixels((w, h), moved(self.pixels(), 3), mask, bounding_box, |x, y| (x + dx as f64, y + dy as f64))
    }

    /// The image under a Gaussian of standard deviation `sigma` pixels, cut off at 4 sigma; borders are repeated.
    pub fn blur(&self, sigma: f64) -> Result<Self> {
        not_negative("sigma", sigma)?;
        let (w, h) = (self.width(), self.height());
        let radius = (4.0 * sigma).ceil().min((4 * w.max(h)) as f64) as usize;
        if radius == 0 {
            return Ok(self.clone());
        }
        let weights: Vec<f64> =
            (0..=2 * radius).map(|i| libm::exp(-0.5 * ((i as f64 - radius as f64) / sigma).powi(2))).collect();
        let total: f64 = weights.iter().sum();
        let weights: Vec<f32> = weights.iter().map(|v| (v / total) as f32).collect();
        let clamped = |at: usize, k: usize, n: usize| (at + k).saturating_sub(radius).min(n - 1);
        let mut rows = vec![0f32; 3 * w * h];
        rows.par_chunks_mut(3 * w).zip(self.pixels().par_chunks(3 * w)).for_each(|(out, row)| {
            for (x, out) in out.chunks_exact_mut(3).enumerate() {
                for (k, weight) in weights.iter().enumerate() {
                    let at = 3 * clamped(x, k, w);
                    (0..3).for_each(|c| out[c] += weight * f32::from(row[at + c]));
                }
            }
        });
        let mut pixels = vec![0u8; 3 * w * h];
        pixels.par_chunks_mut(3 * w).enumerate().for_each(|(y, out)| {
            let mut sums = vec![0f32; 3 * w];
            for (k, weight) in weights.iter().enumerate() {
                let row = &rows[3 * w * clamped(y, k, h)..][..3 * w];
                sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += weight * v);
            }
            out.iter_mut().zip(sums).for_each(|(out, v)| *out = v.round() as u8);
        });
        Ok(self.recoloured(pixels))
    }

    /// The image plus independent Gaussian noise of standard deviation `sigma` (0 to 255) at every value, rounded
    /// and clamped. The noise at a place follows from `seed` and the place alone.
    pub fn noise(&self, sigma: f64, seed: u64) -> Result<Self> {
        not_negative("sigma", sigma)?;
        let stream = Stream::new(seed, "image noise");
        let noisy = |(i, p): (usize, &u8)| (f64::from(*p) + sigma * stream.normal_at(i as u64)).round() as u8;
        Ok(self.recoloured(self.pixels().par_iter().enumerate().map(noisy).collect()))
    }

    /// The image with every value multiplied by `factor`, rounded and clamped.
    pub fn brightness(&self, factor: f64) -> Result<Self> {
        not_negative("factor", factor)?;
        Ok(self.recoloured(self.pixels().iter().map(|p| (f64::from(*p) * factor).round() as u8).collect()))
    }

    /// The image after a round trip through a JPEG file of `quality` 1 (coarse) to 100 (fine).
    pub fn jpeg(&self, quality: u8) -> Result<Self> {
        Ok(self.recoloured(Image::decode(&self.encode_jpeg(quality)?)?.pixels().to_vec()))
    }

    /// The image with the part of `area` that lies within it painted over.
    pub fn fill(&self, area: PixelBox, colour: [u8; 3]) -> Self {
        let Some(area) = area.within(self.width(), self.height()) else { return self.clone() };
        let mut pixels = self.pixels().to_vec();
        for row in pixels.chunks_exact_mut(3 * self.width()).skip(area.top).take(area.height) {
            row.chunks_exact_mut(3).skip(area.left).take(area.width).for_each(|p| p.copy_from_slice(&colour));
        }
        self.recoloured(pixels)
    }

    /// The image in grey, three equal channels: PIL's luma, (19595 R + 38470 G + 7471 B + 32768) / 65536.
    pub fn grey(&self) -> Self {
        let luma = |p: &[u8]| {
            ((19595 * u32::from(p[0]) + 38470 * u32::from(p[1]) + 7471 * u32::from(p[2]) + 0x8000) >> 16) as u8
        };
        self.recoloured(self.pixels().chunks_exact(3).flat_map(|p| [luma(p); 3]).collect())
    }

    fn recoloured(&self, pixels: Vec<u8>) -> Self {
        let size = (self.width(), self.height());
        self.with_pixels(size, pixels, self.mask().cloned(), self.bounding_box(), |x, y| (x, y))
    }

    /// The colour between the four pixels around (`x`, `y`), where whole numbers are pixel centres; borders repeat.
    fn between(&self, x: f64, y: f64) -> [u8; 3] {
        let at = |x: f64, y: f64| {
            let column = x.clamp(0.0, (self.width() - 1) as f64) as usize;
            let row = y.clamp(0.0, (self.height() - 1) as f64) as usize;
            &self.pixels()[3 * (row * self.width() + column)..]
        };
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let corners = [at(x0, y0), at(x0 + 1.0, y0), at(x0, y0 + 1.0), at(x0 + 1.0, y0 + 1.0)];
        std::array::from_fn(|c| {
            let [a, b, d, e] = corners.map(|p| f64::from(p[c]));
            let (top, bottom) = (a + (b - a) * fx, d + (e - d) * fx);
            (top + (bottom - top) * fy).round() as u8
        })
    }
}

/// The whole pixels that a rectangle from `low` to `high` touches, clipped to `width` x `height`.
pub(super) fn outer_box(low: [f64; 2], high: [f64; 2], (width, height): (usize, usize)) -> Option<PixelBox> {
    let edge = 1e-9;
    let first = |v: f64| (v + edge).floor().max(0.0) as usize;
    let last = |v: f64, n: usize| (v - edge).ceil().clamp(0.0, n as f64) as usize;
    let (left, top) = (first(low[0]), first(low[1]));
    let (right, bottom) = (last(high[0], width), last(high[1], height));
    (left < right && top < bottom).then(|| PixelBox { left, top, width: right - left, height: bottom - top })
}

/// Where a column or row goes, or nothing when it leaves the image.
fn place(at: usize, by: i64, n: usize) -> Option<usize> {
    let to = usize::try_from((at as i64).checked_add(by)?).ok()?;
    (to < n).then_some(to)
}

fn finite(name: &str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::value(format!("{name} is {value}, not a number"))) }
}

fn not_negative(name: &str, value: f64) -> Result<()> {
    finite(name, value)?;
    if value >= 0.0 { Ok(()) } else { Err(Error::value(format!("{name} is {value}, below 0"))) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::resample::Interpolation;

    fn ramp(width: usize, height: usize) -> Image {
        let pixels = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 77]).collect();
        Image::new(width, height, pixels).unwrap()
    }

    fn marked() -> Image {
        let mut values = vec![0; 8 * 6];
        for y in 1..3 {
            values[y * 8 + 2..y * 8 + 5].fill(255);
        }
        let mask = Mask::new(8, 6, values).unwrap();
        let bounding_box = mask.bounds().unwrap();
        ramp(8, 6).with_mask(Arc::new(mask)).unwrap().with_bounding_box(bounding_box).with_label(Some("a".into()))
    }

    fn box_and_mask_agree(image: &Image) {
        assert_eq!(image.mask().unwrap().bounds(), image.bounding_box());
        assert_eq!(image.label(), Some("a"));
    }

    #[test]
    fn crop_keeps_the_right_pixels_and_refuses_what_is_outside() {
        let part = ramp(8, 6).crop(PixelBox::new(2, 1, 3, 4)).unwrap();
        assert_eq!((part.width(), part.height()), (3, 4));
        assert_eq!(part.pixel(0, 0), Some([2, 1, 77]));
        assert_eq!(part.pixel(2, 3), Some([4, 4, 77]));
        let error = ramp(8, 6).crop(PixelBox::new(6, 0, 3, 1)).unwrap_err();
        assert_eq!(error.message, "a crop of 3 x 1 at (6, 0) does not lie within an image of 8 x 6");
        assert!(ramp(8, 6).crop(PixelBox::new(usize::MAX, 0, 3, 1)).is_err());
        assert!(ramp(8, 6).center_crop(9, 2).is_err());
        assert_eq!(ramp(8, 7).center_crop(3, 4).unwrap().pixel(0, 0), Some([2, 1, 77]));
    }

    #[test]
    fn mask_and_box_follow_the_geometry() {
        let image = marked();
        box_and_mask_agree(&image);
        box_and_mask_agree(&image.crop(PixelBox::new(3, 0, 4, 3)).unwrap());
        box_and_mask_agree(&image.resize(16, 18, Interpolation::Bilinear).unwrap());
        box_and_mask_agree(&image.shift(-3, 4));
        box_and_mask_agree(&image.rotate(180.0).unwrap());
        assert_eq!(image.shift(100, 0).bounding_box(), None);
        assert_eq!(image.shift(i64::MAX, i64::MIN).pixel(0, 0), Some([0; 3]));
    }

    #[test]
    fn keypoints_follow_the_geometry_and_go_when_they_leave() {
        let tip = |image: &Image| image.keypoints().get("tip").copied();
        let image = ramp(8, 6).with_keypoints([("tip".to_string(), (2.5, 1.5))].into());
        assert_eq!(tip(&image.brightness(0.5).unwrap()), Some((2.5, 1.5)));
        assert_eq!(tip(&image.crop(PixelBox::new(2, 1, 4, 4)).unwrap()), Some((0.5, 0.5)));
        assert_eq!(tip(&image.crop(PixelBox::new(3, 1, 4, 4)).unwrap()), None);
        assert_eq!(tip(&image.resize(16, 18, Interpolation::Bilinear).unwrap()), Some((5.0, 4.5)));
        assert_eq!(tip(&image.shift(3, -1)), Some((5.5, 0.5)));
        assert_eq!(tip(&image.shift(3, -2)), None);
        assert_eq!(tip(&image.rotate(180.0).unwrap()), Some((5.5, 4.5)));
        let square = ramp(6, 6).with_keypoints([("tip".to_string(), (4.5, 0.5))].into());
        assert_eq!(square.rotate(90.0).unwrap().pixel(0, 1), square.pixel(4, 0));
        assert_eq!(tip(&square.rotate(90.0).unwrap()), Some((0.5, 1.5)));
    }

    #[test]
    fn rotation_is_counter_clockwise_and_a_full_turn_is_none() {
        let image = ramp(6, 6);
        let turned = image.rotate(90.0).unwrap();
        for (x, y) in [(0, 0), (5, 0), (2, 3)] {
            assert_eq!(turned.pixel(y, 5 - x), image.pixel(x, y));
        }
        assert_eq!(image.rotate(-360.0).unwrap(), image);
        assert_eq!(image.rotate(90.0).unwrap().rotate(270.0).unwrap(), image);
        assert!(image.rotate(f64::NAN).is_err());
    }

    #[test]
    fn blur_keeps_a_flat_image_and_the_mean_and_has_its_width() {
        let flat = Image::filled(9, 5, [10, 200, 77]).unwrap();
        assert_eq!(flat.blur(2.5).unwrap(), flat);
        assert_eq!(flat.blur(1e12).unwrap(), flat);
        let mut point = Image::filled(41, 41, [0; 3]).unwrap();
        point = point.fill(PixelBox::new(18, 18, 5, 5), [255; 3]);
        let spread = point.blur(3.0).unwrap();
        let (mut mass, mut second) = (0.0, 0.0);
        for (i, p) in spread.pixels().chunks_exact(3).enumerate() {
            mass += f64::from(p[0]);
            second += f64::from(p[0]) * ((i % 41) as f64 - 20.0).powi(2);
        }
        assert!((mass / (25.0 * 255.0) - 1.0).abs() < 0.02, "{mass}");
        assert!((second / mass - (9.0 + 2.0)).abs() < 0.5, "{}", second / mass);
        assert!(flat.blur(-1.0).is_err() && flat.blur(f64::INFINITY).is_err());
    }

    #[test]
    fn noise_is_seeded_and_has_its_size() {
        let flat = Image::filled(100, 100, [128; 3]).unwrap();
        let noisy = flat.noise(10.0, 1).unwrap();
        assert_eq!(noisy, flat.noise(10.0, 1).unwrap());
        assert_ne!(noisy, flat.noise(10.0, 2).unwrap());
        assert_eq!(flat.noise(0.0, 1).unwrap(), flat);
        let square: f64 = noisy.pixels().iter().map(|p| (f64::from(*p) - 128.0).powi(2)).sum::<f64>() / 30_000.0;
        assert!((square.sqrt() - 10.0).abs() < 0.2, "{square}");
    }

    #[test]
    fn colours_change_as_asked() {
        let image = ramp(8, 6);
        assert_eq!(image.brightness(2.0).unwrap().pixel(7, 5), Some([14, 10, 154]));
        assert_eq!(image.brightness(100.0).unwrap().pixel(7, 5), Some([255; 3]));
        let painted = image.fill(PixelBox::new(7, 5, 100, 100), [1, 2, 3]);
        assert_eq!(painted.pixel(7, 5), Some([1, 2, 3]));
        assert_eq!(painted.pixel(6, 5), image.pixel(6, 5));
        assert_eq!(image.fill(PixelBox::new(50, 0, 1, 1), [9; 3]), image);
        assert_eq!(image.grey().pixel(0, 0), Some([9; 3]));
        assert_eq!((image.jpeg(100).unwrap().width(), image.jpeg(1).unwrap().height()), (8, 6));
    }

    #[test]
    fn interpolations_have_names() {
        assert_eq!(Interpolation::named("Bilinear").unwrap(), Interpolation::Bilinear);
        assert_eq!(Interpolation::named("area").unwrap_err().message, "no interpolation `area`");
    }
}
