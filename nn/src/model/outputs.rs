//! What a net's raw outputs mean: logits of a softmax, logits of independent labels, probabilities, or values. One place
//! turns them into probabilities and decisions; predictions, maps, accuracies and attacks all read from here.

use super::Model;
use crate::error::{Error, Result};
use crate::graph::closing::{Closing, Ending};
use crate::kernels::softmax;
use serde::{Deserialize, Serialize};

/// What raw outputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Logits of exclusive classes: probabilities are their softmax.
    Softmax,
    /// Logits of independent labels, or the one logit of a class and its complement: probabilities are their sigmoids.
    Sigmoid,
    /// Probabilities already, in the net's own unit (percent stay percent).
    Probability,
    /// Quantities, as a regression gives: there are no probabilities.
    Value,
}

impl OutputKind {
    /// The word that options take.
    pub fn word(self) -> &'static str {
        match self {
            OutputKind::Softmax => "softmax",
            OutputKind::Sigmoid => "sigmoid",
            OutputKind::Probability => "probability",
            OutputKind::Value => "value",
        }
    }
}

/// How the meaning of the outputs is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The card says it.
    Card,
    /// The graph proves it.
    Graph,
    /// Neither: the most frequent meaning is assumed.
    Assumed,
}

/// How a sample's row of raw scores is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Readout {
    /// What the scores are.
    pub kind: OutputKind,
    /// How that is known.
    pub evidence: Evidence,
    /// Scores a sample.
    pub outputs: usize,
    /// The probability that stands for certainty: 1, or 100 where the net's own probabilities are in percent.
    pub whole: f64,
}

impl Readout {
    /// Whether one output stands for a class and its complement.
    pub fn is_binary(&self) -> bool {
        self.outputs == 1 && matches!(self.kind, OutputKind::Sigmoid | OutputKind::Probability)
    }

    /// What is shown of each output: its probability, or its value where outputs are quantities.
    pub fn shown(&self, scores: &[f64]) -> Vec<f64> {
        match self.kind {
            OutputKind::Softmax => softmax::softmax(scores.len(), 1, false, scores),
            OutputKind::Sigmoid => scores.iter().map(|s| sigmoid(*s)).collect(),
            OutputKind::Probability | OutputKind::Value => scores.to_vec(),
        }
    }

    /// The word for what is shown.
    pub fn word(&self) -> &'static str {
        if self.kind == OutputKind::Value { "value" } else { "probability" }
    }

    /// One number for each class, of which the largest is the prediction: the scores; for one output, those of the class and of its
    /// complement.
    pub fn decision(&self, scores: &[f64]) -> Vec<f64> {
        match (self.is_binary(), self.kind) {
            (true, OutputKind::Sigmoid) => vec![scores[0], 0.0],
            (true, _) => vec![scores[0], self.whole - scores[0]],
            (false, _) => scores.to_vec(),
        }
    }

    /// The derivative with respect to the scores, from the derivative with respect to [`Readout::decision`].
    pub fn to_scores(&self, derivative: &[f64]) -> Vec<f64> {
        match (self.is_binary(), self.kind) {
            (true, OutputKind::Sigmoid) => vec![derivative[0]],
            (true, _) => vec![derivative[0] - derivative[1]],
            (false, _) => derivative.to_vec(),
        }
    }

    /// The probability of each class of [`Readout::decision`].
    pub fn probabilities(&self, scores: &[f64]) -> Vec<f64> {
        let shown = self.shown(scores);
        if self.is_binary() { vec![shown[0], self.whole - shown[0]] } else { shown }
    }

    /// The same from a row of [`Readout::decision`].
    pub fn of_decision(&self, decision: &[f64]) -> Vec<f64> {
        self.probabilities(&decision[..self.outputs.min(decision.len())])
    }

    /// What a reader should know, where the meaning is not the plain softmax that graph or card name.
    pub fn note(&self) -> Option<String> {
        let n = self.outputs;
        let outputs = if n == 1 { "one raw output".to_string() } else { format!("{} raw outputs", thousands(n)) };
        let way = match self.kind {
            OutputKind::Softmax => format!("probability: softmax over {outputs}"),
            OutputKind::Sigmoid => format!("probability: sigmoid of {outputs}"),
            OutputKind::Probability if self.whole > 1.0 => "probability: the net's own output, in percent".to_string(),
            OutputKind::Probability => "probability: the net's own output".to_string(),
            OutputKind::Value => "outputs are values, not probabilities".to_string(),
        };
        match (self.evidence, self.kind) {
            (Evidence::Assumed, _) => Some(format!(
                "{way}; this is assumed, load_model(.., #{{ output: \"softmax\" }}) or \"sigmoid\", \"probability\", \"value\" says it"
            )),
            (_, OutputKind::Softmax) => None,
            (Evidence::Graph, OutputKind::Value) => Some(format!(
                "{way}: the way the net ends bounds them by other numbers than 0 and 1; load_model(.., #{{ output: .. }}) says otherwise"
            )),
            _ => Some(way),
        }
    }
}

fn sigmoid(s: f64) -> f64 {
    if s >= 0.0 { 1.0 / (1.0 + libm::exp(-s)) } else { libm::exp(s) / (1.0 + libm::exp(s)) }
}

