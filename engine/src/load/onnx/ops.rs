//! The supported operators: one list, from which the dispatch and the error about unsupported ones follow.

use super::operator::Translate;
use super::scope::Scope;
use super::site::Site;
use super::value::Value;
use super::{
    attention, choice, constants, deform, dense, einsum, entries, fold, fused, indices, ints, layout, norm, pointwise,
    quantised, quantised_by_range, ranking, recurrent, regions, resize, rotary, sampling, spectra, window,
};
use crate::error::{Error, Result};

/// How an operator treats integer inputs.
#[derive(Clone, Copy)]
enum Integers {
    /// It takes real numbers only.
    Refused,
    /// It computes with integers.
    Computed(Translate),
    /// It converts integers, its first input, to real numbers.
    Dequantised,
    /// It moves its first inputs, this many, independently of their values.
    Moved(usize),
    /// Its translation distinguishes the cases itself.
    Own,
}

use Integers::{Computed, Dequantised, Moved, Own, Refused};

const ALL: usize = usize::MAX;
const COUNT: Integers = Computed(ints::elementwise);

const OPERATORS: &[(&str, Integers, Translate)] = &[
    ("Abs", COUNT, pointwise::activation),
    ("Acos", Refused, pointwise::activation),
    ("Acosh", Refused, pointwise::activation),
    ("Add", COUNT, pointwise::reduce_inputs),
    ("AffineGrid", Refused, sampling::affine_grid),
    ("And", COUNT, choice::logic),
    ("ArgMax", Refused, ranking::extreme),
    ("ArgMin", Refused, ranking::extreme),
    ("Asin", Refused, pointwise::activation),
    ("Asinh", Refused, pointwise::activation),
    ("Atan", Refused, pointwise::activation),
    ("Atanh", Refused, pointwise::activation),
    ("Attention", Refused, whole_attention),
    ("AveragePool", Refused, window::average_pool),
    ("BatchNormalization", Refused, norm::batch),
    ("BitwiseAnd", COUNT, ints::elementwise),
    ("BitwiseOr", COUNT, ints::elementwise),
    ("Cast", Own, ints::cast),
    ("CastLike", Own, ints::cast),
    ("Ceil", Own, constants::map_constant),
    ("CenterCropPad", Moved(1), entries::center_crop_pad),
    ("Celu", Refused, pointwise::activation),
    ("Clip", Refused, pointwise::clip),
    ("Col2Im", Refused, regions::from_columns),
    ("Compress", Refused, indices::compress),
    ("Concat", Moved(ALL), layout::concat),
    ("ConstantOfShape", Own, ints::constant_of_shape),
    ("Conv", Refused, window::conv),
    ("ConvInteger", Refused, quantised::conv),
    ("ConvTranspose", Refused, window::conv_transpose),
    ("Cos", Own, constants::map_constant),
    ("Cosh", Refused, pointwise::activation),
    ("CumSum", Own, constants::cum_sum),
    ("DFT", Refused, spectra::dft),
    ("DeformConv", Refused, deform::conv),
    ("DepthToSpace", Refused, layout::depth_to_space),
    ("DequantizeLinear", Dequantised, quantised::dequantise),
    ("Div", COUNT, pointwise::reduce_inputs),
    ("Dropout", Own, pointwise::identity),
    ("DynamicQuantizeLinear", Refused, quantised_by_range::quantise),
    ("Einsum", Refused, einsum::einsum),
    ("Elu", Refused, pointwise::activation),
    ("Equal", COUNT, choice::equal),
    ("Erf", Refused, pointwise::activation),
    ("EyeLike", Own, ints::eye),
    ("Exp", Refused, pointwise::activation),
    ("Expand", Moved(1), entries::expand),
    ("Flatten", Moved(1), layout::flatten),
    ("Floor", Own, constants::map_constant),
    ("GRU", Refused, recurrent::recurrent),
    ("Gather", Moved(1), entries::gather),
    ("GatherElements", Moved(1), indices::gather_elements),
    ("GatherND", Moved(1), indices::gather_nd),
    ("Gelu", Refused, pointwise::activation),
    ("Gemm", Refused, dense::gemm),
    ("GlobalAveragePool", Refused, window::global_average_pool),
    ("GlobalMaxPool", Refused, window::global_max_pool),
    ("Greater", COUNT, choice::compare),
    ("GreaterOrEqual", COUNT, choice::compare),
    ("GridSample", Refused, sampling::grid_sample),
    ("GroupNormalization", Refused, norm::group),
    ("HardSigmoid", Refused, pointwise::activation),
    ("HardSwish", Refused, pointwise::activation),
    ("Hardmax", Refused, ranking::hard_max),
    ("Identity", Own, pointwise::identity),
    ("InstanceNormalization", Refused, norm::instance),
    ("IsInf", Refused, pointwise::activation),
    ("IsNaN", Refused, pointwise::activation),
    ("LRN", Refused, norm::local_response),
    ("LSTM", Refused, recurrent::recurrent),
    ("LayerNormalization", Refused, norm::layer),
    ("LeakyRelu", Refused, pointwise::activation),
    ("Less", COUNT, choice::compare),
    ("LessOrEqual", COUNT, choice::compare),
    ("Log", Refused, pointwise::activation),
    ("LogSoftmax", Refused, norm::softmax),
    ("LpNormalization", Refused, norm::lp),
    ("LpPool", Refused, window::lp_pool),
    ("MatMul", Refused, dense::matmul),
    ("MatMulInteger", Refused, quantised::matmul),
    ("Max", COUNT, pointwise::reduce_inputs),
    ("MaxPool", Refused, window::max_pool),
    ("Mean", Refused, pointwise::reduce_inputs),
    ("MeanVarianceNormalization", Refused, norm::mean_variance),
    ("Min", COUNT, pointwise::reduce_inputs),
    ("Mish", Refused, pointwise::activation),
    ("Mod", COUNT, pointwise::remainder),
    ("Mul", COUNT, pointwise::reduce_inputs),
    ("Neg", COUNT, pointwise::activation),
    ("NonZero", Own, ints::non_zero),
    ("Not", COUNT, choice::logic),
    ("OneHot", Refused, ranking::one_hot),
    ("Or", COUNT, choice::logic),
    ("PRelu", Refused, pointwise::reduce_inputs),
    ("Pad", Moved(1), entries::pad),
    ("Pow", COUNT, pointwise::pow),
    ("QLinearConv", Refused, quantised::conv),
    ("QLinearMatMul", Refused, quantised::matmul),
    ("QuantizeLinear", Refused, quantised::quantise),
    ("RMSNormalization", Refused, norm::root_mean_square),
    ("RNN", Refused, recurrent::recurrent),
    ("Range", Own, ints::range),
    ("Reciprocal", Refused, pointwise::activation),
    ("ReduceL1", Refused, norm::reduce),
    ("ReduceL2", Refused, norm::reduce),
    ("ReduceLogSum", Refused, norm::reduce),
    ("ReduceLogSumExp", Refused, norm::reduce),
    ("ReduceMax", Computed(ints::reduce), norm::reduce),
    ("ReduceMean", Refused, norm::reduce),
    ("ReduceMin", Computed(ints::reduce), norm::reduce),
    ("ReduceProd", Computed(ints::reduce), norm::reduce),
    ("ReduceSum", Computed(ints::reduce), norm::reduce),
    ("ReduceSumSquare", Refused, norm::reduce),
    ("Relu", Refused, pointwise::activation),
    ("Reshape", Moved(1), layout::reshape),
    ("Resize", Refused, resize::resize),
    ("RoiAlign", Refused, regions::roi_align),
    ("RotaryEmbedding", Refused, rotary::rotary),
    ("Round", Own, constants::map_constant),
    ("STFT", Refused, spectra::stft),
    ("Scatter", Refused, indices::scatter_elements),
    ("ScatterElements", Refused, indices::scatter_elements),
    ("ScatterND", Own, constants::scatter_nd_constant),
    ("Selu", Refused, pointwise::activation),
    ("Shape", Own, ints::shape),
    ("Shrink", Refused, pointwise::activation),
    ("Sigmoid", Refused, pointwise::activation),
    ("Sign", Own, constants::map_constant),
    ("SimplifiedLayerNormalization", Refused, norm::root_mean_square),
    ("Sin", Own, constants::map_constant),
    ("Sinh", Refused, pointwise::activation),
    ("Size", Own, ints::size),
    ("Slice", Moved(1), entries::slice),
    ("Softmax", Refused, norm::softmax),
    ("Softplus", Refused, pointwise::activation),
    ("Softsign", Refused, pointwise::activation),
    ("SpaceToDepth", Refused, layout::space_to_depth),
    ("Split", Moved(1), entries::split),
    ("Sqrt", Refused, pointwise::activation),
    ("Squeeze", Moved(1), layout::squeeze),
    ("Sub", COUNT, pointwise::reduce_inputs),
    ("Sum", COUNT, pointwise::reduce_inputs),
    ("Swish", Refused, pointwise::activation),
    ("Tan", Refused, pointwise::activation),
    ("Tanh", Refused, pointwise::activation),
    ("ThresholdedRelu", Refused, pointwise::activation),
    ("Tile", Moved(1), entries::tile),
    ("TopK", Refused, ranking::top_k),
    ("Transpose", Moved(1), layout::transpose),
    ("Trilu", Own, ints::triangle),
    ("Unsqueeze", Moved(1), layout::unsqueeze),
    ("Upsample", Refused, resize::resize),
    ("Where", Own, choice::where_select),
    ("Xor", COUNT, choice::xor),
];

