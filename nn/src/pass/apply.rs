//! One operation forward: from input tensors to the output tensor.

use crate::error::{Error, Result};
use crate::graph::Weights;
use crate::graph::op::{Conv, Op, Pool};
use crate::graph::{ParamId, Shape};
use crate::kernels::{
    average_pool, batched_matmul, binary, conv, elementwise, linear, norm, order, pool, rearrange, reduce, resize,
    softmax,
};
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use candle_core::Tensor;

/// The value of `op` for batched `inputs`; `shape` is that of one sample of it.
///
/// # Errors
/// Where tensors are of different number types; shapes were checked when the graph was built.
pub fn apply(op: &Op, inputs: &[&Tensor], weights: &Weights, shape: &Shape) -> Result<Tensor> {
    if let Op::Constant(p) = op {
        return Ok(weights.tensor(*p).unsqueeze(0)?);
    }
    let x = *inputs.first().ok_or_else(|| Error::internal("an operation without inputs"))?;
    if *op == Op::Identity {
        return Ok(x.clone());
    }
    if let Op::Reshape(_) = op {
        return Ok(x.reshape(with_batch(x.dims()[0], shape))?);
    }
    with_real!(x, T => typed::<T>(op, x, inputs, weights, shape))
}

fn typed<T: Real>(op: &Op, x: &Tensor, inputs: &[&Tensor], weights: &Weights, shape: &Shape) -> Result<Tensor> {
    let v = values::<T>(x)?;
    let param = |p: &ParamId| values::<T>(weights.tensor(*p));
    let dims = x.dims();
    let out = match op {
        Op::Conv2d(c) => {
            let (w, b) = (param(&c.weight)?, c.bias.as_ref().map(param).transpose()?);
            conv::forward(&conv_geometry(c, dims, shape), &v, &w, b.as_deref())
        }
        Op::ConvTranspose2d(c, _) => {
            let (w, b) = (param(&c.weight)?, c.bias.as_ref().map(param).transpose()?);
            let y = conv::input_gradient(&transpose_geometry(c, dims, shape), &v, &w);
            match b {
                Some(b) => norm::affine(shape[0], shape[1] * shape[2], &y, &vec![T::one(); shape[0]], Some(&b)),
                None => y,
            }
        }
        Op::Linear { weight, bias } => {
            let (w, b) = (param(weight)?, bias.as_ref().map(param).transpose()?);
            linear::forward(linear_sizes(dims, shape), &v, &w, b.as_deref())
        }
        Op::BatchNorm { .. } => {
            let (factor, offset) = batch_norm_affine::<T>(op, weights)?;
            norm::affine(dims[1], dims[2..].iter().product(), &v, &factor, Some(&offset))
        }
        Op::LayerNorm { .. } | Op::GroupNorm { .. } => {
            with_blocks::<T, _>(op, dims, weights, |b| norm::normalise(b, &v))?
        }
        Op::LocalResponseNorm { .. } => norm::response(&response_of(op)?, dims[1], dims[2..].iter().product(), &v),
        Op::Activation(f) => elementwise::forward(*f, &v),
        Op::Binary(f) => {
            let (a, b) = aligned(x, inputs[1], shape.len())?;
            let (av, bv) = (values::<T>(&a)?, values::<T>(&b)?);
            let to = with_batch(a.dims()[0].max(b.dims()[0]), shape);
            return tensor(binary::forward(*f, (&av, a.dims()), (&bv, b.dims()), &to), &to);
        }
        Op::MatMul => {
            let (a, b) = aligned(x, inputs[1], shape.len())?;
            let (av, bv) = (values::<T>(&a)?, values::<T>(&b)?);
            let to = with_batch(a.dims()[0].max(b.dims()[0]), shape);
            return tensor(batched_matmul::forward((&av, a.dims()), (&bv, b.dims()), &to), &to);
        }
        Op::MaxPool(p) => pool::max(&pool_geometry(p, dims, shape), &v),
        Op::AvgPool(p) => average_pool::average(&pool_geometry(p, dims, shape), &v),
        Op::Reduce { reduction, axes, .. } => reduce::forward(*reduction, dims, &batched_axes(axes), &v),
        Op::Softmax { axis, log } => softmax::softmax(dims[axis + 1], dims[axis + 2..].iter().product(), *log, &v),
        Op::Concat { axis } => {
            let batch = inputs.iter().map(|t| t.dims()[0]).max().unwrap_or(1);
            let all = inputs.iter().map(|t| Ok(expanded(t, batch)?)).collect::<Result<Vec<Tensor>>>()?;
            let held = all.iter().map(values::<T>).collect::<Result<Vec<_>>>()?;
            let parts: Vec<(&[T], usize)> = held.iter().zip(&all).map(|(v, t)| (&**v, t.dims()[axis + 1])).collect();
            let to = with_batch(batch, shape);
            return tensor(
                rearrange::concat(to[..=*axis].iter().product(), to[axis + 2..].iter().product(), &parts),
                &to,
            );
        }
        Op::Select { axis, index } => rearrange::select(dims[axis + 1], dims[axis + 2..].iter().product(), index, &v),
        Op::Order { indices: false, .. } => sorting_of(op, dims)?.values(&v),
        Op::Order { .. } => sorting_of(op, dims)?.indices(&v).into_iter().map(|i| T::of(i as f64)).collect(),
        Op::Pick { axis } => {
            let to = with_batch(dims[0].max(inputs[1].dims()[0]), shape);
            let index = values::<T>(inputs[1])?;
            let sources = order::sources(axis + 1, dims, (&index, inputs[1].dims()), &to);
            return tensor(sources.into_iter().map(|s| v[s]).collect(), &to);
        }
        Op::Transpose(perm) => rearrange::transpose(dims, &batched_perm(perm), &v),
        Op::Pad { pads, border } => rearrange::pad(dims, &batched_pads(pads), *border, &v),
        Op::Resize { .. } => resize::forward(&resize_geometry(op, dims)?, &v),
        Op::Input | Op::Constant(_) | Op::Identity | Op::Reshape(_) => {
            return Err(Error::internal("an operation without a kernel"));
        }
    };
    tensor(out, &with_batch(dims[0], shape))
}

