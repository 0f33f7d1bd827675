//! A box of a detector as a subject: the raw score of its class, its objectness, or one of its coordinates.

use super::Subject;
use super::places::{CurveValue, Places};
use crate::detect::{Detector, Found};
use crate::error::{Error, Result};
use crate::model::Model;
use candle_core::Tensor;
use std::fmt;
use std::sync::Arc;

/// The value of a box that is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoxPart {
    /// The raw score of its class.
    #[default]
    Class,
    /// Its raw objectness.
    Objectness,
    /// Its left edge.
    X,
    /// Its upper edge.
    Y,
    /// Its width.
    W,
    /// Its height.
    H,
}

impl BoxPart {
    /// All, by the words that options take.
    pub const WORDS: [(&'static str, BoxPart); 6] = [
        ("class", BoxPart::Class),
        ("objectness", BoxPart::Objectness),
        ("x", BoxPart::X),
        ("y", BoxPart::Y),
        ("w", BoxPart::W),
        ("h", BoxPart::H),
    ];

    /// The part that a word names.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(word: &str) -> Result<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, part)| *part).ok_or_else(|| {
            let all: Vec<String> = Self::WORDS.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            Error::value(format!("\"{word}\" is no part of a box")).hint(format!("a part is {}", all.join(", ")))
        })
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, part)| *part == self).map_or("class", |(name, _)| *name)
    }
}

/// A box by its rank among those of an input (0 is the best), or one that was already found in an input.
#[derive(Clone, Debug)]
pub struct BoxQuery {
    /// The detector.
    pub model: Model,
    /// Its number.
    pub number: usize,
    /// What of it is asked about.
    pub part: BoxPart,
    /// The box, where it was found already.
    pub found: Option<Arc<Found>>,
}

impl BoxQuery {
    /// The box at the input `x`, 1 x C x H x W.
    ///
    /// # Errors
    /// Where the outputs are no boxes, or there are fewer.
    pub fn find(&self, detector: &Detector, x: &Tensor) -> Result<Arc<Found>> {
        if let Some(found) = &self.found {
            return Ok(found.clone());
        }
        let all = detector.boxes(x)?;
        all.get(self.number).cloned().map(Arc::new).ok_or_else(|| {
            let error = Error::not_found(format!(
                "box {} of `{}`, which finds {} in this input",
                self.number,
                self.model.card().name,
                all.len()
            ));
            let least = detector.decoding().score;
            match all.len() {
                0 => error.hint(format!(
                    "no score reaches {least}; load_model(.., #{{ boxes: #{{ score: 0.1, .. }} }}) asks for less"
                )),
                n => error.hint(format!("boxes are numbered by score, 0 to {}; `net.boxes(image)` lists them", n - 1)),
            }
        })
    }

    /// The subject with a score that the box is at the input `x`.
    ///
    /// # Errors
    /// As [`BoxQuery::find`], and where the detector gives no objectness and that is asked for.
    pub(super) fn resolve(&self, x: &Tensor) -> Result<Subject> {
        let detector = Detector::new(&self.model)?;
        let found = self.find(&detector, x)?;
        let class = self.model.card().class_name(found.class);
        let (model, read) = match self.part {
            BoxPart::Class => {
                let (model, at) = detector.class_place(&found);
                (model, vec![(at, 1.0)])
            }
            BoxPart::Objectness => {
                let (model, at) = detector.objectness_place(&found)?;
                (model, vec![(at, 1.0)])
            }
            BoxPart::X => detector.length_places(&found, |c| c[0]),
            BoxPart::Y => detector.length_places(&found, |c| c[1]),
            BoxPart::W => detector.length_places(&found, |c| c[2] - c[0]),
            BoxPart::H => detector.length_places(&found, |c| c[3] - c[1]),
        };
        let [(first, _), ..] = read[..] else {
            return Err(Error::subject(format!("{} does not depend on the net's output", self)));
        };
        let graph = model.graph();
        let output = graph.output();
        // The logit behind a score, at the head that computes it.
        let peeled = |i: usize| match self.part {
            BoxPart::Class | BoxPart::Objectness => graph.logit(output, i),
            _ => graph.origin(output, i),
        };
        let origins: Vec<_> = read.iter().map(|(i, w)| (peeled(*i), *w)).collect();
        let node = peeled(first).0;
        let (node, weights) = match origins.iter().all(|((n, _), _)| *n == node) {
            true => (node, origins.iter().map(|((_, i), w)| (*i, *w)).collect()),
            false => (output, read.clone()),
        };
        let shown = match self.part {
            BoxPart::Class | BoxPart::Objectness => CurveValue::Value(output, first),
            _ => CurveValue::Score,
        };
        let part = if self.part == BoxPart::Class { String::new() } else { format!("{} of ", self.part.word()) };
        Ok(Subject::Places(Places {
            model: model.clone(),
            node,
            name: format!("{part}box {} ({class} {:.2})", self.number, found.score),
            weights: Arc::new(weights),
            shown,
            at: Arc::default(),
            found: Some(found),
        }))
    }
}

impl fmt::Display for BoxQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            BoxPart::Class => write!(f, "box {}", self.number),
            part => write!(f, "{} of box {}", part.word(), self.number),
        }
    }
}
