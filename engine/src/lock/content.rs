//! An output as it was recorded, with all its values, and the entry that a lock keeps of it: digest, type, shape,
//! statistics, and as many of its values as tell where a difference lies.

use super::rule::Rule;
use crate::data::{Image, npy};
use crate::digest::digest;
use crate::error::{Error, Result};
use base64::Engine as _;
use candle_core::{DType, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Values of an array that a lock keeps unless asked otherwise; of longer ones it keeps evenly spaced values.
pub const KEPT: usize = 4096;
/// Bytes of a text that a lock keeps.
const TEXT: usize = 16 << 10;
/// Blocks of an array with digests of their own, at most.
const BLOCKS: usize = 64;
/// Rows and columns of the small picture that is kept of an image.
const SKETCH: usize = 16;

/// Numbers with their type and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// NumPy's name of the type: "<f4", "<f8", "<i8", "<u4" or "|u1".
    pub dtype: String,
    /// Sizes.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f64>,
}

impl Array {
    /// The values of a tensor in its own type.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let dtype = match tensor.dtype() {
            DType::F64 => "<f8",
            DType::I64 => "<i8",
            DType::U32 => "<u4",
            DType::U8 => "|u1",
            _ => "<f4",
        };
        Ok(Array { dtype: dtype.into(), shape: tensor.dims().to_vec(), values: crate::tensor::to_f64(tensor)? })
    }

    /// Numbers in the array's own type, little-endian.
    fn bytes(&self, values: impl Iterator<Item = f64>) -> Vec<u8> {
        match self.dtype.as_str() {
            "<f8" => values.flat_map(f64::to_le_bytes).collect(),
            "<i8" => values.flat_map(|v| (v as i64).to_le_bytes()).collect(),
            "<u4" => values.flat_map(|v| (v as u32).to_le_bytes()).collect(),
            "|u1" => values.map(|v| v as u8).collect(),
            _ => values.flat_map(|v| (v as f32).to_le_bytes()).collect(),
        }
    }

    /// The digest of its values, little-endian in their own type.
    pub fn digest(&self) -> String {
        digest(&self.bytes(self.values.iter().copied()))
    }

    /// The steps between two values: representable numbers between them; for whole numbers, their difference.
    pub fn steps(&self, a: f64, b: f64) -> u64 {
        match self.dtype.as_str() {
            "<f8" => ordered(a.to_bits() as i64).abs_diff(ordered(b.to_bits() as i64)),
            "<i8" | "<u4" | "|u1" => (a as i64).abs_diff(b as i64),
            _ => {
                let bits = |v: f64| (v as f32).to_bits() as i32;
                let order = |b: i32| if b < 0 { i32::MIN.wrapping_sub(b) } else { b };
                u64::from(order(bits(a)).abs_diff(order(bits(b))))
            }
        }
    }

    /// The indexes along each axis of value `i`.
    pub fn place(&self, i: usize) -> Vec<usize> {
        let mut rest = i;
        let mut at: Vec<usize> = self
            .shape
            .iter()
            .rev()
            .map(|n| {
                let here = rest % (*n).max(1);
                rest /= (*n).max(1);
                here
            })
            .collect();
        at.reverse();
        at
    }

    fn block(&self) -> usize {
        self.values.len().div_ceil(BLOCKS).max(1)
    }

    /// The first eight bytes of each block's digest.
    pub fn blocks(&self) -> Vec<String> {
        let short = |b: &[f64]| digest(&self.bytes(b.iter().copied()))[..16].to_string();
        self.values.chunks(self.block()).map(short).collect()
    }

    /// Which values block `i` holds.
    pub fn in_block(&self, i: usize) -> std::ops::Range<usize> {
        let start = i * self.block();
        start..(start + self.block()).min(self.values.len())
    }
}

/// Bits as numbers in the order of the values that they stand for.
fn ordered(bits: i64) -> i64 {
    if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
}

