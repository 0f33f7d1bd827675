//! Layer-wise relevance propagation: the score distributed back, layer by layer, in proportion to contributions.
//!
//! Bach et al. 2015; Montavon et al. 2019. The rules are in [`crate::rules::lrp`].

use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::job::Job;
use crate::model::Model;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::pass::{Seed, Tap, Trace, fold::fold};
use crate::probe::Probe;
use crate::probes::attribution::{diagnose, signed};
use crate::rules::lrp::{LayerBudget, RelevanceBudget};
use crate::rules::{LrpRule, On, Rules};
use crate::show::{Artifact, Cell, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;

crate::choice! {
    /// Which rule serves at which kind of layer.
    pub enum Composite {
        /// z+ at convolutions, epsilon at linear layers.
        EpsilonPlus = "epsilon_plus",
        /// z-box at the first convolution, gamma at the others, epsilon at linear layers.
        EpsilonGammaBox = "epsilon_gamma_box",
        /// alpha 2, beta 1 at convolutions, epsilon at linear layers.
        EpsilonAlpha2Beta1 = "epsilon_alpha2_beta1",
        /// Epsilon at layers, AttnLRP's rules at softmax, products and layer normalisation.
        AttnLrp = "attn_lrp",
        /// Epsilon at all convolutions and linear layers.
        Epsilon = "epsilon",
        /// Gamma at all convolutions and linear layers.
        Gamma = "gamma",
        /// Alpha-beta at all convolutions and linear layers.
        AlphaBeta = "alpha_beta",
        /// z+ at all convolutions and linear layers.
        ZPlus = "z_plus",
        /// z-box at the first convolution, epsilon at the others and at linear layers.
        ZBox = "z_box",
        /// w^2 at all convolutions and linear layers.
        WSquare = "w_square",
        /// Flat at all convolutions and linear layers.
        Flat = "flat",
    }
}

crate::choice! {
    /// One rule for one layer.
    pub enum Single {
        /// x w R / (x w + b).
        Epsilon = "epsilon",
        /// Positive contributions weighted by 1 + gamma.
        Gamma = "gamma",
        /// Positive and negative contributions separately.
        AlphaBeta = "alpha_beta",
        /// Positive contributions only.
        ZPlus = "z_plus",
        /// For inputs in a box.
        ZBox = "z_box",
        /// By squared weights.
        WSquare = "w_square",
        /// In equal parts.
        Flat = "flat",
    }
}

/// Rules for layers by name, which come before those of the composite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerRules(pub BTreeMap<String, Single>);

impl Param for LayerRules {
    fn form() -> Form {
        let rules = Single::form();
        Form { words: format!("a map from layer names to {}", rules.words), choices: rules.choices }
    }

    fn read(value: &Value) -> Result<Self> {
        let Value::Map(map) = value else { return Err(wrong_kind::<Self>(value)) };
        let one = |(name, v): (&String, &Value)| {
            Ok((name.clone(), Single::read(v).map_err(|e| e.context(format!("layer `{name}`")))?))
        };
        Ok(LayerRules(map.iter().map(one).collect::<Result<_>>()?))
    }

    fn write(&self) -> Value {
        Value::Map(self.0.iter().map(|(name, rule)| (name.clone(), rule.write())).collect())
    }
}

/// A number for each channel of the net's input, or one for all.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelBounds(pub Vec<f64>);

impl From<f64> for ChannelBounds {
    fn from(v: f64) -> Self {
        ChannelBounds(vec![v])
    }
}

impl Param for ChannelBounds {
    fn form() -> Form {
        Form::words("a number, or a list of one for each channel")
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Float(_) | Value::Int(_) => Ok(ChannelBounds(vec![f64::read(value)?])),
            Value::List(_) => Ok(ChannelBounds(Vec::<f64>::read(value)?)),
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self.0[..] {
            [one] => Value::Float(one),
            _ => self.0.write(),
        }
    }
}

crate::params! {
    /// Layer-wise relevance propagation: the score is the relevance of the output, and each layer distributes its relevance
    /// over its inputs in proportion to their contributions. So the map sums to the score minus the relevance absorbed by biases.
    ///
    /// Batch normalisations are folded into the layers before them. Sums of branches distribute in proportion, products with a gate
    /// (squeeze-and-excitation) give all to the signal, a max pool gives all to its argmax, and activations and normalisations
    /// that are not folded pass relevance unchanged. A table lists by layer what biases and stabilisers absorb.
    #[probe(
        family = Where,
        source = "Bach et al. 2015; Montavon et al. 2019, section 10.2; Achtibat et al. 2024",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "lrp(#{ rule: \"epsilon_plus\" }).run(net, image)"
    )]
    pub struct Lrp as "lrp" {
        /// The rules of layers: a composite ("epsilon_plus", "epsilon_gamma_box", "epsilon_alpha2_beta1", for transformers
        /// "attn_lrp") or one rule for all convolutions and linear layers.
        rule: Composite = Composite::EpsilonPlus;
        /// Rules for single layers by name, before those of `rule`: #{ conv1: "flat" }.
        layers: LayerRules = LayerRules::default();
        /// Stabiliser of the epsilon rule, in units of the layer's output.
        epsilon: f64 = 1e-6, in 0.0..=1e6;
        /// Gamma of the gamma rule, by which positive contributions weigh more.
        gamma: f64 = 0.25, in 0.0..=1e6;
        /// Weight of positive contributions in the alpha-beta rule; beta is alpha - 1.
        alpha: f64 = 2.0, in 1.0..=1e6;
        /// z-box: the smallest value of the preprocessed input, one number or one for each channel; from the net's card unless
        /// given.
        low: Option<ChannelBounds> = None;
        /// z-box: the largest value, likewise.
        high: Option<ChannelBounds> = None;
    }
}

