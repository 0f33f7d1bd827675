//! An image: 8-bit RGB pixels and what is known about them (label, file, attributes, mask, bounding box,
//! keypoints).
//!
//! Reading and writing files is in [`decode`], changes to the pixels are in [`edit`] and `resize`.

pub mod decode;
pub mod edit;
mod foreign;
pub mod preprocess;
pub mod resample;
mod resize;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

/// An 8-bit RGB image. Cheap to clone: the pixels are shared.
#[derive(Clone)]
pub struct Image {
    width: usize,
    height: usize,
    pixels: Arc<Vec<u8>>,
    about: Arc<About>,
}

#[derive(Clone, Debug, Default)]
struct About {
    label: Option<String>,
    path: Option<PathBuf>,
    attributes: BTreeMap<String, Attribute>,
    mask: Option<Arc<Mask>>,
    bounding_box: Option<PixelBox>,
    keypoints: BTreeMap<String, (f64, f64)>,
}

/// What a data set knows about an image beside its label.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A quantity.
    Number(f64),
    /// A category.
    Text(String),
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Number(x) => x.fmt(f),
            Attribute::Text(s) => s.fmt(f),
        }
    }
}

/// Where the object is: one byte a pixel, row by row, 0 outside and 255 (or a part's number) inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values.
    pub values: Vec<u8>,
}

impl Mask {
    /// A mask of `height` rows of `width` values; a shape error when their number differs.
    pub fn new(width: usize, height: usize, values: Vec<u8>) -> Result<Self> {
        if width.checked_mul(height) != Some(values.len()) {
            return Err(Error::shape(format!("a mask of {width} x {height} cannot have {} values", values.len())));
        }
        Ok(Mask { width, height, values })
    }

    /// The smallest box that holds every value other than 0, or nothing when there is none.
    pub fn bounds(&self) -> Option<PixelBox> {
        let mut inside: Option<(usize, usize, usize, usize)> = None;
        for (i, _) in self.values.iter().enumerate().filter(|(_, v)| **v != 0) {
            let (x, y) = (i % self.width, i / self.width);
            let (l, t, r, b) = inside.unwrap_or((x, y, x, y));
            inside = Some((l.min(x), t.min(y), r.max(x), b.max(y)));
        }
        inside.map(|(l, t, r, b)| PixelBox { left: l, top: t, width: r - l + 1, height: b - t + 1 })
    }
}

/// A rectangle of whole pixels; `left` and `top` are its first column and row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelBox {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl PixelBox {
    /// A box from its first column and row and its size.
    pub fn new(left: usize, top: usize, width: usize, height: usize) -> Self {
        PixelBox { left, top, width, height }
    }

    /// The part of this box within an image of `width` x `height`, or nothing when none is.
    pub fn within(self, width: usize, height: usize) -> Option<Self> {
        let right = self.left.saturating_add(self.width).min(width);
        let bottom = self.top.saturating_add(self.height).min(height);
        (self.left < right && self.top < bottom).then(|| PixelBox {
            left: self.left,
            top: self.top,
            width: right - self.left,
            height: bottom - self.top,
        })
    }
}

impl fmt::Display for PixelBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} at ({}, {})", self.width, self.height, self.left, self.top)
    }
}

impl Image {
    /// The most pixels that an image may have: 256 million, 768 MB.
    pub const MAX_PIXELS: usize = crate::limits::PIXELS;

