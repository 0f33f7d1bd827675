//! Operators that change shapes or the order of axes; the batch must stay the first axis.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Dim, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;

/// Reshape: 0 copies a dimension (unless `allowzero`), -1 is inferred.
pub fn reshape(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let zero = site.int("allowzero")?.unwrap_or(0) != 0;
    let mut to = site.ints(1)?.values.clone();
    let from = s.dims(x).values;
    for (i, d) in to.iter_mut().enumerate() {
        if *d == Dim::Known(0) && !zero {
            *d = *from
                .get(i)
                .ok_or_else(|| Error::format(format!("it copies axis {i}, the input has {}", from.len())))?;
        }
    }
    let one = |d: Dim| d == Dim::Known(s.batch.unwrap_or(1) as i64);
    if x.lead == 1 && to.first().is_some_and(|d| one(*d)) {
        to[0] = Dim::Batch;
    }
    fill(s, x, &mut to)?;
    Ok(vec![Value::Act(s.reshape(&site.name, x, &to)?)])
}

/// Replaces -1 by a number.
fn fill(s: &Scope, x: Act, to: &mut [Dim]) -> Result<()> {
    let open: Vec<usize> = (0..to.len()).filter(|i| to[*i] == Dim::Known(-1)).collect();
    let at = match open[..] {
        [] => return Ok(()),
        [at] => at,
        _ => return Err(Error::format("a shape with several -1")),
    };
    let len: i64 = s.sample(x).iter().product::<usize>() as i64;
    let product = |numbers: bool| {
        to.iter().enumerate().filter(|(i, _)| *i != at).try_fold(1i64, |n, (_, d)| match d {
            Dim::Known(v) => n.checked_mul(*v),
            Dim::Batch if numbers => n.checked_mul(s.batch? as i64),
            Dim::Batch => Some(n),
        })
    };
    let batches = to.iter().filter(|d| **d == Dim::Batch).count();
    let share = |total: i64, n: Option<i64>| n.filter(|n| *n > 0 && total % *n == 0).map(|n| Dim::Known(total / n));
    let filled = if batches == x.lead {
        share(len, product(false))
    } else if x.lead == 1 && batches == 0 && at == 0 && product(false) == Some(len) {
        Some(Dim::Batch)
    } else {
        s.batch.and_then(|n| share(len * if x.lead == 1 { n as i64 } else { 1 }, product(true)))
    };
    to[at] = filled.ok_or_else(|| mixes(format!("-1 in a shape cannot be filled from {:?} a sample", s.sample(x))))?;
    Ok(())
}

/// Flatten: merges the axes before `axis` into one, and the others into another.
pub fn flatten(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let dims = s.dims(x).values;
    let axis = site.int("axis")?.unwrap_or(1);
    let at = if axis < 0 { axis + dims.len() as i64 } else { axis };
    let at = usize::try_from(at).ok().filter(|a| *a <= dims.len());
    let at = at.ok_or_else(|| Error::shape(format!("axis {axis} of a value with {} axes", dims.len())))?;
    let product = |dims: &[Dim]| -> Result<Dim> {
        match dims {
            [Dim::Batch] => Ok(Dim::Batch),
            _ => dims
                .iter()
                .try_fold(1i64, |n, d| match s.resolve(*d) {
                    Dim::Known(v) => n.checked_mul(v).ok_or_else(|| Error::format("a shape that is too large")),
                    Dim::Batch => Err(mixes("it flattens the batch into another axis")),
                })
                .map(Dim::Known),
        }
    };
    let to = [product(&dims[..at])?, product(&dims[at..])?];
    Ok(vec![Value::Act(s.reshape(&site.name, x, &to)?)])
}

