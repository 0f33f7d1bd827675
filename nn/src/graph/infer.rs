//! Shape inference: the shape of a node's value from its operation and the shapes of its inputs.

use super::dag::Shape;
use super::op::{Conv, Op, Padding, ParamId, Window};
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::limits::{WINDOW_PLANE, WINDOW_SHARE};

/// The shape of one sample of the value of `op` on inputs of `shapes`.
///
/// # Errors
/// Where the number of inputs or their shapes do not fit the operation.
pub fn shape(op: &Op, shapes: &[&[usize]], weights: &Weights) -> Result<Shape> {
    let wanted = match op {
        Op::Input | Op::Constant(_) => 0,
        Op::Binary(_) | Op::MatMul | Op::Pick { .. } => 2,
        Op::Concat { .. } => shapes.len().max(1),
        Op::Conv2d(_)
        | Op::ConvTranspose2d(..)
        | Op::Linear { .. }
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LocalResponseNorm { .. }
        | Op::Activation(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Reduce { .. }
        | Op::Softmax { .. }
        | Op::Select { .. }
        | Op::Order { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Identity => 1,
    };
    if shapes.len() != wanted {
        return Err(Error::shape(format!("takes {wanted} inputs, got {}", shapes.len())));
    }
    let x = shapes.first().copied().unwrap_or(&[]);
    match op {
        Op::Input => Err(Error::internal("an input's shape is given, not inferred")),
        Op::Constant(p) => Ok(weights.tensor(*p).dims().to_vec()),
        Op::Conv2d(c) => conv(c, x, weights),
        Op::ConvTranspose2d(c, extra) => conv_transpose(c, *extra, x, weights),
        Op::Linear { weight, bias } => linear(*weight, *bias, x, weights),
        Op::MatMul => matmul(x, shapes[1]),
        Op::BatchNorm { scale, shift, mean, var, .. } => {
            per_channel(&[*scale, *shift, *mean, *var], x, weights)?;
            Ok(x.to_vec())
        }
        Op::GroupNorm { groups, scale, shift, .. } => {
            per_channel(&[*scale, *shift], x, weights)?;
            if *groups == 0 || !x[0].is_multiple_of(*groups) {
                return Err(Error::shape(format!("{} channels do not split into {groups} groups", x[0])));
            }
            Ok(x.to_vec())
        }
        Op::LayerNorm { axis, scale, shift, .. } => {
            let normalised: usize = x.get(*axis..).ok_or_else(|| no_axis(*axis, x))?.iter().product();
            for p in std::iter::once(scale).chain(shift) {
                let have = weights.tensor(*p).elem_count();
                if have != normalised {
                    return Err(Error::shape(format!("normalises {normalised} values, its parameter holds {have}")));
                }
            }
            Ok(x.to_vec())
        }
        Op::LocalResponseNorm { .. } => map(x).map(|_| x.to_vec()),
        Op::Activation(_) | Op::Identity => Ok(x.to_vec()),
        Op::Binary(_) => broadcast(x, shapes[1]),
        Op::Order { axis, k, .. } => match x.get(*axis) {
            Some(n) if k <= n => {
                let mut out = x.to_vec();
                out[*axis] = *k;
                Ok(out)
            }
            Some(n) => Err(Error::shape(format!("the first {k} of {n} entries"))),
            None => Err(no_axis(*axis, x)),
        },
        Op::Pick { axis } => picked(*axis, x, shapes[1]),
        Op::MaxPool(p) | Op::AvgPool(p) => {
            let [c, h, w] = map(x)?;
            let fits = p.window.padding;
            let span = p.window.span();
            p.window.output([h, w], p.ceil).map_or(Ok(()), |output| proportionate(&p.window, [h, w], output))?;
            if fits.top.max(fits.bottom) >= span[0] || fits.left.max(fits.right) >= span[1] {
                return Err(Error::shape(format!("a {span:?} window could lie wholly in its padding {fits:?}")));
            }
            let [oh, ow] = p.window.output([h, w], p.ceil).ok_or_else(|| too_small(p.window.span(), x, fits))?;
            Ok(vec![c, oh, ow])
        }
        Op::Reduce { axes, keep, .. } => {
            if let Some(a) = axes.iter().find(|a| **a >= x.len()) {
                return Err(no_axis(*a, x));
            }
            let sized = x.iter().enumerate().filter_map(|(a, n)| match (axes.contains(&a), keep) {
                (false, _) => Some(*n),
                (true, true) => Some(1),
                (true, false) => None,
            });
            Ok(sized.collect())
        }
        Op::Softmax { axis, .. } => x.get(*axis).map(|_| x.to_vec()).ok_or_else(|| no_axis(*axis, x)),
        Op::Concat { axis } => concat(*axis, shapes),
        Op::Select { axis, index } => {
            let n = *x.get(*axis).ok_or_else(|| no_axis(*axis, x))?;
            if let Some(i) = index.iter().find(|i| **i >= n) {
                return Err(Error::shape(format!("entry {i} of axis {axis}, which has {n}")));
            }
            let mut out = x.to_vec();
            out[*axis] = index.len();
            Ok(out)
        }
        Op::Reshape(to) => {
            if to.iter().product::<usize>() != x.iter().product::<usize>() {
                return Err(Error::shape(format!("cannot turn {x:?} into {to:?}")));
            }
            Ok(to.clone())
        }
        Op::Transpose(perm) => {
            let mut sorted = perm.clone();
            sorted.sort_unstable();
            if sorted != (0..x.len()).collect::<Vec<_>>() {
                return Err(Error::shape(format!("axes {perm:?} are no order of those of {x:?}")));
            }
            Ok(perm.iter().map(|a| x[*a]).collect())
        }
        Op::Pad { pads, .. } => {
            if pads.len() != x.len() {
                return Err(Error::shape(format!("pads {} axes of {x:?}", pads.len())));
            }
            Ok(x.iter().zip(pads).map(|(n, (before, after))| n + before + after).collect())
        }
        Op::Resize { size, .. } => map(x).map(|[c, ..]| vec![c, size[0], size[1]]),
    }
}

/// The shape that `a` and `b` broadcast to by NumPy's rules.
///
/// # Errors
/// Where they do not.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (m, n) if m == n => Ok(m),
            (1, n) => Ok(n),
            (m, 1) => Ok(m),
            _ => Err(Error::shape(format!("{a:?} and {b:?} do not broadcast"))),
        })
        .collect()
}