    /// An image of `height` rows of `width` RGB pixels (`pixels.len() == 3 * width * height`).
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        Self::check_size(width, height)?;
        if pixels.len() != 3 * width * height {
            return Err(Error::shape(format!(
                "an RGB image of {width} x {height} has {} values, not {}",
                3 * width * height,
                pixels.len()
            )));
        }
        Ok(Image { width, height, pixels: Arc::new(pixels), about: Arc::default() })
    }

    /// An image of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Result<Self> {
        Self::check_size(width, height)?;
        Self::new(width, height, colour.repeat(width * height))
    }

    /// An error when an image of this size would be empty or larger than [`Image::MAX_PIXELS`].
    pub fn check_size(width: usize, height: usize) -> Result<()> {
        if width == 0 || height == 0 {
            return Err(Error::value(format!("an image of {width} x {height} has no pixels")));
        }
        match width.checked_mul(height) {
            Some(n) if n <= Self::MAX_PIXELS => Ok(()),
            _ => Err(Error::value(format!(
                "an image of {width} x {height} pixels is larger than the limit of {} million pixels",
                Self::MAX_PIXELS >> 20
            ))
            .hint("scale the image down first; a net sees a few hundred pixels a side")),
        }
    }

    /// The same description around other pixels of the same or another size, with the mask and box given and the keypoints
    /// where `moved` puts them; those that leave the image are dropped.
    pub(super) fn with_pixels(
        &self,
        (width, height): (usize, usize),
        pixels: Vec<u8>,
        mask: Option<Arc<Mask>>,
        bounding_box: Option<PixelBox>,
        moved: impl Fn(f64, f64) -> (f64, f64),
    ) -> Self {
        debug_assert_eq!(pixels.len(), 3 * width * height);
        let mut about = self.about.clone();
        let changed = Arc::make_mut(&mut about);
        changed.mask = mask;
        changed.bounding_box = bounding_box;
        changed.keypoints.values_mut().for_each(|p| *p = moved(p.0, p.1));
        changed.keypoints.retain(|_, (x, y)| (0.0..=width as f64).contains(x) && (0.0..=height as f64).contains(y));
        Image { width, height, pixels: Arc::new(pixels), about }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels: rows from the top, pixels from the left, R, G, B.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The colour at column `x` of row `y`, or nothing outside the image.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        (x < self.width && y < self.height).then(|| {
            let at = 3 * (y * self.width + x);
            [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
        })
    }

    /// What the image shows, as its data set says.
    pub fn label(&self) -> Option<&str> {
        self.about.label.as_deref()
    }

    /// The file that the image came from.
    pub fn path(&self) -> Option<&Path> {
        self.about.path.as_deref()
    }

    /// What else the data set knows about the image.
    pub fn attributes(&self) -> &BTreeMap<String, Attribute> {
        &self.about.attributes
    }

    /// Where the object is, if known; it follows the geometric edits.
    pub fn mask(&self) -> Option<&Arc<Mask>> {
        self.about.mask.as_ref()
    }

    /// The object's bounding box, if known; it follows the geometric edits.
    pub fn bounding_box(&self) -> Option<PixelBox> {
        self.about.bounding_box
    }

    /// Named points of the object, (x, y) in pixels with (0.5, 0.5) at the centre of the first pixel; they follow the
    /// geometric edits, and those that leave the image are dropped.
    pub fn keypoints(&self) -> &BTreeMap<String, (f64, f64)> {
        &self.about.keypoints
    }

    /// The same image with this label.
    pub fn with_label(mut self, label: Option<String>) -> Self {
        Arc::make_mut(&mut self.about).label = label;
        self
    }

    /// The same image, said to come from `path`.
    pub fn with_path(mut self, path: impl Into<PathBuf>) -> Self {
        Arc::make_mut(&mut self.about).path = Some(path.into());
        self
    }

    /// The same image with these attributes.
    pub fn with_attributes(mut self, attributes: BTreeMap<String, Attribute>) -> Self {
        Arc::make_mut(&mut self.about).attributes = attributes;
        self
    }

    /// The same image with a mask; a shape error when the sizes differ.
    pub fn with_mask(mut self, mask: Arc<Mask>) -> Result<Self> {
        if (mask.width, mask.height) != (self.width, self.height) {
            return Err(Error::shape(format!(
                "a mask of {} x {} does not fit an image of {} x {}",
                mask.width, mask.height, self.width, self.height
            )));
        }
        Arc::make_mut(&mut self.about).mask = Some(mask);
        Ok(self)
    }

    /// The same image with these named points.
    pub fn with_keypoints(mut self, keypoints: BTreeMap<String, (f64, f64)>) -> Self {
        Arc::make_mut(&mut self.about).keypoints = keypoints;
        self
    }

    /// The same image with its object's bounding box, clipped to the image.
    pub fn with_bounding_box(mut self, bounding_box: PixelBox) -> Self {
        Arc::make_mut(&mut self.about).bounding_box = bounding_box.within(self.width, self.height);
        self
    }
}

/// Two images are equal when their pixels are.
impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        (self.width, self.height) == (other.width, other.height) && self.pixels == other.pixels
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} x {}", self.width, self.height)?;
        if let Some(path) = self.path() {
            write!(f, ", {}", path.display())?;
        }
        if let Some(label) = self.label() {
            write!(f, ", {label}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_checked_and_never_overflow() {
        assert!(Image::new(2, 2, vec![0; 12]).is_ok());
        assert_eq!(Image::new(2, 2, vec![0; 11]).unwrap_err().message, "an RGB image of 2 x 2 has 12 values, not 11");
        for (w, h) in [(0, 5), (5, 0), (100_000, 100_000), (usize::MAX, 2)] {
            assert!(Image::filled(w, h, [0; 3]).is_err(), "{w} x {h}");
        }
    }

    #[test]
    fn a_mask_knows_its_bounds_and_must_fit() {
        let mask = Mask::new(4, 3, vec![0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 255, 0]).unwrap();
        assert_eq!(mask.bounds(), Some(PixelBox::new(2, 1, 2, 2)));
        assert_eq!(Mask::new(2, 1, vec![0, 0]).unwrap().bounds(), None);
        assert!(Mask::new(2, 2, vec![0]).is_err());
        let image = Image::filled(3, 3, [1, 2, 3]).unwrap();
        assert!(image.with_mask(Arc::new(mask)).is_err());
    }

    #[test]
    fn a_clone_shares_its_pixels_and_keeps_what_is_known() {
        let image = Image::filled(3, 2, [1, 2, 3]).unwrap().with_label(Some("cat".into())).with_path("cat.png");
        let other = image.clone().with_label(None);
        assert!(std::ptr::eq(image.pixels(), other.pixels()));
        assert_eq!(image.label(), Some("cat"));
        assert_eq!(other.label(), None);
        assert_eq!(format!("{image:?}"), "Image(3 x 2, cat.png, cat)");
        assert_eq!(image.pixel(2, 1), Some([1, 2, 3]));
        assert_eq!(image.pixel(3, 1), None);
    }
}
