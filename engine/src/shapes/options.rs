//! The options of the generated data set.

use super::outline::ShapeClass;
use super::texture::Texture;
use crate::error::{Error, Result};
use crate::params::{Form, Param, Value, wrong_kind};

/// Rows and columns of an image.
pub const SIDE: usize = 64;

crate::params! {
    /// Generated images (64 x 64 px) of textured shapes on a cluttered background, with known label, mask, box, parts and
    /// attributes.
    ///
    /// A range is `[low, high]`, from which values are drawn uniformly, or one number. Images of one seed and index that
    /// differ in one option differ in that property only.
    pub struct Shapes as "shapes" {
        /// How many images.
        n: usize = 1000, in 1..=1_000_000_000;
        /// The seed of the random numbers; images are a function of the seed, the index and the options.
        seed: u64 = 0;
        /// The classes; of k classes, every block of k images holds each once, in random order.
        classes: Vec<ShapeClass> = ShapeClass::ALL.to_vec();
        /// The diameter of the circle around the shape, as a fraction of the image's side.
        scale: Span = Span::new(0.34, 0.68);
        /// The centre's column, px; the range is cut to where the whole shape lies within the image.
        x: Span = Span::new(0.0, SIDE as f64);
        /// The centre's row, px; the range is cut likewise.
        y: Span = Span::new(0.0, SIDE as f64);
        /// The rotation of the shape, degrees counter-clockwise.
        rotation: Span = Span::new(0.0, 360.0);
        /// The difference in luma (0 to 1) between the colours of shape and background.
        contrast: Span = Span::new(0.2, 0.6);
        /// The amount of clutter on the background: 0 for none, 1 for sixteen fragments.
        clutter: Span = Span::new(0.0, 1.0);
        /// The shapes' textures.
        texture: Vec<Texture> = Texture::ALL.to_vec();
        /// The background's textures.
        background: Vec<Texture> = Texture::ALL.to_vec();
    }
}

impl Shapes {
    /// An error when an option is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        let side = SIDE as f64;
        let spans = [
            ("scale", self.scale, 0.05, 0.95),
            ("x", self.x, 0.0, side),
            ("y", self.y, 0.0, side),
            ("rotation", self.rotation, -360.0, 360.0),
            ("contrast", self.contrast, 0.0, 0.8),
            ("clutter", self.clutter, 0.0, 1.0),
        ];
        for (name, span, low, high) in spans {
            if !(low <= span.low && span.low <= span.high && span.high <= high) {
                let given = span.write().json();
                return Err(Error::value(format!(
                    "option `{name}` of `shapes` must be a number or [low, high] in {low}..={high}, got {given}"
                )));
            }
        }
        let empty = |name: &str| Err(Error::value(format!("option `{name}` of `shapes` names nothing to draw")));
        if self.n == 0 {
            return empty("n");
        }
        if self.classes.is_empty() {
            return empty("classes");
        }
        if self.texture.is_empty() {
            return empty("texture");
        }
        if self.background.is_empty() {
            return empty("background");
        }
        Ok(())
    }
}

/// A range that values are drawn from evenly; one value where both ends are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
}

impl Span {
    /// From `low` to `high`.
    pub fn new(low: f64, high: f64) -> Self {
        Span { low, high }
    }

    /// The value at `t` in 0 to 1 of the way.
    pub(super) fn at(self, t: f64) -> f64 {
        self.low + (self.high - self.low) * t
    }
}

impl From<f64> for Span {
    fn from(value: f64) -> Self {
        Span::new(value, value)
    }
}

impl From<[f64; 2]> for Span {
    fn from([low, high]: [f64; 2]) -> Self {
        Span::new(low, high)
    }
}

impl Param for Span {
    fn form() -> Form {
        Form::words("a number or [low, high]")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::List(ends) => match &ends[..] {
                [low, high] => Ok(Span::new(f64::read(low)?, f64::read(high)?)),
                _ => Err(Error::value(format!("takes {}, got a list of {}", Self::form().words, ends.len()))),
            },
            Value::Int(_) | Value::Float(_) => f64::read(value).map(Span::from),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        if self.low == self.high {
            return Value::Float(self.low);
        }
        Value::List(vec![Value::Float(self.low), Value::Float(self.high)])
    }
}