/// Squeeze: removes axes of size 1.
pub fn squeeze(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let mut dims = s.dims(x).values;
    let one = |d: Dim| s.resolve(d) == Dim::Known(1);
    let mut gone = match axes_of(site, dims.len())? {
        Some(axes) => axes,
        None => (0..dims.len()).filter(|i| one(dims[*i])).collect(),
    };
    gone.sort_unstable();
    for axis in gone.into_iter().rev() {
        if !one(dims[axis]) {
            return Err(mixes(format!("it removes axis {axis}, whose size is not 1")));
        }
        dims.remove(axis);
    }
    Ok(vec![Value::Act(s.reshape(&site.name, x, &dims)?)])
}

/// Unsqueeze: inserts axes of size 1.
pub fn unsqueeze(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let mut dims = s.dims(x).values;
    let count = if site.has(1) { site.ints(1)?.values.len() } else { site.int_list("axes")?.map_or(0, |l| l.len()) };
    let axes = axes_of(site, dims.len() + count)?.ok_or_else(|| Error::format("its axes are missing"))?;
    for axis in axes {
        dims.insert(axis.min(dims.len()), Dim::Known(1));
    }
    Ok(vec![Value::Act(s.reshape(&site.name, x, &dims)?)])
}

/// The axes in an attribute or in input 1, ascending, without duplicates.
fn axes_of(site: &Site<'_>, rank: usize) -> Result<Option<Vec<usize>>> {
    let list = if site.has(1) { Some(site.ints(1)?.known()?) } else { site.int_list("axes")? };
    let Some(list) = list else { return Ok(None) };
    let at = |a: &i64| {
        let at = if *a < 0 { *a + rank as i64 } else { *a };
        usize::try_from(at)
            .ok()
            .filter(|at| *at < rank)
            .ok_or_else(|| Error::shape(format!("axis {a} of a value with {rank} axes")))
    };
    let mut axes = list.iter().map(at).collect::<Result<Vec<usize>>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(Some(axes))
}

/// Transpose.
pub fn transpose(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let mut x = s.act(site, 0)?;
    let rank = s.rank(x);
    let perm = site.int_list("perm")?.unwrap_or_else(|| (0..rank as i64).rev().collect());
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if sorted != (0..rank as i64).collect::<Vec<_>>() {
        return Err(Error::shape(format!("axes {perm:?} are no order of {rank}")));
    }
    if x.lead == 1 && perm[0] != 0 && s.batch == Some(1) {
        let name = s.free(&format!("{}/sample", site.name));
        let id = s.push(&name, Op::Reshape([&[1], s.sample(x).as_slice()].concat()), &[x])?.id;
        x = Act { id, lead: 0 };
    }
    if x.lead == 1 && perm[0] != 0 {
        return Err(mixes(format!("it puts axis {} in the batch's place", perm[0])));
    }
    let perm = perm[x.lead..].iter().map(|a| *a as usize - x.lead).collect();
    Ok(vec![Value::Act(s.add(site, Op::Transpose(perm), &[x])?)])
}

/// Concat; empty inputs are left out.
pub fn concat(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let empty = |v: &Value| match v {
        Value::Floats(c) => c.tensor.elem_count() == 0,
        Value::Ints(v) => v.values.is_empty(),
        _ => false,
    };
    let full: Vec<Value> = site.inputs.iter().filter(|v| !empty(v)).cloned().collect();
    if full.is_empty() && !site.inputs.is_empty() {
        return Ok(site.inputs[..1].to_vec());
    }
    let site = &site.with(full);
    let mut inputs = s.operands(site)?;
    let widest = inputs.iter().copied().max_by_key(|x| x.lead);
    let x = widest.ok_or_else(|| Error::format("no inputs"))?;
    let said = site.int("axis")?.ok_or_else(|| Error::format("attribute `axis` is missing"))?;
    let rank = s.rank(x);
    let along_batch = s.batch == Some(1) && x.lead == 1 && s.axis_or_batch(x, said)?.is_none();
    // A value of one sample without a batch has the batch axis among its own.
    let bare = inputs.iter().any(|y| y.lead == 0 && s.rank(*y) == rank && s.is_own_axis(*y));
    if along_batch || (bare && s.batch == Some(1) && x.lead == 1) {
        inputs = (0..site.inputs.len())
            .map(|i| {
                let x = s.act(site, i)?;
                s.with_axis(site, x)
            })
            .collect::<Result<_>>()?;
    } else if x.lead == 1 {
        inputs = inputs
            .into_iter()
            .map(|y| if y.lead == 0 && s.rank(y) == rank { s.of_one(site, y) } else { Ok(y) })
            .collect::<Result<_>>()?;
    }
    let x = inputs.iter().copied().max_by_key(|x| x.lead).unwrap_or(x);
    let axis = s.axis(x, said)?;
    let op = if inputs.len() == 1 { Op::Identity } else { Op::Concat { axis } };
    Ok(vec![Value::Act(s.add(site, op, &inputs)?)])
}

