//! Operations that are linear in their input up to a bias, with weights that a rule may put others in place of:
//! convolutions, linear maps, batch normalisations, averages and sums share one code path here.

use crate::error::Result;
use crate::graph::op::{Conv, Op, Pool, Reduction};
use crate::kernels::{conv, linear, norm, pool, reduce};
use crate::pass::apply::*;
use crate::rules::Site;
use crate::tensor::{Real, values};

/// y = w * x + b at one node.
pub(super) struct Affine<'a, T> {
    kind: Kind<'a>,
    dims: &'a [usize],
    shape: &'a [usize],
    /// The weights, as the operation holds them; averages and sums have one weight, 1.
    pub weight: Vec<T>,
    /// A bias for each output channel.
    pub bias: Option<Vec<T>>,
}

enum Kind<'a> {
    Conv(&'a Conv),
    Transpose(&'a Conv),
    Dense,
    Channels,
    Average(&'a Pool),
    Reduce(Reduction, Vec<usize>),
}

impl<'a, T: Real> Affine<'a, T> {
    /// The node at `site` as a linear map of its first input; nothing where it is none.
    pub fn of(site: &Site<'a>) -> Result<Option<Self>> {
        let weights = site.model.weights();
        let held = |p| -> Result<Vec<T>> { Ok(values::<T>(weights.tensor(p))?.to_vec()) };
        let one = || (vec![T::one()], None);
        let (kind, (weight, bias)) = match &site.node.op {
            Op::Conv2d(c) => (Kind::Conv(c), (held(c.weight)?, c.bias.map(held).transpose()?)),
            Op::ConvTranspose2d(c, _) => (Kind::Transpose(c), (held(c.weight)?, c.bias.map(held).transpose()?)),
            Op::Linear { weight, bias } => (Kind::Dense, (held(*weight)?, bias.map(held).transpose()?)),
            op @ Op::BatchNorm { .. } => {
                let (factor, offset) = batch_norm_affine(op, weights)?;
                (Kind::Channels, (factor, Some(offset)))
            }
            Op::AvgPool(p) => (Kind::Average(p), one()),
            Op::Reduce { reduction: r @ (Reduction::Sum | Reduction::Mean), axes, .. } => {
                (Kind::Reduce(*r, batched_axes(axes)), one())
            }
            _ => return Ok(None),
        };
        Ok(Some(Affine { kind, dims: site.inputs[0].dims(), shape: &site.node.shape, weight, bias }))
    }

    /// w * x + b, with `w` and `b` shaped as this operation's own.
    pub fn forward(&self, x: &[T], w: &[T], b: Option<&[T]>) -> Vec<T> {
        let (dims, shape) = (self.dims, self.shape);
        match &self.kind {
            Kind::Conv(c) => conv::forward(&conv_geometry(c, dims, shape), x, w, b),
            Kind::Transpose(c) => {
                let y = conv::input_gradient(&transpose_geometry(c, dims, shape), x, w);
                match b {
                    Some(b) => norm::affine(shape[0], shape[1] * shape[2], &y, &vec![T::one(); shape[0]], Some(b)),
                    None => y,
                }
            }
            Kind::Dense => {
                let (rows, inputs, out) = linear_sizes(dims, shape);
                linear::forward(rows, inputs, out, x, w, b)
            }
            Kind::Channels => norm::affine(dims[1], dims[2..].iter().product(), x, w, b),
            Kind::Average(p) => scaled(pool::average(&pool_geometry(p, dims, shape), x), w),
            Kind::Reduce(reduction, axes) => scaled(reduce::forward(*reduction, dims, axes, x), w),
        }
    }

    /// The transposed map: `s` at the output carried to the input by `w`.
    pub fn adjoint(&self, s: &[T], w: &[T]) -> Vec<T> {
        let (dims, shape) = (self.dims, self.shape);
        match &self.kind {
            Kind::Conv(c) => conv::input_gradient(&conv_geometry(c, dims, shape), s, w),
            Kind::Transpose(c) => conv::forward(&transpose_geometry(c, dims, shape), s, w, None),
            Kind::Dense => {
                let (rows, inputs, out) = linear_sizes(dims, shape);
                linear::input_gradient(rows, inputs, out, s, w)
            }
            Kind::Channels => norm::affine(dims[1], dims[2..].iter().product(), s, w, None),
            Kind::Average(p) => scaled(pool::average_gradient(&pool_geometry(p, dims, shape), s), w),
            // A sum's or mean's gradient does not read the values that it is given.
            Kind::Reduce(reduction, axes) => {
                scaled(reduce::gradient(*reduction, dims, axes, &vec![T::zero(); dims.iter().product()], s), w)
            }
        }
    }

    /// The sum of s * b over all outputs: what a bias takes of a signal.
    pub fn at_bias(&self, s: &[T], b: &[T]) -> f64 {
        let inner: usize = if matches!(self.kind, Kind::Dense) { 1 } else { self.shape[1..].iter().product() };
        s.iter().enumerate().map(|(i, s)| s.f64() * b[i / inner % b.len()].f64()).sum()
    }
}

fn scaled<T: Real>(mut values: Vec<T>, w: &[T]) -> Vec<T> {
    values.iter_mut().for_each(|v| *v *= w[0]);
    values
}
