//! Casts to 8-bit integers. ONNX does not define the result for numbers out of range; onnxruntime and NumPy keep the lowest eight
//! bits of the integer.

use super::scope::Scope;
use super::site::Site;
use super::value::Act;
use crate::error::Result;
use crate::graph::op::{Activation, Binary, Elementary, Sampling};
use crate::graph::{Builder, NodeId, Op};
use crate::tensor::to_f64;
use rten_onnx::onnx::DataType;

/// The number of values of an 8-bit integer.
const BYTE_VALUES: f64 = 256.0;

/// How many operations before a value are searched for bounds on it.
const MAX_STEPS: usize = 12;

/// A constant integer, cast to the type `to`.
pub fn cast_constant(value: i64, to: DataType) -> i64 {
    match to {
        DataType::UINT8 => i64::from(value as u8),
        DataType::INT8 => i64::from(value as i8),
        _ => value,
    }
}

/// The integer part of a computed value, modulo 256 where it may be outside of 0 to 255, or if signed of -128 to 127.
pub fn cast(s: &mut Scope, site: &Site<'_>, x: Act, is_signed: bool) -> Result<Act> {
    let (least, f) = match is_signed {
        true => (-BYTE_VALUES / 2.0, Elementary::SignedByte),
        false => (0.0, Elementary::LowByte),
    };
    let fits = |(low, high): (f64, f64)| low > least - 1.0 && high < least + BYTE_VALUES;
    let f = if bounds(&s.builder, x.id, MAX_STEPS).is_some_and(fits) { Elementary::Truncate } else { f };
    s.activation(site, Activation::Elementary(f), x)
}

/// The bounds of a value, where a few operations before it imply them.
fn bounds(builder: &Builder, id: NodeId, steps: usize) -> Option<(f64, f64)> {
    let node = builder.node(id);
    let input = |k: usize| bounds(builder, *node.inputs.get(k)?, steps.checked_sub(1)?);
    match &node.op {
        Op::Softmax { log: false, .. }
        | Op::Activation(Activation::Step(_) | Activation::Sigmoid | Activation::HardSigmoid { .. }) => {
            Some((0.0, 1.0))
        }
        Op::Activation(Activation::Clip { low, high } | Activation::Quantise { low, high, .. }) => Some((*low, *high)),
        Op::Order { axis, indices: true, .. } => Some((0.0, builder.shape(node.inputs[0])[*axis] as f64 - 1.0)),
        Op::Constant(values) => {
            let all = to_f64(builder.weights().tensor(*values)).ok()?;
            let low = all.iter().copied().fold(f64::INFINITY, f64::min);
            Some((low, all.iter().copied().fold(f64::NEG_INFINITY, f64::max)))
        }
        Op::Binary(op) => {
            let f: fn(f64, f64) -> f64 = match op {
                Binary::Add => |a, b| a + b,
                Binary::Sub => |a, b| a - b,
                Binary::Mul => |a, b| a * b,
                Binary::Max => f64::max,
                Binary::Min => f64::min,
                Binary::Div | Binary::Prelu | Binary::Pow | Binary::Gate => return None,
            };
            let ((a, b), (c, d)) = (input(0)?, input(1)?);
            let corners = [f(a, c), f(a, d), f(b, c), f(b, d)];
            let low = corners.iter().copied().fold(f64::INFINITY, f64::min);
            Some((low, corners.iter().copied().fold(f64::NEG_INFINITY, f64::max)))
        }
        Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Identity
        | Op::Select { .. }
        | Op::Resize { sampling: Sampling::Nearest, .. }
        | Op::Activation(Activation::Elementary(
            Elementary::Truncate | Elementary::Round | Elementary::Floor | Elementary::Ceil,
        )) => input(0),
        _ => None,
    }
}
