//! Layer-wise relevance propagation: a rule distributes the relevance of an operation's outputs over its inputs in proportion to
//! their contributions z_ij = x_i w_ij. Rules differ in which parts of x, w and the bias count.
//!
//! `composites` decides which rule each operation has: the composite for layers, the [`OpClass`](crate::graph::OpClass) for operations
//! without weights. A new class does not compile until its rule is decided there. An [`LrpRule`] at an operation that is not linear
//! is an error that names the node. Selections and rearrangements take the gradient, which conserves relevance there.
//!
//! Bach, Binder, Montavon, Klauschen, Mueller, Samek, "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by
//! Layer-Wise Relevance Propagation", 2015; Montavon, Binder, Lapuschkin, Samek, Mueller, "Layer-Wise Relevance
//! Propagation: An Overview", 2019. Stabilisers and the place of biases follow Zennit (Anders et al. 2021).

mod affine;
mod attention;
mod budget;
mod composites;
mod weightless;

pub use attention::{Bilinear, KnownDeviation, SoftmaxExpansion};
pub use budget::{LayerBudget, RelevanceBudget};
pub use weightless::{PassThrough, Proportional, SignalTakesAll};

use crate::error::{Error, Result};
use crate::kernels::elementwise;
use crate::model::Model;
use crate::pass::Tap;
use crate::pass::rule::{Rule, Shares, Site};
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use affine::Affine;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;

/// Added to a denominator, with its sign, by rules without an epsilon of their own.
pub const STABILISER: f64 = 1e-6;

/// A rule for affine operations: convolutions, linear maps, batch normalisations, averages, sums.
///
/// Below, x+ = max(x, 0) and x- = min(x, 0); R is the relevance of the output; a denominator d stands for d + e sign(d) with
/// sign(0) = 1 and e = [`STABILISER`], unless the rule has an epsilon of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum LrpRule {
    /// x w R / (x w + b) with this epsilon (LRP-0 where it is 0). Bach et al. 2015, equation 58.
    Epsilon(f64),
    /// Positive contributions weigh 1 + gamma. Where the output is positive: (x+ (w + g w+) + x- (w + g w-)) R over the sum of these
    /// plus b + g b+; where it is negative, w+ and w- are exchanged, and b- is taken for b+. Montavon et al. 2019, section 10.2.3,
    /// extended to inputs of either sign by Andeol et al. 2021.
    Gamma(f64),
    /// alpha (x+ w+ + x- w-) R / (x+ w+ + x- w- + b+) - (alpha - 1) (x+ w- + x- w+) R / (x+ w- + x- w+ + b-). Bach et al. 2015,
    /// equation 60. Alpha 1 is the z+ rule of Montavon et al. 2017.
    AlphaBeta(f64),
    /// (x w - low w+ - high w-) R over the sum of that numerator, for inputs in a box. The box is given for the channels of the
    /// net's input, and is passed forward to this layer's input. Montavon et al. 2017, section 3.
    ZBox {
        /// Lower bound of each channel of the net's input, or one for all.
        low: Vec<f64>,
        /// Upper bound, likewise.
        high: Vec<f64>,
    },
    /// w^2 R / (sum of w^2 + b^2), whatever the input. Montavon et al. 2017, section 3.
    WSquare,
    /// R in equal parts to all inputs of an output. Lapuschkin et al. 2019.
    Flat,
}

impl LrpRule {
    /// The z+ rule: alpha 1, beta 0.
    pub const Z_PLUS: LrpRule = LrpRule::AlphaBeta(1.0);
}

impl Rule for LrpRule {
    fn name(&self) -> String {
        match self {
            LrpRule::Epsilon(e) => format!("epsilon({e})"),
            LrpRule::Gamma(g) => format!("gamma({g})"),
            LrpRule::AlphaBeta(1.0) => "z_plus".into(),
            LrpRule::AlphaBeta(a) => format!("alpha_beta({a}, {})", a - 1.0),
            LrpRule::ZBox { low, high } => format!("z_box({low:?}, {high:?})"),
            LrpRule::WSquare => "w_square".into(),
            LrpRule::Flat => "flat".into(),
        }
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        Ok(self.shares(site)?.inputs)
    }

    fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        with_real!(site.flow, T => self.typed::<T>(site))
    }
}

impl LrpRule {
    fn typed<T: Real>(&self, site: &Site<'_>) -> Result<Shares> {
        let Some(map) = Affine::<T>::of(site)? else {
            let kind = site.node.op.kind();
            return Err(Error::unsupported(format!(
                "the rule {} at `{}`, which is not linear ({kind})",
                self.name(),
                site.node.name
            ))
            .hint("it is for convolutions, linear maps, batch normalisations, averages and sums"));
        };
        let (x, r) = (values::<T>(site.inputs[0])?, values::<T>(site.flow)?);
        let (x, r, w, b) = (&x[..], &r[..], &map.weight[..], map.bias.as_deref());
        let mut shares = RelevanceSums { inputs: vec![T::zero(); x.len()], bias: 0.0 };
        match self {
            LrpRule::Epsilon(e) => shares.add(&map, &[Term::new(x, w, b)], r, *e),
            LrpRule::Gamma(g) => {
                let y = values::<T>(site.output)?;
                let where_output_is = |positive: bool| {
                    elementwise::zip_map(r, &y, |r, y| {
                        if y != T::zero() && (y > T::zero()) == positive { r } else { T::zero() }
                    })
                };
                let (up, down) = (raised(w, &positive(w), *g), raised(w, &negative(w), *g));
                let b_up = b.map(|b| raised(b, &positive(b), *g));
                let b_down = b.map(|b| raised(b, &negative(b), *g));
                let (x_up, x_down) = (positive(x), negative(x));
                let plus = [Term::new(&x_up, &up, b_up.as_deref()), Term::new(&x_down, &down, None)];
                shares.add(&map, &plus, &where_output_is(true), STABILISER);
                let minus = [Term::new(&x_up, &down, b_down.as_deref()), Term::new(&x_down, &up, None)];
                shares.add(&map, &minus, &where_output_is(false), STABILISER);
            }
            LrpRule::AlphaBeta(alpha) => {
                let (up, down) = (positive(w), negative(w));
                let (b_up, b_down) = (b.map(positive), b.map(negative));
                let (x_up, x_down) = (positive(x), negative(x));
                let plus = [Term::new(&x_up, &up, b_up.as_deref()), Term::new(&x_down, &down, None)];
                shares.add(&map, &plus, &times(r, *alpha), STABILISER);
                if *alpha != 1.0 {
                    let minus = [Term::new(&x_up, &down, b_down.as_deref()), Term::new(&x_down, &up, None)];
                    shares.add(&map, &minus, &times(r, 1.0 - alpha), STABILISER);
                }
            }
            LrpRule::ZBox { low, high } => {
                let (low, high) = bounds(site, low, high)?;
                let (low, high) = (values::<T>(&low)?, values::<T>(&high)?);
                let (low, high) = (times(&low, -1.0), times(&high, -1.0));
                let terms = [
                    Term::new(x, w, None),
                    Term { x: Cow::Owned(low), w: Cow::Owned(positive(w)), b: None },
                    Term { x: Cow::Owned(high), w: Cow::Owned(negative(w)), b: None },
                ];
                shares.add(&map, &terms, r, STABILISER);
            }
            LrpRule::WSquare => {
                let square = |v: &[T]| v.iter().map(|v| *v * *v).collect::<Vec<T>>();
                let (ones, b) = (vec![T::one(); x.len()], b.map(square));
                shares.add(&map, &[Term::new(&ones, &square(w), b.as_deref())], r, STABILISER);
            }
            LrpRule::Flat => {
                let (ones, w) = (vec![T::one(); x.len()], vec![T::one(); w.len()]);
                shares.add(&map, &[Term::new(&ones, &w, None)], r, STABILISER);
            }
        }
        Ok(Shares { inputs: smallvec![tensor(shares.inputs, site.inputs[0].dims())?], bias: shares.bias })
    }
}

/// One term of a denominator: w * x + b.
struct Term<'a, T: Clone> {
    x: Cow<'a, [T]>,
    w: Cow<'a, [T]>,
    b: Option<Cow<'a, [T]>>,
}

