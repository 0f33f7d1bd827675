//! Operators that select, repeat or add entries along axes: slices, splits, gathers, padding, expansion, tiles.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Dim, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::Border;
use crate::limits::ONNX_COMPUTED;
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// Slice, with bounds in attributes (before opset 10) or inputs.
pub fn slice(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let list = |i: usize, name: &str| -> Result<Option<Vec<Dim>>> {
        if site.opset >= 10 {
            return if site.has(i) { Ok(Some(site.ints(i)?.values.clone())) } else { Ok(None) };
        }
        Ok(site.int_list(name)?.map(|l| l.into_iter().map(Dim::Known).collect()))
    };
    let missing = || Error::format("its starts or ends are missing");
    let (starts, ends) = (list(1, "starts")?.ok_or_else(missing)?, list(2, "ends")?.ok_or_else(missing)?);
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).map(Dim::Known).collect());
    let steps = list(4, "steps")?.unwrap_or_else(|| vec![Dim::Known(1); starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) {
        return Err(Error::format("its starts, ends, axes and steps are not as many"));
    }
    let mut chosen = Vec::new();
    for i in 0..starts.len() {
        let (Dim::Known(axis), Dim::Known(step)) = (axes[i], steps[i]) else {
            return Err(mixes("it slices by the batch size"));
        };
        let Some(at) = s.axis_or_batch(x, axis)? else {
            let all = ends[i] == Dim::Batch
                || matches!(s.resolve(ends[i]), Dim::Known(e) if e >= s.batch.map_or(i64::from(i32::MAX), |n| n as i64));
            if starts[i] == Dim::Known(0) && step == 1 && all {
                continue;
            }
            if s.of_one_sample() {
                let x = s.with_axis(site, x)?;
                return slice(s, &site.with([&[Value::Act(x)], &site.inputs[1..]].concat()));
            }
            return Err(mixes("it slices the batch"));
        };
        let (Dim::Known(start), Dim::Known(end)) = (s.resolve(starts[i]), s.resolve(ends[i])) else {
            return Err(mixes("it slices by the batch size"));
        };
        let n = s.sample(x)[at];
        let index = range(start, end, step, n as i64)?;
        if index.len() != n || step != 1 {
            chosen.push((at, index));
        }
    }
    select(s, site, x, chosen)
}

/// The indices `start`, `start + step`, .. before `end` on an axis of `n` entries; negative bounds count from the end.
fn range(start: i64, end: i64, step: i64, n: i64) -> Result<Vec<usize>> {
    let bound = |v: i64, low: i64, high: i64| (if v < 0 { v.saturating_add(n) } else { v }).clamp(low, high);
    let (mut i, end) = match step {
        0 => return Err(Error::format("a slice with step 0")),
        1.. => (bound(start, 0, n), bound(end, 0, n)),
        _ => (bound(start, 0, n - 1), bound(end, -1, n - 1)),
    };
    let mut index = Vec::new();
    while if step > 0 { i < end } else { i > end } {
        index.push(i as usize);
        i = i.saturating_add(step);
    }
    Ok(index)
}

/// Selects entries along axes, with one node for each axis; without axes, the value is unchanged.
pub fn select(s: &mut Scope, site: &Site<'_>, x: Act, mut chosen: Vec<(usize, Vec<usize>)>) -> Result<Vec<Value>> {
    if chosen.iter().any(|(_, index)| index.is_empty()) {
        // An empty value depends on nothing.
        let mut dims = s.sample(x);
        chosen.iter().for_each(|(axis, index)| dims[*axis] = index.len());
        let dims = if x.lead == 1 { [&[1], dims.as_slice()].concat() } else { dims };
        let tensor = Tensor::zeros(dims, DType::F32, &Device::Cpu)?;
        return Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })]);
    }
    let Some((axis, index)) = chosen.pop() else {
        return Ok(vec![Value::Act(s.add(site, Op::Identity, &[x])?)]);
    };
    let mut y = x;
    for (axis, index) in chosen {
        y = s.step(site, &format!("axis {axis}"), Op::Select { axis, index: Arc::from(index) }, &[y])?;
    }
    Ok(vec![Value::Act(s.add(site, Op::Select { axis, index: Arc::from(index) }, &[y])?)])
}

/// Split into as many parts as the node has outputs.
pub fn split(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let mut x = s.act(site, 0)?;
    let axis = site.int("axis")?.unwrap_or(0);
    if s.of_one_sample() && s.axis_or_batch(x, axis)?.is_none() {
        x = s.with_axis(site, x)?;
    }
    let axis = s.axis(x, axis)?;
    let n = s.sample(x)[axis];
    let said = if site.has(1) { Some(site.ints(1)?.known()?) } else { site.int_list("split")? };
    let sizes: Vec<usize> = match said {
        Some(list) => list.iter().map(|v| usize::try_from(*v).ok().filter(|v| *v <= n).unwrap_or(0)).collect(),
        None => {
            let parts = site.outputs.len().max(1);
            let each = n.div_ceil(parts);
            (0..parts).map(|i| each.min(n.saturating_sub(i * each))).collect()
        }
    };
    if sizes.contains(&0) || sizes.iter().sum::<usize>() != n || sizes.len() < site.outputs.len() {
        return Err(Error::format(format!("parts of {sizes:?} for {} outputs from {n} entries", site.outputs.len())));
    }
    let mut from = 0;
    let parts = site.outputs.iter().zip(sizes).map(|(name, size)| {
        let index = (from..from + size).collect();
        from += size;
        Ok(Value::Act(s.push(name, Op::Select { axis, index }, &[x])?))
    });
    parts.collect()
}

