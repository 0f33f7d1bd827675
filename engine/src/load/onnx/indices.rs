//! Gathers and scatters. With known indices they select entries of the flattened value, with computed ones they pick them.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Ints, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::Binary;
use crate::kernels::rearrange::strides;
use crate::limits::ONNX_COMPUTED;
use candle_core::{DType, Device, Tensor};

/// How many values may be summed into one entry.
const MAX_SUMMANDS: usize = 64;

/// Gather with computed indices: for each of them, an entry of the axis.
pub fn gather_computed(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let (mut data, mut index) = (s.act(site, 0)?, s.act(site, 1)?);
    let said = site.int("axis")?.unwrap_or(0);
    // A table is the same for all samples; in other cases the batch of the indices would be a second batch.
    if index.lead == 1 && (data.lead == 1 || said != 0) {
        (data, index) = (s.with_axis(site, data)?, s.with_axis(site, index)?);
    }
    if index.lead == 0 && data.lead == 1 && s.axis_or_batch(data, said)?.is_none() {
        data = s.with_axis(site, data)?;
    }
    let (shape, places) = (s.sample(data), s.sample(index));
    let axis = s.axis(data, said)?;
    let (front, back) = (&shape[..axis], &shape[axis + 1..]);
    let split = vec![front.iter().product(), shape[axis], back.iter().product()];
    let flat = s.step(site, "entries", Op::Reshape(split), &[data])?;
    let line = s.step(site, "places", Op::Reshape(vec![1, places.iter().product(), 1]), &[index])?;
    let picked = s.step(site, "picked", Op::Pick { axis: 1 }, &[flat, line])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape([front, &places, back].concat()), &[picked])?)])
}

/// GatherElements: for each index, the entry at the index's own position with the coordinate along one axis replaced.
pub fn gather_elements(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let said = site.int("axis")?.unwrap_or(0);
    if let Value::Ints(index) = site.input(1) {
        let mut x = s.act(site, 0)?;
        if x.lead == 1 && (index.dims.first() != Some(&1) || s.axis_or_batch(x, said)?.is_none()) {
            x = s.with_axis(site, x)?;
        }
        let axis = s.axis(x, said)?;
        let dims = &index.dims[x.lead.min(index.dims.len())..];
        let shape = s.sample(x);
        let sources = elements(&shape, axis, dims, &index.known()?)?;
        return select_entries(s, site, x, sources, dims.to_vec());
    }
    let operands = s.operands(site)?;
    let &[mut data, mut index] = operands.as_slice() else {
        return Err(Error::format(format!("{} inputs", operands.len())));
    };
    if s.rank(data) == s.rank(index) && (s.axis_or_batch(index, said)?.is_none() || data.lead != index.lead) {
        (data, index) = (s.with_axis(site, data)?, s.with_axis(site, index)?);
    }
    let axis = s.axis(index, said)?;
    let places = s.sample(index);
    for (a, n) in places.iter().enumerate() {
        if a != axis && s.sample(data).get(a).is_some_and(|m| m > n) {
            data = s.step(site, "first", Op::Select { axis: a, index: (0..*n).collect() }, &[data])?;
        }
    }
    Ok(vec![Value::Act(s.add(site, Op::Pick { axis }, &[data, index])?)])
}

/// The positions in a flattened value of `shape` that indices of shape `dims` along `axis` refer to.
fn elements(shape: &[usize], axis: usize, dims: &[usize], index: &[i64]) -> Result<Vec<usize>> {
    if dims.len() != shape.len() || (0..dims.len()).any(|a| a != axis && dims[a] > shape[a]) {
        return Err(Error::shape(format!("indices of shape {dims:?} along axis {axis} of {shape:?}")));
    }
    let steps = strides(shape);
    let own = strides(dims);
    let place = |(i, at): (usize, &i64)| -> Result<usize> {
        let entry = |a: usize| i / own[a] % dims[a] * steps[a];
        let sides: usize = (0..dims.len()).filter(|a| *a != axis).map(entry).sum();
        Ok(sides + within(*at, shape[axis])? * steps[axis])
    };
    index.iter().enumerate().map(place).collect()
}

