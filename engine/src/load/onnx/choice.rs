//! Comparisons, and Where. A truth value that depends on the net's input is 1 or 0, made by a step function of a difference.

use super::ints::{broadcast_dims, spread};
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Dim, Ints, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary};
use crate::tensor::to_f32;
use candle_core::{Device, Tensor};

/// Greater, GreaterOrEqual, Less and LessOrEqual of real values.
pub fn compare(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let operands = s.operands(site)?;
    let &[a, b] = operands.as_slice() else { return Err(Error::format(format!("{} inputs", operands.len()))) };
    let (a, b) = if matches!(site.op, "Greater" | "LessOrEqual") { (a, b) } else { (b, a) };
    let name = s.free(&format!("{}/difference", site.name));
    let difference = s.binary(&name, Binary::Sub, a, b)?;
    let step = Op::Activation(Activation::Step(0.0));
    Ok(vec![Value::Act(if matches!(site.op, "Greater" | "Less") {
        s.add(site, step, &[difference])?
    } else {
        // The comparison is the negation of the opposite one, which is strict.
        let opposite = s.step(site, "opposite", step, &[difference])?;
        negate(s, site, opposite)?
    })])
}

/// Equal: 1 where the values are equal, else 0.
pub fn equal(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let differs = differs(s, site, "differs")?;
    Ok(vec![Value::Act(negate(s, site, differs)?)])
}

/// 1 where the inputs differ, else 0.
fn differs(s: &mut Scope, site: &Site<'_>, part: &str) -> Result<Act> {
    let operands = s.operands(site)?;
    let &[a, b] = operands.as_slice() else { return Err(Error::format(format!("{} inputs", operands.len()))) };
    let name = s.free(&format!("{}/difference", site.name));
    let difference = s.binary(&name, Binary::Sub, a, b)?;
    let size = s.step(site, "size", Op::Activation(Activation::Abs), &[difference])?;
    s.step(site, part, Op::Activation(Activation::Step(0.0)), &[size])
}

/// Xor of truth values.
pub fn xor(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let differs = differs(s, site, "differs")?;
    Ok(vec![Value::Act(s.add(site, Op::Identity, &[differs])?)])
}

/// And, Or and Not of truth values that depend on the net's input.
pub fn logic(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let truths = (0..site.inputs.len()).map(|i| truth(site, i)).collect::<Result<Vec<_>>>()?;
    let acts = truths.iter().map(|v| act(s, v)).collect::<Result<Vec<_>>>()?;
    Ok(vec![Value::Act(match (site.op, acts.as_slice()) {
        ("Not", &[a]) => negate(s, site, a)?,
        ("And", &[a, b]) => s.binary(&site.name, Binary::Mul, a, b)?,
        ("Or", &[a, b]) => s.binary(&site.name, Binary::Max, a, b)?,
        _ => return Err(Error::format(format!("{} inputs", acts.len()))),
    })])
}

/// 1 - x
fn negate(s: &mut Scope, site: &Site<'_>, x: Act) -> Result<Act> {
    let one = s.number(&format!("{}/one", site.name), 1.0)?;
    s.binary(&site.name, Binary::Sub, one, x)
}

