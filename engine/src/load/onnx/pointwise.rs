//! Element-wise operators: activations with each opset's attributes, and functions of several inputs with broadcasting.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary, Elementary};

/// Operators that are activations of the graph.
pub fn activation(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let real = |name: &str, default: f64| Ok::<_, Error>(site.float(name)?.unwrap_or(default));
    let f = match site.op {
        "Relu" => Activation::Relu,
        "LeakyRelu" => Activation::LeakyRelu(real("alpha", 0.01)?),
        "ThresholdedRelu" => Activation::ThresholdedRelu(real("alpha", 1.0)?),
        "Elu" => Activation::Elu(real("alpha", 1.0)?),
        "Celu" => match real("alpha", 1.0)? {
            1.0 => Activation::Elu(1.0),
            alpha => Activation::Celu(alpha),
        },
        "Swish" => match real("alpha", 1.0)? {
            1.0 => Activation::Silu,
            alpha => Activation::Swish(alpha),
        },
        "Shrink" => Activation::Shrink { lambda: real("lambd", 0.5)?, bias: real("bias", 0.0)? },
        "Selu" => Activation::Selu {
            alpha: real("alpha", 1.673_263_242_354_377_2)?,
            scale: real("gamma", 1.050_700_987_355_480_5)?,
        },
        "Sigmoid" => Activation::Sigmoid,
        "HardSigmoid" => Activation::HardSigmoid { slope: real("alpha", 0.2)?, offset: real("beta", 0.5)? },
        "HardSwish" => Activation::HardSwish,
        "Mish" => Activation::Mish,
        "Gelu" => match site.text("approximate")?.as_deref() {
            None | Some("" | "none") => Activation::Gelu { tanh: false },
            Some("tanh") => Activation::Gelu { tanh: true },
            Some(other) => return Err(Error::format(format!("attribute `approximate` is `{other}`"))),
        },
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Tanh" => Activation::Tanh,
        "Erf" => Activation::Erf,
        "Exp" => Activation::Exp,
        "Log" => Activation::Log,
        "Sqrt" => Activation::Sqrt,
        "Abs" => Activation::Abs,
        "Neg" => Activation::Neg,
        "Reciprocal" => Activation::Reciprocal,
        "Sin" => Activation::Elementary(Elementary::Sin),
        "Cos" => Activation::Elementary(Elementary::Cos),
        "Tan" => Activation::Elementary(Elementary::Tan),
        "Asin" => Activation::Elementary(Elementary::Asin),
        "Acos" => Activation::Elementary(Elementary::Acos),
        "Atan" => Activation::Elementary(Elementary::Atan),
        "Sinh" => Activation::Elementary(Elementary::Sinh),
        "Cosh" => Activation::Elementary(Elementary::Cosh),
        "Asinh" => Activation::Elementary(Elementary::Asinh),
        "Acosh" => Activation::Elementary(Elementary::Acosh),
        "Atanh" => Activation::Elementary(Elementary::Atanh),
        "Floor" => Activation::Elementary(Elementary::Floor),
        "Ceil" => Activation::Elementary(Elementary::Ceil),
        "Round" => Activation::Elementary(Elementary::Round),
        "Sign" => Activation::Elementary(Elementary::Sign),
        "IsNaN" => Activation::Elementary(Elementary::IsNan),
        "IsInf" => {
            site.only("detect_negative", 1)?;
            site.only("detect_positive", 1)?;
            Activation::Elementary(Elementary::IsInfinite)
        }
        other => return Err(Error::internal(format!("`{other}` is no activation"))),
    };
    let x = s.act(site, 0)?;
    Ok(vec![Value::Act(s.activation(site, f, x)?)])
}

