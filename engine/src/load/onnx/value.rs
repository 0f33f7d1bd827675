//! The value of an ONNX name while a graph is built: an activation, a constant, or integers of shape arithmetic.

use super::block::Block;
use super::external::TensorFiles;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::limits::ONNX_CONSTANT;
use candle_core::{Device, Tensor};
use rten_onnx::onnx::{DataLocation, DataType, TensorProto};

/// The value of a name.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// An omitted optional input.
    Absent,
    /// A value that depends on the net's input.
    Act(Act),
    /// A real constant.
    Floats(Const),
    /// Integers that are known except for the batch size.
    Ints(Ints),
}

/// The value of a node, with the batch as its first ONNX axis or without a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// The node.
    pub id: NodeId,
    /// The number of ONNX axes before the sample's: 1 with a batch, 0 where a batch of one was squeezed away.
    pub lead: usize,
}

/// A real constant with its name as a parameter.
#[derive(Clone, Debug)]
pub struct Const {
    /// The name of its initialiser.
    pub name: String,
    /// Its values, f32.
    pub tensor: Tensor,
}

/// A known integer, or the batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A known number.
    Known(i64),
    /// The batch size.
    Batch,
}

/// An array of integers (truth values are 0 and 1), row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ints {
    /// Its shape.
    pub dims: Vec<usize>,
    /// Its values.
    pub values: Vec<Dim>,
}

impl Ints {
    /// A list: an array with one axis.
    pub fn list(values: Vec<Dim>) -> Self {
        Ints { dims: vec![values.len()], values }
    }

    /// All entries as numbers.
    ///
    /// # Errors
    /// Where one is the batch size.
    pub fn known(&self) -> Result<Vec<i64>> {
        let known = |d: &Dim| match d {
            Dim::Known(v) => Ok(*v),
            Dim::Batch => Err(mixes("it computes with the batch size")),
        };
        self.values.iter().map(known).collect()
    }
}

/// The error for an operation that mixes samples.
pub fn mixes(what: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("{what}, but every sample must be treated alike"))
        .hint("the first axis of every activation must be the batch")
}

/// The shape and the number of values of a tensor of `dims`.
///
/// # Errors
/// Where a dimension is negative or the product is too large.
pub fn count(dims: &[i64]) -> Result<(Vec<usize>, usize)> {
    let sizes: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let total = sizes.as_ref().and_then(|s| s.iter().try_fold(1usize, |n, d| n.checked_mul(*d)));
    match (sizes, total) {
        (Some(sizes), Some(total)) if total <= ONNX_CONSTANT => Ok((sizes, total)),
        _ => Err(Error::format(format!("a tensor of shape {dims:?}"))),
    }
}

