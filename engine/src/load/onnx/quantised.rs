//! Quantised nets, computed with onnxruntime's arithmetic.
//!
//! A quantised value is kept as its integer, in f32; sums of products of 8-bit integers are exact while they stay below 2^24.
//! Gradients pass through the rounding ([`Activation::Quantise`]).

use super::quantised_by_range::{self, INTEGERS};
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Dim, Ints, Value};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary};
use crate::graph::{NodeId, Op};
use crate::tensor::to_f64;
use candle_core::{Device, Tensor};

/// A scale and a zero point, one for all or one for each entry of an axis.
struct Steps {
    scale: Vec<f64>,
    zero: Vec<f64>,
}

/// QuantizeLinear: clip(round(x / scale) + zero).
pub fn quantise(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let [low, high] = bounds(site, 2)?;
    let steps = steps(site, 1, 2)?;
    Ok(vec![Value::Act(quantise_node(s, site, &site.name.clone(), x, &steps, [low, high])?)])
}

/// DequantizeLinear: (q - zero) scale.
pub fn dequantise(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if site.int("block_size")?.unwrap_or(0) != 0 {
        return Err(Error::unsupported("quantisation by blocks").hint("one scale a tensor or a channel is read"));
    }
    let steps = steps(site, 1, 2)?;
    if let Value::Ints(v) = site.input(0) {
        let axis = along(site, &v.dims, &steps)?;
        let known = v.known()?;
        let inner: usize = v.dims.get(axis + 1..).unwrap_or(&[]).iter().product();
        let value = |(i, q): (usize, i64)| {
            let at = if steps.scale.len() == 1 { 0 } else { i / inner % v.dims[axis] };
            ((q as f64 - steps.zero[at]) * steps.scale[at]) as f32
        };
        let values: Vec<f32> = known.into_iter().enumerate().map(value).collect();
        let tensor = Tensor::from_vec(values, v.dims.as_slice(), &Device::Cpu)?;
        return Ok(vec![Value::Floats(Const { name: site.name.clone(), tensor })]);
    }
    let x = s.act(site, 0)?;
    let moved = less_zero_point(s, site, x, &steps, 1)?;
    let scale = axis_constant(s, site, "scale", &steps.scale, x, None)?;
    Ok(vec![Value::Act(s.add(site, Op::Binary(Binary::Mul), &[moved, scale])?)])
}

/// QLinearConv and ConvInteger: the convolution of integers, for the former with its result quantised.
pub fn conv(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let integer = site.op == "ConvInteger";
    let (w, wz, xz) = if integer { (1, 3, 2) } else { (3, 5, 2) };
    let x = less_zero(s, site, 0, xz)?;
    let weight = constant_less_zero(s, site, w, &zeros(site, wz)?)?;
    let bias = match (integer, site.input(8)) {
        (false, Value::Ints(b)) => Value::Floats(s.real(&format!("{}/bias", site.name), b)?),
        (false, Value::Floats(b)) => Value::Floats(b.clone()),
        _ => Value::Absent,
    };
    let name = if integer { site.name.clone() } else { s.free(&format!("{}/sums", site.name)) };
    let inner = site.acting("Conv", &name, vec![Value::Act(x), Value::Floats(weight), bias]);
    let made = super::window::conv(s, &inner)?;
    if integer {
        return Ok(made);
    }
    let [Value::Act(sums)] = made[..] else { return Err(Error::internal("a convolution makes one value")) };
    let scales = channel_scales(site, 1, 4, Some(6))?;
    requantise(s, site, sums, &scales, 1 - sums.lead.min(1), 7)
}

/// The integers in input `i` less their zero point in input `zero`, which may be computed.
fn less_zero(s: &mut Scope, site: &Site<'_>, i: usize, zero: usize) -> Result<Act> {
    let x = s.act(site, i)?;
    if let Value::Act(zero) = site.input(zero) {
        let zero = *zero;
        if let Some(q) = quantised_by_range::before_zero_point(s, x, zero) {
            return quantised_by_range::clipped_around(s, site, q, zero);
        }
        // A zero point for each sample, which applies to all of its axes.
        return match s.sample(zero).is_empty() {
            true => s.step(site, "shifted", Op::Binary(Binary::Sub), &[x, zero]),
            false => {
                let name = s.free(&format!("{}/shifted", site.name));
                s.binary(&name, Binary::Sub, x, zero)
            }
        };
    }
    less_zero_point(s, site, x, &Steps { scale: vec![1.0], zero: zeros(site, zero)? }, 1)
}