fn conv(c: &Conv, x: &[usize], weights: &Weights) -> Result<Shape> {
    let [channels, h, w] = map(x)?;
    let [out, per_group, kh, kw] = kernel(c, weights)?;
    if c.groups == 0 || per_group * c.groups != channels || out % c.groups != 0 {
        return Err(Error::shape(format!(
            "weight {out} x {per_group} x {kh} x {kw} in {} groups takes {} channels, the input has {channels}",
            c.groups,
            per_group * c.groups
        )));
    }
    bias_of(c.bias, out, weights)?;
    let [oh, ow] = c.window.output([h, w], false).ok_or_else(|| too_small(c.window.span(), x, c.window.padding))?;
    proportionate(&c.window, [h, w], [oh, ow])?;
    Ok(vec![out, oh, ow])
}

/// Refuses a window whose padded plane is out of proportion to its input and output: kernels copy planes into their padding, so
/// that a few numbers in a file could request any amount of memory.
fn proportionate(window: &Window, input: [usize; 2], output: [usize; 2]) -> Result<()> {
    let p = window.padding;
    let (span, pads) = (window.span(), [p.top.saturating_add(p.bottom), p.left.saturating_add(p.right)]);
    let axis = |a: usize| {
        let moved = output[a].saturating_mul(window.stride[a]);
        input[a].saturating_add(pads[a]).max(moved).max(span[a])
    };
    let plane = axis(0).saturating_mul(axis(1));
    let held = input[0].saturating_mul(input[1]).saturating_add(output[0].saturating_mul(output[1]));
    if plane <= held.saturating_mul(WINDOW_SHARE).saturating_add(WINDOW_PLANE) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "a window over {} x {} values, padding included, of a map of {} x {} that makes {} x {}",
        axis(0),
        axis(1),
        input[0],
        input[1],
        output[0],
        output[1]
    ))
    .hint(format!("a plane may have {WINDOW_SHARE} times as many values with its padding; is the file damaged?")))
}

fn conv_transpose(c: &Conv, extra: [usize; 2], x: &[usize], weights: &Weights) -> Result<Shape> {
    let [channels, h, w] = map(x)?;
    let [input, per_group, ..] = kernel(c, weights)?;
    if c.groups == 0 || input != channels || input % c.groups != 0 {
        return Err(Error::shape(format!("its weight takes {input} channels, the input has {channels}")));
    }
    bias_of(c.bias, per_group * c.groups, weights)?;
    let p = c.window.padding;
    let axis = |n: usize, pads: usize, a: usize| {
        ((n - 1) * c.window.stride[a] + c.window.span()[a] + extra[a]).checked_sub(pads)
    };
    let (Some(oh), Some(ow)) = (axis(h, p.top + p.bottom, 0), axis(w, p.left + p.right, 1)) else {
        return Err(Error::shape(format!("padding {p:?} leaves nothing of the output")));
    };
    proportionate(&c.window, [oh, ow], [h, w])?;
    Ok(vec![per_group * c.groups, oh, ow])
}

