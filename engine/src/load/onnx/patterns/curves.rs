//! Recognises activations by their values: a stretch that is a function of one number is compared with a table of functions, whose
//! parameters are estimated from values of the stretch.

use super::Live;
use super::stretch::{Stretch, ending_at};
use crate::error::Result;
use crate::graph::op::{Activation, Binary};
use crate::graph::{Builder, NodeId, Op};
use crate::kernels::elementwise::value;
use candle_core::{Device, Tensor};
use std::cell::OnceCell;

/// The largest difference of two curves, relative to the value: a file's numbers are rounded to f32.
const MAX_DIFFERENCE: f64 = 1e-5;
/// The error of f64 differences of nearly equal numbers, per unit of the input.
const CANCELLATION_ERROR: f64 = 1e-12;

/// The inputs at which curves are compared, on both sides of zero, none near a kink of a known function.
const INPUTS: [f64; 35] = [
    0.001, 0.013, 0.037, 0.11, 0.23, 0.41, 0.59, 0.77, 0.97, 1.0, 1.31, 1.63, 1.93, 2.29, 2.61, 2.9, 3.13, 3.49, 3.87,
    4.31, 4.83, 5.41, 5.87, 6.13, 6.73, 7.7, 8.9, 10.3, 13.0, 19.0, 31.0, 71.0, 173.0, 1.1e3, 1.3e5,
];

/// Estimates a function's parameters from a curve; `None` where the curve is not of this function.
type Estimate = fn(&dyn Fn(f64) -> f64) -> Option<Activation>;

/// The known functions. The first that fits is taken.
const TABLE: &[(&str, Estimate)] = &[
    ("relu", |_| Some(Activation::Relu)),
    ("clip", |f| {
        let bound = |v: f64| if v.abs() < 1e29 { decimal(v) } else { v * f64::INFINITY };
        Some(Activation::Clip { low: bound(f(-1e30)), high: bound(f(1e30)) })
    }),
    ("leaky_relu", |f| {
        let slope = -f(-1.0);
        (slope != 1.0).then_some(Activation::LeakyRelu(decimal(slope)))
    }),
    ("silu", |_| Some(Activation::Silu)),
    ("swish", |f| Some(Activation::Swish(decimal(libm::log(f(1.0) / (1.0 - f(1.0))))))),
    ("gelu", |_| Some(Activation::Gelu { tanh: false })),
    ("gelu (tanh)", |_| Some(Activation::Gelu { tanh: true })),
    ("hard_swish", |_| Some(Activation::HardSwish)),
    ("mish", |_| Some(Activation::Mish)),
    ("sigmoid", |_| Some(Activation::Sigmoid)),
    ("hard_sigmoid", |f| {
        let (at, middle) = (1.0 / 64.0, f(0.0));
        let slope = (f(at) - middle) / at;
        (middle > 0.0 && middle < 1.0)
            .then_some(Activation::HardSigmoid { slope: decimal(slope), offset: decimal(middle) })
    }),
    ("tanh", |_| Some(Activation::Tanh)),
    ("tanhshrink", |_| Some(Activation::Tanhshrink)),
    ("softplus", |_| Some(Activation::Softplus)),
    ("log_sigmoid", |_| Some(Activation::LogSigmoid)),
    ("softsign", |_| Some(Activation::Softsign)),
    ("elu", |f| Some(Activation::Elu(decimal(f(-1.0) / libm::expm1(-1.0))))),
    ("selu", |f| {
        let scale = f(1.0);
        Some(Activation::Selu { alpha: decimal(f(-1.0) / libm::expm1(-1.0) / scale), scale: decimal(scale) })
    }),
    // celu: -alpha is its limit at minus infinity.
    ("celu", |f| Some(Activation::Celu(decimal(-f(-1e4))))),
    ("thresholded_relu", |f| Some(Activation::ThresholdedRelu(edge(f)?))),
    ("shrink", |f| Some(Activation::Shrink { lambda: edge(f)?, bias: decimal(FAR_INPUT - f(FAR_INPUT)) })),
];

/// The decimal number that an f32 in a file stands for.
fn decimal(v: f64) -> f64 {
    let single = v as f32;
    // A computed one is off by a few of f64's last places; 0.10000000149 stands for 0.1.
    single.to_string().parse().unwrap_or(v)
}

/// An input far beyond all kinks.
const FAR_INPUT: f64 = 1e4;

/// The input at which a curve leaves zero, for curves that are zero at zero and rise with slope one far out.
fn edge(f: &dyn Fn(f64) -> f64) -> Option<f64> {
    if f(0.0) != 0.0 || (f(2.0 * FAR_INPUT) - f(FAR_INPUT) - FAR_INPUT).abs() > 1e-6 * FAR_INPUT {
        return None;
    }
    let (mut low, mut high) = (0.0, FAR_INPUT);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        *(if f(middle) == 0.0 { &mut low } else { &mut high }) = middle;
    }
    Some(decimal(high))
}