impl<'a, T: Real> Term<'a, T> {
    fn new(x: &'a [T], w: &'a [T], b: Option<&'a [T]>) -> Self {
        Term { x: Cow::Borrowed(x), w: Cow::Borrowed(w), b: b.map(Cow::Borrowed) }
    }

    /// Whether the term is zero everywhere, as for the negative part of rectified inputs.
    fn is_zero(&self) -> bool {
        self.b.is_none() && self.x.iter().all(|v| *v == T::zero())
    }
}

/// The relevance distributed so far.
struct RelevanceSums<T> {
    inputs: Vec<T>,
    bias: f64,
}

impl<T: Real> RelevanceSums<T> {
    /// Distributes `r` in proportion to the terms' contributions.
    fn add(&mut self, map: &Affine<'_, T>, terms: &[Term<'_, T>], r: &[T], epsilon: f64) {
        let mut z = vec![T::zero(); r.len()];
        let terms: Vec<&Term<T>> = terms.iter().filter(|t| !t.is_zero()).collect();
        for t in &terms {
            let part = map.forward(&t.x, &t.w, t.b.as_deref());
            z.iter_mut().zip(part).for_each(|(z, p)| *z += p);
        }
        let s = elementwise::zip_map(r, &z, |r, z| stabilised_ratio(r, z, epsilon));
        for t in &terms {
            let back = map.adjoint(&s, &t.w);
            self.inputs.iter_mut().zip(t.x.iter()).zip(back).for_each(|((to, x), g)| *to += *x * g);
            if let Some(b) = &t.b {
                self.bias += map.bias_share(&s, b);
            }
        }
    }
}

/// r / (z + e sign(z)) with sign(0) = 1; zero where the denominator is zero.
fn stabilised_ratio<T: Real>(r: T, z: T, epsilon: f64) -> T {
    let e = T::of(epsilon);
    let d = if z < T::zero() { z - e } else { z + e };
    if r == T::zero() || d == T::zero() { T::zero() } else { r / d }
}

/// max(v, 0)
fn positive<T: Real>(v: &[T]) -> Vec<T> {
    v.iter().map(|v| elementwise::maximum(*v, T::zero())).collect()
}

/// min(v, 0)
fn negative<T: Real>(v: &[T]) -> Vec<T> {
    v.iter().map(|v| elementwise::minimum(*v, T::zero())).collect()
}

fn times<T: Real>(v: &[T], by: f64) -> Vec<T> {
    v.iter().map(|v| *v * T::of(by)).collect()
}

/// v + g part
fn raised<T: Real>(v: &[T], part: &[T], g: f64) -> Vec<T> {
    v.iter().zip(part).map(|(v, p)| *v + T::of(g) * *p).collect()
}

/// The bounds of the site's input, each shaped as that input: the values that the bounds of the net's input cause there.
fn bounds(site: &Site<'_>, low: &[f64], high: &[f64]) -> Result<(Tensor, Tensor)> {
    let (model, at) = (site.model, site.node.inputs[0]);
    let forward = |side: &[f64]| -> Result<Tensor> {
        let x = box_side(model, side)?;
        let trace = model.forward(&x, &Tap::Only(vec![at]))?;
        Ok(trace.get(at)?.broadcast_as(site.inputs[0].dims())?.contiguous()?)
    };
    let (a, b) = (forward(low)?, forward(high)?);
    Ok((a.minimum(&b)?, a.maximum(&b)?))
}

/// An input filled with `side`, one value for each channel or one for all, 1 x C x H x W.
fn box_side(model: &Model, side: &[f64]) -> Result<Tensor> {
    let shape = model.input_shape();
    let channels = shape.first().copied().unwrap_or(1);
    if side.len() != 1 && side.len() != channels {
        return Err(Error::shape(format!("a box with {} bounds for an input of {channels} channels", side.len()))
            .hint("give one number, or one for each channel"));
    }
    let plane: usize = shape[1..].iter().product();
    let data: Vec<f64> = (0..channels * plane).map(|i| side[i / plane % side.len()]).collect();
    tensor(data, &[&[1], shape].concat())
}
