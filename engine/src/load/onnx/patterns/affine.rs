//! Products and sums with constants that belong to the operation before them: biases of convolutions and linear layers, scales
//! and shifts of normalisations, batch normalisations exported as separate operations.

use super::stretch::{Stretch, ending_at};
use super::{Live, bare, with_constant};
use crate::error::Result;
use crate::graph::op::{Binary, Conv};
use crate::graph::{Builder, NodeId, Op, ParamId};
use crate::tensor::{tensor, to_f64};
use candle_core::DType;

/// Merges a constant that is added to each channel into the bias of the convolution or linear layer before.
pub fn bias(b: &mut Builder, id: NodeId, live: &Live) -> Result<()> {
    let Op::Binary(Binary::Add) = b.op(id) else { return Ok(()) };
    let Some((map, constant, _)) = with_constant(b, id) else { return Ok(()) };
    let shape = b.shape(map).to_vec();
    if !live.alone(map) || shape != b.shape(id) {
        return Ok(());
    }
    let op = match b.op(map).clone() {
        Op::Conv2d(c) if c.bias.is_none() => {
            let Some(bias) = spread(b, constant, &shape, 0)? else { return Ok(()) };
            Op::Conv2d(Conv { bias: Some(bias), ..c })
        }
        Op::ConvTranspose2d(c, extra) if c.bias.is_none() => {
            let Some(bias) = spread(b, constant, &shape, 0)? else { return Ok(()) };
            Op::ConvTranspose2d(Conv { bias: Some(bias), ..c }, extra)
        }
        Op::Linear { weight, bias: None } => {
            let Some(bias) = spread(b, constant, &shape, shape.len() - 1)? else { return Ok(()) };
            Op::Linear { weight, bias: Some(bias) }
        }
        _ => return Ok(()),
    };
    let inputs = b.node(map).inputs.clone();
    b.rewrite(id, op, &inputs)?;
    b.take_name(id, map);
    Ok(())
}

/// The constant as one number for each entry of `axis`; `None` where it varies along another axis.
fn spread(b: &mut Builder, constant: ParamId, shape: &[usize], axis: usize) -> Result<Option<ParamId>> {
    let (held, n) = (b.weights().tensor(constant).clone(), shape[axis]);
    let dims = bare(held.dims());
    let behind = shape.len() - axis - 1;
    let along = dims.len() == behind + 1 && dims[0] == n && dims[1..].iter().all(|d| *d == 1);
    // A single number for all channels is arithmetic and no parameter, unless there is only one channel.
    let single = n == 1 && held.elem_count() == 1 && held.rank() > 0;
    if !along && !single {
        return Ok(None);
    }
    if held.dims() == [n] {
        return Ok(Some(constant));
    }
    let name = b.weights().name(constant).to_string();
    Ok(Some(b.param(&name, held.flatten_all()?)?))
}

/// Merges a constant factor or summand into the scale or shift of the normalisation before.
pub fn scaled_norm(b: &mut Builder, id: NodeId, live: &Live) -> Result<()> {
    let Op::Binary(f @ (Binary::Mul | Binary::Add)) = *b.op(id) else { return Ok(()) };
    let Some((before, constant, _)) = with_constant(b, id) else { return Ok(()) };
    if !live.alone(before) || b.shape(before) != b.shape(id) {
        return Ok(());
    }
    let turned = match b.op(before) {
        Op::Transpose(perm) => Some(perm.clone()),
        _ => None,
    };
    let norm = if turned.is_some() { b.node(before).inputs[0] } else { before };
    if !live.alone(norm) {
        return Ok(());
    }
    let held = b.weights().tensor(constant).clone();
    let op = match *b.op(norm) {
        Op::GroupNorm { groups, scale, shift, eps } if turned.is_none() => {
            let shape = b.shape(norm).to_vec();
            let Some(by) = spread(b, constant, &shape, 0)? else { return Ok(()) };
            let Some((scale, shift)) = scale_and_shift(b, f, by, scale, Some(shift))? else { return Ok(()) };
            Op::GroupNorm { groups, scale, shift: shift.unwrap_or(by), eps }
        }
        Op::LayerNorm { axis, scale, shift, eps } => {
            let over = b.shape(norm)[axis..].to_vec();
            // The constant with its axes in the normalisation's order.
            let held = match &turned {
                None => held,
                Some(perm) => {
                    let missing = perm.len().saturating_sub(held.rank());
                    let full = held.reshape([&vec![1; missing][..], held.dims()].concat())?;
                    let back: Vec<usize> =
                        (0..perm.len()).map(|a| perm.iter().position(|p| *p == a).unwrap_or(a)).collect();
                    full.permute(back)?.contiguous()?
                }
            };
            let own = bare(held.dims()).to_vec();
            if own.len() > over.len() {
                return Ok(());
            }
            let Ok(full) = held.reshape(own)?.broadcast_as(over.as_slice()) else { return Ok(()) };
            let name = b.weights().name(constant).to_string();
            let by = b.param(&name, full.contiguous()?)?;
            let Some((scale, shift)) = scale_and_shift(b, f, by, scale, shift)? else { return Ok(()) };
            Op::LayerNorm { axis, scale, shift, eps }
        }
        _ => return Ok(()),
    };
    let inputs = b.node(norm).inputs.clone();
    match turned {
        None => b.rewrite(id, op, &inputs)?,
        Some(perm) => {
            b.rewrite(norm, op, &inputs)?;
            b.rewrite(id, Op::Transpose(perm), &[norm])?;
        }
    }
    Ok(())
}