/// The values of the node's outputs.
///
/// # Errors
/// Where the operator is not in the list, or not supported in this form.
pub fn translate(s: &mut Scope, site: &mut Site<'_>, domain: &str) -> Result<Vec<Value>> {
    if domain == "com.microsoft" {
        let known = fused::OPERATORS.iter().find(|(name, _)| *name == site.op);
        let Some((_, translate)) = known else { return Err(unknown(site.op, domain, site.opset)) };
        let constant = !site.inputs.iter().any(|v| matches!(v, Value::Act(_)));
        return if constant { fold::floats(site, *translate) } else { translate(s, site) };
    }
    let known = OPERATORS.iter().find(|(name, ..)| *name == site.op && matches!(domain, "" | "ai.onnx"));
    let Some((_, integers, translate)) = known else { return Err(unknown(site.op, domain, site.opset)) };
    let whole = |v: &Value| matches!(v, Value::Ints(_));
    let constant = !site.inputs.iter().any(|v| matches!(v, Value::Act(_)));
    match integers {
        Own => return translate(s, site),
        Computed(f) if constant && site.inputs.iter().all(|v| whole(v) || matches!(v, Value::Absent)) => {
            return f(s, site);
        }
        Dequantised if constant && site.inputs.first().is_some_and(whole) => return translate(s, site),
        // Computed indices into a table of integers are picked like those into any other.
        Moved(data) if site.inputs.first().is_some_and(whole) && (constant || !site.op.starts_with("Gather")) => {
            return fold::ints(site, *data, *translate);
        }
        _ => {}
    }
    if !constant {
        return translate(s, site);
    }
    // Where the batch size is known, it is an ordinary number.
    for input in &mut site.inputs {
        if let Value::Ints(v) = input {
            v.values.iter_mut().for_each(|d| *d = s.resolve(*d));
        }
    }
    let values = fold::floats(site, *translate)?;
    let of_integers = match site.op {
        "ScatterElements" | "Scatter" => whole(site.input(0)),
        "OneHot" => whole(site.input(2)),
        op => INTEGER_OPERATORS.contains(&op),
    };
    if of_integers {
        return fold::whole(values);
    }
    // The second output of TopK, the indices.
    let (values, places) = match site.op {
        "TopK" => values.into_iter().enumerate().partition::<Vec<_>, _>(|(i, _)| *i == 0),
        _ => return Ok(values),
    };
    let bare = |list: Vec<(usize, Value)>| list.into_iter().map(|(_, v)| v).collect::<Vec<_>>();
    Ok([bare(values), fold::whole(bare(places))?].concat())
}

