//! A ledger of relevance: what arrives at each layer, what it hands on, and what biases and stabilisers keep.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::Model;
use crate::rules::{On, Rule, Rules, Shares, Site};
use crate::tensor::to_f64;
use candle_core::Tensor;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What became of the relevance at one node, summed over its values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// What arrived at its output.
    pub arrived: f64,
    /// What it handed to inputs that depend on the net's input.
    pub passed: f64,
    /// What its bias took, or a constant that it adds.
    pub bias: f64,
}

impl Entry {
    /// What is left: taken by stabilisers, by padding, and by outputs to which nothing contributes.
    pub fn lost(&self) -> f64 {
        self.arrived - self.passed - self.bias
    }
}

/// Rules that keep account of what they pass.
#[derive(Debug)]
pub struct Ledger {
    rules: Rules,
    reached: Vec<bool>,
    entries: Mutex<BTreeMap<NodeId, Entry>>,
}

impl Ledger {
    /// Accounts for `rules` over `model`.
    pub fn new(model: &Model, rules: Rules) -> Arc<Self> {
        let graph = model.graph();
        Arc::new(Ledger { rules, reached: graph.descendants(graph.input()), entries: Mutex::default() })
    }

    /// The rules with the account kept while they run.
    pub fn rules(self: &Arc<Self>) -> Rules {
        Rules(vec![(On::Any, self.clone())])
    }

    /// The account so far, the last node first.
    pub fn entries(&self) -> Vec<(NodeId, Entry)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().rev().map(|(id, e)| (*id, *e)).collect()
    }
}

impl Rule for Ledger {
    fn name(&self) -> String {
        self.rules.to_string()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        Ok(self.shares(site)?.parts)
    }

    fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        let mut shares = self.rules.shares(site)?;
        if shares.parts.len() != site.node.inputs.len() {
            return Err(Error::internal("a rule that passes not one part to each input"));
        }
        let total = |t: &Tensor| Ok::<f64, Error>(to_f64(t)?.iter().sum());
        let mut entry = Entry { arrived: total(site.flow)?, passed: 0.0, bias: shares.bias };
        for (part, input) in shares.parts.iter().zip(&site.node.inputs) {
            let sum = total(part)?;
            if self.reached[input.0] { entry.passed += sum } else { entry.bias += sum }
        }
        shares.bias = entry.bias;
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(site.id, entry);
        Ok(shares)
    }
}
