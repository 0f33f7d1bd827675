//! The operators that are read: one list, from which dispatch and the error about all others follow.

use super::scope::Scope;
use super::site::Site;
use super::value::Value;
use super::{choice, constants, dense, entries, fold, ints, layout, norm, pointwise, resize, window};
use crate::error::{Error, Result};

/// Turns a node into graph nodes and says what its outputs stand for.
pub type Translate = fn(&mut Scope, &Site<'_>) -> Result<Vec<Value>>;

/// What happens where an operator meets integers.
#[derive(Clone, Copy)]
enum Integers {
    /// It takes real numbers only.
    Refused,
    /// It computes with integers.
    Computed(Translate),
    /// It moves its first inputs, so many of them, without looking at them.
    Moved(usize),
    /// The translation itself tells kinds of input apart.
    Own,
}

use Integers::{Computed, Moved, Own, Refused};

const ALL: usize = usize::MAX;
const COUNT: Integers = Computed(ints::elementwise);

const OPERATORS: &[(&str, Integers, Translate)] = &[
    ("Abs", COUNT, pointwise::activation),
    ("Add", COUNT, pointwise::combined),
    ("And", COUNT, choice::logic),
    ("AveragePool", Refused, window::average_pool),
    ("BatchNormalization", Refused, norm::batch),
    ("Cast", Own, ints::cast),
    ("CastLike", Own, ints::cast),
    ("Ceil", Own, constants::mapped),
    ("Celu", Refused, pointwise::activation),
    ("Clip", Refused, pointwise::clip),
    ("Concat", Moved(ALL), layout::concat),
    ("ConstantOfShape", Own, ints::constant_of_shape),
    ("Conv", Refused, window::conv),
    ("ConvTranspose", Refused, window::conv_transpose),
    ("Cos", Own, constants::mapped),
    ("CumSum", Own, constants::cumulated),
    ("DepthToSpace", Refused, layout::depth_to_space),
    ("Div", COUNT, pointwise::combined),
    ("Dropout", Own, pointwise::identity),
    ("Elu", Refused, pointwise::activation),
    ("Equal", COUNT, ints::elementwise),
    ("Erf", Refused, pointwise::activation),
    ("Exp", Refused, pointwise::activation),
    ("Expand", Moved(1), entries::expand),
    ("Flatten", Moved(1), layout::flatten),
    ("Floor", Own, constants::mapped),
    ("Gather", Moved(1), entries::gather),
    ("Gelu", Refused, pointwise::activation),
    ("Gemm", Refused, dense::gemm),
    ("GlobalAveragePool", Refused, window::global_average_pool),
    ("GlobalMaxPool", Refused, window::global_max_pool),
    ("Greater", COUNT, choice::compared),
    ("GreaterOrEqual", COUNT, choice::compared),
    ("GroupNormalization", Refused, norm::group),
    ("HardSigmoid", Refused, pointwise::activation),
    ("HardSwish", Refused, pointwise::activation),
    ("Identity", Own, pointwise::identity),
    ("InstanceNormalization", Refused, norm::instance),
    ("LRN", Refused, norm::local_response),
    ("LayerNormalization", Refused, norm::layer),
    ("LeakyRelu", Refused, pointwise::activation),
    ("Less", COUNT, choice::compared),
    ("LessOrEqual", COUNT, choice::compared),
    ("Log", Refused, pointwise::activation),
    ("LogSoftmax", Refused, norm::softmax),
    ("LpNormalization", Refused, norm::lp),
    ("MatMul", Refused, dense::matmul),
    ("Max", COUNT, pointwise::combined),
    ("MaxPool", Refused, window::max_pool),
    ("Mean", Refused, pointwise::combined),
    ("Min", COUNT, pointwise::combined),
    ("Mish", Refused, pointwise::activation),
    ("Mod", COUNT, ints::elementwise),
    ("Mul", COUNT, pointwise::combined),
    ("Neg", COUNT, pointwise::activation),
    ("Not", COUNT, choice::logic),
    ("Or", COUNT, choice::logic),
    ("PRelu", Refused, pointwise::combined),
    ("Pad", Moved(1), entries::pad),
    ("Pow", Refused, pointwise::pow),
    ("Range", Own, ints::range),
    ("Reciprocal", Refused, pointwise::activation),
    ("ReduceL1", Refused, norm::reduce),
    ("ReduceL2", Refused, norm::reduce),
    ("ReduceLogSum", Refused, norm::reduce),
    ("ReduceLogSumExp", Refused, norm::reduce),
    ("ReduceMax", Computed(ints::reduce), norm::reduce),
    ("ReduceMean", Refused, norm::reduce),
    ("ReduceMin", Computed(ints::reduce), norm::reduce),
    ("ReduceProd", Computed(ints::reduce), ints::reduce),
    ("ReduceSum", Computed(ints::reduce), norm::reduce),
    ("ReduceSumSquare", Refused, norm::reduce),
    ("Relu", Refused, pointwise::activation),
    ("Reshape", Moved(1), layout::reshape),
    ("Resize", Refused, resize::resize),
    ("Round", Own, constants::mapped),
    ("ScatterND", Own, constants::scattered),
    ("Selu", Refused, pointwise::activation),
    ("Shape", Own, ints::shape),
    ("Shrink", Refused, pointwise::activation),
    ("Sigmoid", Refused, pointwise::activation),
    ("Sign", Own, constants::mapped),
    ("Sin", Own, constants::mapped),
    ("Size", Own, ints::size),
    ("Slice", Moved(1), entries::slice),
    ("Softmax", Refused, norm::softmax),
    ("Softplus", Refused, pointwise::activation),
    ("Softsign", Refused, pointwise::activation),
    ("SpaceToDepth", Refused, layout::space_to_depth),
    ("Split", Moved(1), entries::split),
    ("Sqrt", Refused, pointwise::activation),
    ("Squeeze", Moved(1), layout::squeeze),
    ("Sub", COUNT, pointwise::combined),
    ("Sum", COUNT, pointwise::combined),
    ("Swish", Refused, pointwise::activation),
    ("Tanh", Refused, pointwise::activation),
    ("ThresholdedRelu", Refused, pointwise::activation),
    ("Tile", Moved(1), entries::tile),
    ("Transpose", Moved(1), layout::transpose),
    ("Unsqueeze", Moved(1), layout::unsqueeze),
    ("Upsample", Refused, resize::resize),
    ("Where", Own, choice::choose),
];

/// What the node's outputs stand for.
///
/// # Errors
/// Where the operator is not one of the list, or not in this form.
pub fn translate(s: &mut Scope, site: &mut Site<'_>, domain: &str) -> Result<Vec<Value>> {
    let known = OPERATORS.iter().find(|(name, ..)| *name == site.op && matches!(domain, "" | "ai.onnx"));
    let Some((_, integers, translate)) = known else { return Err(unknown(site.op, domain, site.opset)) };
    let whole = |v: &Value| matches!(v, Value::Ints(_));
    let constant = !site.inputs.iter().any(|v| matches!(v, Value::Act(_)));
    match integers {
        Own => return translate(s, site),
        Computed(f) if constant && site.inputs.first().is_some_and(whole) => return f(s, site),
        Moved(data) if site.inputs.first().is_some_and(whole) => return fold::ints(site, *data, *translate),
        _ => {}
    }
    if constant { fold::floats(site, *translate) } else { translate(s, site) }
}

/// Whether an operator is `Constant`, whose value its attributes hold.
pub fn is_constant(op: &str, domain: &str) -> bool {
    op == "Constant" && matches!(domain, "" | "ai.onnx")
}

fn unknown(op: &str, domain: &str, opset: i64) -> Error {
    let quantised = op.contains("Quantize") || op.starts_with("QLinear") || op.ends_with("Integer");
    let hint = if quantised {
        "quantised nets have no gradients: load the net that was quantised, in real numbers".to_string()
    } else if matches!(op, "If" | "Loop" | "Scan") {
        "nets with control flow have no fixed graph: export with fixed shapes, or simplify the file".to_string()
    } else if !matches!(domain, "" | "ai.onnx") {
        "only the operators of ONNX itself are read: export without custom operators and inline local functions".into()
    } else {
        let all: Vec<&str> = std::iter::once("Constant").chain(OPERATORS.iter().map(|(name, ..)| *name)).collect();
        match crate::error::did_you_mean(op, all.iter().copied()) {
            Some(close) => format!("{close} supported are {}", all.join(", ")),
            None => format!("supported are {}", all.join(", ")),
        }
    };
    let domain = if domain.is_empty() { "ai.onnx" } else { domain };
    Error::unsupported(format!("operator `{op}` (domain {domain}, opset {opset}) is not supported")).hint(hint)
}
