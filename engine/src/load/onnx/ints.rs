//! Shape arithmetic: the integers of `Shape` and what exporters compute from them, with a symbolic batch size.

use super::scope::Scope;
use super::site::Site;
use super::value::{Const, Dim, Ints, Value, count, mixes};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Elementary};
use crate::graph::{Op, infer};
use crate::limits::{ONNX_COMPUTED, ONNX_INTEGERS};
use crate::tensor::to_f64;
use candle_core::{Device, Tensor};
use rten_onnx::onnx::DataType;

/// Shape, of an activation or of a constant.
pub fn shape(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let dims = dims_of(s, site)?;
    let rank = dims.len() as i64;
    let bound = |name: &str, default: i64| -> Result<usize> {
        let v = site.int(name)?.unwrap_or(default);
        Ok((if v < 0 { v + rank } else { v }).clamp(0, rank) as usize)
    };
    let (start, end) = (bound("start", 0)?, bound("end", rank)?);
    Ok(vec![Value::Ints(Ints::list(dims.get(start..end).unwrap_or(&[]).to_vec()))])
}

/// Size: the number of entries.
pub fn size(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let total = dims_of(s, site)?.into_iter().try_fold(Dim::Known(1), |n, d| combine(s, "Mul", n, d))?;
    Ok(vec![Value::Ints(Ints { dims: Vec::new(), values: vec![total] })])
}

fn dims_of(s: &Scope, site: &Site<'_>) -> Result<Vec<Dim>> {
    let known = |dims: &[usize]| dims.iter().map(|d| Dim::Known(*d as i64)).collect();
    match site.input(0) {
        Value::Act(x) => Ok(s.dims(*x).values),
        Value::Floats(c) => Ok(known(c.tensor.dims())),
        Value::Ints(v) => Ok(known(&v.dims)),
        Value::Absent => Err(Error::format("input 0 is missing")),
    }
}

/// An error where there are too many integers. They are also kept as f32, which is exact for integers up to 2^24.
///
/// # Errors
/// Where there are more than the limits allow.
pub fn room(integers: usize) -> Result<()> {
    if integers > ONNX_COMPUTED {
        return Err(Error::unsupported(format!("shape arithmetic over {integers} integers")));
    }
    ONNX_INTEGERS.check((size_of::<Dim>() * integers) as u64)
}

/// ConstantOfShape
pub fn constant_of_shape(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let list: Vec<Dim> = site.ints(0)?.values.iter().map(|d| s.resolve(*d)).collect();
    let (dims, total) = count(&Ints::list(list).known()?)?;
    if total > ONNX_COMPUTED {
        return Err(Error::format(format!("a constant of shape {dims:?}")));
    }
    match site.inputs.get(1) {
        Some(Value::Ints(v)) if v.values.len() == 1 => {
            room(total)?;
            Ok(vec![Value::Ints(Ints { dims, values: vec![v.values[0]; total] })])
        }
        value => {
            let value = match value {
                Some(Value::Floats(c)) if c.tensor.elem_count() == 1 => to_f64(&c.tensor)?[0] as f32,
                None => 0.0,
                _ => return Err(Error::format("attribute `value` should be one number")),
            };
            let tensor = Tensor::from_vec(vec![value; total], dims, &Device::Cpu)?;
            Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })])
        }
    }
}

/// Range, of integers or real numbers.
pub fn range(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if site.inputs.iter().any(|v| matches!(v, Value::Floats(_))) {
        let missing = || Error::format("a range takes three numbers");
        let [start, limit, step] = [site.scalar(0)?, site.scalar(1)?, site.scalar(2)?];
        let (start, limit, step) = (start.ok_or_else(missing)?, limit.ok_or_else(missing)?, step.ok_or_else(missing)?);
        let n = ((limit - start) / step).ceil().max(0.0);
        if n.is_nan() || n > ONNX_COMPUTED as f64 {
            return Err(Error::format("a range of too many numbers"));
        }
        let values: Vec<f32> = (0..n as usize).map(|i| (start + i as f64 * step) as f32).collect();
        let tensor = Tensor::new(values, &Device::Cpu)?;
        return Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })]);
    }
    let one = |i: usize| -> Result<i64> {
        let list: Vec<Dim> = site.ints(i)?.values.iter().map(|d| s.resolve(*d)).collect();
        match Ints::list(list).known()?[..] {
            [v] => Ok(v),
            _ => Err(Error::format(format!("input {i} should be one number"))),
        }
    };
    let (mut v, limit, step) = (one(0)?, one(1)?, one(2)?);
    room(usize::try_from((limit.abs_diff(v)) / step.unsigned_abs().max(1)).unwrap_or(usize::MAX))?;
    let mut values = Vec::new();
    while (step > 0 && v < limit) || (step < 0 && v > limit) {
        values.push(Dim::Known(v));
        if values.len() > ONNX_COMPUTED {
            return Err(Error::format("a range of too many numbers"));
        }
        v = v.saturating_add(step);
    }
    Ok(vec![Value::Ints(Ints::list(values))])
}

