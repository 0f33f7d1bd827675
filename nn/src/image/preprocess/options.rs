//! The options of [`Preprocess`] as a person or a model card writes them, and their defaults.

use serde::{Deserialize, Serialize};

use super::{MAX_SIDE, Preprocess};
use crate::error::{Error, Result};
use crate::image::resample::Interpolation;

/// Rows and columns of a net's input; written as one number when they are equal, else as `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Sides", into = "Sides")]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Sides {
    Square(usize),
    Both([usize; 2]),
}

impl From<Sides> for Size {
    fn from(sides: Sides) -> Self {
        match sides {
            Sides::Square(n) => Size { height: n, width: n },
            Sides::Both([height, width]) => Size { height, width },
        }
    }
}

impl From<Size> for Sides {
    fn from(size: Size) -> Self {
        if size.height == size.width { Sides::Square(size.width) } else { Sides::Both([size.height, size.width]) }
    }
}

impl From<usize> for Size {
    fn from(side: usize) -> Self {
        Size { height: side, width: side }
    }
}

/// How a photo is brought to a net's size; written as a number of pixels, `[rows, columns]`, `"direct"`,
/// `"letterbox"` or `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ResizeOption", into = "ResizeOption")]
pub enum Resize {
    /// The short side to this many pixels, the long side in proportion, then a crop.
    Short(usize),
    /// Both sides to these, whatever the proportions, then a crop.
    Squash(Size),
    /// Both sides to the net's size, whatever the proportions; no crop.
    Direct,
    /// The whole photo in its proportions, as large as fits, in the middle of a grey ground, as YOLO's nets are used.
    Letterbox,
    /// A photo of the net's size as it is; others by the short side to round(size / 0.875), then a crop.
    Auto,
}

impl Resize {
    /// An error where it leaves no crop of `size`, or is too large to be computed.
    pub(super) fn check(self, Size { height, width }: Size) -> Result<()> {
        let side = height.max(width);
        match self {
            Resize::Short(short) if short < side => {
                let message = format!("a short side of {short} leaves no crop of {height} x {width}");
                Err(Error::value(message).hint(format!("`resize` of at least {side}, or \"direct\"")))
            }
            Resize::Short(short) if short > 2 * MAX_SIDE => {
                Err(Error::value(format!("a short side of {short} is above {}", 2 * MAX_SIDE)))
            }
            Resize::Squash(to) if to.height < height || to.width < width => {
                let message = format!("a photo of {} x {} leaves no crop of {height} x {width}", to.height, to.width);
                Err(Error::value(message).hint("`resize` of at least these rows and columns, or \"direct\""))
            }
            Resize::Squash(to) if to.height.max(to.width) > 2 * MAX_SIDE => {
                let message = format!("a photo of {} x {} has a side above {}", to.height, to.width, 2 * MAX_SIDE);
                Err(Error::value(message))
            }
            Resize::Short(_) | Resize::Squash(_) | Resize::Direct | Resize::Letterbox | Resize::Auto => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ResizeOption {
    Pixels(usize),
    Both([usize; 2]),
    Word(String),
}

impl TryFrom<ResizeOption> for Resize {
    type Error = Error;

    fn try_from(option: ResizeOption) -> Result<Self> {
        match option {
            ResizeOption::Pixels(n) => Ok(Resize::Short(n)),
            ResizeOption::Both([height, width]) => Ok(Resize::Squash(Size { height, width })),
            ResizeOption::Word(word) if word.eq_ignore_ascii_case("direct") => Ok(Resize::Direct),
            ResizeOption::Word(word) if word.eq_ignore_ascii_case("letterbox") => Ok(Resize::Letterbox),
            ResizeOption::Word(word) if word.eq_ignore_ascii_case("auto") => Ok(Resize::Auto),
            ResizeOption::Word(word) => Err(Error::value(format!("resize is `{word}`"))
                .hint("a number of pixels, [rows, columns], \"direct\", \"letterbox\" or \"auto\"")),
        }
    }
}

impl From<Resize> for ResizeOption {
    fn from(resize: Resize) -> Self {
        match resize {
            Resize::Short(n) => ResizeOption::Pixels(n),
            Resize::Squash(to) => ResizeOption::Both([to.height, to.width]),
            Resize::Direct => ResizeOption::Word("direct".into()),
            Resize::Letterbox => ResizeOption::Word("letterbox".into()),
            Resize::Auto => ResizeOption::Word("auto".into()),
        }
    }
}

/// Which part of the resized photo the net sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The middle.
    #[default]
    Center,
}

/// How the sizes of resize and crop become whole numbers. The codes that nets are trained with differ in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// The long side to the nearest whole number, the crop's offset down.
    #[default]
    Nearest,
    /// As torchvision and timm: the long side down, the crop's offset to the nearest whole number (a half to the even one).
    Torchvision,
    /// As Hugging Face's transformers: the long side and the crop's offset down.
    Transformers,
}

impl Rounding {
    /// Whether it is the one that is meant where nothing is said.
    pub(super) fn is_default(&self) -> bool {
        *self == Rounding::default()
    }

