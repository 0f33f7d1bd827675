//! Annotations of an image beside its label (box, mask, named points), applied when the image is decoded.

use super::image::{Image, Mask, PixelBox};
use super::runs::Runs;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The annotations of an image's object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotation {
    /// Every object that has a label and a box (left, top, width, height in pixels), crowds left out.
    pub objects: Vec<(String, [f64; 4])>,
    /// Left, top, width, height in pixels, not necessarily whole.
    pub bounding_box: Option<[f64; 4]>,
    /// The object's mask.
    pub mask: Option<Outline>,
    /// Named points, (x, y) in pixels.
    pub keypoints: BTreeMap<String, (f64, f64)>,
}

/// A mask as annotation files have it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outline {
    /// An image file of the same size: what is not black is inside.
    File(PathBuf),
    /// A grey image file of the same size whose values are class numbers.
    Classes(PathBuf),
    /// Polygons of (x, y); inside by the even-odd rule within each.
    Polygons(Vec<Vec<(f64, f64)>>),
    /// Run lengths.
    Runs(Runs),
}

impl Annotation {
    /// The image with its annotations.
    ///
    /// # Errors
    /// Where a mask cannot be read or has another size.
    pub fn onto(&self, image: Image) -> Result<Image> {
        let (w, h) = (image.width(), image.height());
        let mut image = image;
        if !self.keypoints.is_empty() {
            image = image.with_keypoints(self.keypoints.clone());
        }
        if let Some(outline) = &self.mask {
            image = image.with_mask(Arc::new(outline.mask(w, h)?))?;
        }
        match self.bounding_box {
            Some(b) => Ok(image.with_bounding_box(whole(b))),
            None => Ok(match image.mask().and_then(|m| m.bounds()) {
                Some(bounds) => image.with_bounding_box(bounds),
                None => image,
            }),
        }
    }
}

/// The whole pixels that a box touches.
fn whole([left, top, width, height]: [f64; 4]) -> PixelBox {
    let (x, y) = (left.max(0.0).floor(), top.max(0.0).floor());
    let (right, bottom) = ((left + width).max(0.0).ceil(), (top + height).max(0.0).ceil());
    PixelBox::new(x as usize, y as usize, (right - x).max(0.0) as usize, (bottom - y).max(0.0) as usize)
}

impl Outline {
    fn mask(&self, width: usize, height: usize) -> Result<Mask> {
        match self {
            Outline::File(path) => {
                let drawn = Image::open(path)?;
                let values = drawn.pixels().chunks_exact(3).map(|p| if p.iter().any(|v| *v > 0) { 255 } else { 0 });
                Mask::new(drawn.width(), drawn.height(), values.collect())
            }
            Outline::Classes(path) => {
                let drawn = Image::open(path)?;
                if drawn.pixels().chunks_exact(3).any(|p| p[0] != p[1] || p[1] != p[2]) {
                    return Err(Error::format(format!("`{}` is coloured: it holds no class numbers", path.display()))
                        .hint("save class numbers as grey values, 0 to 255; colours of a palette are not numbers"));
                }
                let values = drawn.pixels().chunks_exact(3).map(|p| p[0]).collect();
                Mask::new(drawn.width(), drawn.height(), values)
            }
            Outline::Runs(runs) => runs.mask(width, height),
            Outline::Polygons(polygons) => {
                let mut values = vec![0u8; width * height];
                for polygon in polygons {
                    for y in 0..height {
                        let centre = y as f64 + 0.5;
                        let mut crossings: Vec<f64> = (0..polygon.len())
                            .filter_map(|i| {
                                let ((x0, y0), (x1, y1)) = (polygon[i], polygon[(i + 1) % polygon.len()]);
                                ((y0 <= centre) != (y1 <= centre)).then(|| x0 + (centre - y0) / (y1 - y0) * (x1 - x0))
                            })
                            .collect();
                        crossings.sort_by(f64::total_cmp);
                        for pair in crossings.chunks_exact(2) {
                            let column = |x: f64| ((x - 0.5).ceil().max(0.0) as usize).min(width);
                            values[y * width + column(pair[0])..y * width + column(pair[1])].fill(255);
                        }
                    }
                }
                Mask::new(width, height, values)
            }
        }
    }
}

/// Four numbers of a text, separated by spaces, commas or semicolons.
pub(super) fn four(text: &str) -> Result<[f64; 4]> {
    let parts: Vec<f64> = text
        .trim_matches(|c| "[]()".contains(c))
        .split(|c: char| c.is_whitespace() || c == ',' || c == ';')
        .filter(|p| !p.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| Error::format(format!("`{text}` is no box of left, top, width, height")))?;
    parts.try_into().map_err(|_| Error::format(format!("`{text}` is no box of left, top, width, height")))
}

/// Named points of a text: `tip 3 4; left 5.5 6`.
pub(super) fn points(text: &str) -> Result<BTreeMap<String, (f64, f64)>> {
    let wrong = || Error::format(format!("`{text}` are no named points such as `tip 3 4; left 5.5 6`"));
    let one = |part: &str| {
        let words: Vec<&str> =
            part.split(|c: char| c.is_whitespace() || c == ':' || c == ',').filter(|w| !w.is_empty()).collect();
        let [name @ .., x, y] = &words[..] else { return Err(wrong()) };
        match (x.parse(), y.parse()) {
            (Ok(x), Ok(y)) if !name.is_empty() => Ok((name.join(" "), (x, y))),
            _ => Err(wrong()),
        }
    };
    text.split(';').map(str::trim).filter(|p| !p.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn polygons_and_boxes_come_onto_the_image() {
        let square = vec![(1.0, 1.0), (4.0, 1.0), (4.0, 3.0), (1.0, 3.0)];
        let annotation = Annotation { mask: Some(Outline::Polygons(vec![square])), ..Annotation::default() };
        let image = annotation.onto(Image::filled(6, 5, [0; 3]).unwrap()).unwrap();
        assert_eq!(image.mask().unwrap().values.iter().filter(|v| **v == 255).count(), 6);
        assert_eq!(image.bounding_box(), Some(PixelBox::new(1, 1, 3, 2)));
        let annotation = Annotation { bounding_box: Some([0.5, 1.0, 2.2, 90.0]), ..Annotation::default() };
        let image = annotation.onto(Image::filled(6, 5, [0; 3]).unwrap()).unwrap();
        assert_eq!(image.bounding_box(), Some(PixelBox::new(0, 1, 3, 4)));
    }

    #[test]
    fn texts_are_read_or_refused() {
        assert_eq!(four("1, 2;3 4.5").unwrap(), [1.0, 2.0, 3.0, 4.5]);
        assert!(four("1 2 3").is_err() && four("a b c d").is_err());
        let read = points("tip 3 4; left wing: 5.5, 6").unwrap();
        assert_eq!((read["tip"], read["left wing"]), ((3.0, 4.0), (5.5, 6.0)));
        assert!(points("3 4").is_err() && points("tip x 4").is_err());
    }
}
