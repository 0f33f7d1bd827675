//! Images at other sizes, with PIL's pixels, bit for bit. Label, path and attributes stay; mask, bounding box and keypoints follow.

use std::sync::Arc;

use super::edit::outer_box;
use super::resample::{Interpolation, resample};
use super::{Image, Mask, PixelBox};
use crate::error::{Error, Result};

impl Image {
    /// The image at another size, as PIL's `resize`; its sides may change by different factors.
    pub fn resize(&self, width: usize, height: usize, interpolation: Interpolation) -> Result<Self> {
        Image::check_size(width, height)?;
        self.resize_part((width, height), PixelBox { left: 0, top: 0, width, height }, interpolation)
    }

    /// The part `area` of the image at another size (width, height): `resize(..)?.crop(area)`, of which nothing else is computed.
    pub fn resize_part(
        &self,
        (width, height): (usize, usize),
        area: PixelBox,
        interpolation: Interpolation,
    ) -> Result<Self> {
        Image::check_size(width, height)?;
        if area.within(width, height) != Some(area) {
            return Err(Error::value(format!("a crop of {area} does not lie within an image of {width} x {height}")));
        }
        let from = (self.width(), self.height());
        if (width, height) == from {
            return self.crop(area);
        }
        if Image::check_size(width, self.height()).is_err() {
            return Err(Error::value(format!(
                "an image of {} x {} is too tall to be resized to {width} x {height}",
                from.0, from.1
            ))
            .hint("crop it first"));
        }
        let (columns, rows) = (area.left..area.left + area.width, area.top..area.top + area.height);
        let part = || [(width, columns.clone()), (height, rows.clone())];
        let pixels = resample::<3>(self.pixels(), from, part(), interpolation);
        let mask = self.mask().map(|mask| {
            let values = resample::<1>(&mask.values, from, part(), Interpolation::Nearest);
            Arc::new(Mask { width: area.width, height: area.height, values })
        });
        let (sx, sy) = (width as f64 / from.0 as f64, height as f64 / from.1 as f64);
        let (left, top) = (area.left as f64, area.top as f64);
        let bounding_box = self.bounding_box().and_then(|b| {
            outer_box(
                [b.left as f64 * sx - left, b.top as f64 * sy - top],
                [(b.left + b.width) as f64 * sx - left, (b.top + b.height) as f64 * sy - top],
                (area.width, area.height),
            )
        });
        let moved = |x: f64, y: f64| (x * sx - left, y * sy - top);
        Ok(self.with_pixels((area.width, area.height), pixels, mask, bounding_box, moved))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_part_is_the_crop_of_the_whole() {
        let pixels = (0..3 * 61 * 47).map(|i| (i * 37 % 251) as u8).collect();
        let mask = Mask::new(61, 47, (0..61 * 47).map(|i| (i % 7) as u8).collect()).unwrap();
        let image = Image::new(61, 47, pixels).unwrap().with_mask(Arc::new(mask)).unwrap();
        let image = image.with_bounding_box(PixelBox::new(9, 7, 30, 20));
        let image = image.with_keypoints([("a".to_string(), (20.5, 11.0)), ("b".into(), (1.0, 2.0))].into());
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
            for (to, area) in [
                ((30, 23), PixelBox::new(5, 3, 20, 17)),
                ((30, 23), PixelBox::new(0, 0, 30, 23)),
                ((100, 20), PixelBox::new(40, 19, 60, 1)),
                ((61, 47), PixelBox::new(8, 0, 9, 47)),
            ] {
                let whole = image.resize(to.0, to.1, interpolation).unwrap().crop(area).unwrap();
                let part = image.resize_part(to, area, interpolation).unwrap();
                assert_eq!(part, whole, "{interpolation:?} {to:?} {area}");
                assert_eq!((part.mask(), part.bounding_box()), (whole.mask(), whole.bounding_box()), "{to:?} {area}");
                assert_eq!(part.keypoints(), whole.keypoints());
            }
        }
        let error = image.resize_part((9, 9), PixelBox::new(5, 5, 5, 4), Interpolation::Nearest).unwrap_err();
        assert!(error.message.contains("does not lie within an image of 9 x 9"), "{error}");
    }
}