/// QLinearMatMul and MatMulInteger.
pub fn matmul(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let integer = site.op == "MatMulInteger";
    let (b, az, bz) = if integer { (1, 2, 3) } else { (3, 2, 5) };
    let x = less_zero(s, site, 0, az)?;
    let other = match site.input(b) {
        Value::Act(y) => {
            let y = *y;
            Value::Act(less_zero_point(s, site, y, &Steps { scale: vec![1.0], zero: zeros(site, bz)? }, 1)?)
        }
        _ => Value::Floats(constant_less_zero_last(s, site, b, &zeros(site, bz)?)?),
    };
    let name = if integer { site.name.clone() } else { s.free(&format!("{}/sums", site.name)) };
    let inner = site.acting("MatMul", &name, vec![Value::Act(x), other]);
    let made = super::dense::matmul(s, &inner)?;
    if integer {
        return Ok(made);
    }
    let [Value::Act(sums)] = made[..] else { return Err(Error::internal("a product makes one value")) };
    let scales = channel_scales(site, 1, 4, Some(6))?;
    let last = s.sample(sums).len() - 1;
    requantise(s, site, sums, &scales, last, 7)
}

/// com.microsoft's QGemm: products of integers with an integer bias; quantised where the node has an output scale, else as real
/// numbers.
pub fn gemm(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if site.float("alpha")?.unwrap_or(1.0) != 1.0 {
        return Err(Error::unsupported("attribute `alpha` is not 1"));
    }
    let x = s.act(site, 0)?;
    let x = less_zero_point(s, site, x, &Steps { scale: vec![1.0], zero: zeros(site, 2)? }, 1)?;
    let first = site.int("transB")?.unwrap_or(0) != 0;
    let weight = Value::Floats(less(s, site, 3, &zeros(site, 5)?, first)?);
    let bias = match site.input(6) {
        Value::Ints(b) => Value::Floats(s.real(&format!("{}/bias", site.name), b)?),
        other => other.clone(),
    };
    let inner = site.acting("Gemm", &s.free(&format!("{}/sums", site.name)), vec![Value::Act(x), weight, bias]);
    let made = super::dense::gemm(s, &inner)?;
    let [Value::Act(sums)] = made[..] else { return Err(Error::internal("a product makes one value")) };
    let last = s.sample(sums).len() - 1;
    if site.has(7) {
        return requantise(s, site, sums, &channel_scales(site, 1, 4, Some(7))?, last, 8);
    }
    let scale = axis_constant(s, site, "scale", &channel_scales(site, 1, 4, None)?, sums, Some(last))?;
    Ok(vec![Value::Act(s.add(site, Op::Binary(Binary::Mul), &[sums, scale])?)])
}

/// com.microsoft's operators over quantised values (QLinearAdd, QLinearMul, QLinearSigmoid, ..): dequantise, compute, quantise.
pub fn pointwise(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let two = matches!(site.op, "QLinearAdd" | "QLinearMul");
    let real = |s: &mut Scope, i: usize| -> Result<Act> {
        let x = s.act(site, i)?;
        let steps = steps(site, i + 1, i + 2)?;
        let moved = less_zero_point(s, site, x, &steps, 1)?;
        let scale = s.number(&format!("{}/scale", site.name), steps.scale[0])?;
        s.step(site, "real", Op::Binary(Binary::Mul), &[moved, scale])
    };
    let a = real(s, 0)?;
    let (y, at) = if two {
        let b = real(s, 3)?;
        let f = if site.op == "QLinearAdd" { Binary::Add } else { Binary::Mul };
        let name = s.free(&format!("{}/combined", site.name));
        (s.binary(&name, f, a, b)?, 6)
    } else {
        let name = s.free(&format!("{}/function", site.name));
        let inner = site.renamed(&name).with(vec![Value::Act(a)]);
        let made = match site.op {
            "QLinearSigmoid" => super::pointwise::activation(s, &inner.acting("Sigmoid", &name, inner.inputs.clone()))?,
            "QLinearLeakyRelu" => {
                super::pointwise::activation(s, &inner.acting("LeakyRelu", &name, inner.inputs.clone()))?
            }
            "QLinearGlobalAveragePool" => super::window::global_average_pool(s, &inner)?,
            "QLinearAveragePool" => super::window::average_pool(s, &inner)?,
            other => return Err(Error::unsupported(format!("`{other}`"))),
        };
        let [Value::Act(y)] = made[..] else { return Err(Error::internal("a function makes one value")) };
        (y, 3)
    };
    let steps = steps(site, at, at + 1)?;
    let limits = bounds(site, at + 1)?;
    Ok(vec![Value::Act(quantise_node(s, site, &site.name.clone(), y, &steps, limits)?)])
}