/// Decodes an initialiser or a constant's attribute.
///
/// # Errors
/// Where its type is not supported, or its data does not fit its shape.
pub fn decode(name: &str, proto: &TensorProto, files: &mut TensorFiles<'_>) -> Result<Value> {
    let (dims, total) = count(&proto.dims)?;
    let kind = proto.data_type.unwrap_or(DataType(0));
    let width = match kind {
        DataType::FLOAT | DataType::INT32 | DataType::UINT32 => 4,
        DataType::DOUBLE | DataType::INT64 | DataType::UINT64 => 8,
        DataType::FLOAT16 | DataType::BFLOAT16 | DataType::INT16 | DataType::UINT16 => 2,
        DataType::INT8 | DataType::UINT8 | DataType::BOOL => 1,
        other => {
            return Err(Error::unsupported(format!("a tensor of type {other}"))
                .hint("real numbers (float, double, float16, bfloat16) and integers of 8 bits or more are read"));
        }
    };
    let held = proto.raw_data.as_ref().map(|r| r.borrow());
    let raw: Option<Block<'_>> = match &held {
        _ if proto.data_location == Some(DataLocation::EXTERNAL) => Some(files.external(proto, total * width)?),
        Some(held) => Some(files.own(held)?).filter(|r| r.len() > 0 || total == 0),
        None => None,
    };
    let raw = raw.as_ref();
    if let Some(block) = raw
        && block.len() != (total * width) as u64
    {
        return Err(misfit(&dims, kind, block.len(), "bytes"));
    }
    let wrong = |n: usize| misfit(&dims, kind, n as u64, "values");
    let floats = match (kind, raw) {
        (DataType::FLOAT, Some(b)) => Some(b.values(total, f32::from_le_bytes)?),
        (DataType::FLOAT, None) => Some(proto.float_data.clone()),
        (DataType::DOUBLE, Some(b)) => Some(b.values(total, |v| f64::from_le_bytes(v) as f32)?),
        (DataType::DOUBLE, None) => Some(proto.double_data.iter().map(|v| *v as f32).collect()),
        (DataType::FLOAT16, Some(b)) => Some(b.values(total, |v| half(u16::from_le_bytes(v)))?),
        (DataType::FLOAT16, None) => Some(proto.int32_data.iter().map(|v| half(*v as u16)).collect()),
        (DataType::BFLOAT16, Some(b)) => Some(b.values(total, |v| brain(u16::from_le_bytes(v)))?),
        (DataType::BFLOAT16, None) => Some(proto.int32_data.iter().map(|v| brain(*v as u16)).collect()),
        _ => None,
    };
    if let Some(values) = floats {
        if values.len() != total {
            return Err(wrong(values.len()));
        }
        return Ok(Value::Floats(Const {
            name: name.to_string(),
            tensor: Tensor::from_vec(values, dims, &Device::Cpu)?,
        }));
    }
    let ints: Vec<i64> = match (kind, raw) {
        (DataType::INT64 | DataType::UINT64, Some(b)) => b.values(total, i64::from_le_bytes)?,
        (DataType::INT32, Some(b)) => b.values(total, |v| i64::from(i32::from_le_bytes(v)))?,
        (DataType::UINT32, Some(b)) => b.values(total, |v| i64::from(u32::from_le_bytes(v)))?,
        (DataType::INT16, Some(b)) => b.values(total, |v| i64::from(i16::from_le_bytes(v)))?,
        (DataType::UINT16, Some(b)) => b.values(total, |v| i64::from(u16::from_le_bytes(v)))?,
        (DataType::INT8, Some(b)) => b.values(total, |[v]| i64::from(v as i8))?,
        (_, Some(b)) => b.values(total, |[v]| i64::from(v))?,
        (DataType::INT64 | DataType::UINT64 | DataType::UINT32, None) => proto.int64_data.clone(),
        (_, None) => proto.int32_data.iter().map(|v| i64::from(*v)).collect(),
    };
    if ints.len() != total {
        return Err(wrong(ints.len()));
    }
    Ok(Value::Ints(Ints { dims, values: ints.into_iter().map(Dim::Known).collect() }))
}

/// The range of an integer type of quantised nets.
pub fn range(kind: DataType) -> Option<[f64; 2]> {
    match kind {
        DataType::UINT8 => Some([0.0, 255.0]),
        DataType::INT8 => Some([-128.0, 127.0]),
        DataType::UINT16 => Some([0.0, 65535.0]),
        DataType::INT16 => Some([-32768.0, 32767.0]),
        DataType::INT32 => Some([f64::from(i32::MIN), f64::from(i32::MAX)]),
        _ => None,
    }
}

fn misfit(dims: &[usize], kind: DataType, n: u64, what: &str) -> Error {
    Error::format(format!("a tensor of shape {dims:?} and type {kind} with {n} {what}"))
        .hint("is a download or a copy unfinished?")
}

/// Converts a bfloat16, the upper half of an f32.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Converts an IEEE half-precision number: 1 sign, 5 exponent and 10 fraction bits.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(e - 15),
    };
    if sign == 1 { -size } else { size }
}
