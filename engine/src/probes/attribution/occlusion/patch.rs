//! The options of an occluding patch: how large it is and what it is filled with.

use crate::error::{Error, Result};
use crate::model::Model;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::tensor::to_f64;
use candle_core::Tensor;

/// The sides of a patch or a stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As usual for inputs of 192 to 256 px, in proportion to the shorter side for others.
    InProportion,
    /// These, px of the net's input.
    Of([usize; 2]),
    /// Depth, rows and columns, voxels of the net's input.
    Volume([usize; 3]),
}

impl Extent {
    /// The extent for an input of `size`: `usual` pixels for 192 to 256 px, else the same share of 224.
    ///
    /// # Errors
    /// Where it is one over volumes.
    pub fn on(self, size: [usize; 2], usual: usize) -> Result<[usize; 2]> {
        let side = size[0].min(size[1]);
        Ok(match self {
            Extent::Of(extent) => extent,
            Extent::Volume(three) => {
                return Err(
                    Error::value(format!("{three:?} on an image, which has no depth")).hint("give [rows, columns]")
                );
            }
            Extent::InProportion if (192..=256).contains(&side) => [usual; 2],
            Extent::InProportion => [((side * usual) as f64 / 224.0).round().max(1.0) as usize; 2],
        })
    }

    /// The sides that were given.
    pub fn sides(&self) -> &[usize] {
        match self {
            Extent::InProportion => &[],
            Extent::Of(sides) => sides,
            Extent::Volume(sides) => sides,
        }
    }
}

impl From<usize> for Extent {
    fn from(side: usize) -> Self {
        Extent::Of([side; 2])
    }
}

impl From<[usize; 2]> for Extent {
    fn from(sides: [usize; 2]) -> Self {
        Extent::Of(sides)
    }
}

impl Param for Extent {
    fn form() -> Form {
        Form::words("a whole number, [rows, columns] or, of a volume, [depth, rows, columns]")
    }

    fn read(value: &Value) -> Result<Self> {
        let sides = match value {
            Value::Nothing => return Ok(Extent::InProportion),
            Value::List(_) => Vec::<usize>::read(value)?,
            one => vec![usize::read(one)?; 2],
        };
        let fits = |sides: &[usize]| sides.iter().all(|n| (1..=4096).contains(n));
        match sides[..] {
            [depth, rows, columns] if fits(&sides) => Ok(Extent::Volume([depth, rows, columns])),
            [rows, columns] if fits(&sides) => Ok(Extent::Of([rows, columns])),
            [_, _] | [_, _, _] => Err(Error::value(format!("must lie in 1..=4096, got {}", value.json()))),
            _ => Err(wrong_kind::<Self>(value)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Extent::InProportion => Value::Nothing,
            Extent::Of([rows, columns]) if rows == columns => Value::Int(*rows as i64),
            Extent::Of(_) | Extent::Volume(_) => {
                Value::List(self.sides().iter().map(|n| Value::Int(*n as i64)).collect())
            }
        }
    }
}

/// "32 px" or "16 x 32 px".
pub fn pixels([rows, columns]: [usize; 2]) -> String {
    if rows == columns { format!("{rows} px") } else { format!("{rows} x {columns} px") }
}

/// What an occluding patch is filled with.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// Zeros of the preprocessed input.
    Zero,
    /// The input's own mean, for each channel.
    Mean,
    /// Pixel value 127.5.
    Grey,
    /// A colour, red, green, blue, 0-255.
    Colour([f64; 3]),
}

impl Param for Fill {
    fn form() -> Form {
        Form {
            words: "\"zero\", \"mean\", \"grey\" or a colour [r, g, b]".into(),
            choices: vec!["zero", "mean", "grey"],
        }
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(t) if t == "zero" => Ok(Fill::Zero),
            Value::Text(t) if t == "mean" => Ok(Fill::Mean),
            Value::Text(t) if t == "grey" || t == "gray" => Ok(Fill::Grey),
            Value::Text(t) => Err(Error::value(format!("takes {}, got {t:?}", Self::form().words))),
            Value::List(_) => {
                let colour = Vec::<f64>::read(value)?;
                match <[f64; 3]>::try_from(colour) {
                    Ok(c) if c.iter().all(|v| (0.0..=255.0).contains(v)) => Ok(Fill::Colour(c)),
                    _ => Err(Error::value("a colour is three numbers from 0 to 255")),
                }
            }
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Fill::Zero => Value::Text("zero".into()),
            Fill::Mean => Value::Text("mean".into()),
            Fill::Grey => Value::Text("grey".into()),
            Fill::Colour(c) => Value::List(c.iter().map(|v| Value::Float(*v)).collect()),
        }
    }
}

impl Fill {
    /// The patch's value in each channel of `x` (1 x C x H x W), in the units of the preprocessed input.
    ///
    /// # Errors
    /// For grey and colours where the net's card does not say how pixels are preprocessed.
    pub fn values(&self, model: &Model, x: &Tensor) -> Result<Vec<f32>> {
        let channels = x.dims()[1];
        let colour = |rgb: [f64; 3]| -> Result<Vec<f32>> {
            let p = model.card().preprocess()?;
            let bounds = p.bounds();
            let at = |c: usize| match (channels, p.order) {
                (3, crate::data::preprocess::Order::Bgr) => rgb[2 - c],
                (3, _) => rgb[c],
                _ => 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2],
            };
            let value = |c: usize| bounds[c].0 + (bounds[c].1 - bounds[c].0) * (at(c) / 255.0) as f32;
            Ok((0..channels).map(value).collect())
        };
        match self {
            Fill::Zero => Ok(vec![0.0; channels]),
            Fill::Mean => {
                let all = to_f64(x)?;
                let plane = all.len() / channels;
                Ok(all.chunks(plane).map(|c| (c.iter().sum::<f64>() / plane as f64) as f32).collect())
            }
            Fill::Grey => colour([127.5; 3]),
            Fill::Colour(c) => colour(*c),
        }
    }
}
