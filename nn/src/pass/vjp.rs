//! One operation backward: the vector-Jacobian product of its output's gradient, for each input. [`crate::rules`] replace it by
//! other signals.

use super::apply::*;
use super::rule::Site;
use crate::error::{Error, Result};
use crate::graph::op::{Op, Reduction};
use crate::kernels::row_gemm::RowEpilogue;
use crate::kernels::{
    average_pool, batched_matmul, binary, conv, elementwise, linear, max_pool_backward, norm, order, rearrange, reduce,
    resize, softmax,
};
use crate::model::pack_cache::Direction;
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

/// dL/dx for each input x of the node at `site`, shaped as that input; the signal at the site is dL/dy.
///
/// # Errors
/// Where tensors are of different number types.
pub(crate) fn vjp(site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
    let Some(x) = site.inputs.first() else { return Ok(smallvec![]) };
    if site.node.op == Op::Identity {
        return Ok(smallvec![site.flow.clone()]);
    }
    if let Op::Reshape(_) = site.node.op {
        return Ok(smallvec![site.flow.reshape(x.dims())?]);
    }
    with_real!(site.flow, T => typed::<T>(site, x))
}

fn typed<T: Real>(site: &Site<'_>, x: &Tensor) -> Result<SmallVec<[Tensor; 2]>> {
    let (weights, shape, dims) = (site.model.weights(), &site.node.shape, x.dims());
    let (v, g) = (values::<T>(x)?, values::<T>(site.flow)?);
    let dx = match &site.node.op {
        Op::Conv2d(c) => {
            conv::input_gradient(&conv_geometry(c, dims, shape), &g, &values::<T>(weights.tensor(c.weight))?)
        }
        Op::ConvTranspose2d(c, _) => {
            conv::forward(&transpose_geometry(c, dims, shape), &g, &values::<T>(weights.tensor(c.weight))?, None)
        }
        Op::Linear { weight, .. } => {
            let sizes = linear_sizes(dims, shape);
            if let Some(g) = T::singles(&g).filter(|_| sizes.positions > 1) {
                let packed = site.model.packed_linear(site.id, Direction::Backward)?;
                T::of_singles(packed.run(sizes.rows(), g, &RowEpilogue::default()))
            } else {
                linear::input_gradient(sizes, &g, &values::<T>(weights.tensor(*weight))?)
            }
        }
        op @ Op::BatchNorm { .. } => {
            let (factor, _) = batch_norm_affine::<T>(op, weights)?;
            norm::affine(dims[1], dims[2..].iter().product(), &g, &factor, None)
        }
        op @ (Op::LayerNorm { .. } | Op::GroupNorm { .. }) => {
            with_blocks::<T, _>(op, dims, weights, |b| norm::normalise_gradient(b, &v, &g))?
        }
        op @ Op::LocalResponseNorm { .. } => {
            norm::response_gradient(&response_of(op)?, dims[1], dims[2..].iter().product(), &v, &g)
        }
        Op::Activation(f) => elementwise::backward(*f, &v, &g),
        Op::Binary(f) => {
            let (a, b) = aligned(x, site.inputs[1], shape.len())?;
            let (av, bv) = (values::<T>(&a)?, values::<T>(&b)?);
            let [da, db] = binary::gradient(*f, (&av, a.dims()), (&bv, b.dims()), site.flow.dims(), &g);
            return Ok(smallvec![tensor(da, dims)?, tensor(db, site.inputs[1].dims())?]);
        }
        Op::MatMul => {
            let (a, b) = aligned(x, site.inputs[1], shape.len())?;
            let (av, bv) = (values::<T>(&a)?, values::<T>(&b)?);
            let [da, db] = batched_matmul::gradient((&av, a.dims()), (&bv, b.dims()), site.flow.dims(), &g);
            return Ok(smallvec![tensor(da, dims)?, tensor(db, site.inputs[1].dims())?]);
        }
        Op::MaxPool(p) => {
            let y = values::<T>(site.output)?;
            max_pool_backward::max_gradient(&pool_geometry(p, dims, shape), &v, &y, &g)
        }
        Op::AvgPool(p) => average_pool::average_gradient(&pool_geometry(p, dims, shape), &g),
        Op::Reduce { reduction, axes, .. } => reduce::gradient::<T>(*reduction, dims, &batched_axes(axes), &v, &g),
        Op::Softmax { axis, log } => {
            let y = values::<T>(site.output)?;
            softmax::softmax_gradient(dims[axis + 1], dims[axis + 2..].iter().product(), *log, &y, &g)
        }
        Op::Concat { axis } => return split::<T>(*axis, site),
        Op::Select { axis, index } => {
            rearrange::select_adjoint(dims[axis + 1], dims[axis + 2..].iter().product(), index, &g)
        }
        Op::Order { indices: true, .. } => vec![T::zero(); v.len()],
        op @ Op::Order { .. } => sorting_of(op, dims)?.gradient(&v, &g),
        Op::Pick { axis } => {
            let index = values::<T>(site.inputs[1])?;
            let sources = order::sources(axis + 1, dims, (&index, site.inputs[1].dims()), site.flow.dims());
            let mut sums = vec![0.0f64; v.len()];
            sources.into_iter().zip(&*g).for_each(|(s, g)| sums[s] += g.f64());
            let dx = sums.into_iter().map(T::of).collect();
            return Ok(smallvec![tensor(dx, dims)?, tensor(vec![T::zero(); index.len()], site.inputs[1].dims())?]);
        }
        Op::Transpose(perm) => {
            let perm = batched_perm(perm);
            let mut inverse = vec![0; perm.len()];
            perm.iter().enumerate().for_each(|(i, a)| inverse[*a] = i);
            rearrange::transpose(site.flow.dims(), &inverse, &g)
        }
        Op::Pad { pads, border } => rearrange::pad_adjoint(dims, &batched_pads(pads), *border, &g),
        op @ Op::Resize { .. } => resize::adjoint(&resize_geometry(op, dims)?, &g),
        Op::Input | Op::Constant(_) | Op::Identity | Op::Reshape(_) => {
            return Err(Error::internal("an operation without a gradient kernel"));
        }
    };
    Ok(smallvec![tensor(dx, dims)?])
}

/// The gradient of a concatenation, cut into its parts. A part without a batch gets the sum over samples.
fn split<T: Real>(axis: usize, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
    let g = values::<T>(site.flow)?;
    let dims = site.flow.dims();
    let inner: usize = dims[axis + 2..].iter().product();
    let mut from = 0;
    site.inputs
        .iter()
        .map(|input| {
            let n = input.dims()[axis + 1];
            let index: Vec<usize> = (from..from + n).collect();
            from += n;
            let part = rearrange::select(dims[axis + 1], inner, &index, &g);
            let whole = with_batch(dims[0], &input.dims()[1..]);
            if input.dims()[0] == dims[0] {
                return tensor(part, &whole);
            }
            let rest: Vec<usize> = input.dims()[1..].to_vec();
            tensor(reduce::forward::<T>(Reduction::Sum, &whole, &[0], &part), &with_batch(1, &rest))
        })
        .collect()
}