/// The operators that return integers or truth values.
const INTEGER_OPERATORS: [&str; 11] =
    ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "IsNaN", "IsInf", "Not", "Xor", "ArgMax", "ArgMin"];

/// ONNX's own Attention.
fn whole_attention(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    attention::attention(s, site, "")
}

/// Whether an operator is `Constant`, whose value is in its attributes.
pub fn is_constant(op: &str, domain: &str) -> bool {
    op == "Constant" && matches!(domain, "" | "ai.onnx")
}

/// The error for an unsupported operator.
pub fn unknown(op: &str, domain: &str, opset: i64) -> Error {
    let hint = if op == "Unique" {
        "its result's shape depends on the data: cut the file before it, so that it ends with the boxes and scores"
            .into()
    } else if matches!(op, "If" | "Loop" | "Scan") {
        "control flow that depends on the input is no fixed graph: export with fixed shapes, or simplify the file"
            .to_string()
    } else if op.starts_with("Sequence") || op.ends_with("Sequence") || op.starts_with("Optional") {
        "lists of tensors are not read: onnxsim or onnxruntime's offline optimiser removes them".to_string()
    } else if op.starts_with("Random") || op == "Bernoulli" || op == "Multinomial" {
        "random numbers differ from run to run: export the net for inference (`model.eval()`)".to_string()
    } else if domain == "com.microsoft" {
        let all: Vec<&str> = fused::OPERATORS.iter().map(|(name, _)| *name).collect();
        format!("of onnxruntime's own operators {} are read: save the file with basic optimisations", all.join(", "))
    } else if !matches!(domain, "" | "ai.onnx") {
        "only the operators of ONNX itself and onnxruntime's are read: export without custom operators".into()
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
