//! Element-wise operators: activations with each opset's attributes, and functions of several inputs that broadcast.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary};

/// Operators that are one of the graph's activations.
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
        other => return Err(Error::internal(format!("`{other}` is no activation"))),
    };
    let x = s.act(site, 0)?;
    Ok(vec![Value::Act(s.activation(site, f, x)?)])
}

/// Clip, its bounds attributes (before opset 11) or inputs.
pub fn clip(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let (low, high) =
        if site.opset < 11 { (site.float("min")?, site.float("max")?) } else { (site.scalar(1)?, site.scalar(2)?) };
    // The largest f32 is ONNX's way to say that there is no bound.
    let bound = |v: Option<f64>, none: f64| v.filter(|v| v.abs() < f64::from(f32::MAX)).unwrap_or(none);
    let op = match (bound(low, f64::NEG_INFINITY), bound(high, f64::INFINITY)) {
        (0.0, f64::INFINITY) => Op::Activation(Activation::Relu),
        (f64::NEG_INFINITY, f64::INFINITY) => Op::Identity,
        (low, high) => Op::Activation(Activation::Clip { low, high }),
    };
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

/// Pow with a constant exponent.
pub fn pow(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let p = site.scalar(1)?.ok_or_else(|| Error::format("input 1, the exponent, is missing"))?;
    Ok(vec![Value::Act(s.activation(site, Activation::Pow(p), x)?)])
}

/// Operators of two or more inputs that are one of the graph's binary functions, chained where there are more.
pub fn combined(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
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

/// Identity and Dropout, and casts between real numbers: nodes that only carry a name.
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