/// Cast and CastLike: of constants; of an activation only to real numbers, which is the identity.
pub fn cast(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let to = match site.op {
        "CastLike" => match site.input(1) {
            Value::Ints(_) => DataType::INT64,
            _ => DataType::FLOAT,
        },
        _ => DataType(site.int("to")?.and_then(|v| i32::try_from(v).ok()).unwrap_or(0)),
    };
    let real = matches!(to, DataType::FLOAT | DataType::DOUBLE | DataType::FLOAT16 | DataType::BFLOAT16);
    match site.input(0) {
        Value::Act(_) if real => super::pointwise::identity(s, site),
        Value::Act(x) if to == DataType::BOOL => {
            let x = *x;
            let size = s.step(site, "size", Op::Activation(Activation::Abs), &[x])?;
            Ok(vec![Value::Act(s.activation(site, Activation::Step(0.0), size)?)])
        }
        Value::Act(x) if matches!(to, DataType::INT64 | DataType::INT32) => {
            Ok(vec![Value::Act(s.activation(site, Activation::Elementary(Elementary::Truncate), *x)?)])
        }
        Value::Act(x) if matches!(to, DataType::INT8 | DataType::UINT8) => {
            Ok(vec![Value::Act(super::bytes::cast(s, site, *x, to == DataType::INT8)?)])
        }
        Value::Floats(_) if real => super::pointwise::identity(s, site),
        Value::Ints(v) if real => {
            let values = Ints::list(v.values.iter().map(|d| s.resolve(*d)).collect()).known()?;
            let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
            let tensor = Tensor::from_vec(values, v.dims.as_slice(), &Device::Cpu)?;
            Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })])
        }
        Value::Ints(v) => {
            let truth = |d: &Dim| match d {
                Dim::Known(v) if to == DataType::BOOL => Dim::Known(i64::from(*v != 0)),
                Dim::Known(v) => Dim::Known(super::bytes::cast_constant(*v, to)),
                other => *other,
            };
            Ok(vec![Value::Ints(Ints { dims: v.dims.clone(), values: v.values.iter().map(truth).collect() })])
        }
        Value::Floats(c) => {
            let whole = |v: f64| {
                let is_true = i64::from(v != 0.0);
                Dim::Known(if to == DataType::BOOL {
                    is_true
                } else {
                    super::bytes::cast_constant(v.trunc() as i64, to)
                })
            };
            let values = to_f64(&c.tensor)?.into_iter().map(whole).collect();
            Ok(vec![Value::Ints(Ints { dims: c.tensor.dims().to_vec(), values })])
        }
        Value::Act(_) => Err(Error::unsupported(format!("a cast of an activation to {to}"))),
        Value::Absent => Err(Error::format("input 0 is missing")),
    }
}

/// Element-wise operators over integers.
pub fn elementwise(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    // The remainder has the sign of the divisor, or with `fmod` of the dividend.
    let op = if site.op == "Mod" && site.int("fmod")?.unwrap_or(0) != 0 { "fmod" } else { site.op };
    let mut inputs = (0..site.inputs.len()).map(|i| site.ints(i));
    let mut total = inputs.next().ok_or_else(|| Error::format("no inputs"))??.clone();
    if inputs.len() == 0 {
        let single = |d: &Dim| match (site.op, s.resolve(*d)) {
            ("Neg", Dim::Known(v)) => Ok(Dim::Known(v.saturating_neg())),
            ("Abs", Dim::Known(v)) => Ok(Dim::Known(v.saturating_abs())),
            ("Sign", Dim::Known(v)) => Ok(Dim::Known(v.signum())),
            ("Not", Dim::Known(v)) => Ok(Dim::Known(i64::from(v == 0))),
            ("Sum" | "Max" | "Min" | "Identity", d) => Ok(d),
            (op, _) => Err(Error::unsupported(format!("`{op}` of integers"))),
        };
        let values = total.values.iter().map(single).collect::<Result<_>>()?;
        return Ok(vec![Value::Ints(Ints { dims: total.dims, values })]);
    }
    for next in inputs {
        let next = next?;
        let dims = broadcast_dims(&[&total.dims, &next.dims])?;
        let (a, b) = (spread(&total, &dims), spread(next, &dims));
        let values = a.into_iter().zip(b).map(|(a, b)| combine(s, op, a, b)).collect::<Result<_>>()?;
        total = Ints { dims, values };
    }
    Ok(vec![Value::Ints(total)])
}

