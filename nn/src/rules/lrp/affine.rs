//! Affine operations, y = w * x + b, whose weights a rule may replace: convolutions, linear maps, batch normalisations, averages and
//! sums.

use crate::error::Result;
use crate::graph::op::{Conv, Op, Pool, Reduction};
use crate::kernels::{average_pool, conv, linear, norm, reduce};
use crate::pass::apply::*;
use crate::pass::rule::Site;
use crate::tensor::{Real, values};

/// y = w * x + b at one node.
pub(super) struct Affine<'a, T> {
    op: AffineOp<'a>,
    dims: &'a [usize],
    shape: &'a [usize],
    /// The weights, in the operation's own layout; averages and sums have one weight, 1.
    pub weight: Vec<T>,
    /// A bias for each output channel.
    pub bias: Option<Vec<T>>,
}

enum AffineOp<'a> {
    Conv(&'a Conv),
    Transpose(&'a Conv),
    Dense,
    Channels,
    Average(&'a Pool),
    Reduce(Reduction, Vec<usize>),
}

impl<'a, T: Real> Affine<'a, T> {
    /// The node at `site` as an affine map of its first input; none where it is not affine.
    pub fn of(site: &Site<'a>) -> Result<Option<Self>> {
        let weights = site.model.weights();
        let held = |p| -> Result<Vec<T>> { Ok(values::<T>(weights.tensor(p))?.to_vec()) };
        let one = || (vec![T::one()], None);
        let (op, (weight, bias)) = match &site.node.op {
            Op::Conv2d(c) => (AffineOp::Conv(c), (held(c.weight)?, c.bias.map(held).transpose()?)),
            Op::ConvTranspose2d(c, _) => (AffineOp::Transpose(c), (held(c.weight)?, c.bias.map(held).transpose()?)),
            Op::Linear { weight, bias } => (AffineOp::Dense, (held(*weight)?, bias.map(held).transpose()?)),
            op @ Op::BatchNorm { .. } => {
                let (factor, offset) = batch_norm_affine(op, weights)?;
                (AffineOp::Channels, (factor, Some(offset)))
            }
            Op::AvgPool(p) => (AffineOp::Average(p), one()),
            Op::Reduce { reduction: r @ (Reduction::Sum | Reduction::Mean), axes, .. } => {
                (AffineOp::Reduce(*r, batched_axes(axes)), one())
            }
            Op::Input
            | Op::Constant(_)
            | Op::MatMul
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Binary(_)
            | Op::MaxPool(_)
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
            | Op::Identity => return Ok(None),
        };
        Ok(Some(Affine { op, dims: site.inputs[0].dims(), shape: &site.node.shape, weight, bias }))
    }

    /// w * x + b; `w` and `b` are shaped as this operation's own.
    pub fn forward(&self, x: &[T], w: &[T], b: Option<&[T]>) -> Vec<T> {
        let (dims, shape) = (self.dims, self.shape);
        match &self.op {
            AffineOp::Conv(c) => conv::forward(&conv_geometry(c, dims, shape), x, w, b),
            AffineOp::Transpose(c) => {
                let y = conv::input_gradient(&transpose_geometry(c, dims, shape), x, w);
                match b {
                    Some(b) => norm::affine(shape[0], shape[1] * shape[2], &y, &vec![T::one(); shape[0]], Some(b)),
                    None => y,
                }
            }
            AffineOp::Dense => linear::forward(linear_sizes(dims, shape), x, w, b),
            AffineOp::Channels => norm::affine(dims[1], dims[2..].iter().product(), x, w, b),
            AffineOp::Average(p) => scaled(average_pool::average(&pool_geometry(p, dims, shape), x), w),
            AffineOp::Reduce(reduction, axes) => scaled(reduce::forward(*reduction, dims, axes, x), w),
        }
    }

    /// w^T s: `s` is shaped as the output, the result as the input.
    pub fn adjoint(&self, s: &[T], w: &[T]) -> Vec<T> {
        let (dims, shape) = (self.dims, self.shape);
        match &self.op {
            AffineOp::Conv(c) => conv::input_gradient(&conv_geometry(c, dims, shape), s, w),
            AffineOp::Transpose(c) => conv::forward(&transpose_geometry(c, dims, shape), s, w, None),
            AffineOp::Dense => linear::input_gradient(linear_sizes(dims, shape), s, w),
            AffineOp::Channels => norm::affine(dims[1], dims[2..].iter().product(), s, w, None),
            AffineOp::Average(p) => scaled(average_pool::average_gradient(&pool_geometry(p, dims, shape), s), w),
            // The gradient of a sum or mean does not read its input.
            AffineOp::Reduce(reduction, axes) => {
                scaled(reduce::gradient(*reduction, dims, axes, &vec![T::zero(); dims.iter().product()], s), w)
            }
        }
    }

    /// The sum of s * b over all outputs: the share of the bias.
    pub fn bias_share(&self, s: &[T], b: &[T]) -> f64 {
        let inner: usize = if matches!(self.op, AffineOp::Dense) { 1 } else { self.shape[1..].iter().product() };
        s.iter().enumerate().map(|(i, s)| s.f64() * b[i / inner % b.len()].f64()).sum()
    }
}

/// `values` times the one weight.
fn scaled<T: Real>(mut values: Vec<T>, w: &[T]) -> Vec<T> {
    values.iter_mut().for_each(|v| *v *= w[0]);
    values
}
