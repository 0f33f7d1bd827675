//! Operators that rank entries: TopK, ArgMax, ArgMin, Hardmax; and OneHot.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary};
use candle_core::{Device, Tensor};

/// TopK: the largest or smallest entries of an axis, and their indices.
pub fn top_k(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let k = if site.opset >= 10 { site.scalar(1)?.map(|k| k as i64) } else { site.int("k")? };
    let k = k.and_then(|k| usize::try_from(k).ok()).ok_or_else(|| Error::format("the number of entries is missing"))?;
    let axis = s.axis(x, site.int("axis")?.unwrap_or(-1))?;
    let largest = site.int("largest")?.unwrap_or(1) != 0;
    let order = |indices| Op::Order { axis, k, largest, indices };
    let values = s.add(site, order(false), &[x])?;
    let indices = match site.outputs.get(1) {
        Some(name) => Value::Act(s.push(name, order(true), &[x])?),
        None => Value::Absent,
    };
    Ok(vec![Value::Act(values), indices])
}

/// ArgMax and ArgMin: the index of the largest or smallest entry of an axis.
pub fn extreme(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let last = site.int("select_last_index")?.unwrap_or(0) != 0;
    let mut x = s.act(site, 0)?;
    let said = site.int("axis")?.unwrap_or(0);
    if s.axis_or_batch(x, said)?.is_none() {
        x = s.with_axis(site, x)?;
    }
    let axis = s.axis(x, said)?;
    let order = Op::Order { axis, k: 1, largest: site.op == "ArgMax", indices: true };
    if last {
        // The first of equal entries from the end is the last.
        let n = s.sample(x)[axis];
        let turned = s.step(site, "turned", Op::Select { axis, index: (0..n).rev().collect() }, &[x])?;
        let place = s.step(site, "from behind", order, &[turned])?;
        let end = s.number(&format!("{}/end", site.name), n as f64 - 1.0)?;
        let place = s.step(site, "place", Op::Binary(Binary::Sub), &[end, place])?;
        let mut to = s.sample(place);
        if site.int("keepdims")?.unwrap_or(1) == 0 {
            to.remove(axis);
        }
        return Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[place])?)]);
    }
    if site.int("keepdims")?.unwrap_or(1) != 0 {
        return Ok(vec![Value::Act(s.add(site, order, &[x])?)]);
    }
    let place = s.step(site, "place", order, &[x])?;
    let mut to = s.sample(place);
    to.remove(axis);
    Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[place])?)])
}

/// Hardmax: 1 at the largest entry of an axis, else 0.
pub fn hard_max(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let axis = s.axis(x, site.int("axis")?.unwrap_or(if site.opset < 13 { 1 } else { -1 }))?;
    let shape = s.sample(x);
    if site.opset < 13 && shape[axis + 1..].iter().any(|n| *n != 1) {
        return Err(Error::unsupported("a hardmax over several axes, as before opset 13"));
    }
    let place = s.step(site, "place", Op::Order { axis, k: 1, largest: true, indices: true }, &[x])?;
    let marked = marks(s, site, place, axis, shape[axis], [0.0, 1.0])?;
    Ok(vec![Value::Act(s.add(site, Op::Identity, &[marked])?)])
}

/// OneHot: `on` along a new axis where the position is the index, else `off`.
pub fn one_hot(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let index = s.act(site, 0)?;
    let depth = site.scalar(1)?.filter(|d| (1.0..1e6).contains(d)).map(|d| d as usize);
    let depth = depth.ok_or_else(|| Error::format("its depth is missing or too large"))?;
    let values = match site.input(2) {
        Value::Floats(c) => crate::tensor::to_f64(&c.tensor)?,
        Value::Ints(v) => v.known()?.into_iter().map(|v| v as f64).collect(),
        other => return Err(site.wants(2, "two constant numbers", other)),
    };
    let &[off, on] = values.as_slice() else {
        return Err(Error::format(format!("{} values for what is and is not marked", values.len())));
    };
    let mut shape = s.sample(index);
    let rank = (shape.len() + index.lead + 1) as i64;
    let said = site.int("axis")?.unwrap_or(-1);
    let at = if said < 0 { said + rank } else { said };
    let axis = usize::try_from(at).ok().and_then(|a| a.checked_sub(index.lead)).filter(|a| *a <= shape.len());
    let axis = axis.ok_or_else(|| mixes(format!("it marks along axis {said}, the batch")))?;
    shape.insert(axis, 1);
    let raised = s.step(site, "raised", Op::Reshape(shape), &[index])?;
    let marked = marks(s, site, raised, axis, depth, [off, on])?;
    Ok(vec![Value::Act(s.add(site, Op::Identity, &[marked])?)])
}

/// `on` along `axis` where the position is the index, else `off`; the index has one entry along that axis.
pub(super) fn marks(
    s: &mut Scope,
    site: &Site<'_>,
    index: Act,
    axis: usize,
    depth: usize,
    [off, on]: [f64; 2],
) -> Result<Act> {
    let mut dims = vec![1; s.sample(index).len()];
    dims[axis] = depth;
    let places = Tensor::from_vec((0..depth).map(|i| i as f32).collect::<Vec<_>>(), dims, &Device::Cpu)?;
    let places = s.constant(&Const { name: format!("{}/places", site.name), tensor: places })?;
    let apart = s.step(site, "apart", Op::Binary(Binary::Sub), &[index, places])?;
    let size = s.step(site, "size", Op::Activation(Activation::Abs), &[apart])?;
    let other = s.step(site, "other", Op::Activation(Activation::Step(0.5)), &[size])?;
    let (change, base) =
        (s.number(&format!("{}/change", site.name), off - on)?, s.number(&format!("{}/on", site.name), on)?);
    let scaled = s.step(site, "scaled", Op::Binary(Binary::Mul), &[other, change])?;
    s.step(site, "marked", Op::Binary(Binary::Add), &[scaled, base])
}