fn combine(s: &Scope, op: &str, a: Dim, b: Dim) -> Result<Dim> {
    // Identities that hold for any batch size.
    match (op, a, b) {
        ("Mul" | "Div", Dim::Batch, Dim::Known(1)) | ("Mul", Dim::Known(1), Dim::Batch) => return Ok(Dim::Batch),
        ("Add" | "Sub", Dim::Batch, Dim::Known(0)) | ("Add", Dim::Known(0), Dim::Batch) => return Ok(Dim::Batch),
        ("Max", Dim::Batch, Dim::Known(..=1)) | ("Max", Dim::Known(..=1), Dim::Batch) => return Ok(Dim::Batch),
        ("Equal", Dim::Batch, Dim::Batch) => return Ok(Dim::Known(1)),
        ("Equal", Dim::Batch, Dim::Known(..=0)) | ("Equal", Dim::Known(..=0), Dim::Batch) => return Ok(Dim::Known(0)),
        _ => {}
    }
    let (Dim::Known(a), Dim::Known(b)) = (s.resolve(a), s.resolve(b)) else {
        return Err(mixes("it computes with the batch size"));
    };
    let truth = |t: bool| Some(i64::from(t));
    let value = match op {
        "Add" | "Sum" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        "fmod" => a.checked_rem(b),
        "Mod" => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        "Pow" => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        "Xor" => truth((a != 0) != (b != 0)),
        "BitwiseAnd" => Some(a & b),
        "BitwiseOr" => Some(a | b),
        "Max" => Some(a.max(b)),
        "Min" => Some(a.min(b)),
        "Equal" => truth(a == b),
        "Greater" => truth(a > b),
        "GreaterOrEqual" => truth(a >= b),
        "Less" => truth(a < b),
        "LessOrEqual" => truth(a <= b),
        "And" => truth(a != 0 && b != 0),
        "Or" => truth(a != 0 || b != 0),
        other => return Err(Error::unsupported(format!("`{other}` of integers"))),
    };
    value.map(Dim::Known).ok_or_else(|| Error::format(format!("{a} {op} {b} has no value")))
}

/// ReduceProd, ReduceSum, ReduceMax and ReduceMin of integers.
pub fn reduce(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = site.ints(0)?;
    let rank = x.dims.len();
    let listed = if site.has(1) { Some(site.ints(1)?.known()?) } else { site.int_list("axes")? };
    let gone: Vec<bool> = match listed.filter(|l| !l.is_empty()) {
        None => vec![true; rank],
        Some(list) => (0..rank as i64).map(|a| list.contains(&a) || list.contains(&(a - rank as i64))).collect(),
    };
    let op = match site.op {
        "ReduceProd" => "Mul",
        "ReduceSum" => "Add",
        "ReduceMax" => "Max",
        "ReduceMin" => "Min",
        other => return Err(Error::unsupported(format!("`{other}` of integers"))),
    };
    let kept: Vec<usize> = (0..rank).map(|a| if gone[a] { 1 } else { x.dims[a] }).collect();
    let steps = crate::kernels::rearrange::strides(&kept);
    let mut totals: Vec<Option<Dim>> = vec![None; kept.iter().product()];
    for (i, value) in x.values.iter().enumerate() {
        let (mut rest, mut at) = (i, 0);
        for a in (0..rank).rev() {
            at += if gone[a] { 0 } else { rest % x.dims[a] * steps[a] };
            rest /= x.dims[a];
        }
        totals[at] = Some(match totals[at] {
            None => *value,
            Some(total) => combine(s, op, total, *value)?,
        });
    }
    let values = totals.into_iter().map(|t| t.unwrap_or(Dim::Known(i64::from(op == "Mul")))).collect();
    let keep = site.int("keepdims")?.unwrap_or(1) != 0;
    let dims = if keep { kept } else { (0..rank).filter(|a| !gone[*a]).map(|a| x.dims[a]).collect() };
    Ok(vec![Value::Ints(Ints { dims, values })])
}

/// NonZero: the indices of non-zero entries, a row for each axis.
pub fn non_zero(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let (values, dims) = match site.input(0) {
        Value::Ints(v) => {
            let known = Ints::list(v.values.iter().map(|d| s.resolve(*d)).collect()).known()?;
            (known.into_iter().map(|v| v as f64).collect(), v.dims.clone())
        }
        Value::Floats(c) => (to_f64(&c.tensor)?, c.tensor.dims().to_vec()),
        other => {
            return Err(site.wants(0, "a constant", other));
        }
    };
    let places: Vec<usize> = (0..values.len()).filter(|i| values[*i] != 0.0).collect();
    room(places.len().saturating_mul(dims.len()))?;
    let steps = crate::kernels::rearrange::strides(&dims);
    let along = |a: usize| {
        let (n, step) = (dims[a], steps[a]);
        places.iter().map(move |i| Dim::Known((i / step % n) as i64))
    };
    let rows: Vec<Dim> = (0..dims.len()).flat_map(along).collect();
    Ok(vec![Value::Ints(Ints { dims: vec![dims.len(), places.len()], values: rows })])
}