/// Clip, with bounds in attributes (before opset 11) or inputs.
pub fn clip(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    if site.opset >= 11 && [1, 2].iter().any(|i| matches!(site.input(*i), Value::Act(_))) {
        // A bound that depends on the net's input.
        let mut y = x;
        for (i, f) in [(1, Binary::Max), (2, Binary::Min)] {
            if site.has(i) {
                let bound = s.act(site, i)?;
                let name = s.free(&format!("{}/bound {i}", site.name));
                y = s.binary(&name, f, y, bound)?;
            }
        }
        return Ok(vec![Value::Act(s.add(site, Op::Identity, &[y])?)]);
    }
    let (low, high) =
        if site.opset < 11 { (site.float("min")?, site.float("max")?) } else { (site.scalar(1)?, site.scalar(2)?) };
    // In ONNX the largest f32 stands for no bound.
    let bound = |v: Option<f64>, none: f64| v.filter(|v| v.abs() < f64::from(f32::MAX)).unwrap_or(none);
    let op = match (bound(low, f64::NEG_INFINITY), bound(high, f64::INFINITY)) {
        (0.0, f64::INFINITY) => Op::Activation(Activation::Relu),
        (f64::NEG_INFINITY, f64::INFINITY) => Op::Identity,
        (low, high) => Op::Activation(Activation::Clip { low, high }),
    };
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

/// Pow: with a constant exponent a function of one value, else of two.
pub fn pow(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if let (Value::Act(x), Value::Floats(_) | Value::Ints(_)) = (site.input(0), site.input(1))
        && let Ok(Some(p)) = site.scalar(1)
    {
        return Ok(vec![Value::Act(s.activation(site, Activation::Pow(p), *x)?)]);
    }
    if !site.has(1) {
        return Err(Error::format("input 1, the exponent, is missing"));
    }
    two(s, site, Binary::Pow)
}

/// An operator with two inputs that is a binary function of the graph.
fn two(s: &mut Scope, site: &Site<'_>, f: Binary) -> Result<Vec<Value>> {
    let inputs = s.operands(site)?;
    let &[a, b] = inputs.as_slice() else { return Err(Error::format(format!("{} inputs", inputs.len()))) };
    Ok(vec![Value::Act(s.binary(&site.name, f, a, b)?)])
}

/// Mod: a - b floor(a / b), or with `fmod` a - b trunc(a / b).
pub fn remainder(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let inputs = s.operands(site)?;
    let &[a, b] = inputs.as_slice() else { return Err(Error::format(format!("{} inputs", inputs.len()))) };
    let whole = if site.int("fmod")?.unwrap_or(0) != 0 { Elementary::Truncate } else { Elementary::Floor };
    let name = s.free(&format!("{}/quotient", site.name));
    let quotient = s.binary(&name, Binary::Div, a, b)?;
    let times = s.step(site, "times", Op::Activation(Activation::Elementary(whole)), &[quotient])?;
    let name = s.free(&format!("{}/multiple", site.name));
    let multiple = s.binary(&name, Binary::Mul, times, b)?;
    Ok(vec![Value::Act(s.binary(&site.name, Binary::Sub, a, multiple)?)])
}

/// Operators with two or more inputs that are a binary function of the graph, applied in sequence to more than two.
pub fn reduce_inputs(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let f = match site.op {
        "Add" | "Sum" | "Mean" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        "PRelu" => Binary::Prelu,
        other => return Err(Error::internal(format!("`{other}` is no function of several inputs"))),
    };
    let inputs = s.operands(site)?;
    let mean = site.op == "Mean" && inputs.len() > 1;
    let several = matches!(site.op, "Sum" | "Mean" | "Max" | "Min");
    if inputs.is_empty() || (!several && inputs.len() != 2) {
        return Err(Error::format(format!("{} inputs", inputs.len())));
    }
    if inputs.len() == 1 {
        return Ok(vec![Value::Act(s.add(site, Op::Identity, &inputs)?)]);
    }
    if f == Binary::Div && site.integers.contains(&true) {
        let name = s.free(&format!("{}/quotient", site.name));
        let quotient = s.binary(&name, f, inputs[0], inputs[1])?;
        let whole = Op::Activation(Activation::Elementary(Elementary::Truncate));
        return Ok(vec![Value::Act(s.add(site, whole, &[quotient])?)]);
    }
    let mut total = inputs[0];
    for (i, x) in inputs[1..].iter().enumerate() {
        let last = i + 2 == inputs.len() && !mean;
        total = named(s, site, last, &format!("{}", i + 1), f, total, *x)?;
    }
    if mean {
        let count = s.number(&format!("{}/count", site.name), inputs.len() as f64)?;
        total = named(s, site, true, "", Binary::Div, total, count)?;
    }
    Ok(vec![Value::Act(total)])
}

fn named(s: &mut Scope, site: &Site<'_>, last: bool, part: &str, f: Binary, a: Act, b: Act) -> Result<Act> {
    let name = if last { site.name.clone() } else { s.free(&format!("{}/{part}", site.name)) };
    s.binary(&name, f, a, b)
}

/// Identity, Dropout, and casts between real types: nodes that change no values.
pub fn identity(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    if site.op == "Dropout" && site.scalar(2)?.is_some_and(|training| training != 0.0) {
        return Err(
            Error::unsupported("dropout in training mode").hint("export the net for inference (`model.eval()`)")
        );
    }
    match site.input(0) {
        Value::Act(x) => Ok(vec![Value::Act(s.add(site, Op::Identity, &[*x])?)]),
        Value::Absent => Err(Error::format("input 0 is missing")),
        constant => Ok(vec![constant.clone()]),
    }
}
