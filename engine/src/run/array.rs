//! Arrays as a run keeps them: numbers with their type and shape, and the file that holds many of them.

use crate::digest::digest;
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;

/// Blocks of an array with digests of their own, at most.
const MAX_BLOCKS: usize = 64;

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
    pub(super) fn bytes(&self, values: impl Iterator<Item = f64>) -> Vec<u8> {
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
        block_of(self.values.len())
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

/// Values in a block of an array of `n` values.
fn block_of(n: usize) -> usize {
    n.div_ceil(MAX_BLOCKS).max(1)
}

/// Blocks of an array of `n` values.
pub(super) fn blocks_of(n: usize) -> usize {
    n.div_ceil(block_of(n))
}

/// Bytes of a number of a type; nothing where no array has that type.
pub(super) fn width(dtype: &str) -> Option<usize> {
    match dtype {
        "<f8" | "<i8" => Some(8),
        "<f4" | "<u4" => Some(4),
        "|u1" => Some(1),
        _ => None,
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
pub(super) fn numbers(dtype: &str, raw: &[u8]) -> Vec<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_representable_numbers() {
        let a = Array { dtype: "<f4".into(), shape: vec![0], values: vec![] };
        assert_eq!(a.steps(1.0, f64::from(1f32.next_up())), 1);
        assert_eq!(a.steps(-0.0, 0.0), 0);
        assert_eq!(a.steps(f64::from(-f32::from_bits(1)), f64::from(f32::from_bits(1))), 2);
        let d = Array { dtype: "<f8".into(), ..a.clone() };
        assert_eq!(d.steps(1.0, 1f64.next_up().next_up()), 2);
        assert_eq!(Array { shape: vec![2, 3, 4], ..a }.place(23), [1, 2, 3]);
    }
}
