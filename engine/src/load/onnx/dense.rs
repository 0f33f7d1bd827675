//! Matrix products: Gemm, and MatMul with a constant or of two values. Gemm's factors are folded into its constants.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::Binary;
use candle_core::Tensor;

/// Gemm: alpha A B + beta C
pub fn gemm(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let turns = site.int("transA")?.unwrap_or(0) != 0;
    let computed = |i: usize| matches!(site.input(i), Value::Act(_));
    if turns || computed(1) || computed(2) || matches!(site.input(0), Value::Floats(_)) && s.batch.is_some() {
        return gemm_of_computed(s, site, turns);
    }
    if s.rank(x) != 2 {
        return Err(Error::shape(format!("takes two axes, got {}", s.rank(x))));
    }
    let (alpha, beta) = (site.float("alpha")?.unwrap_or(1.0), site.float("beta")?.unwrap_or(1.0));
    let b = site.floats(1)?;
    let &[rows, columns] = b.tensor.dims() else {
        return Err(Error::shape(format!("its weight has shape {:?}, not two axes", b.tensor.dims())));
    };
    let transposed = site.int("transB")?.unwrap_or(0) != 0;
    let out = if transposed { rows } else { columns };
    let (how, weight) = if transposed { ("", b.tensor.clone()) } else { ("transposed", b.tensor.t()?.contiguous()?) };
    let weight = scaled(s, b, how, &weight, alpha)?;
    let bias = if site.has(2) && beta != 0.0 {
        let c = site.floats(2)?;
        let flat = match c.tensor.dims() {
            [] | [1] | [1, 1] => c.tensor.flatten_all()?.broadcast_as(out)?.contiguous()?,
            [n] | [1, n] if *n == out => c.tensor.flatten_all()?,
            other => return Err(Error::shape(format!("{out} outputs, but a bias of shape {other:?}"))),
        };
        Some(scaled(s, c, "", &flat, beta)?)
    } else {
        None
    };
    Ok(vec![Value::Act(s.add(site, Op::Linear { weight, bias }, &[x])?)])
}

/// Gemm of computed factors: transposes, a matrix product and a sum.
fn gemm_of_computed(s: &mut Scope, site: &Site<'_>, turns: bool) -> Result<Vec<Value>> {
    let mut factors = Vec::new();
    for (i, turned) in [(0, turns), (1, site.int("transB")?.unwrap_or(0) != 0)] {
        let mut x = s.act(site, i)?;
        if turned {
            x = s.with_axis(site, x)?;
            x = s.step(site, "turned", Op::Transpose(vec![1, 0]), &[x])?;
        }
        factors.push(Value::Act(x));
    }
    let name = s.free(&format!("{}/product", site.name));
    let [Value::Act(mut y)] = matmul(s, &site.renamed(&name).with(factors))?[..] else {
        return Err(Error::internal("a product makes one value"));
    };
    let (alpha, beta) = (site.float("alpha")?.unwrap_or(1.0), site.float("beta")?.unwrap_or(1.0));
    let times = |s: &mut Scope, x: Act, factor: f64| -> Result<Act> {
        if factor == 1.0 {
            return Ok(x);
        }
        let number = s.number(&format!("{}/factor", site.name), factor)?;
        s.step(site, "scaled", Op::Binary(Binary::Mul), &[x, number])
    };
    y = times(s, y, alpha)?;
    if site.has(2) && beta != 0.0 {
        let c = s.act(site, 2)?;
        let c = times(s, c, beta)?;
        return Ok(vec![Value::Act(s.binary(&site.name, Binary::Add, y, c)?)]);
    }
    Ok(vec![Value::Act(s.add(site, Op::Identity, &[y])?)])
}

/// MatMul over the last two axes.
pub fn matmul(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if let (Value::Act(x), Value::Floats(b)) = (site.input(0), site.input(1)) {
        let dims = b.tensor.dims();
        let flat = dims.len() >= 2 && dims[..dims.len() - 2].iter().all(|d| *d == 1) && dims.len() <= s.rank(*x);
        if flat {
            let square = b.tensor.reshape(&dims[dims.len() - 2..])?;
            let weight = s.derived(b, "transposed", &square.t()?.contiguous()?)?;
            return Ok(vec![Value::Act(s.add(site, Op::Linear { weight, bias: None }, &[*x])?)]);
        }
    }
    if let (Value::Act(x), Value::Floats(b)) = (site.input(0), site.input(1))
        && b.tensor.rank() == 1
    {
        let weight = s.derived(b, "as a row", &b.tensor.unsqueeze(0)?)?;
        let y = s.step(site, "column", Op::Linear { weight, bias: None }, &[*x])?;
        let mut to = s.sample(y);
        to.pop();
        return Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[y])?)]);
    }
    let operands = s.operands(site)?;
    let &[a, b] = operands.as_slice() else { return Err(Error::format(format!("{} inputs", operands.len()))) };
    let (mut a, mut b) = s.aligned(&site.name, a, b)?;
    if s.batch == Some(1) && [a, b].iter().any(|v| v.lead == 1 && s.sample(*v).len() < 2) {
        (a, b) = (s.with_axis(site, a)?, s.with_axis(site, b)?);
    }
    if [a, b].iter().any(|v| s.sample(*v).len() < 2) {
        return Err(mixes("it multiplies matrices of which one axis is the batch"));
    }
    Ok(vec![Value::Act(s.add(site, Op::MatMul, &[a, b])?)])
}

fn scaled(s: &mut Scope, c: &Const, how: &str, tensor: &Tensor, factor: f64) -> Result<crate::graph::ParamId> {
    if factor == 1.0 {
        return s.derived(c, how, tensor);
    }
    let how = if how.is_empty() { format!("times {factor}") } else { format!("{how} times {factor}") };
    s.derived(c, &how, &(tensor * factor)?)
}
