//! A net's predictions for the images of the session, computed at the first request and cached.

use convscope_engine::data::Dataset;
use convscope_engine::humans::Classes;
use convscope_engine::humans::classes::{best, shares};
use convscope_engine::{Input, Model, Result};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A class and the net's probability for it.
pub type Guess = (usize, f64);

/// The predictions of a net whose outputs include the classes of the session.
pub struct Predictions {
    net: Model,
    outputs: Vec<Vec<usize>>,
    known: Mutex<BTreeMap<usize, Vec<Guess>>>,
}

impl Predictions {
    /// The predictions of a net; its outputs must include all classes.
    ///
    /// # Errors
    /// Where a class is missing, or the net takes no photos.
    pub fn new(net: Model, classes: &Classes) -> Result<Self> {
        net.card().preprocess()?;
        let outputs = classes.outputs(net.card(), net.scores_len())?;
        Ok(Predictions { net, outputs, known: Mutex::default() })
    }

    /// The net's name.
    pub fn name(&self) -> &str {
        &self.net.card().name
    }

    /// The five most probable classes for image `index`.
    ///
    /// # Errors
    /// Where the image cannot be read.
    pub fn guesses(&self, data: &Dataset, index: usize) -> Result<Vec<Guess>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(&index) {
            return Ok(found.clone());
        }
        let x = Input::Image(data.get(index)?).prepared(&self.net)?.x;
        let p = shares(&self.net.probabilities(&x)?[0], &self.outputs);
        let found: Vec<Guess> = best(&p, 5).into_iter().map(|c| (c, p[c])).collect();
        known().insert(index, found.clone());
        Ok(found)
    }
}