fn kernel(c: &Conv, weights: &Weights) -> Result<[usize; 4]> {
    let dims = weights.tensor(c.weight).dims();
    let Ok([a, b, kh, kw]) = <[usize; 4]>::try_from(dims) else {
        return Err(Error::unsupported(format!("a convolution with weight {dims:?}"))
            .hint("two-dimensional ones have four axes"));
    };
    if [kh, kw] != c.window.kernel || c.window.stride.contains(&0) || c.window.dilation.contains(&0) {
        return Err(Error::shape(format!("weight {dims:?} does not fit its window {:?}", c.window)));
    }
    Ok([a, b, kh, kw])
}

fn bias_of(bias: Option<ParamId>, out: usize, weights: &Weights) -> Result<()> {
    match bias.map(|b| weights.tensor(b).elem_count()) {
        Some(n) if n != out => Err(Error::shape(format!("{out} outputs, but a bias of {n}"))),
        _ => Ok(()),
    }
}

fn linear(weight: ParamId, bias: Option<ParamId>, x: &[usize], weights: &Weights) -> Result<Shape> {
    let dims = weights.tensor(weight).dims();
    let (&[out, inputs], Some((last, front))) = (dims, x.split_last()) else {
        return Err(Error::shape(format!("weight {dims:?} over an input {x:?}")));
    };
    if *last != inputs {
        return Err(Error::shape(format!("weight {out} x {inputs} takes {inputs} values, the input is {x:?}")));
    }
    bias_of(bias, out, weights)?;
    Ok(front.iter().copied().chain([out]).collect())
}

fn matmul(a: &[usize], b: &[usize]) -> Result<Shape> {
    match (a, b) {
        ([front @ .., m, k], [others @ .., k2, n]) if k == k2 => {
            Ok(broadcast(front, others)?.into_iter().chain([*m, *n]).collect())
        }
        _ => Err(Error::shape(format!("{a:?} and {b:?} do not multiply as matrices"))),
    }
}

fn picked(axis: usize, data: &[usize], index: &[usize]) -> Result<Shape> {
    let side = |dims: &[usize]| [&dims[..axis.min(dims.len())], &dims[(axis + 1).min(dims.len())..]].concat();
    if data.len() != index.len() || axis >= data.len() {
        return Err(Error::shape(format!("indices of shape {index:?} along axis {axis} of {data:?}")));
    }
    let mut out = broadcast(&side(data), &side(index))?;
    out.insert(axis, index[axis]);
    Ok(out)
}

fn per_channel(params: &[ParamId], x: &[usize], weights: &Weights) -> Result<()> {
    let c = *x.first().ok_or_else(|| Error::shape("takes an input with channels"))?;
    match params.iter().map(|p| weights.tensor(*p).elem_count()).find(|n| *n != c) {
        Some(n) => Err(Error::shape(format!("the input has {c} channels, a parameter {n}"))),
        None => Ok(()),
    }
}

fn concat(axis: usize, shapes: &[&[usize]]) -> Result<Shape> {
    let mut out = shapes[0].to_vec();
    if axis >= out.len() {
        return Err(no_axis(axis, &out));
    }
    for s in &shapes[1..] {
        let fits = s.len() == out.len() && (0..out.len()).all(|a| a == axis || s[a] == out[a]);
        if !fits {
            return Err(Error::shape(format!("{:?} and {s:?} do not join along axis {axis}", shapes[0])));
        }
        out[axis] += s[axis];
    }
    Ok(out)
}

fn map(x: &[usize]) -> Result<[usize; 3]> {
    x.try_into().map_err(|_| Error::shape(format!("takes channels x height x width, got {x:?}")))
}

fn no_axis(axis: usize, x: &[usize]) -> Error {
    Error::shape(format!("no axis {axis} in {x:?}"))
}

fn too_small(span: [usize; 2], x: &[usize], p: Padding) -> Error {
    Error::shape(format!("a {} x {} window does not fit into {x:?} with padding {p:?}", span[0], span[1]))
        .hint("a larger input may help: load_model(.., #{ size: .. })")
}