/// EyeLike: ones on a diagonal, in the input's shape.
pub fn eye(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let dims: Vec<Dim> = dims_of(s, site)?.into_iter().map(|d| s.resolve(d)).collect();
    let (dims, total) = count(&Ints::list(dims).known()?)?;
    let &[_, columns] = dims.as_slice() else { return Err(Error::shape(format!("a diagonal of {dims:?}"))) };
    if total > ONNX_COMPUTED {
        return Err(Error::format(format!("a constant of shape {dims:?}")));
    }
    let k = site.int("k")?.unwrap_or(0);
    let on = |i: usize| (i % columns) as i64 - (i / columns) as i64 == k;
    let real = site.int("dtype")?.is_none_or(|kind| matches!(kind, 1 | 10 | 11 | 16));
    if real && !matches!(site.input(0), Value::Ints(_)) {
        let values: Vec<f32> = (0..total).map(|i| f32::from(u8::from(on(i)))).collect();
        let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
        return Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })]);
    }
    room(total)?;
    let values = (0..total).map(|i| Dim::Known(i64::from(on(i)))).collect();
    Ok(vec![Value::Ints(Ints { dims, values })])
}

/// Trilu: the upper or lower triangle of a matrix.
pub fn triangle(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let upper = site.int("upper")?.unwrap_or(1) != 0;
    let k = site.scalar(1)?.unwrap_or(0.0) as i64;
    let kept = |i: usize, j: usize| if upper { j as i64 - i as i64 >= k } else { j as i64 - i as i64 <= k };
    if let Value::Ints(v) = site.input(0) {
        let &[.., rows, columns] = v.dims.as_slice() else { return Err(Error::shape("a triangle of no matrix")) };
        let place = |i: usize| kept(i / columns % rows, i % columns);
        let values = v.values.iter().enumerate().map(|(i, d)| if place(i) { *d } else { Dim::Known(0) }).collect();
        return Ok(vec![Value::Ints(Ints { dims: v.dims.clone(), values })]);
    }
    if let Value::Floats(c) = site.input(0) {
        // Selected, not multiplied: masks contain infinities.
        let dims = c.tensor.dims().to_vec();
        let &[.., rows, columns] = dims.as_slice() else { return Err(Error::shape("a triangle of no matrix")) };
        let mut values = crate::tensor::to_f32(&c.tensor)?;
        values
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| !kept(i / columns % rows, i % columns))
            .for_each(|(_, v)| *v = 0.0);
        let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
        return Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })]);
    }
    let x = s.act(site, 0)?;
    let shape = s.sample(x);
    let &[.., rows, columns] = shape.as_slice() else {
        return Err(mixes("it takes a triangle of a matrix of which one axis is the batch"));
    };
    let mask = (0..rows * columns).map(|i| f32::from(u8::from(kept(i / columns, i % columns)))).collect();
    let tensor = Tensor::from_vec(mask, (rows, columns), &Device::Cpu)?;
    let mask = s.constant(&Const { name: format!("{}/triangle", site.name), tensor })?;
    Ok(vec![Value::Act(s.binary(&site.name, crate::graph::op::Binary::Mul, x, mask)?)])
}

/// The shape to which arrays of integers broadcast.
///
/// # Errors
/// Where they do not broadcast, or the shape is too large.
pub fn broadcast_dims(all: &[&[usize]]) -> Result<Vec<usize>> {
    let dims = all.iter().try_fold(Vec::new(), |to, d| infer::broadcast(&to, d))?;
    match dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) {
        Some(total) if total <= ONNX_COMPUTED => room(total).map(|()| dims),
        _ => Err(Error::format(format!("integers of shape {dims:?}"))),
    }
}

/// The values broadcast to `dims`.
pub fn spread(x: &Ints, dims: &[usize]) -> Vec<Dim> {
    let missing = dims.len() - x.dims.len();
    let own = crate::kernels::rearrange::strides(&x.dims);
    (0..dims.iter().product())
        .map(|mut i| {
            let mut at = 0;
            for a in (0..dims.len()).rev() {
                let place = i % dims[a];
                i /= dims[a];
                if a >= missing && x.dims[a - missing] != 1 {
                    at += place * own[a - missing];
                }
            }
            x.values[at]
        })
        .collect()
}
