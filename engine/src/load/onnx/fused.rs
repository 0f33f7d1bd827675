//! Operators fused by onnxruntime's optimiser (domain com.microsoft), split into their operations again.

use super::operator::Translate;
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary};

/// The supported operators of com.microsoft.
pub const OPERATORS: &[(&str, Translate)] = &[
    ("Attention", attention),
    ("BiasGelu", gelu),
    ("BiasSoftmax", biased_softmax),
    ("FastGelu", gelu),
    ("FusedConv", conv),
    ("FusedGemm", gemm),
    ("FusedMatMul", matmul),
    ("Gelu", gelu),
    ("MultiHeadAttention", attention),
    ("QGemm", super::quantised::gemm),
    ("QLinearAdd", super::quantised::pointwise),
    ("QLinearAveragePool", super::quantised::pointwise),
    ("QLinearConcat", super::quantised::concat),
    ("QLinearGlobalAveragePool", super::quantised::pointwise),
    ("QLinearLeakyRelu", super::quantised::pointwise),
    ("QLinearMul", super::quantised::pointwise),
    ("QLinearSigmoid", super::quantised::pointwise),
    ("QuantizeLinear", super::quantised::quantise),
    ("DequantizeLinear", super::quantised::dequantise),
    ("QuickGelu", quick_gelu),
    ("SkipLayerNormalization", skip_norm),
    ("SkipSimplifiedLayerNormalization", skip_norm),
];

fn attention(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    super::attention::attention(s, site, "com.microsoft")
}

/// The single value that a step makes.
fn one(values: Vec<Value>) -> Result<Act> {
    match values[..] {
        [Value::Act(x), ..] => Ok(x),
        _ => Err(Error::internal("a step makes one value")),
    }
}

/// Translates a part of the node as another operator.
fn part(s: &mut Scope, site: &Site<'_>, name: &str, op: &'static str, inputs: Vec<Value>, f: Translate) -> Result<Act> {
    let name = s.free(&format!("{}/{name}", site.name));
    one(f(s, &site.acting(op, &name, inputs))?)
}

/// Gelu, FastGelu (by tanh) and BiasGelu.
fn gelu(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let mut x = s.act(site, 0)?;
    if site.has(1) {
        x = part(s, site, "biased", "Add", site.inputs[..2].to_vec(), super::pointwise::reduce_inputs)?;
    }
    Ok(vec![Value::Act(s.activation(site, Activation::Gelu { tanh: site.op == "FastGelu" }, x)?)])
}

/// QuickGelu: x sigmoid(alpha x).
fn quick_gelu(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let f = match site.float("alpha")?.unwrap_or(1.702) {
        1.0 => Activation::Silu,
        alpha => Activation::Swish(alpha),
    };
    Ok(vec![Value::Act(s.activation(site, f, x)?)])
}

/// FusedConv: a convolution, an addition, an activation.
fn conv(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let inputs = site.inputs.iter().take(3).cloned().collect();
    let mut y = part(s, site, "conv", "Conv", inputs, super::window::conv)?;
    if site.has(3) {
        let other = s.act(site, 3)?;
        let name = s.free(&format!("{}/sum", site.name));
        y = s.binary(&name, Binary::Add, y, other)?;
    }
    with_activation(s, site, y)
}

/// FusedGemm: a linear map, an activation.
fn gemm(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let y = part(s, site, "gemm", "Gemm", site.inputs.clone(), super::dense::gemm)?;
    with_activation(s, site, y)
}