fn within(at: i64, n: usize) -> Result<usize> {
    let from_end = if at < 0 { at + n as i64 } else { at };
    let known = usize::try_from(from_end).ok().filter(|i| *i < n);
    known.ok_or_else(|| Error::shape(format!("entry {at} of {n}")))
}

/// Selects entries of the flattened value, in another shape.
fn select_entries(s: &mut Scope, site: &Site<'_>, x: Act, sources: Vec<usize>, to: Vec<usize>) -> Result<Vec<Value>> {
    if sources.is_empty() || sources.len() > ONNX_COMPUTED {
        return Err(Error::unsupported(format!("a gather of {} entries", sources.len())));
    }
    let all = s.sample(x).iter().product();
    let flat = s.step(site, "flat", Op::Reshape(vec![all]), &[x])?;
    let picked = s.step(site, "picked", Op::Select { axis: 0, index: sources.into() }, &[flat])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[picked])?)])
}

/// GatherND with known indices.
pub fn gather_nd(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let index = site.ints(1)?.clone();
    let mut x = s.act(site, 0)?;
    let mut batch = usize::try_from(site.int("batch_dims")?.unwrap_or(0))
        .map_err(|_| Error::format("attribute `batch_dims` is negative"))?;
    let mut dims = index.dims.clone();
    if x.lead == 1 {
        if batch > 0 && dims.first() == Some(&1) {
            batch -= 1;
            dims.remove(0);
        } else {
            x = s.with_axis(site, x)?;
        }
    }
    let shape = s.sample(x);
    let Some((depth, places)) = dims.split_last() else { return Err(Error::shape("indices without axes")) };
    if batch > places.len() || batch + depth > shape.len() {
        return Err(Error::shape(format!("indices of shape {dims:?} into {shape:?}")));
    }
    let (steps, known) = (strides(&shape), index.known()?);
    if let ([_], 0, 1) = (places, batch, *depth) {
        // Whole slices along an axis, for example channels in another order.
        let entries = known.iter().map(|entry| within(*entry, shape[0])).collect::<Result<Vec<usize>>>()?;
        return Ok(vec![Value::Act(s.add(site, Op::Select { axis: 0, index: entries.into() }, &[x])?)]);
    }
    let len: usize = shape[batch + depth..].iter().product();
    let each: usize = places[batch..].iter().product();
    let mut sources = Vec::new();
    for (i, place) in known.chunks((*depth).max(1)).enumerate() {
        // Row-major over the leading axes, which the indices share with the value.
        let group: usize = shape[batch..].iter().product();
        let mut at = i / each.max(1) * group;
        for (k, entry) in place.iter().enumerate() {
            at += within(*entry, shape[batch + k])? * steps[batch + k];
        }
        sources.extend(at..at + len);
    }
    let to = [&shape[..batch], &places[batch..], &shape[batch + depth..]].concat();
    select_entries(s, site, x, sources, to)
}

/// ScatterElements.
pub fn scatter_elements(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if let Value::Act(_) = site.input(1) {
        return super::scatter::computed(s, site);
    }
    let index = site.ints(1)?.clone();
    let said = site.int("axis")?.unwrap_or(0);
    let (mut data, mut updates) = (s.batched(site, 0)?, s.batched(site, 2)?);
    let by_sample = data.lead == 1 && updates.lead == 1 && index.dims.first() == Some(&1);
    if !by_sample || s.axis_or_batch(data, said)?.is_none() {
        (data, updates) = (without_batch(s, site, data)?, without_batch(s, site, updates)?);
    }
    let axis = s.axis(data, said)?;
    let shape = s.sample(data);
    let dims = &index.dims[data.lead.min(index.dims.len())..];
    let places = elements(&shape, axis, dims, &index.known()?)?;
    scatter_at(s, site, data, updates, &places)
}

