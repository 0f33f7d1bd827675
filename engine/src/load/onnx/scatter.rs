//! ScatterElements with computed indices, with which mixtures of experts place the weights of the chosen experts. Every entry of
//! the result picks the last value written to it, else its own, so that signals return to the sources of the values. With
//! `reduction = add` each value is added at its index by a product with a 0/1 mask.

use super::ranking::marks;
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary, Reduction};
use crate::limits::ONNX_COMPUTED;
use candle_core::{Device, Tensor};

/// ScatterElements with computed indices: of several values for one entry the last is kept, or all are added.
///
/// # Errors
/// Where indices and data differ in another axis than the one along which values are written, or one value's batch is an axis of
/// the others.
pub fn computed(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let said = site.int("axis")?.unwrap_or(0);
    let operands = s.operands(site)?;
    let &[mut data, mut index, mut updates] = operands.as_slice() else {
        return Err(Error::format(format!("{} inputs", operands.len())));
    };
    if s.axis_or_batch(index, said)?.is_none() {
        (data, index, updates) = (s.with_axis(site, data)?, s.with_axis(site, index)?, s.with_axis(site, updates)?);
    }
    let axis = s.axis(index, said)?;
    let (shape, dims, given) = (s.sample(data), s.sample(index), s.sample(updates));
    let alike = |a: &[usize], b: &[usize]| a.len() == b.len() && (0..a.len()).all(|i| i == axis || a[i] == b[i]);
    if !alike(&shape, &dims) || given != dims {
        return Err(Error::shape(format!("values of {given:?} at indices of {dims:?} along axis {axis} of {shape:?}"))
            .hint("values and indices have one shape, that of the data but along the axis"));
    }
    let (n, k) = (shape[axis], dims[axis]);
    if k * shape.iter().product::<usize>() > ONNX_COMPUTED {
        return Err(Error::unsupported(format!("{k} values that are put into each of {shape:?}")));
    }
    let index = from_the_start(s, site, index, n)?;
    // Values x positions along the axis: 1 where the value goes to the position.
    let apart = |dims: &[usize]| [&dims[..=axis], &[1], &dims[axis + 1..]].concat();
    let raised = s.step(site, "raised", Op::Reshape(apart(&dims)), &[index])?;
    let goes = marks(s, site, raised, axis + 1, n, [0.0, 1.0])?;
    match site.text("reduction")?.as_deref() {
        None | Some("" | "none") => {
            // Value i of position j has the number n + i, behind the data's own; the largest number is the last value's.
            let further = (0..k * n).map(|i| (n + i / n - i % n) as f32).collect();
            let further = along(s, site, "further", further, &[axis, axis + 1], &[k, n], shape.len() + 1)?;
            let own = along(s, site, "own", (0..n).map(|i| i as f32).collect(), &[axis], &[n], shape.len())?;
            let moved = s.step(site, "moved", Op::Binary(Binary::Mul), &[goes, further])?;
            let last = Op::Reduce { reduction: Reduction::Max, axes: vec![axis], keep: false };
            let last = s.step(site, "last", last, &[moved])?;
            let source = s.step(site, "sources", Op::Binary(Binary::Add), &[last, own])?;
            let all = s.step(site, "all", Op::Concat { axis }, &[data, updates])?;
            Ok(vec![Value::Act(s.add(site, Op::Pick { axis }, &[all, source])?)])
        }
        Some("add") => {
            let values = s.step(site, "values", Op::Reshape(apart(&dims)), &[updates])?;
            let parts = s.step(site, "parts", Op::Binary(Binary::Mul), &[values, goes])?;
            let sum = Op::Reduce { reduction: Reduction::Sum, axes: vec![axis], keep: false };
            let sums = s.step(site, "sums", sum, &[parts])?;
            Ok(vec![Value::Act(s.add(site, Op::Binary(Binary::Add), &[sums, data])?)])
        }
        Some(other) => Err(Error::unsupported(format!("attribute `reduction` is `{other}`"))
            .hint("scatters that replace or add are supported")),
    }
}

/// Replaces negative indices, which count from the end.
fn from_the_start(s: &mut Scope, site: &Site<'_>, index: Act, n: usize) -> Result<Act> {
    let turn = s.number(&format!("{}/turn", site.name), -1.0)?;
    let whole = s.number(&format!("{}/entries", site.name), n as f64)?;
    let turned = s.step(site, "turned", Op::Binary(Binary::Mul), &[index, turn])?;
    let below = s.step(site, "below", Op::Activation(Activation::Step(0.5)), &[turned])?;
    let shift = s.step(site, "shift", Op::Binary(Binary::Mul), &[below, whole])?;
    s.step(site, "index", Op::Binary(Binary::Add), &[index, shift])
}

/// A constant over `axes` of a value with `rank` axes.
fn along(
    s: &mut Scope,
    site: &Site<'_>,
    name: &str,
    values: Vec<f32>,
    axes: &[usize],
    sizes: &[usize],
    rank: usize,
) -> Result<Act> {
    let mut dims = vec![1; rank];
    axes.iter().zip(sizes).for_each(|(axis, size)| dims[*axis] = *size);
    let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
    s.constant(&Const { name: format!("{}/{name}", site.name), tensor })
}
