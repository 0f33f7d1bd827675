//! Operators that are evaluated on constants only, as in positional encodings and attention masks.

use super::scope::Scope;
use super::site::Site;
use super::value::{Const, Dim, Ints, Value};
use crate::error::{Error, Result};
use crate::kernels::rearrange::strides;
use crate::tensor::to_f32;
use candle_core::{Device, Tensor};

/// Floor, Ceil, Round, Sign, Sin and Cos.
pub fn map_constant(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if let Value::Act(_) = site.input(0) {
        return super::pointwise::activation(s, site);
    }
    let c = site.floats(0)?;
    let f: fn(f32) -> f32 = match site.op {
        "Floor" => f32::floor,
        "Ceil" => f32::ceil,
        "Round" => f32::round_ties_even,
        "Sign" => |v| if v == 0.0 || v.is_nan() { v } else { v.signum() },
        "Sin" => libm::sinf,
        "Cos" => libm::cosf,
        other => return Err(Error::internal(format!("`{other}` is no function of constants"))),
    };
    let values: Vec<f32> = to_f32(&c.tensor)?.into_iter().map(f).collect();
    let tensor = Tensor::from_vec(values, c.tensor.dims(), &Device::Cpu)?;
    Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })])
}

/// CumSum: cumulative sums along an axis.
pub fn cum_sum(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let axis = site.scalar(1)?.ok_or_else(|| Error::format("input 1, the axis, is missing"))? as i64;
    let (exclusive, reverse) = (site.int("exclusive")?.unwrap_or(0) != 0, site.int("reverse")?.unwrap_or(0) != 0);
    match site.input(0) {
        Value::Ints(v) => {
            let known = v.known()?;
            let sums = along(&known, &v.dims, axis, exclusive, reverse, i64::saturating_add)?;
            Ok(vec![Value::Ints(Ints { dims: v.dims.clone(), values: sums.into_iter().map(Dim::Known).collect() })])
        }
        Value::Floats(c) => {
            let sums = along(&to_f32(&c.tensor)?, c.tensor.dims(), axis, exclusive, reverse, |a, b| a + b)?;
            let tensor = Tensor::from_vec(sums, c.tensor.dims(), &Device::Cpu)?;
            Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })])
        }
        Value::Act(x) => {
            let x = *x;
            let at = s.axis(x, axis)?;
            let n = s.sample(x)[at];
            let counts = |to: usize, from: usize| {
                let (a, b) = if reverse { (to, from) } else { (from, to) };
                if a < b || (a == b && !exclusive) { 1.0f32 } else { 0.0 }
            };
            let sums = (0..n * n).map(|i| counts(i / n, i % n)).collect();
            Ok(vec![Value::Act(s.along(site, x, at, Tensor::from_vec(sums, (n, n), &Device::Cpu)?)?)])
        }
        other => Err(site.wants(0, "a constant", other)),
    }
}

fn along<T: Copy + Default>(
    v: &[T],
    dims: &[usize],
    axis: i64,
    exclusive: bool,
    reverse: bool,
    add: impl Fn(T, T) -> T,
) -> Result<Vec<T>> {
    let at = if axis < 0 { axis + dims.len() as i64 } else { axis };
    let at = usize::try_from(at).ok().filter(|a| *a < dims.len());
    let at = at.ok_or_else(|| Error::shape(format!("axis {axis} of a value with {} axes", dims.len())))?;
    let (n, step) = (dims[at], strides(dims)[at]);
    let mut sums = v.to_vec();
    for start in (0..v.len()).filter(|i| i / step % n == 0) {
        let mut total = T::default();
        for k in 0..n {
            let i = start + step * if reverse { n - 1 - k } else { k };
            let before = total;
            total = add(total, v[i]);
            sums[i] = if exclusive { before } else { total };
        }
    }
    Ok(sums)
}

/// ScatterND: replaces entries of a constant; computed values are translated to a choice of entries.
pub fn scatter_nd_constant(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if matches!(site.input(0), Value::Act(_)) || matches!(site.input(2), Value::Act(_)) {
        return super::indices::scatter_nd(s, site);
    }
    if let Some(how) = site.text("reduction")?.filter(|how| !matches!(how.as_str(), "" | "none")) {
        return Err(Error::unsupported(format!("attribute `reduction` is `{how}`")));
    }
    let index = site.ints(1)?;
    match (site.input(0), site.input(2)) {
        (Value::Ints(data), Value::Ints(updates)) => {
            let values = replaced(&data.values, &data.dims, index, &updates.values)?;
            Ok(vec![Value::Ints(Ints { dims: data.dims.clone(), values })])
        }
        (Value::Floats(data), Value::Floats(updates)) => {
            let values = replaced(&to_f32(&data.tensor)?, data.tensor.dims(), index, &to_f32(&updates.tensor)?)?;
            let tensor = Tensor::from_vec(values, data.tensor.dims(), &Device::Cpu)?;
            Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })])
        }
        (Value::Floats(_) | Value::Ints(_), updates) => Err(site.wants(2, "a constant", updates)),
        (data, _) => Err(site.wants(0, "a constant", data)),
    }
}

fn replaced<T: Copy>(data: &[T], dims: &[usize], index: &Ints, updates: &[T]) -> Result<Vec<T>> {
    let places = index.known()?;
    let depth = index.dims.last().copied().unwrap_or(0);
    if depth == 0 || depth > dims.len() {
        return Err(Error::shape(format!("indices of shape {:?} into {dims:?}", index.dims)));
    }
    let (steps, len) = (strides(dims), dims[depth..].iter().product::<usize>());
    if updates.len() != places.len() / depth * len {
        return Err(Error::shape(format!(
            "{} values for indices of shape {:?} into {dims:?}",
            updates.len(),
            index.dims
        )));
    }
    let mut values = data.to_vec();
    for (place, part) in places.chunks(depth).zip(updates.chunks(len.max(1))) {
        let mut at = 0;
        for ((i, n), step) in place.iter().zip(dims).zip(&steps) {
            let i = if *i < 0 { i + *n as i64 } else { *i };
            let i = usize::try_from(i).ok().filter(|i| i < n);
            at += i.ok_or_else(|| Error::shape(format!("entry {place:?} of {dims:?}")))? * step;
        }
        values[at..at + len].copy_from_slice(part);
    }
    Ok(values)
}