/// Arrays by name as the bytes of a .safetensors file.
///
/// # Errors
/// Where a shape does not fit its values.
pub fn pack(arrays: &BTreeMap<String, Array>) -> Result<Vec<u8>> {
    let wrong = |e: safetensors::SafeTensorError| Error::internal(e.to_string());
    let part = |(name, array): (&String, &Array)| {
        let dtype = match array.dtype.as_str() {
            "<f8" => Dtype::F64,
            "<i8" => Dtype::I64,
            "<u4" => Dtype::U32,
            "|u1" => Dtype::U8,
            _ => Dtype::F32,
        };
        (name.clone(), dtype, array.shape.clone(), array.bytes(array.values.iter().copied()))
    };
    let parts: Vec<_> = arrays.iter().map(part).collect();
    let views = parts
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(wrong)?)))
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(wrong)
}

/// The arrays in the bytes of a file that [`pack`] wrote.
///
/// # Errors
/// Where it is damaged.
pub fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Array>> {
    let wrong = |e: safetensors::SafeTensorError| Error::format(e.to_string());
    let file = SafeTensors::deserialize(bytes).map_err(wrong)?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.tensors() {
        let dtype = match view.dtype() {
            Dtype::F64 => "<f8",
            Dtype::I64 => "<i8",
            Dtype::U32 => "<u4",
            Dtype::U8 => "|u1",
            _ => "<f4",
        };
        let values = numbers(dtype, view.data());
        arrays.insert(name, Array { dtype: dtype.into(), shape: view.shape().to_vec(), values });
    }
    Ok(arrays)
}

/// Little-endian numbers of a type.
fn numbers(dtype: &str, raw: &[u8]) -> Vec<f64> {
    fn each<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let cut = raw.chunks_exact(N).filter_map(|c| c.try_into().ok());
        cut.map(read).collect()
    }
    match dtype {
        "<f4" => each(raw, |b| f64::from(f32::from_le_bytes(b))),
        "<f8" => each(raw, f64::from_le_bytes),
        "<i8" => each(raw, |b| i64::from_le_bytes(b) as f64),
        "<u4" => each(raw, |b| f64::from(u32::from_le_bytes(b))),
        _ => each(raw, |b: [u8; 1]| f64::from(b[0])),
    }
}

/// What an output holds.
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

/// An output with everything that is in it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its name: `print`, `show/01-TITLE`, `show/01-TITLE/ARRAY`, or the path of a file.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// BLAKE3 of the file or of the values, hexadecimal.
    pub blake3: String,
    /// Bytes of the file; of values that are in none, theirs.
    pub bytes: u64,
}

impl Recorded {
    /// An array that was shown.
    pub fn array(name: String, array: Array) -> Self {
        let raw = array.bytes(array.values.iter().copied());
        Recorded { name, blake3: digest(&raw), bytes: raw.len() as u64, content: Content::Array(array) }
    }

    /// A text that was printed or shown.
    pub fn text(name: String, text: String) -> Self {
        Recorded { name, blake3: digest(text.as_bytes()), bytes: text.len() as u64, content: Content::Text(text) }
    }

    /// A file that was written.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn file(name: &str, path: &Path) -> Result<Self> {
        let raw = std::fs::read(path).map_err(|e| Error::io(path, &e))?;
        Ok(Recorded {
            name: name.to_string(),
            content: content(path, &raw),
            blake3: digest(&raw),
            bytes: raw.len() as u64,
        })
    }

    /// What a lock keeps of it; `kept` is how many values at most.
    pub fn entry(&self, rule: Rule, elsewhere: Option<Rule>, kept: usize) -> Entry {
        let mut entry = Entry {
            name: self.name.clone(),
            blake3: self.blake3.clone(),
            bytes: self.bytes,
            rule,
            elsewhere,
            ..Entry::default()
        };
        match &self.content {
            Content::Array(array) => {
                let every = array.values.len().div_ceil(kept.max(1)).max(1);
                let kept = array.bytes(array.values.iter().copied().step_by(every));
                entry.kind = "array".into();
                (entry.dtype, entry.shape) = (Some(array.dtype.clone()), Some(array.shape.clone()));
                entry.stats = Some(Stats::of(&array.values));
                entry.values = Some(Values { every, data: encode(&kept) });
                entry.blocks = if every > 1 { array.blocks() } else { Vec::new() };
            }
            Content::Image(image) => {
                entry.kind = "image".into();
                entry.shape = Some(vec![image.height(), image.width(), 3]);
                entry.values = Some(Values { every: 0, data: encode(&sketch(image)) });
            }
            Content::Text(text) => {
                entry.kind = "text".into();
                entry.text = (text.len() <= TEXT).then(|| text.clone());
            }
            Content::Bytes => entry.kind = "bytes".into(),
        }
        entry
    }
}