/// The new scale and shift after multiplying with or adding a constant; only where the normalisation has none yet.
fn scale_and_shift(
    b: &Builder,
    f: Binary,
    by: ParamId,
    scale: ParamId,
    shift: Option<ParamId>,
) -> Result<Option<(ParamId, Option<ParamId>)>> {
    let all = |p: ParamId, want: f64| -> Result<bool> { Ok(to_f64(b.weights().tensor(p))?.iter().all(|v| *v == want)) };
    let unshifted = shift.map_or(Ok(true), |p| all(p, 0.0))?;
    Ok(match f {
        Binary::Mul if unshifted && all(scale, 1.0)? => Some((by, shift)),
        Binary::Add if unshifted => Some((scale, Some(by))),
        _ => None,
    })
}

/// Merges channel-wise factors and summands into a batch normalisation, where both occur.
pub fn batch_norm(b: &mut Builder, id: NodeId, live: &Live) -> Result<()> {
    if !linear_step(b, id) {
        return Ok(());
    }
    let channels = b.shape(id).first().copied().unwrap_or(0);
    let rank = b.shape(id).len();
    let longest = ending_at(b, id).into_iter().take_while(|s| steps(b, s, id, live)).last();
    let Some(stretch) = longest else { return Ok(()) };
    let by_channel = stretch.wide.len() == rank
        && stretch.wide.first() == Some(&channels)
        && stretch.wide[1..].iter().all(|n| *n == 1);
    let kinds: Vec<&Op> = stretch.nodes().map(|n| b.op(n)).collect();
    let has =
        |one: Binary, other: Binary| kinds.iter().any(|op| matches!(op, Op::Binary(f) if *f == one || *f == other));
    if !by_channel || channels < 2 || !has(Binary::Mul, Binary::Div) || !has(Binary::Add, Binary::Sub) {
        return Ok(());
    }
    // Operations on the input itself are preprocessing.
    let mut from = stretch.base;
    while let Op::Transpose(_) | Op::Identity | Op::Reshape(_) = b.op(from) {
        from = b.node(from).inputs[0];
    }
    if matches!(b.op(from), Op::Input) {
        return Ok(());
    }
    let (mut factors, mut offsets) = (Vec::new(), Vec::new());
    for i in 0..channels {
        let Some(line) = stretch.curve(b, live, i) else { return Ok(()) };
        let (Some(offset), Some(end)) = (line.at(0.0), line.at(1.0)) else { return Ok(()) };
        factors.push(end - offset);
        offsets.push(offset);
    }
    if factors.iter().chain(&offsets).any(|v| !v.is_finite()) {
        return Ok(());
    }
    let name = b.node(id).name.clone();
    let mut param = |part: &str, values: Vec<f64>| {
        let held = tensor(values, &[channels])?.to_dtype(DType::F32)?;
        b.param(&format!("{name}/{part}"), held)
    };
    let (scale, shift) = (param("scale", factors)?, param("shift", offsets)?);
    let (mean, var) = (param("mean", vec![0.0; channels])?, param("var", vec![1.0; channels])?);
    b.rewrite(id, Op::BatchNorm { scale, shift, mean, var, eps: 0.0 }, &[stretch.base])?;
    Ok(())
}

/// Whether each operation of a stretch has one reader and multiplies or adds a constant.
fn steps(b: &Builder, stretch: &Stretch, id: NodeId, live: &Live) -> bool {
    stretch.nodes().all(|n| linear_step(b, n) && (n == id || live.alone(n)))
}

fn linear_step(b: &Builder, id: NodeId) -> bool {
    let Op::Binary(f) = b.op(id) else { return false };
    match (f, with_constant(b, id)) {
        (Binary::Add | Binary::Mul, Some(_)) => true,
        (Binary::Sub | Binary::Div, Some((_, _, constant_first))) => !constant_first,
        _ => false,
    }
}