/// QLinearConcat: dequantises the parts, concatenates, quantises.
pub fn concat(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let mut parts = Vec::new();
    for i in (2..site.inputs.len()).step_by(3) {
        let x = s.act(site, i)?;
        let steps = steps(site, i + 1, i + 2)?;
        let moved = less_zero_point(s, site, x, &steps, 1)?;
        let scale = s.number(&format!("{}/scale", site.name), steps.scale[0])?;
        parts.push(Value::Act(s.step(site, "real", Op::Binary(Binary::Mul), &[moved, scale])?));
    }
    let name = s.free(&format!("{}/joined", site.name));
    let made = super::layout::concat(s, &site.acting("Concat", &name, parts))?;
    let [Value::Act(y)] = made[..] else { return Err(Error::internal("a concatenation makes one value")) };
    let (steps, limits) = (steps(site, 0, 1)?, bounds(site, 1)?);
    Ok(vec![Value::Act(quantise_node(s, site, &site.name.clone(), y, &steps, limits)?)])
}

/// Quantises sums of products of integers.
fn requantise(
    s: &mut Scope,
    site: &Site<'_>,
    sums: Act,
    scales: &[f64],
    axis: usize,
    zero: usize,
) -> Result<Vec<Value>> {
    let limits = bounds(site, zero)?;
    let scale = axis_constant(s, site, "scale", scales, sums, Some(axis))?;
    let scaled = s.step(site, "scaled", Op::Binary(Binary::Mul), &[sums, scale])?;
    let steps = Steps { scale: vec![1.0], zero: zeros(site, zero)? };
    Ok(vec![Value::Act(quantise_node(s, site, &site.name.clone(), scaled, &steps, limits)?)])
}

/// clip(round(x / scale) + zero) as node `name`.
fn quantise_node(
    s: &mut Scope,
    site: &Site<'_>,
    name: &str,
    x: Act,
    steps: &Steps,
    [low, high]: [f64; 2],
) -> Result<Act> {
    // Where the smallest integer stands for zero, the clip is a rectifier: quantisers leave out the net's own before it.
    let clips_at_zero = steps.zero.iter().all(|zero| *zero == low);
    let x = match clips_at_zero && is_sum(s, x.id) {
        true => s.step(site, "rectified", Op::Activation(Activation::Relu), &[x])?,
        false => x,
    };
    let quantise = |scale, zero| Op::Activation(Activation::Quantise { scale, zero, low, high, rounds: true });
    if let ([scale], [zero]) = (&steps.scale[..], &steps.zero[..]) {
        return s.push(name, quantise(*scale, *zero), &[x]);
    }
    if steps.zero.iter().any(|z| *z != steps.zero[0]) {
        return Err(Error::unsupported("a zero point for each channel of a computed value"));
    }
    let scale = axis_constant(s, site, "scale", &steps.scale, x, None)?;
    let divided = s.step(site, "divided", Op::Binary(Binary::Div), &[x, scale])?;
    s.push(name, quantise(1.0, steps.zero[0]), &[divided])
}

/// Whether a value is the result of an operation behind which nets have rectifiers, scaled or with its axes in another order.
fn is_sum(s: &Scope, mut id: NodeId) -> bool {
    let is_constant = |id: &NodeId| matches!(s.builder.op(*id), Op::Constant(_));
    loop {
        let node = s.builder.node(id);
        match &node.op {
            Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. } | Op::MatMul | Op::BatchNorm { .. } => {
                return true;
            }
            Op::Binary(Binary::Add) => return true,
            Op::Binary(Binary::Mul | Binary::Div) if node.inputs.iter().skip(1).all(is_constant) => id = node.inputs[0],
            Op::Identity | Op::Reshape(_) | Op::Transpose(_) => id = node.inputs[0],
            _ => return false,
        }
    }
}

/// A value less its zero point.
fn less_zero_point(s: &mut Scope, site: &Site<'_>, x: Act, steps: &Steps, least: usize) -> Result<Act> {
    if steps.zero.len() < least || steps.zero.iter().all(|z| *z == 0.0) {
        return Ok(x);
    }
    // A shift of the numbers' origin is no sum of two values: relevance and the like pass through it unchanged.
    if let Some(zero) = steps.zero.first().filter(|first| steps.zero.iter().all(|z| z == *first)) {
        let shift = Activation::Quantise { scale: 1.0, zero: -zero, low: -INTEGERS, high: INTEGERS, rounds: false };
        return s.step(site, "shifted", Op::Activation(shift), &[x]);
    }
    let zero = axis_constant(s, site, "zero", &steps.zero, x, None)?;
    s.step(site, "shifted", Op::Binary(Binary::Sub), &[x, zero])
}

/// A constant along an axis of `x`, by default the node's axis; a single number applies to all entries.
fn axis_constant(
    s: &mut Scope,
    site: &Site<'_>,
    part: &str,
    values: &[f64],
    x: Act,
    axis: Option<usize>,
) -> Result<Act> {
    let rank = s.sample(x).len();
    let axis = match axis {
        Some(axis) => axis,
        None => scale_axis(s, site, x)?,
    };
    let mut dims = vec![1; rank];
    match values.len() {
        1 => dims = Vec::new(),
        n if axis < rank => dims[axis] = n,
        _ => return Err(Error::shape(format!("{} numbers along axis {axis} of {rank}", values.len()))),
    }
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
    s.constant(&Const { name: format!("{}/{part}", site.name), tensor })
}