/// Replaces the operations of an activation that ends at `id` by one node.
pub fn activation(b: &mut Builder, id: NodeId, live: &Live) -> Result<()> {
    if !may_end(b.op(id)) {
        return Ok(());
    }
    let mut found: Option<(Activation, NodeId)> = None;
    for stretch in ending_at(b, id) {
        if !stretch.is_pointwise(b) {
            break;
        }
        let trivial = stretch.nodes().count() == 1 && matches!(b.op(id), Op::Activation(_));
        if trivial || stretch.is_straight(b) {
            continue;
        }
        if !stretch.wide.is_empty() {
            if found.is_none() && channelwise_slopes(b, id, &stretch, live)? {
                return Ok(());
            }
            continue;
        }
        match recognise(b, &stretch, live) {
            // A rectifier before a bound of another range stays a layer, on which guided backprop acts.
            Some(Activation::Clip { low, .. })
                if low != 0.0 && low.is_finite() && stretch.nodes().any(|n| b.op(n).rectifies()) =>
            {
                break;
            }
            // A hard sigmoid takes in the sums and products before it, a clip the other bound.
            Some(f @ (Activation::HardSigmoid { .. } | Activation::Clip { .. })) => found = Some((f, stretch.base)),
            Some(f) if found.is_none() => {
                found = Some((f, stretch.base));
                break;
            }
            _ => {}
        }
    }
    let Some((f, base)) = found else { return Ok(()) };
    b.rewrite(id, Op::Activation(f), &[base])?;
    Ok(())
}

/// The operations that may end an activation of several operations.
fn may_end(op: &Op) -> bool {
    use Activation as A;
    match op {
        Op::Binary(f) => *f != Binary::Prelu,
        Op::Activation(f) => {
            matches!(f, A::Clip { .. } | A::Log | A::Neg | A::Reciprocal | A::Pow(_))
        }
        _ => false,
    }
}

/// The function in the table with the curve of a stretch.
fn recognise(b: &Builder, stretch: &Stretch, live: &Live) -> Option<Activation> {
    let curve = stretch.curve(b, live, 0)?;
    let f = |x: f64| curve.at(x).unwrap_or(f64::NAN);
    let inputs = inputs(stretch.numbers(b));
    // Most functions fail at the first inputs; the other values are not computed for them.
    let computed: Vec<OnceCell<f64>> = vec![OnceCell::new(); inputs.len()];
    let fits = |g: Activation| {
        let mut pairs = inputs.iter().zip(&computed);
        pairs.all(|(x, y)| {
            let y = y.get_or_init(|| f(*x));
            // Values that overflow far out are ignored.
            if x.abs() > 100.0 && !y.is_finite() {
                return true;
            }
            let want: f64 = value(g, *x);
            // A tiny lower bound keeps a divisor from being zero; a rectifier has none.
            if *x == 0.0 && want == 0.0 {
                return *y == 0.0;
            }
            (y - want).abs() <= MAX_DIFFERENCE * want.abs() + CANCELLATION_ERROR * (1.0 + x.abs())
        })
    };
    TABLE.iter().find_map(|(_, guess)| guess(&f).filter(|g| is_curve(*g) && fits(*g)))
}

/// Whether estimated parameters make a function other than a straight line.
fn is_curve(f: Activation) -> bool {
    match f {
        Activation::Clip { low, high } => low < high && (low.is_finite() || high.is_finite()),
        Activation::LeakyRelu(a) => a.is_finite() && a != 0.0 && a != 1.0,
        Activation::Elu(a) => a.is_finite() && a != 0.0,
        Activation::Celu(a) => a.is_finite() && a > 0.0,
        Activation::Swish(a) => a.is_finite() && a != 0.0,
        Activation::Selu { alpha, scale } => alpha.is_finite() && scale.is_finite() && alpha != 0.0 && scale != 0.0,
        Activation::HardSigmoid { slope, offset } => slope.is_finite() && offset.is_finite() && slope != 0.0,
        Activation::Shrink { lambda, bias } => lambda > 1e-6 && bias.is_finite(),
        _ => true,
    }
}

/// The inputs at which a stretch is evaluated: the usual ones, and some beside each of its constants.
fn inputs(numbers: Vec<f64>) -> Vec<f64> {
    let own = numbers
        .into_iter()
        .filter(|v| v.is_finite() && *v != 0.0 && v.abs() < 1e4)
        .flat_map(|v| [0.97 * v.abs(), 1.03 * v.abs()]);
    let sides = INPUTS.into_iter().chain(own).flat_map(|v| [v, -v]);
    std::iter::once(0.0).chain(sides).collect()
}

/// Replaces a rectifier whose negative slopes differ by channel by one node.
fn channelwise_slopes(b: &mut Builder, id: NodeId, stretch: &Stretch, live: &Live) -> Result<bool> {
    let count: usize = stretch.wide.iter().product();
    let inputs = inputs(stretch.numbers(b));
    let mut slopes = Vec::with_capacity(count);
    for i in 0..count {
        let Some(curve) = stretch.curve(b, live, i) else { return Ok(false) };
        let slope = -curve.at(-1.0).unwrap_or(f64::NAN);
        let fits = |x: &f64| {
            let want = if *x > 0.0 { *x } else { slope * x };
            curve
                .at(*x)
                .is_some_and(|y| (y - want).abs() <= MAX_DIFFERENCE * want.abs() + CANCELLATION_ERROR * (1.0 + x.abs()))
        };
        if !inputs.iter().all(fits) {
            return Ok(false);
        }
        slopes.push(slope as f32);
    }
    if slopes.iter().all(|slope| *slope == 1.0) {
        return Ok(false);
    }
    let name = format!("{}/slope", b.node(id).name);
    let param = b.param(&name, Tensor::from_vec(slopes, stretch.wide.as_slice(), &Device::Cpu)?)?;
    let slope = b.add(&name, Op::Constant(param), &[])?;
    b.rewrite(id, Op::Binary(Binary::Prelu), &[stretch.base, slope])?;
    Ok(true)
}