/// The batched shape of samples of `shape`.
pub(crate) fn with_batch(batch: usize, shape: &[usize]) -> Vec<usize> {
    std::iter::once(batch).chain(shape.iter().copied()).collect()
}

/// The sizes of a convolution of an input of batched shape `dims` to samples of `shape`.
pub(crate) fn conv_geometry(c: &Conv, dims: &[usize], shape: &[usize]) -> conv::Geometry {
    conv::Geometry {
        batch: dims[0],
        channels: dims[1],
        input: [dims[2], dims[3]],
        out: shape[0],
        output: [shape[1], shape[2]],
        groups: c.groups,
        window: c.window,
    }
}

/// The sizes of the convolution whose input gradient a transposed convolution is: from the output of the latter, `shape`, to its
/// input, `dims`.
pub(crate) fn transpose_geometry(c: &Conv, dims: &[usize], shape: &[usize]) -> conv::Geometry {
    conv::Geometry {
        batch: dims[0],
        channels: shape[0],
        input: [shape[1], shape[2]],
        out: dims[1],
        output: [dims[2], dims[3]],
        groups: c.groups,
        window: c.window,
    }
}

/// The sizes of a linear map of an input of batched shape `dims`.
pub(crate) fn linear_sizes(dims: &[usize], shape: &[usize]) -> linear::Sizes {
    let inputs = dims[dims.len() - 1];
    let positions = dims[1..].iter().product::<usize>() / inputs.max(1);
    linear::Sizes { batch: dims[0], positions, inputs, out: shape[shape.len() - 1] }
}

/// A batch normalisation as factor and offset of each channel, computed in f64.
pub(crate) fn batch_norm_affine<T: Real>(op: &Op, weights: &Weights) -> Result<(Vec<T>, Vec<T>)> {
    let Op::BatchNorm { scale, shift, mean, var, eps } = op else {
        return Err(Error::internal("not a batch normalisation"));
    };
    let all = [scale, shift, mean, var].map(|p| crate::tensor::to_f64(weights.tensor(*p)));
    let [scale, shift, mean, var] = all;
    let (scale, shift, mean, var) = (scale?, shift?, mean?, var?);
    let factor: Vec<f64> = scale.iter().zip(&var).map(|(s, v)| s / (v + eps).sqrt()).collect();
    let offset = (0..factor.len()).map(|c| T::of(shift[c] - mean[c] * factor[c])).collect();
    Ok((factor.into_iter().map(T::of).collect(), offset))
}