/// DepthToSpace: blocks of channels become blocks of pixels.
pub fn depth_to_space(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let (x, b, [c, h, w]) = block(s, site)?;
    if c % (b * b) != 0 {
        return Err(Error::shape(format!("{c} channels do not make blocks of {b} x {b}")));
    }
    let k = c / (b * b);
    let (split, perm) = match site.text("mode")?.as_deref() {
        None | Some("" | "DCR") => (vec![b, b, k, h, w], vec![2, 3, 0, 4, 1]),
        Some("CRD") => (vec![k, b, b, h, w], vec![0, 3, 1, 4, 2]),
        Some(other) => return Err(Error::format(format!("attribute `mode` is `{other}`; ONNX knows DCR and CRD"))),
    };
    through(s, site, x, split, perm, vec![k, h * b, w * b])
}

/// SpaceToDepth: blocks of pixels become blocks of channels.
pub fn space_to_depth(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let (x, b, [c, h, w]) = block(s, site)?;
    if h % b != 0 || w % b != 0 {
        return Err(Error::shape(format!("{h} x {w} does not split into blocks of {b} x {b}")));
    }
    let perm = match site.text("mode")?.as_deref() {
        None | Some("" | "DCR") => vec![2, 4, 0, 1, 3],
        Some("CRD") => vec![0, 2, 4, 1, 3],
        Some(other) => return Err(Error::format(format!("attribute `mode` is `{other}`; ONNX knows DCR and CRD"))),
    };
    through(s, site, x, vec![c, h / b, b, w / b, b], perm, vec![c * b * b, h / b, w / b])
}

fn block(s: &mut Scope, site: &Site<'_>) -> Result<(Act, usize, [usize; 3])> {
    let x = s.act(site, 0)?;
    let b = site.int("blocksize")?.unwrap_or(0);
    let shape = s.sample(x);
    let map = shape.get(shape.len().saturating_sub(3)..).and_then(|m| <[usize; 3]>::try_from(m).ok());
    match (map, usize::try_from(b)) {
        (Some(map), Ok(b)) if (1..1 << 12).contains(&b) && s.rank(x) == 4 => Ok((x, b, map)),
        _ => Err(Error::shape(format!("blocks of {b} over {:?}", s.sample(x)))),
    }
}

fn through(
    s: &mut Scope,
    site: &Site<'_>,
    x: Act,
    split: Vec<usize>,
    perm: Vec<usize>,
    to: Vec<usize>,
) -> Result<Vec<Value>> {
    // Several maps of one sample have an axis of their own before the others.
    let shape = s.sample(x);
    let front = &shape[..shape.len() - 3];
    let before = |list: Vec<usize>| [front, list.as_slice()].concat();
    let (split, to) = (before(split), before(to));
    let perm: Vec<usize> = (0..front.len()).chain(perm.into_iter().map(|a| a + front.len())).collect();
    let blocks = s.step(site, "blocks", Op::Reshape(split), &[x])?;
    let moved = s.step(site, "moved", Op::Transpose(perm), &[blocks])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[moved])?)])
}