impl Probe for Lrp {
    fn run(&self, on: &Subject, input: &Input, _job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let start = Start::new(&target, &prepared.x)?;
        let rules = self.rules(start.trace.model())?;
        let budget = RelevanceBudget::new(start.trace.model(), rules.clone());
        let map = start.send(&budget.rules())?.squeeze(0)?;
        let total = to_f64(&map)?.iter().sum::<f64>();
        let layers = budget.layers();
        let kept = |f: fn(&LayerBudget) -> f64| layers.iter().map(|(_, e)| f(e)).sum::<f64>();
        let (biases, lost) = (kept(|e| e.bias), kept(LayerBudget::absorbed));
        let mut artifact = signed("lrp", &target, &prepared, &map, "relevance, summed over channels")?;
        for reason in diagnose(&map, &target, &prepared.x, &rules)? {
            artifact = artifact.note(reason);
        }
        artifact = artifact.note(format!(
            "the score {:.6} = {total:.6} at the input + {biases:.6} taken by biases + {lost:.6} by stabilisers, padding and silent outputs",
            start.score
        ));
        if start.score != 0.0 && total.abs() < MIN_EXPLAINED_SHARE * start.score.abs() {
            artifact = artifact.note(
                "biases take nearly all relevance in this net, so the map tells little of the score; `deep_lift` and \
                 `integrated_gradients` explain it against a baseline",
            );
        }
        Ok(artifact
            .note(format!("rules: {rules}"))
            .part(Part::Table("relevance by layer".into(), account(model.graph(), &layers, start.score)))
            .array("score", tensor(vec![start.score], &[1])?)
            .array("biases", tensor(vec![biases], &[1])?)
            .array("lost", tensor(vec![lost], &[1])?))
    }

    fn multiplied_by(&self, _target: &Subject, x: &Tensor, _job: &Job) -> Result<Option<Tensor>> {
        Ok(Some(x.clone()))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let start = Start::new(target, x)?;
        start.send(&self.rules(start.trace.model())?)
    }
}

