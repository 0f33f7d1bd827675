//! LRP composites: which rule each operation has.
//!
//! They are those of Zennit (Anders et al. 2021), after Lapuschkin et al. 2017, Montavon et al. 2019 and Kohlbrenner et al.
//! 2020. They expect batch normalisations to be folded into the layers before them ([`crate::pass::fold`]).

use super::{Bilinear, KnownDeviation, SoftmaxExpansion};
use super::{LrpRule, PassThrough, Proportional, STABILISER, SignalTakesAll};
use crate::graph::OpClass;
use crate::pass::rule::{On, Rule, Rules};
use std::sync::Arc;

impl Rules {
    /// One LRP rule at every convolution and linear layer.
    pub fn lrp(rule: LrpRule) -> Self {
        Rules::lrp_composite(vec![(On::Convolution, rule.clone()), (On::Dense, rule)])
    }

    /// z+ at convolutions, epsilon at linear layers.
    pub fn epsilon_plus(epsilon: f64) -> Self {
        Rules::lrp_composite(vec![(On::Convolution, LrpRule::Z_PLUS), (On::Dense, LrpRule::Epsilon(epsilon))])
    }

    /// z-box at the first convolutions, gamma at the others, epsilon at linear layers. `low` and `high` as of [`LrpRule::ZBox`].
    pub fn epsilon_gamma_box(epsilon: f64, gamma: f64, low: Vec<f64>, high: Vec<f64>) -> Self {
        Rules::lrp_composite(vec![
            (On::FirstConvolution, LrpRule::ZBox { low, high }),
            (On::Convolution, LrpRule::Gamma(gamma)),
            (On::Dense, LrpRule::Epsilon(epsilon)),
        ])
    }

    /// alpha 2, beta 1 at convolutions, epsilon at linear layers.
    pub fn epsilon_alpha2_beta1(epsilon: f64) -> Self {
        Rules::lrp_composite(vec![(On::Convolution, LrpRule::AlphaBeta(2.0)), (On::Dense, LrpRule::Epsilon(epsilon))])
    }

    /// AttnLRP: epsilon at convolutions and linear layers, softmax expanded at its input, products distributed in halves, layer
    /// normalisation with its deviation held constant; the rest as in other composites.
    pub fn attn_lrp(epsilon: f64) -> Self {
        let mut rules = Rules::lrp(LrpRule::Epsilon(epsilon));
        let own: [(On, Arc<dyn Rule>); 3] = [
            (On::Kind("softmax"), Arc::new(SoftmaxExpansion)),
            (On::Kind("matmul"), Arc::new(Bilinear(epsilon))),
            (On::Kind("layer_norm"), Arc::new(KnownDeviation(epsilon))),
        ];
        rules.0.splice(0..0, own);
        rules
    }

    /// z-box at the first convolutions, epsilon at the others and at linear layers.
    pub fn epsilon_box(epsilon: f64, low: Vec<f64>, high: Vec<f64>) -> Self {
        Rules::lrp_composite(vec![
            (On::FirstConvolution, LrpRule::ZBox { low, high }),
            (On::Convolution, LrpRule::Epsilon(epsilon)),
            (On::Dense, LrpRule::Epsilon(epsilon)),
        ])
    }

    /// These rules for layers, then the rules that all composites share. Sums and averages distribute in proportion to
    /// contributions, products give all to their signal, activations and normalisations pass relevance unchanged, and
    /// selections and rearrangements take the gradient (a max pool gives all to the argmax).
    pub fn lrp_composite(layers: Vec<(On, LrpRule)>) -> Self {
        let mut rules: Vec<(On, Arc<dyn Rule>)> =
            layers.into_iter().map(|(on, rule)| (on, Arc::new(rule) as Arc<dyn Rule>)).collect();
        rules.extend(OpClass::ALL.into_iter().filter_map(|class| Some((On::Class(class), weightless(class)?))));
        Rules(rules)
    }
}

/// The rule for the operations of a class that have no weights; none where the gradient is the rule. A new class must be
/// decided here.
fn weightless(class: OpClass) -> Option<Arc<dyn Rule>> {
    match class {
        OpClass::Sum => Some(Arc::new(Proportional(STABILISER))),
        OpClass::Product => Some(Arc::new(SignalTakesAll)),
        OpClass::Elementwise | OpClass::Normalisation => Some(Arc::new(PassThrough)),
        // The gradient gives all to the winner and undoes the rearrangement; layers have the rules of the composite.
        OpClass::Selection | OpClass::Rearrangement | OpClass::Source | OpClass::Weighted => None,
    }
}
