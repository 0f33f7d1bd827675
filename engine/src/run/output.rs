//! An output of a run as a record and a lock keep it: digest, type, shape, statistics, and enough of its values to say where a
//! difference is.

use super::array::{Array, numbers};
use super::rule::CompareRule;
use crate::data::{Image, npy};
use crate::digest::digest;
use crate::error::{Error, Result};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Values of an array that are kept by default; of longer arrays evenly spaced values are kept.
pub const MAX_KEPT_VALUES: usize = 4096;
/// Bytes of a text that is kept.
pub(super) const MAX_KEPT_TEXT_BYTES: usize = 16 << 10;
/// Rows and columns of the small picture that is kept of an image.
const SKETCH_SIDE: usize = 16;
/// Bytes of that picture.
pub(super) const SKETCH_BYTES: usize = 3 * SKETCH_SIDE * SKETCH_SIDE;

/// The whole content of an output.
#[derive(Clone, Debug)]
pub enum Content {
    /// Numbers.
    Array(Array),
    /// A picture.
    Image(Image),
    /// Text: a table, a printed line, notes.
    Text(String),
    /// Anything else.
    Bytes,
}

impl Content {
    /// The content of a file's bytes, by the file's extension; [`Content::Bytes`] where it cannot be read.
    pub fn of_file(name: &str, raw: &[u8]) -> Self {
        let extension = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "npy" => npy::read(raw).and_then(|t| Array::of(&t)).map_or(Content::Bytes, Content::Array),
            "png" => Image::decode(raw).map_or(Content::Bytes, Content::Image),
            "csv" | "json" | "svg" | "html" | "txt" | "md" => {
                String::from_utf8(raw.to_vec()).map_or(Content::Bytes, Content::Text)
            }
            _ => Content::Bytes,
        }
    }
}

/// An output of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOutput {
    /// Its name: `print`, `show/01-TITLE`, `show/01-TITLE/ARRAY`, or the path of a file in the folder for outputs.
    pub name: String,
    /// "array", "image", "text" or "bytes".
    pub kind: String,
    /// BLAKE3 of the file or of the values, hexadecimal.
    pub blake3: String,
    /// Bytes of the file; of values that are in none, theirs.
    pub bytes: u64,
    /// How it is compared.
    pub rule: CompareRule,
    /// How it is compared on another engine or kind of processor, where the script says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<CompareRule>,
    /// The type of an array's numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// An array's sizes; an image's rows, columns and colours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
    /// Statistics of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
    /// Values of an array, or a small picture of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
    /// Digests of blocks of an array of which not all values are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
    /// A text that is not long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Values that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// The step between kept values, from the first on; 0 for the small picture of an image.
    pub every: usize,
    /// Their bytes in the array's type, little-endian, in Base64.
    pub data: String,
}

impl RunOutput {
    /// An array that was shown; at most `kept` of its values are kept.
    pub fn array(name: impl Into<String>, array: &Array, kept: usize) -> Self {
        let raw = array.bytes(array.values.iter().copied());
        RunOutput { name: name.into(), blake3: digest(&raw), bytes: raw.len() as u64, ..numbered(array, kept) }
    }

    /// A text that was printed or shown.
    pub fn text(name: impl Into<String>, text: &str) -> Self {
        RunOutput { name: name.into(), blake3: digest(text.as_bytes()), bytes: text.len() as u64, ..said(text) }
    }

    /// A file with the bytes `raw`, which hold `content`.
    pub fn file(name: impl Into<String>, raw: &[u8], content: &Content, kept: usize) -> Self {
        let about = match content {
            Content::Array(array) => numbered(array, kept),
            Content::Image(image) => RunOutput {
                kind: "image".into(),
                shape: Some(vec![image.height(), image.width(), 3]),
                values: Some(Values { every: 0, data: encode(&sketch(image)) }),
                ..RunOutput::default()
            },
            Content::Text(text) => said(text),
            Content::Bytes => RunOutput { kind: "bytes".into(), ..RunOutput::default() },
        };
        RunOutput { name: name.into(), blake3: digest(raw), bytes: raw.len() as u64, ..about }
    }