impl Lrp {
    /// The rules for `model`.
    ///
    /// # Errors
    /// Where a layer does not exist, or the box of the z-box rule is neither given nor known from the card.
    pub fn rules(&self, model: &Model) -> Result<Rules> {
        let mut rules = match self.rule {
            Composite::EpsilonPlus => Rules::epsilon_plus(self.epsilon),
            Composite::EpsilonGammaBox => {
                let (low, high) = self.bounds(model)?;
                Rules::epsilon_gamma_box(self.epsilon, self.gamma, low, high)
            }
            Composite::EpsilonAlpha2Beta1 => Rules::epsilon_alpha2_beta1(self.epsilon),
            Composite::AttnLrp => Rules::attn_lrp(self.epsilon),
            Composite::ZBox => {
                let (low, high) = self.bounds(model)?;
                Rules::epsilon_box(self.epsilon, low, high)
            }
            Composite::Epsilon => Rules::lrp(self.single(Single::Epsilon, model)?),
            Composite::Gamma => Rules::lrp(self.single(Single::Gamma, model)?),
            Composite::AlphaBeta => Rules::lrp(self.single(Single::AlphaBeta, model)?),
            Composite::ZPlus => Rules::lrp(self.single(Single::ZPlus, model)?),
            Composite::WSquare => Rules::lrp(self.single(Single::WSquare, model)?),
            Composite::Flat => Rules::lrp(self.single(Single::Flat, model)?),
        };
        for (name, rule) in self.layers.0.iter().rev() {
            rules.0.insert(0, (On::Node(model.layer(name)?), Arc::new(self.single(*rule, model)?)));
        }
        Ok(rules)
    }

    fn single(&self, rule: Single, model: &Model) -> Result<LrpRule> {
        Ok(match rule {
            Single::Epsilon => LrpRule::Epsilon(self.epsilon),
            Single::Gamma => LrpRule::Gamma(self.gamma),
            Single::AlphaBeta => LrpRule::AlphaBeta(self.alpha),
            Single::ZPlus => LrpRule::Z_PLUS,
            Single::ZBox => {
                let (low, high) = self.bounds(model)?;
                LrpRule::ZBox { low, high }
            }
            Single::WSquare => LrpRule::WSquare,
            Single::Flat => LrpRule::Flat,
        })
    }

    fn bounds(&self, model: &Model) -> Result<(Vec<f64>, Vec<f64>)> {
        if let (Some(low), Some(high)) = (&self.low, &self.high) {
            return Ok((low.0.clone(), high.0.clone()));
        }
        let card = model.card().preprocess().map_err(|e| {
            e.context("the z-box rule")
                .hint("give the bounds of the preprocessed input: lrp(#{ low: -2.2, high: 2.7, .. })")
        })?;
        let (low, high): (Vec<f64>, Vec<f64>) =
            card.bounds().iter().map(|(l, h)| (f64::from(*l), f64::from(*h))).unzip();
        let given = |side: &Option<ChannelBounds>, known: Vec<f64>| side.as_ref().map_or(known, |s| s.0.clone());
        Ok((given(&self.low, low), given(&self.high, high)))
    }
}

/// The pass over the folded net, and the relevance that begins at the target: its share of the score at each value.
struct Start {
    trace: Trace,
    relevance: Seed,
    score: f64,
}

impl Start {
    fn new(target: &Subject, x: &Tensor) -> Result<Self> {
        let nodes: Vec<NodeId> = target.nodes()?;
        let model = fold(target.model()?, &nodes)?;
        let tap = if let [one] = nodes[..] { Tap::Until(one) } else { Tap::All };
        let trace = model.forward(x, &tap)?;
        let relevance = target
            .seed(&trace)?
            .into_iter()
            .map(|(id, w)| Ok((id, (w * trace.get(id)?)?)))
            .collect::<Result<Seed>>()?;
        let mut score = 0.0;
        for (_, r) in &relevance {
            score += to_f64(r)?.iter().sum::<f64>();
        }
        Ok(Start { trace, relevance, score })
    }

    fn send(&self, rules: &Rules) -> Result<Tensor> {
        self.trace.backward_to(self.trace.model().graph().input(), self.relevance.clone(), rules)
    }
}

/// Share of the score that reaches the input, below which a note says that the map explains little of it.
const MIN_EXPLAINED_SHARE: f64 = 0.1;

/// Share of the score below which a loss is not listed.
const MIN_LISTED_LOSS: f64 = 1e-6;

/// A row for each layer whose bias absorbs relevance, or which loses some.
fn account(graph: &Graph, entries: &[(NodeId, LayerBudget)], score: f64) -> Table {
    let mut table = Table::new(["layer", "kind", "arrived", "passed", "biases", "lost"]);
    for (id, e) in entries {
        if e.bias != 0.0 || e.absorbed().abs() > MIN_LISTED_LOSS * score.abs() {
            let node = graph.node(*id);
            table.push([
                Cell::from(node.name.as_str()),
                node.op.kind().into(),
                e.arrived.into(),
                e.passed.into(),
                e.bias.into(),
                e.absorbed().into(),
            ]);
        }
    }
    table
}
