//! Attributes measured from an image's pixels, for data sets that do not give them.

use super::image::{Attribute, Image};

/// The measures: name and what it is.
pub const MEASURES: [(&str, &str); 9] = [
    ("size", "pixels of the photo, millions"),
    ("aspect", "width over height of the photo"),
    (
        "scale",
        "share of the photo that the object's box (or mask) covers, as a side: the square root of the area's share",
    ),
    ("position", "distance of the object's centre from the photo's, in halves of the photo's diagonal"),
    ("brightness", "mean luma, 0 to 1"),
    ("contrast", "standard deviation of luma, 0 to 1"),
    ("colourfulness", "of Hasler and Süsstrunk 2003"),
    ("sharpness", "standard deviation of the luma's Laplacian, 0 to 1"),
    ("clutter", "share of pixels on an edge (luma gradient above 0.1 a pixel)"),
];

/// An attribute as the data set gives it, or as measured where it gives none of this name: `given` are the names of its attributes.
/// An image that lacks a given attribute has none; a measure of the same name would be another quantity.
pub fn attribute(image: &Image, name: &str, given: &[String]) -> Option<Attribute> {
    match image.attributes().get(name) {
        Some(own) => Some(own.clone()),
        None if is_measured(name, given) => measured(image, name).map(Attribute::Number),
        None => None,
    }
}

/// Whether an attribute is measured in the pixels: it is a measure, and none of the data set's attributes is called so.
pub fn is_measured(name: &str, given: &[String]) -> bool {
    MEASURES.iter().any(|(m, _)| *m == name) && !given.iter().any(|g| g == name)
}

/// A measure of an image; nothing where there is no such measure, or no object to measure.
pub fn measured(image: &Image, name: &str) -> Option<f64> {
    let (w, h) = (image.width() as f64, image.height() as f64);
    let object = || image.bounding_box().or_else(|| image.mask().and_then(|m| m.bounds()));
    match name {
        "size" => Some(w * h / 1e6),
        "aspect" => Some(w / h),
        "scale" => object().map(|b| ((b.width * b.height) as f64 / (w * h)).sqrt()),
        "position" => object().map(|b| {
            let dx = b.left as f64 + b.width as f64 / 2.0 - w / 2.0;
            let dy = b.top as f64 + b.height as f64 / 2.0 - h / 2.0;
            libm::hypot(dx, dy) / (libm::hypot(w, h) / 2.0)
        }),
        "brightness" => Some(moments(luma(image).into_iter()).0),
        "contrast" => Some(moments(luma(image).into_iter()).1),
        "colourfulness" => Some(colourfulness(image)),
        "sharpness" => Some(sharpness(image)),
        "clutter" => Some(clutter(image)),
        _ => None,
    }
}

/// Luma of each pixel, 0 to 1 (ITU-R BT.601).
pub fn luma(image: &Image) -> Vec<f64> {
    let one = |p: &[u8]| (0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2])) / 255.0;
    image.pixels().chunks_exact(3).map(one).collect()
}

/// Mean and standard deviation.
fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for v in values {
        n += 1.0;
        sum += v;
        squares += v * v;
    }
    let mean = sum / f64::max(n, 1.0);
    (mean, (squares / f64::max(n, 1.0) - mean * mean).max(0.0).sqrt())
}

fn colourfulness(image: &Image) -> f64 {
    let opponent = |f: fn(f64, f64, f64) -> f64| {
        moments(image.pixels().chunks_exact(3).map(move |p| f(f64::from(p[0]), f64::from(p[1]), f64::from(p[2]))))
    };
    let (m1, s1) = opponent(|r, g, _| r - g);
    let (m2, s2) = opponent(|r, g, b| (r + g) / 2.0 - b);
    libm::hypot(s1, s2) + 0.3 * libm::hypot(m1, m2)
}

fn sharpness(image: &Image) -> f64 {
    let (w, h, l) = (image.width(), image.height(), luma(image));
    if w < 3 || h < 3 {
        return 0.0;
    }
    let at = |x: usize, y: usize| l[y * w + x];
    let inner = (1..h - 1).flat_map(|y| (1..w - 1).map(move |x| (x, y)));
    moments(inner.map(|(x, y)| at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y))).1
}

fn clutter(image: &Image) -> f64 {
    let (w, h, l) = (image.width(), image.height(), luma(image));
    if w < 3 || h < 3 {
        return 0.0;
    }
    let at = |x: usize, y: usize| l[y * w + x];
    let edge = |x: usize, y: usize| {
        libm::hypot((at(x + 1, y) - at(x - 1, y)) / 2.0, (at(x, y + 1) - at(x, y - 1)) / 2.0) > 0.1
    };
    let edges = (1..h - 1).map(|y| (1..w - 1).filter(|x| edge(*x, y)).count()).sum::<usize>();
    edges as f64 / ((w - 2) * (h - 2)) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::PixelBox;
    use crate::shapes::{Shapes, shapes};

    #[test]
    fn measures_follow_what_they_measure() {
        let image = shapes(&Shapes { n: 1, ..Shapes::new() }).unwrap().get(0).unwrap();
        let of = |i: &Image, name: &str| measured(i, name).unwrap();
        let blurred = image.blur(2.0).unwrap();
        assert!(of(&blurred, "sharpness") < 0.5 * of(&image, "sharpness"));
        assert!(of(&blurred, "clutter") < of(&image, "clutter"));
        assert!(of(&image.brightness(0.5).unwrap(), "brightness") < of(&image, "brightness"));
        assert!(of(&image.grey(), "colourfulness") < 1e-9 && of(&image, "colourfulness") > 5.0);
        let flat = Image::filled(40, 20, [255; 3]).unwrap();
        assert_eq!((of(&flat, "brightness"), of(&flat, "contrast"), of(&flat, "aspect")), (1.0, 0.0, 2.0));
        let boxed = flat.clone().with_bounding_box(PixelBox::new(0, 0, 20, 10));
        assert_eq!((of(&boxed, "scale"), of(&boxed, "position")), (0.5, 0.5));
        assert_eq!(measured(&flat, "scale"), None);
        assert!(MEASURES.iter().all(|(name, _)| measured(&boxed, name).is_some()));
        assert_eq!(attribute(&image, "texture", &["texture".into()]), image.attributes().get("texture").cloned());
        assert_eq!(attribute(&boxed, "scale", &[]), Some(Attribute::Number(0.5)));
        assert_eq!(attribute(&boxed, "scale", &["scale".into()]), None);
    }
}