fn content(path: &Path, raw: &[u8]) -> Content {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "npy" => match npy::read(raw).and_then(|t| Array::of(&t)) {
            Ok(array) => Content::Array(array),
            Err(_) => Content::Bytes,
        },
        "png" => Image::open(path).map_or(Content::Bytes, Content::Image),
        "csv" | "json" | "svg" | "html" | "txt" | "md" => {
            String::from_utf8(raw.to_vec()).map_or(Content::Bytes, Content::Text)
        }
        _ => Content::Bytes,
    }
}

/// The means of an image's colours in so many rows and columns.
pub fn sketch(image: &Image) -> Vec<u8> {
    let (w, h) = (image.width(), image.height());
    let mut out = Vec::with_capacity(3 * SKETCH * SKETCH);
    let cut = |i: usize, n: usize| (i * n / SKETCH).min(n - 1)..((i + 1) * n).div_ceil(SKETCH).clamp(1, n);
    for row in 0..SKETCH {
        for column in 0..SKETCH {
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

/// An output in a lock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// As in [`Recorded`].
    pub name: String,
    /// "array", "image", "text" or "bytes".
    pub kind: String,
    /// As in [`Recorded`].
    pub blake3: String,
    /// As in [`Recorded`].
    pub bytes: u64,
    /// How it is compared.
    pub rule: Rule,
    /// How it is compared on another engine or kind of processor, where the script says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Rule>,
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

/// Values that a lock keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// Every how manieth value is kept, from the first; 0 for the small picture of an image.
    pub every: usize,
    /// Their bytes in the array's type, little-endian, in Base64.
    pub data: String,
}

impl Entry {
    /// The values that are kept, with their places in the array.
    ///
    /// # Errors
    /// Where the lock holds something else than it says.
    pub fn kept(&self) -> Result<Vec<(usize, f64)>> {
        let Some(values) = &self.values else { return Ok(Vec::new()) };
        let raw = base64::engine::general_purpose::STANDARD
            .decode(&values.data)
            .map_err(|e| Error::format(format!("the values of `{}`: {e}", self.name)))?;
        let numbers = numbers(self.dtype.as_deref().unwrap_or_default(), &raw);
        Ok(numbers.into_iter().enumerate().map(|(i, v)| (i * values.every.max(1), v)).collect())
    }
}

/// Statistics of an array's finite values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// The least.
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

    fn array(values: Vec<f64>) -> Array {
        Array { dtype: "<f4".into(), shape: vec![values.len()], values }
    }

    #[test]
    fn steps_are_representable_numbers() {
        let a = array(vec![]);
        assert_eq!(a.steps(1.0, f64::from(1f32.next_up())), 1);
        assert_eq!(a.steps(-0.0, 0.0), 0);
        assert_eq!(a.steps(f64::from(-f32::from_bits(1)), f64::from(f32::from_bits(1))), 2);
        let d = Array { dtype: "<f8".into(), ..a.clone() };
        assert_eq!(d.steps(1.0, 1f64.next_up().next_up()), 2);
        assert_eq!(Array { shape: vec![2, 3, 4], ..a }.place(23), [1, 2, 3]);
    }

    #[test]
    fn long_arrays_keep_some_values_and_digests_of_blocks() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i as f32 * 0.1)).collect();
        let long = Recorded::array("a".into(), array(values.clone()));
        let entry = long.entry(Rule::Bits, None, 100);
        assert_eq!(entry.blocks.len(), 63);
        assert_eq!(entry.kept().unwrap()[7], (70, values[70]));
        let whole = long.entry(Rule::Bits, None, 1000);
        assert_eq!((whole.kept().unwrap().len(), whole.blocks.len()), (1000, 0));
        let stats = whole.stats.unwrap();
        assert_eq!((stats.min, stats.not_finite), (Some(0.0), 0));
        assert_eq!(Stats::of(&[f64::NAN]).not_finite, 1);
    }
}