    /// The long side of a resized photo, from its exact value in pixels.
    pub fn side(self, exact: f64) -> usize {
        match self {
            Rounding::Nearest => exact.round_ties_even() as usize,
            Rounding::Torchvision | Rounding::Transformers => exact as usize,
        }
    }

    /// Where a centre crop of `part` pixels begins on a side of `own`; 0 where it is as long or longer.
    pub(super) fn offset(self, own: usize, part: usize) -> usize {
        let left = own.saturating_sub(part);
        match self {
            Rounding::Nearest | Rounding::Transformers => left / 2,
            Rounding::Torchvision => (left as f64 / 2.0).round_ties_even() as usize,
        }
    }
}

/// The order of a net's input channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Order {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first (nets that come from Caffe or OpenCV).
    Bgr,
}

/// The options as a person writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    size: Size,
    resize: Option<Resize>,
    interpolation: Option<Interpolation>,
    rounding: Option<Rounding>,
    crop: Option<Crop>,
    order: Option<Order>,
    scale: Option<f32>,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    channels: Option<usize>,
    draft: Option<bool>,
}

impl TryFrom<Options> for Preprocess {
    type Error = Error;

    fn try_from(options: Options) -> Result<Self> {
        let channels = options.channels.unwrap_or(3);
        let base = Preprocess::new(options.size, channels)?;
        let spread = |values: Option<Vec<f32>>, default: Vec<f32>| match values {
            Some(one) if one.len() == 1 => vec![one[0]; channels],
            Some(all) => all,
            None => default,
        };
        let made = Preprocess {
            resize: options.resize.unwrap_or(base.resize),
            interpolation: options.interpolation.unwrap_or_default(),
            rounding: options.rounding.unwrap_or_default(),
            crop: options.crop.unwrap_or_default(),
            order: options.order.unwrap_or_default(),
            scale: options.scale.unwrap_or(base.scale),
            mean: spread(options.mean, base.mean),
            std: spread(options.std, base.std),
            draft: options.draft.unwrap_or_default(),
            ..base
        };
        made.check()?;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(json: &str) -> Result<Preprocess, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn options_have_the_defaults_of_the_reference_and_survive_json() {
        let p = parse(r#"{"size": 227, "order": "BGR", "scale": 1.0, "mean": [103.939, 116.779, 123.68]}"#).unwrap();
        assert_eq!(p.resize, Resize::Short(259));
        assert_eq!(p.interpolation, Interpolation::Bicubic);
        assert_eq!(p.std, [1.0; 3]);
        assert_eq!(parse(&serde_json::to_string(&p).unwrap()).unwrap(), p);
        let p = parse(r#"{"size": [64, 96], "resize": "direct", "mean": [0.5], "interpolation": "bilinear"}"#).unwrap();
        assert_eq!((p.size.height, p.size.width, p.resize), (64, 96, Resize::Direct));
        assert_eq!(p.mean, [0.5; 3]);
        let json = serde_json::to_string(&p).unwrap();
        assert!(
            json.contains(r#""size":[64,96],"resize":"direct","interpolation":"bilinear","crop":"center""#),
            "{json}"
        );
        assert_eq!(parse(&json).unwrap(), p);
        let p = parse(r#"{"size": 64, "resize": [73, 80], "rounding": "torchvision"}"#).unwrap();
        assert_eq!((p.resize, p.rounding), (Resize::Squash(Size { height: 73, width: 80 }), Rounding::Torchvision));
        let json = serde_json::to_string(&p).unwrap();
        assert!(
            json.contains(r#""resize":[73,80],"interpolation":"bicubic","rounding":"torchvision","crop""#),
            "{json}"
        );
        assert_eq!(parse(&json).unwrap(), p);
    }

    #[test]
    fn contradictions_are_errors() {
        for (json, part) in [
            (r#"{"size": 0}"#, "net input of 0 x 0"),
            (r#"{"size": 224, "resize": 100}"#, "a short side of 100 leaves no crop of 224 x 224"),
            (r#"{"size": 224, "resize": [256, 200]}"#, "a photo of 256 x 200 leaves no crop of 224 x 224"),
            (r#"{"size": 224, "resize": "fit"}"#, "resize is `fit`"),
            (r#"{"size": 224, "std": [0.0, 1.0, 1.0]}"#, "std holds 0"),
            (r#"{"size": 224, "mean": [0.0, 1.0]}"#, "mean has 2 values for a net with 3 input channels"),
            (r#"{"size": 224, "scale": 0}"#, "scale is 0"),
            (r#"{"size": 224, "channels": 4}"#, "4 input channels"),
            (r#"{"size": 224, "means": [0.0]}"#, "unknown field `means`"),
        ] {
            let message = parse(json).unwrap_err();
            assert!(message.contains(part), "{json}: {message}");
        }
    }
}