    /// The values that are kept, with their places in the array.
    ///
    /// # Errors
    /// Where the values do not have the type and shape that it says.
    pub fn kept(&self) -> Result<Vec<(usize, f64)>> {
        let Some(values) = &self.values else { return Ok(Vec::new()) };
        let raw = base64::engine::general_purpose::STANDARD
            .decode(&values.data)
            .map_err(|e| Error::format(format!("the values of `{}`: {e}", self.name)))?;
        let numbers = numbers(self.dtype.as_deref().unwrap_or_default(), &raw);
        Ok(numbers.into_iter().enumerate().map(|(i, v)| (i * values.every.max(1), v)).collect())
    }
}

fn numbered(array: &Array, kept: usize) -> RunOutput {
    let every = array.values.len().div_ceil(kept.max(1)).max(1);
    let kept = array.bytes(array.values.iter().copied().step_by(every));
    RunOutput {
        kind: "array".into(),
        dtype: Some(array.dtype.clone()),
        shape: Some(array.shape.clone()),
        stats: Some(Stats::of(&array.values)),
        values: Some(Values { every, data: encode(&kept) }),
        blocks: if every > 1 { array.blocks() } else { Vec::new() },
        ..RunOutput::default()
    }
}

fn said(text: &str) -> RunOutput {
    let kept = (text.len() <= MAX_KEPT_TEXT_BYTES).then(|| text.to_string());
    RunOutput { kind: "text".into(), text: kept, ..RunOutput::default() }
}

/// The means of an image's colours in so many rows and columns.
pub fn sketch(image: &Image) -> Vec<u8> {
    let (w, h) = (image.width(), image.height());
    let mut out = Vec::with_capacity(SKETCH_BYTES);
    let cut = |i: usize, n: usize| (i * n / SKETCH_SIDE).min(n - 1)..((i + 1) * n).div_ceil(SKETCH_SIDE).clamp(1, n);
    for row in 0..SKETCH_SIDE {
        for column in 0..SKETCH_SIDE {
            let (mut sum, mut count) = ([0u64; 3], 0u64);
            for y in cut(row, h) {
                for x in cut(column, w) {
                    let at = 3 * (y * w + x);
                    (0..3).for_each(|c| sum[c] += u64::from(image.pixels()[at + c]));
                    count += 1;
                }
            }
            out.extend(sum.map(|s| (s / count.max(1)) as u8));
        }
    }
    out
}

fn encode(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Statistics of an array's finite values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation.
    pub std: Option<f64>,
    /// Values that are infinite or not a number.
    pub not_finite: usize,
}

impl Stats {
    /// The statistics of `values`, summed in their order.
    pub fn of(values: &[f64]) -> Self {
        let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        let not_finite = values.len() - finite.len();
        if finite.is_empty() {
            return Stats { not_finite, ..Stats::default() };
        }
        let n = finite.len() as f64;
        let mean = finite.iter().sum::<f64>() / n;
        let variance = finite.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        Stats {
            min: finite.iter().copied().reduce(f64::min),
            max: finite.iter().copied().reduce(f64::max),
            mean: Some(mean).filter(|m| m.is_finite()),
            std: Some(variance.sqrt()).filter(|s| s.is_finite()),
            not_finite,
        }
    }

    /// The largest magnitude.
    pub fn magnitude(&self) -> f64 {
        self.min.unwrap_or(0.0).abs().max(self.max.unwrap_or(0.0).abs())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn long_arrays_keep_some_values_and_digests_of_blocks() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i as f32 * 0.1)).collect();
        let array = Array { dtype: "<f4".into(), shape: vec![1000], values: values.clone() };
        let long = RunOutput::array("a", &array, 100);
        assert_eq!(long.blocks.len(), 63);
        assert_eq!(long.kept().unwrap()[7], (70, values[70]));
        let whole = RunOutput::array("a", &array, 1000);
        assert_eq!((whole.kept().unwrap().len(), whole.blocks.len()), (1000, 0));
        let stats = whole.stats.unwrap();
        assert_eq!((stats.min, stats.not_finite), (Some(0.0), 0));
        assert_eq!(Stats::of(&[f64::NAN]).not_finite, 1);
    }
}
