//! Images in scripts: their properties, and changes to their pixels.

use crate::convert::{cast, count, kind, number};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::data::{Attribute, Image, Interpolation, PixelBox};
use convscope_engine::{Error, Result};
use rhai::{Array, Dynamic, Map};

/// Binds images.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Image>("image", "A photo or another picture: 8-bit RGB pixels, a label, attributes.");
    library.getter("image.label -> text", "Its label in its data set; () where that is unknown.", |i: &mut Image| {
        i.label().map_or(Dynamic::UNIT, |l| l.to_string().into())
    });
    library.getter("image.path -> text", "The file it came from; () where there is none.", |i: &mut Image| {
        i.path().map_or(Dynamic::UNIT, |p| p.display().to_string().into())
    });
    library.getter("image.attributes -> map", "Its attributes in its data set.", |i: &mut Image| {
        i.attributes().iter().map(|(k, v)| (k.as_str().into(), attribute(v))).collect::<Map>()
    });
    library.getter(
        "image.mask -> tensor",
        "The mask of its object, rows x columns: 0 outside; inside 255, or a class's or part's number; () where that \
         is unknown.",
        |i: &mut Image| {
            let Some(mask) = i.mask() else { return Fallible::Ok(Dynamic::UNIT) };
            let values = mask.values.iter().map(|v| f64::from(*v)).collect();
            super::tensor::of(values, &[mask.height, mask.width]).map(Dynamic::from).raise()
        },
    );
    library.getter(
        "image.box -> list",
        "[left, top, width, height] of its object, px; () where that is unknown.",
        |i: &mut Image| {
            i.bounding_box().map_or(Dynamic::UNIT, |b| {
                Dynamic::from_array([b.left, b.top, b.width, b.height].map(|v| Dynamic::from(v as i64)).to_vec())
            })
        },
    );
    library.getter(
        "image.keypoints -> map",
        "Its named points, each [x, y] in px; empty where none is known.",
        |i: &mut Image| -> Map {
            let point = |(name, (x, y)): (&String, &(f64, f64))| {
                (name.as_str().into(), Dynamic::from_array(vec![(*x).into(), (*y).into()]))
            };
            i.keypoints().iter().map(point).collect()
        },
    );
    library.getter("image.size -> list", "[width, height] in px.", |i: &mut Image| -> Array {
        vec![(i.width() as i64).into(), (i.height() as i64).into()]
    });
    library.getter("image.width -> number", "Columns.", |i: &mut Image| i.width() as i64);
    library.getter("image.height -> number", "Rows.", |i: &mut Image| i.height() as i64);
    library.add(
        "image.resize(size: number) -> image",
        "The image resized: its shorter side to a size in px, or both sides to a width and a height.",
        |i: &mut Image, s: i64| resize_short(i, s).raise(),
    );
    library.add("image.resize(width: number, height: number) -> image", "", |i: &mut Image, w: i64, h: i64| {
        resize(i, w, h, "bicubic").raise()
    });
    library.add(
        "image.resize(width: number, height: number, interpolation: text) -> image",
        "",
        |i: &mut Image, w: i64, h: i64, how: &str| resize(i, w, h, how).raise(),
    );
    library.add(
        "image.crop(box: list) -> image",
        "The part in a box [left, top, width, height], px.",
        |i: &mut Image, area: Dynamic| pixel_box(&area).and_then(|b| i.crop(b)).raise(),
    );
    library.add(
        "image.with_label(label: text) -> image",
        "With another label; () takes the label away.",
        |i: &mut Image, label: Dynamic| match label.is_unit() {
            true => Ok(i.clone().with_label(None)),
            false => match cast::<rhai::ImmutableString>(&label) {
                Some(label) => Ok(i.clone().with_label(Some(label.into()))),
                None => Err(Error::value(format!("a label is a text, or () for none, not {}", kind(&label)))).raise(),
            },
        },
    );
    library.add(
        "image.blur(sigma: number) -> image",
        "Blurred by a Gaussian of sigma px.",
        |i: &mut Image, sigma: Dynamic| number(&sigma).and_then(|s| i.blur(s)).raise(),
    );
    library.add(
        "image.noise(sigma: number, seed: number) -> image",
        "With normal noise of sigma (0-255) added.",
        |i: &mut Image, sigma: Dynamic, seed: i64| number(&sigma).and_then(|s| i.noise(s, seed as u64)).raise(),
    );
    library.add(
        "image.rotate(degrees: number) -> image",
        "Turned about its centre.",
        |i: &mut Image, degrees: Dynamic| number(&degrees).and_then(|d| i.rotate(d)).raise(),
    );
    library.add(
        "image.shift(dx: number, dy: number) -> image",
        "Moved right and down by whole px.",
        |i: &mut Image, dx: i64, dy: i64| i.shift(dx, dy),
    );
    library.add(
        "image.brightness(factor: number) -> image",
        "Every value times a factor.",
        |i: &mut Image, factor: Dynamic| number(&factor).and_then(|f| i.brightness(f)).raise(),
    );
    library.add(
        "image.jpeg(quality: number) -> image",
        "As it comes out of a JPEG file of that quality, 1-100.",
        |i: &mut Image, q: i64| {
            u8::try_from(q)
                .map_err(|_| Error::value(format!("a JPEG quality lies in 1-100, got {q}")))
                .and_then(|q| i.jpeg(q))
                .raise()
        },
    );
    library.add("image.grey() -> image", "Without colours.", |i: &mut Image| i.grey());
    library.add(
        "image.fill(box: list, colour: list) -> image",
        "A box [left, top, width, height] painted in a colour [r, g, b].",
        |i: &mut Image, area: Dynamic, c: Dynamic| Fallible::Ok(i.fill(pixel_box(&area).raise()?, colour(&c).raise()?)),
    );
    library.also("==", |a: Image, b: Image| a == b);
    library.also("!=", |a: Image, b: Image| a != b);
    library.text::<Image>(|i| {
        let label = i.label().map_or(String::new(), |l| format!(", {l}"));
        format!("image {} x {}{label}", i.width(), i.height())
    });
}