/// Gather, with constant or computed indices.
pub fn gather(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if matches!(site.input(1), Value::Act(_)) {
        return super::indices::gather_computed(s, site);
    }
    let x = s.act(site, 0)?;
    let indices = site.ints(1)?;
    let known = indices.known()?;
    let shape = s.sample(x);
    let Some(axis) = s.axis_or_batch(x, site.int("axis")?.unwrap_or(0))? else {
        if s.batch == Some(1) && indices.dims.is_empty() && matches!(known[..], [0 | -1]) {
            let dims = s.dims(x).values[1..].to_vec();
            return Ok(vec![Value::Act(s.bare(&site.name, x, &dims)?)]);
        }
        if s.of_one_sample() {
            let x = s.with_axis(site, x)?;
            return gather(s, &site.with([&[Value::Act(x)], &site.inputs[1..]].concat()));
        }
        return Err(mixes("it gathers samples"));
    };
    let n = shape[axis] as i64;
    let at = |i: &i64| {
        let at = if *i < 0 { *i + n } else { *i };
        if (0..n).contains(&at) { Ok(at as usize) } else { Err(Error::shape(format!("entry {i} of {n}"))) }
    };
    let index: Arc<[usize]> = known.iter().map(at).collect::<Result<Vec<_>>>()?.into();
    let op = Op::Select { axis, index };
    if indices.dims.len() == 1 {
        return Ok(vec![Value::Act(s.add(site, op, &[x])?)]);
    }
    let picked = s.step(site, "picked", op, &[x])?;
    let to = shape[..axis].iter().chain(&indices.dims).chain(&shape[axis + 1..]).copied().collect();
    Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[picked])?)])
}

/// Pad; negative padding crops.
pub fn pad(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let rank = s.rank(x);
    let list = if site.opset >= 11 { site.ints(1)?.known()? } else { site.int_list("pads")?.unwrap_or_default() };
    let value = if site.opset >= 11 { site.scalar(2)? } else { site.float("value")? }.unwrap_or(0.0);
    let axes = if site.has(3) { site.ints(3)?.known()? } else { (0..rank as i64).collect() };
    if list.len() != 2 * axes.len() || list.iter().any(|p| p.unsigned_abs() > ONNX_COMPUTED as u64) {
        return Err(Error::format(format!("pads {list:?} for {} axes", axes.len())));
    }
    let border = match site.text("mode")?.as_deref() {
        None | Some("" | "constant") => Border::Constant(value),
        Some("reflect") => Border::Reflect,
        Some("edge") => Border::Edge,
        // Entries from the opposite end, selected like any others.
        Some("wrap") => Border::Constant(value),
        Some(other) => {
            return Err(Error::unsupported(format!("padding of mode `{other}`"))
                .hint("constant, reflect, edge and wrap are supported"));
        }
    };
    let shape = s.sample(x);
    let mut pads = vec![(0, 0); shape.len()];
    let mut crops = Vec::new();
    for (i, axis) in axes.iter().enumerate() {
        let (before, after) = (list[i], list[i + axes.len()]);
        let Some(at) = s.axis_or_batch(x, *axis)? else {
            if (before, after) == (0, 0) {
                continue;
            }
            return Err(mixes("it pads the batch"));
        };
        pads[at] = (before.max(0) as usize, after.max(0) as usize);
        let (from, to) = ((-before).max(0) as usize, shape[at].saturating_sub((-after).max(0) as usize));
        if from >= to {
            return Err(Error::shape(format!("padding {before} and {after} leaves nothing of {} entries", shape[at])));
        }
        if (from, to) != (0, shape[at]) {
            crops.push((at, (from..to).collect::<Vec<_>>()));
        }
    }
    if site.text("mode")?.as_deref() == Some("wrap") {
        let around = |(at, (before, after)): (usize, &(usize, usize))| {
            let kept: Vec<usize> = match crops.iter().find(|(axis, _)| *axis == at) {
                Some((_, kept)) => kept.clone(),
                None => (0..shape[at]).collect(),
            };
            let n = kept.len();
            (at, (0..before + n + after).map(|i| kept[(i + before * (n - 1)) % n]).collect())
        };
        let chosen = pads.iter().enumerate().map(around).collect();
        return select(s, site, x, chosen);
    }
    if pads.iter().all(|p| *p == (0, 0)) {
        return select(s, site, x, crops);
    }
    let mut y = x;
    for (axis, index) in crops {
        y = s.step(site, &format!("crop {axis}"), Op::Select { axis, index: Arc::from(index) }, &[y])?;
    }
    Ok(vec![Value::Act(s.add(site, Op::Pad { pads, border }, &[y])?)])
}

