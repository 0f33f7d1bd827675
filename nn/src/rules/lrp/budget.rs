//! The relevance budget of each layer: what arrives, what is passed on, and what biases and stabilisers absorb.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::Model;
use crate::pass::rule::{On, Rule, Rules, Shares, Site};
use crate::tensor::to_f64;
use candle_core::Tensor;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The relevance at one node, summed over its values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerBudget {
    /// Relevance of its output.
    pub arrived: f64,
    /// Relevance passed to those of its inputs that depend on the net's input.
    pub passed: f64,
    /// Relevance absorbed by its bias, or by a constant that it adds.
    pub bias: f64,
}

impl LayerBudget {
    /// The rest: absorbed by stabilisers, by padding, and by outputs to which nothing contributes.
    pub fn absorbed(&self) -> f64 {
        self.arrived - self.passed - self.bias
    }
}

/// Rules that record the budget of each node that they pass.
#[derive(Debug)]
pub struct RelevanceBudget {
    rules: Rules,
    depends_on_input: Vec<bool>,
    layers: Mutex<BTreeMap<NodeId, LayerBudget>>,
}

impl RelevanceBudget {
    /// The budget of `rules` over `model`, empty so far.
    pub fn new(model: &Model, rules: Rules) -> Arc<Self> {
        let graph = model.graph();
        Arc::new(RelevanceBudget {
            rules,
            depends_on_input: graph.descendants(graph.input()),
            layers: Mutex::default(),
        })
    }

    /// The rules; running them fills the budget.
    pub fn rules(self: &Arc<Self>) -> Rules {
        Rules(vec![(On::Any, self.clone())])
    }

    /// The budgets so far, the last node first.
    pub fn layers(&self) -> Vec<(NodeId, LayerBudget)> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.iter().rev().map(|(id, e)| (*id, *e)).collect()
    }
}

impl Rule for RelevanceBudget {
    fn name(&self) -> String {
        self.rules.to_string()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        Ok(self.shares(site)?.inputs)
    }

    fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        let mut shares = self.rules.shares(site)?;
        if shares.inputs.len() != site.node.inputs.len() {
            return Err(Error::internal("a rule that passes not one signal to each input"));
        }
        let total = |t: &Tensor| Ok::<f64, Error>(to_f64(t)?.iter().sum());
        let mut budget = LayerBudget { arrived: total(site.flow)?, passed: 0.0, bias: shares.bias };
        for (part, input) in shares.inputs.iter().zip(&site.node.inputs) {
            let sum = total(part)?;
            if self.depends_on_input[input.0] { budget.passed += sum } else { budget.bias += sum }
        }
        shares.bias = budget.bias;
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).insert(site.id, budget);
        Ok(shares)
    }
}