/// Calls `f` with the blocks of a layer or group normalisation of an input of batched shape `dims`.
pub(crate) fn with_blocks<T: Real, R>(
    op: &Op,
    dims: &[usize],
    weights: &Weights,
    f: impl FnOnce(&norm::Blocks<T>) -> R,
) -> Result<R> {
    let (scale, shift, len, repeat, periods, eps) = match op {
        Op::LayerNorm { axis, scale, shift, eps } => (*scale, *shift, dims[axis + 1..].iter().product(), 1, 1, *eps),
        Op::GroupNorm { groups, scale, shift, eps } => {
            let plane: usize = dims[2..].iter().product();
            (*scale, Some(*shift), dims[1] / groups * plane, plane, *groups, *eps)
        }
        Op::Input
        | Op::Constant(_)
        | Op::Conv2d(_)
        | Op::ConvTranspose2d(..)
        | Op::Linear { .. }
        | Op::MatMul
        | Op::BatchNorm { .. }
        | Op::LocalResponseNorm { .. }
        | Op::Activation(_)
        | Op::Binary(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Reduce { .. }
        | Op::Softmax { .. }
        | Op::Concat { .. }
        | Op::Select { .. }
        | Op::Order { .. }
        | Op::Pick { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Identity => return Err(Error::internal("not a normalisation over blocks")),
    };
    let (scale, shift) =
        (values::<T>(weights.tensor(scale))?, shift.map(|s| values::<T>(weights.tensor(s))).transpose()?);
    Ok(f(&norm::Blocks { len, repeat, periods, scale: &scale, shift: shift.as_deref(), eps }))
}

/// The constants of a local response normalisation.
///
/// # Errors
/// Where `op` is another operation.
pub(crate) fn response_of(op: &Op) -> Result<norm::Response> {
    let Op::LocalResponseNorm { size, alpha, beta, bias } = op else {
        return Err(Error::internal("not a local response normalisation"));
    };
    Ok(norm::Response { size: *size, alpha: *alpha, beta: *beta, bias: *bias })
}

/// What an ordering of an input of batched shape `dims` sorts.
///
/// # Errors
/// Where `op` is another operation.
pub(crate) fn sorting_of(op: &Op, dims: &[usize]) -> Result<order::Sorting> {
    let Op::Order { axis, k, largest, .. } = op else { return Err(Error::internal("not an ordering")) };
    let inner = dims[axis + 2..].iter().product();
    Ok(order::Sorting { len: dims[axis + 1], inner, k: *k, largest: *largest })
}

/// The sizes of a pool of an input of batched shape `dims`.
pub(crate) fn pool_geometry(p: &Pool, dims: &[usize], shape: &[usize]) -> pool::PoolGeometry {
    pool::PoolGeometry { input: [dims[2], dims[3]], output: [shape[1], shape[2]], pool: *p }
}

/// The sizes of a resize of an input of batched shape `dims`.
pub(crate) fn resize_geometry(op: &Op, dims: &[usize]) -> Result<resize::ResizeGeometry> {
    let Op::Resize { size, scale, sampling, alignment } = op else { return Err(Error::internal("not a resize")) };
    let input = [dims[2], dims[3]];
    Ok(resize::ResizeGeometry { input, output: *size, scale: *scale, sampling: *sampling, alignment: *alignment })
}

/// Axes of a sample as axes of the batched tensor.
pub(crate) fn batched_axes(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|a| a + 1).collect()
}

/// A permutation of a sample's axes as one of the batched tensor's.
pub(crate) fn batched_perm(perm: &[usize]) -> Vec<usize> {
    std::iter::once(0).chain(perm.iter().map(|a| a + 1)).collect()
}

/// A sample's padding as the batched tensor's.
pub(crate) fn batched_pads(pads: &[(usize, usize)]) -> Vec<(usize, usize)> {
    std::iter::once((0, 0)).chain(pads.iter().copied()).collect()
}

/// Two batched operands reshaped to `rank` axes besides the batch, so that they broadcast.
pub(crate) fn aligned(a: &Tensor, b: &Tensor, rank: usize) -> Result<(Tensor, Tensor)> {
    let raise = |t: &Tensor| -> Result<Tensor> {
        let mut dims = t.dims().to_vec();
        while dims.len() < rank + 1 {
            dims.insert(1, 1);
        }
        Ok(t.reshape(dims)?)
    };
    Ok((raise(a)?, raise(b)?))
}

/// `t` repeated along the batch, where its batch is 1.
fn expanded(t: &Tensor, batch: usize) -> candle_core::Result<Tensor> {
    if t.dims()[0] == batch {
        return Ok(t.clone());
    }
    t.broadcast_as(with_batch(batch, &t.dims()[1..]))?.contiguous()
}