/// ScatterND with known indices into computed values.
pub fn scatter_nd(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let index: Ints = site.ints(1)?.clone();
    let index = Ints { values: index.values.iter().map(|d| s.resolve(*d)).collect(), ..index };
    let (data, updates) = (s.act(site, 0)?, s.act(site, 2)?);
    let (data, updates) = (without_batch(s, site, data)?, without_batch(s, site, updates)?);
    let shape = s.sample(data);
    let depth = index.dims.last().copied().unwrap_or(0);
    if depth == 0 || depth > shape.len() {
        return Err(Error::shape(format!("indices of shape {:?} into {shape:?}", index.dims)));
    }
    let (steps, len) = (strides(&shape), shape[depth..].iter().product::<usize>());
    let mut places = Vec::new();
    for place in index.known()?.chunks(depth) {
        let mut at = 0;
        for (k, entry) in place.iter().enumerate() {
            at += within(*entry, shape[k])? * steps[k];
        }
        places.extend(at..at + len);
    }
    scatter_at(s, site, data, updates, &places)
}

/// A value without batch whose axes are all its own.
fn without_batch(s: &mut Scope, site: &Site<'_>, x: Act) -> Result<Act> {
    if matches!(s.builder.op(x.id), Op::Constant(_)) && x.lead == 1 {
        let to = [&[1], s.sample(x).as_slice()].concat();
        let name = s.free(&format!("{}/constant", site.name));
        let id = s.push(&name, Op::Reshape(to), &[x])?.id;
        return Ok(Act { id, lead: 0 });
    }
    s.with_axis(site, x)
}

/// `data` with `updates` written, or added, at `places` of the flattened value.
fn scatter_at(s: &mut Scope, site: &Site<'_>, data: Act, updates: Act, places: &[usize]) -> Result<Vec<Value>> {
    let (shape, given) = (s.sample(data), s.sample(updates).iter().product::<usize>());
    let n: usize = shape.iter().product();
    if given != places.len() || n + given > ONNX_COMPUTED {
        return Err(Error::shape(format!("{given} values for {} places of {shape:?}", places.len())));
    }
    let values = s.step(site, "values", Op::Reshape(vec![given]), &[updates])?;
    let flat = s.step(site, "flat", Op::Reshape(vec![n]), &[data])?;
    let how = site.text("reduction")?;
    let y = match how.as_deref() {
        None | Some("" | "none") => {
            let mut sources: Vec<usize> = (0..n).collect();
            places.iter().enumerate().for_each(|(i, place)| sources[*place] = n + i);
            let all = s.step(site, "all", Op::Concat { axis: 0 }, &[flat, values])?;
            s.step(site, "placed", Op::Select { axis: 0, index: sources.into() }, &[all])?
        }
        Some("add") => {
            let zero = s.constant(&super::value::Const {
                name: format!("{}/zero", site.name),
                tensor: Tensor::zeros(1, DType::F32, &Device::Cpu)?,
            })?;
            let all = s.step(site, "all", Op::Concat { axis: 0 }, &[zero, values])?;
            let (mut open, mut total) = ((0..given).collect::<Vec<_>>(), flat);
            for _ in 0..MAX_SUMMANDS {
                let (mut sources, mut later) = (vec![0; n], Vec::new());
                for i in open {
                    let taken = &mut sources[places[i]];
                    if *taken == 0 { *taken = i + 1 } else { later.push(i) }
                }
                let part = s.step(site, "part", Op::Select { axis: 0, index: sources.into() }, &[all])?;
                total = s.step(site, "sum", Op::Binary(Binary::Add), &[total, part])?;
                open = later;
                if open.is_empty() {
                    break;
                }
            }
            if !open.is_empty() {
                return Err(Error::unsupported(format!("more than {MAX_SUMMANDS} values summed in one place")));
            }
            total
        }
        Some(other) => {
            return Err(Error::unsupported(format!("attribute `reduction` is `{other}`"))
                .hint("scatters that replace or add are supported"));
        }
    };
    Ok(vec![Value::Act(s.add(site, Op::Reshape(shape), &[y])?)])
}

/// Compress: selects the entries of an axis where a known condition holds.
pub fn compress(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let held = site.ints(1)?.known()?;
    let Some(said) = site.int("axis")? else {
        return Err(mixes("it flattens the batch into another axis"));
    };
    let x = s.act(site, 0)?;
    let axis = s.axis(x, said)?;
    let index: Vec<usize> = (0..held.len().min(s.sample(x)[axis])).filter(|i| held[*i] != 0).collect();
    super::entries::select(s, site, x, vec![(axis, index)])
}