/// CenterCropPad: crops axes or pads them with zeros, symmetrically, to the given sizes.
pub fn center_crop_pad(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let mut x = s.act(site, 0)?;
    let sizes = &site.ints(1)?.values;
    let axes = site.int_list("axes")?.unwrap_or_else(|| (0..sizes.len() as i64).collect());
    if axes.len() != sizes.len() {
        return Err(Error::format(format!("{} sizes for {} axes", sizes.len(), axes.len())));
    }
    let mut pads = vec![(0, 0); s.sample(x).len()];
    for (axis, size) in axes.iter().zip(sizes) {
        let Some(at) = s.axis_or_batch(x, *axis)? else {
            if *size == Dim::Batch || s.resolve(Dim::Batch) == s.resolve(*size) {
                continue;
            }
            return Err(mixes("it crops or pads the batch"));
        };
        let Dim::Known(to) = s.resolve(*size) else { return Err(mixes("it computes with the batch size")) };
        let to = usize::try_from(to).ok().filter(|n| (1..ONNX_COMPUTED).contains(n));
        let to = to.ok_or_else(|| Error::format(format!("a size of {size:?}")))?;
        let from = s.sample(x)[at];
        if to < from {
            let start = (from - to) / 2;
            x = s.step(site, "cropped", Op::Select { axis: at, index: (start..start + to).collect() }, &[x])?;
        } else {
            pads[at] = ((to - from) / 2, (to - from).div_ceil(2));
        }
    }
    let op = match pads.iter().all(|p| *p == (0, 0)) {
        true => Op::Identity,
        false => Op::Pad { pads, border: Border::Constant(0.0) },
    };
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

/// Expand: repeats axes of size 1 so that the value broadcasts to a shape.
pub fn expand(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let mut x = s.act(site, 0)?;
    let to = site.ints(1)?.values.clone();
    let missing = to.len().saturating_sub(s.rank(x));
    if missing > 0 {
        let ones = std::iter::repeat_n(Dim::Known(1), missing);
        let dims: Vec<Dim> = ones.chain(s.dims(x).values).collect();
        let name = s.free(&format!("{}/raised", site.name));
        x = s.reshape(&name, x, &dims)?;
    }
    let (rank, shape) = (s.rank(x), s.sample(x));
    let mut chosen = Vec::new();
    let mut batched = false;
    for (i, d) in to.iter().enumerate() {
        let Some(at) = s.axis_or_batch(x, (rank - to.len() + i) as i64)? else {
            let whole = s.batch.map(|n| Dim::Known(n as i64));
            if matches!(d, Dim::Batch | Dim::Known(1)) || whole == Some(*d) {
                continue;
            }
            if s.of_one_sample() {
                let x = s.with_axis(site, x)?;
                return expand(s, &site.with([&[Value::Act(x)], &site.inputs[1..]].concat()));
            }
            return Err(mixes("it repeats samples"));
        };
        match (shape[at] as i64, s.resolve(*d)) {
            // The same for all samples.
            (1, Dim::Batch) if i == 0 && x.lead == 0 => batched = true,
            (_, Dim::Known(1)) => {}
            (n, Dim::Known(d)) if n == d => {}
            (1, Dim::Known(d)) if (0..ONNX_COMPUTED as i64).contains(&d) => chosen.push((at, vec![0; d as usize])),
            (_, Dim::Batch) => return Err(mixes("it repeats a value along the batch")),
            (n, d) => return Err(Error::shape(format!("an axis of {n} does not expand to {d:?}"))),
        }
    }
    if batched && to.len() == rank && chosen.iter().all(|(at, _)| *at > 0) {
        let x = s.of_one(site, x)?;
        return select(s, site, x, chosen.into_iter().map(|(at, index)| (at - 1, index)).collect());
    }
    select(s, site, x, chosen)
}

/// Tile: repeats whole axes.
pub fn tile(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let repeats = site.ints(1)?.known()?;
    if repeats.len() != s.rank(x) {
        return Err(Error::format(format!("{} repeats for {} axes", repeats.len(), s.rank(x))));
    }
    let mut chosen = Vec::new();
    for (axis, times) in repeats.iter().enumerate().filter(|(_, t)| **t != 1) {
        if s.of_one_sample() && x.lead == 1 && axis == 0 {
            let x = s.with_axis(site, x)?;
            return tile(s, &site.with([&[Value::Act(x)], &site.inputs[1..]].concat()));
        }
        let at = s.axis(x, axis as i64)?;
        let n = s.sample(x)[at];
        let total = usize::try_from(*times).ok().and_then(|t| t.checked_mul(n)).filter(|t| *t < ONNX_COMPUTED);
        let total = total.ok_or_else(|| Error::format(format!("{times} repeats")))?;
        chosen.push((at, (0..total).map(|i| i % n).collect()));
    }
    select(s, site, x, chosen)
}