/// An attribute as a script's value.
pub fn attribute(a: &Attribute) -> Dynamic {
    match a {
        Attribute::Number(n) => (*n).into(),
        Attribute::Text(t) => t.clone().into(),
    }
}

fn resize(image: &Image, w: i64, h: i64, how: &str) -> Result<Image> {
    image.resize(count(w, "a width")?, count(h, "a height")?, Interpolation::named(how)?)
}

fn resize_short(image: &Image, size: i64) -> Result<Image> {
    let size = count(size, "a size")?;
    let (w, h) = (image.width(), image.height());
    let long = |side: usize| (side as f64 * size as f64 / w.min(h) as f64).round() as usize;
    image.resize(long(w).max(1), long(h).max(1), Interpolation::named("bicubic")?)
}

fn whole_list(value: &Dynamic, n: usize, what: &str) -> Result<Vec<i64>> {
    let list = cast::<Array>(value).filter(|l| l.len() == n);
    let whole = list.and_then(|l| l.iter().map(|v| v.as_int().ok()).collect::<Option<Vec<i64>>>());
    whole.ok_or_else(|| Error::value(format!("expected {what}, got {}", kind(value))))
}

/// A box given as [left, top, width, height].
///
/// # Errors
/// Where it is none.
pub fn pixel_box(value: &Dynamic) -> Result<PixelBox> {
    let v = whole_list(value, 4, "a box [left, top, width, height] of whole numbers")?;
    let at = |i: usize| count(v[i], "a box's number");
    Ok(PixelBox::new(at(0)?, at(1)?, at(2)?, at(3)?))
}

/// A colour given as [r, g, b], 0 to 255.
fn colour(value: &Dynamic) -> Result<[u8; 3]> {
    let v = whole_list(value, 3, "a colour [r, g, b]")?;
    let channel = |i: usize| {
        u8::try_from(v[i]).map_err(|_| Error::value(format!("a colour's value lies in 0-255, got {}", v[i])))
    };
    Ok([channel(0)?, channel(1)?, channel(2)?])
}