/// A number with commas between thousands.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Model {
    /// What the outputs mean: as the card says, else as the graph proves, else logits of exclusive classes (for one output
    /// the logit of a class and its complement), which is assumed.
    pub fn readout(&self) -> Readout {
        let outputs = self.scores_len();
        let closing = self.graph().closing(self.weights());
        let (kind, evidence) = match (self.card().output, closing) {
            (Some(kind), _) => (kind, Evidence::Card),
            (None, Closing::Raw | Closing::Probability { .. }) if self.graph().draws() => {
                (OutputKind::Value, Evidence::Assumed)
            }
            (None, Closing::Softmax) => (OutputKind::Softmax, Evidence::Graph),
            (None, Closing::LogSigmoid) => (OutputKind::Sigmoid, Evidence::Graph),
            (None, Closing::Probability { .. }) => (OutputKind::Probability, Evidence::Graph),
            (None, Closing::Value { .. } | Closing::Place | Closing::Sorted) => (OutputKind::Value, Evidence::Graph),
            (None, Closing::Raw) if outputs == 1 => (OutputKind::Sigmoid, Evidence::Assumed),
            (None, Closing::Raw) => (OutputKind::Softmax, Evidence::Assumed),
        };
        let percent = matches!(closing, Closing::Probability { high, .. } if high > 50.0);
        let whole = if percent && kind == OutputKind::Probability { 100.0 } else { 1.0 };
        Readout { kind, evidence, outputs, whole }
    }

    /// How the outputs of a classifier are read.
    ///
    /// # Errors
    /// Where the output is a map, or holds quantities.
    pub fn classes_readout(&self) -> Result<Readout> {
        let readout = self.labels_readout()?;
        if readout.kind == OutputKind::Value {
            return Err(Error::subject(format!("the outputs of `{}` are values, not classes", self.card().name))
                .hint("`net.forward(x)` gives them; load_model(.., #{ output: .. }) says what outputs are"));
        }
        Ok(readout)
    }

    /// The parts of an output that joins heads of different meaning; none where a card, an option or the graph as a whole says
    /// what outputs are.
    pub fn joined_heads(&self) -> Option<Vec<(usize, Ending)>> {
        let parts = self.graph().joined().filter(|_| self.card().output.is_none())?;
        // A sigmoid beside its complement is one head.
        let softmax = parts.iter().any(|(_, ending)| *ending == Ending::Softmax);
        (softmax || self.graph().closing(self.weights()) == Closing::Raw).then_some(parts)
    }

    /// Refuses an output that joins heads of different meaning: one softmax over all of it means nothing.
    pub(super) fn single_head(&self) -> Result<()> {
        let Some(parts) = self.joined_heads() else { return Ok(()) };
        let parts = parts.iter().map(|(n, ending)| format!("{n} {}", ending.word())).collect::<Vec<_>>().join(", ");
        Err(Error::subject(format!(
            "the output of `{}` joins numbers of different meaning ({parts}), not one score a class",
            self.card().name
        ))
        .hint("a detector: load_model(.., #{ boxes: .. }) and `net.boxes(image)`; one head of several: `net.output(name)`; load_model(.., #{ output: \"softmax\" }) or another kind takes all for classes"))
    }

    /// How the outputs are read, one number each.
    ///
    /// # Errors
    /// Where the output is a map, or joins heads of different meaning.
    pub fn labels_readout(&self) -> Result<Readout> {
        let shape = &self.graph().node(self.graph().scores()).shape;
        if shape.len() > 1 && shape.iter().filter(|n| **n > 1).count() > 1 {
            let dims = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
            return Err(Error::subject(format!(
                "the output of `{}` is a map of {dims}, not one score a class",
                self.card().name
            ))
            .hint("a map of classes: `net.pixel_class(class)` and `net.segment(image)`; boxes: `net.boxes(image)`; `net.forward(x)` gives it as it is"));
        }
        if self.leaves_classes_open() && self.graph().is_list_of_places(self.graph().scores()) {
            let n = self.scores_len();
            return Err(Error::subject(format!(
                "the output of `{}` is a list of {n} places of the input, not one score a class",
                self.card().name
            ))
            .hint("one score a place is a map of one class: `net.pixel_class(class)` and `net.segment(image)`; a detector's scores: load_model(.., #{ boxes: .. }) and `net.boxes(image)`; load_model(.., #{ output: \"softmax\" }) or another kind takes places for classes"));
        }
        self.single_head()?;
        Ok(self.readout())
    }

    /// Whether neither the card nor its names of classes say that the entries of a list are classes.
    pub(super) fn leaves_classes_open(&self) -> bool {
        self.card().output.is_none()
            && (self.card().classes.is_empty() || self.card().classes.len() != self.scores_len())
    }

    /// Number of raw class scores.
    pub fn scores_len(&self) -> usize {
        self.graph().node(self.graph().scores()).shape.iter().product()
    }

    /// Number of classes that predictions choose from: one a score, or two where one output stands for a class and its
    /// complement.
    pub fn classes_len(&self) -> usize {
        if self.readout().is_binary() { 2 } else { self.scores_len() }
    }
}