/// The axis of a sample along which scales vary.
fn scale_axis(s: &Scope, site: &Site<'_>, x: Act) -> Result<usize> {
    Ok(s.axis_or_batch(x, site.int("axis")?.unwrap_or(1)).ok().flatten().unwrap_or(0))
}

fn along(site: &Site<'_>, dims: &[usize], steps: &Steps) -> Result<usize> {
    if steps.scale.len() == 1 {
        return Ok(0);
    }
    let said = site.int("axis")?.unwrap_or(1);
    let at = if said < 0 { said + dims.len() as i64 } else { said };
    let at = usize::try_from(at).ok().filter(|a| dims.get(*a) == Some(&steps.scale.len()));
    at.ok_or_else(|| Error::shape(format!("{} scales along axis {said} of {dims:?}", steps.scale.len())))
}

/// The scale in input `i` and the zero points in input `j`, one for each scale.
fn steps(site: &Site<'_>, i: usize, j: usize) -> Result<Steps> {
    let scale = to_f64(&site.floats(i)?.tensor)?;
    if scale.is_empty() || scale.iter().any(|v| !v.is_finite() || *v <= 0.0) {
        return Err(Error::format(format!("input {i}, a scale, holds {scale:?}")).hint("scales are positive numbers"));
    }
    let zero = zeros(site, j)?;
    let zero = if zero.len() == 1 { vec![zero[0]; scale.len()] } else { zero };
    if zero.len() != scale.len() {
        return Err(Error::format(format!("{} zero points for {} scales", zero.len(), scale.len())));
    }
    Ok(Steps { scale, zero })
}

/// The zero points in input `i`; zeros where it is missing.
fn zeros(site: &Site<'_>, i: usize) -> Result<Vec<f64>> {
    match site.input(i) {
        Value::Absent => Ok(vec![0.0]),
        Value::Ints(v) => Ok(v.known()?.into_iter().map(|v| v as f64).collect()),
        Value::Floats(c) => to_f64(&c.tensor),
        other => Err(site.wants(i, "constant zero points", other)),
    }
}

/// The range of the integer type of the zero point in input `i`; unsigned 8 bits where it is missing.
fn bounds(site: &Site<'_>, i: usize) -> Result<[f64; 2]> {
    match site.range(i) {
        Some(range) => Ok(range),
        None if !site.has(i) => Ok([0.0, 255.0]),
        None => Err(Error::unsupported(format!("input {i}, a zero point of a type that is not known"))
            .hint("zero points of 8 and 16 bits are read from initialisers and constants")),
    }
}

/// The scale of x times that of w, divided by that of y where there is one, for each channel.
fn channel_scales(site: &Site<'_>, x: usize, w: usize, y: Option<usize>) -> Result<Vec<f64>> {
    let one = |i: usize| -> Result<f64> {
        to_f64(&site.floats(i)?.tensor)?.first().copied().ok_or_else(|| Error::format(format!("input {i} is empty")))
    };
    // In f32, as in onnxruntime.
    let (x, y) = (one(x)? as f32, y.map_or(Ok(1.0), one)? as f32);
    Ok(to_f64(&site.floats(w)?.tensor)?.into_iter().map(|w| f64::from(x * w as f32 / y)).collect())
}

/// The integers in input `i` less their zero points, along the first axis.
fn constant_less_zero(s: &Scope, site: &Site<'_>, i: usize, zero: &[f64]) -> Result<Const> {
    less(s, site, i, zero, true)
}

/// The same along the last axis.
fn constant_less_zero_last(s: &Scope, site: &Site<'_>, i: usize, zero: &[f64]) -> Result<Const> {
    less(s, site, i, zero, false)
}

fn less(s: &Scope, site: &Site<'_>, i: usize, zero: &[f64], first: bool) -> Result<Const> {
    let held: Ints = site.ints(i)?.clone();
    let dims = held.dims.clone();
    let n = if first { dims.first() } else { dims.last() }.copied().unwrap_or(1);
    if zero.len() != 1 && zero.len() != n {
        return Err(Error::format(format!("{} zero points for {n} channels", zero.len())));
    }
    let inner = if first { dims[1..].iter().product::<usize>().max(1) } else { 1 };
    let values = held.known()?.into_iter().enumerate().map(|(k, q)| {
        let at = if zero.len() == 1 { 0 } else { k / inner % n };
        Dim::Known(q - zero[at] as i64)
    });
    s.real(&format!("{}/weight", site.name), &Ints { dims, values: values.collect() })
}