/// Where: of integers or constants; else the sum of `a` behind the gate t and `b` behind the gate 1 - t, so that a value that
/// is not chosen has no influence, even if it is infinite or NaN.
pub fn where_select(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if let (Value::Ints(test), Value::Ints(a), Value::Ints(b)) = (site.input(0), site.input(1), site.input(2)) {
        let dims = broadcast_dims(&[&test.dims, &a.dims, &b.dims])?;
        let (test, a, b) = (spread(test, &dims), spread(a, &dims), spread(b, &dims));
        let values = (0..test.len()).map(|i| if test[i] == Dim::Known(0) { b[i] } else { a[i] }).collect();
        return Ok(vec![Value::Ints(Ints { dims, values })]);
    }
    let (test, a, b) = (truth(site, 0)?, real(s, site, 1)?, real(s, site, 2)?);
    if let (Value::Floats(t), Value::Floats(a), Value::Floats(b)) = (&test, &a, &b) {
        return Ok(vec![Value::Floats(select_constant(site, t, a, b)?)]);
    }
    let part = |s: &mut Scope, which: &str, value: &Value| -> Result<Act> {
        let held = which == "kept";
        let name = s.free(&format!("{}/{which}", site.name));
        if let (Value::Floats(t), Value::Floats(v)) = (&test, value) {
            // Entries of a constant are chosen now, so that nothing is multiplied by infinity.
            let zero = Const { name: name.clone(), tensor: Tensor::zeros((), v.tensor.dtype(), &Device::Cpu)? };
            let mut part = if held { select_constant(site, t, v, &zero)? } else { select_constant(site, t, &zero, v)? };
            part.name = name;
            return s.constant(&without_batch(part)?);
        }
        let mut t = act(s, &test)?;
        if !held {
            let one = s.number(&format!("{name}/one"), 1.0)?;
            let not = s.free(&format!("{name}/test"));
            t = s.binary(&not, Binary::Sub, one, t)?;
        }
        let v = act(s, value)?;
        s.binary(&name, Binary::Gate, t, v)
    };
    let (kept, other) = (part(s, "kept", &a)?, part(s, "other", &b)?);
    Ok(vec![Value::Act(s.binary(&site.name, Binary::Add, kept, other)?)])
}

/// The constant with the entries of `a` where `test` is not zero, else those of `b`.
fn select_constant(site: &Site<'_>, test: &Const, a: &Const, b: &Const) -> Result<Const> {
    let dims = broadcast_dims(&[test.tensor.dims(), a.tensor.dims(), b.tensor.dims()])?;
    let all = |c: &Const| -> Result<Vec<f32>> { to_f32(&c.tensor.broadcast_as(dims.as_slice())?.contiguous()?) };
    let (test, a, b) = (all(test)?, all(a)?, all(b)?);
    let values: Vec<f32> = (0..test.len()).map(|i| if test[i] == 0.0 { b[i] } else { a[i] }).collect();
    Ok(Const { name: site.name.clone(), tensor: Tensor::from_vec(values, dims, &Device::Cpu)? })
}

/// A constant without its first axis of one entry, which would align with the batch.
fn without_batch(c: Const) -> Result<Const> {
    let tensor = if c.tensor.rank() > 1 && c.tensor.dims()[0] == 1 { c.tensor.squeeze(0)? } else { c.tensor };
    Ok(Const { tensor, ..c })
}

/// A truth value; a known one becomes a constant of 1 and 0.
fn truth(site: &Site<'_>, i: usize) -> Result<Value> {
    match site.input(i) {
        Value::Ints(v) => {
            let values: Vec<f32> = v.known()?.into_iter().map(|v| if v == 0 { 0.0 } else { 1.0 }).collect();
            let tensor = Tensor::from_vec(values, v.dims.as_slice(), &Device::Cpu)?;
            Ok(Value::Floats(Const { name: format!("{}/test", site.name), tensor }))
        }
        Value::Act(x) => Ok(Value::Act(*x)),
        Value::Floats(c) => Ok(Value::Floats(c.clone())),
        other => Err(site.wants(i, "truth values", other)),
    }
}

/// A real number; integers become constants.
fn real(s: &Scope, site: &Site<'_>, i: usize) -> Result<Value> {
    match site.input(i) {
        Value::Ints(v) => {
            let known = Ints::list(v.values.iter().map(|d| s.resolve(*d)).collect()).known()?;
            let values: Vec<f32> = known.into_iter().map(|v| v as f32).collect();
            let tensor = Tensor::from_vec(values, v.dims.as_slice(), &Device::Cpu)?;
            Ok(Value::Floats(Const { name: format!("{}/value {i}", site.name), tensor }))
        }
        Value::Absent => Err(Error::format(format!("input {i} is missing"))),
        other => Ok(other.clone()),
    }
}

fn act(s: &mut Scope, value: &Value) -> Result<Act> {
    match value {
        Value::Act(x) => Ok(*x),
        Value::Floats(c) => s.constant(&without_batch(c.clone())?),
        _ => Err(Error::internal("neither a value nor a constant")),
    }
}