/// The node's activation, under the node's name.
fn with_activation(s: &mut Scope, site: &Site<'_>, y: Act) -> Result<Vec<Value>> {
    let given = site.float_list("activation_params")?.unwrap_or_default();
    let number = |i: usize, name: &str, usual: f64| -> Result<f64> {
        Ok(site.float(name)?.or(given.get(i).copied()).unwrap_or(usual))
    };
    let f = match site.text("activation")?.as_deref() {
        None | Some("") => return Ok(vec![Value::Act(s.add(site, Op::Identity, &[y])?)]),
        Some("Relu") => Activation::Relu,
        Some("Sigmoid") => Activation::Sigmoid,
        Some("Tanh") => Activation::Tanh,
        Some("LeakyRelu") => Activation::LeakyRelu(number(0, "activation_alpha", 0.01)?),
        Some("Clip") => Activation::Clip {
            low: number(0, "activation_min", f64::NEG_INFINITY)?,
            high: number(1, "activation_max", f64::INFINITY)?,
        },
        Some("HardSigmoid") => Activation::HardSigmoid {
            slope: number(0, "activation_alpha", 0.2)?,
            offset: number(1, "activation_beta", 0.5)?,
        },
        Some("HardSwish") => Activation::HardSwish,
        Some(other) => return Err(Error::unsupported(format!("attribute `activation` is `{other}`"))),
    };
    Ok(vec![Value::Act(s.activation(site, f, y)?)])
}

/// FusedMatMul: a scaled matrix product of factors that may be transposed.
fn matmul(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    site.only("transBatchA", 0)?;
    site.only("transBatchB", 0)?;
    let mut inputs = site.inputs.clone();
    for (i, name) in [(0, "transA"), (1, "transB")] {
        if site.int(name)?.unwrap_or(0) == 0 {
            continue;
        }
        inputs[i] = match site.input(i) {
            Value::Floats(c) => {
                let n = c.tensor.rank();
                Value::Floats(super::value::Const {
                    name: format!("{}/turned", c.name),
                    tensor: c.tensor.transpose(n - 2, n - 1)?.contiguous()?,
                })
            }
            _ => {
                let x = s.act(site, i)?;
                let n = s.sample(x).len();
                if n < 2 {
                    return Err(super::value::mixes("it transposes the batch"));
                }
                let mut perm: Vec<usize> = (0..n).collect();
                perm.swap(n - 2, n - 1);
                Value::Act(s.step(site, "turned", Op::Transpose(perm), &[x])?)
            }
        };
    }
    let y = part(s, site, "product", "MatMul", inputs, super::dense::matmul)?;
    let alpha = site.float("alpha")?.unwrap_or(1.0);
    if alpha == 1.0 {
        return Ok(vec![Value::Act(s.add(site, Op::Identity, &[y])?)]);
    }
    let alpha = s.number(&format!("{}/alpha", site.name), alpha)?;
    Ok(vec![Value::Act(s.add(site, Op::Binary(Binary::Mul), &[y, alpha])?)])
}

/// BiasSoftmax: softmax of a sum.
fn biased_softmax(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let sum = part(s, site, "sum", "Add", site.inputs.clone(), super::pointwise::reduce_inputs)?;
    let axis = s.axis(sum, site.int("axis")?.unwrap_or(-1))?;
    if axis + 1 != s.sample(sum).len() {
        return Err(Error::unsupported("a softmax over several axes"));
    }
    Ok(vec![Value::Act(s.add(site, Op::Softmax { axis, log: false }, &[sum])?)])
}

/// SkipLayerNormalization and SkipSimplifiedLayerNormalization: a sum, then the normalisation.
fn skip_norm(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let simple = site.op.contains("Simplified");
    let mut sum =
        part(s, site, "sum", "Add", site.inputs[..2.min(site.inputs.len())].to_vec(), super::pointwise::reduce_inputs)?;
    let bias = if simple { 3 } else { 4 };
    if site.has(bias) {
        let inputs = vec![Value::Act(sum), site.input(bias).clone()];
        sum = part(s, site, "biased", "Add", inputs, super::pointwise::reduce_inputs)?;
    }
    let inner = if simple {
        site.with(vec![Value::Act(sum), site.input(2).clone()])
    } else {
        site.with(vec![Value::Act(sum), site.input(2).clone(), site.input(3).clone()])
    };
    let y = one(if simple { super::norm::root_mean_square(s, &inner)? } else { super::norm::layer(s, &inner)? })?;
    Ok(vec![Value::Act(y), Value::Absent, Value::Absent, Value::Act(sum)])
}
