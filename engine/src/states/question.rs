//! The question that a state belongs to. Two states merge only where their questions are equal.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A net that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionNet {
    /// What it is called.
    pub name: String,
    /// BLAKE3 of its weights, hexadecimal.
    pub weights: String,
    /// How photos become its input.
    pub preprocess: Value,
}

/// A question about a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The probe, or the method of a net.
    pub probe: String,
    /// What is asked, in words.
    pub subject: String,
    /// The probe's options.
    pub options: Value,
    /// The nets that are asked.
    pub nets: Vec<QuestionNet>,
    /// The identity of the data set: its name, its number of images, its files.
    pub data: Value,
    /// Images of the whole data set.
    pub images: u64,
    /// The seed of all random numbers.
    pub seed: u64,
}

impl Question {
    /// The BLAKE3 of all of it, hexadecimal.
    pub fn digest(&self) -> String {
        blake3::hash(serde_json::to_string(self).unwrap_or_default().as_bytes()).to_hex().to_string()
    }

    /// An error unless `other`, which is in the file `place`, is the same question.
    ///
    /// # Errors
    /// Names the first thing that differs.
    pub fn check(&self, other: &Question, place: &str) -> Result<()> {
        let differs =
            |what: String| Err(Error::value(format!("`{place}` holds the state of another question: {what}")));
        let text = |what: &str, a: &str, b: &str| differs(format!("{what} is {b} there, {a} here"));
        if self.probe != other.probe {
            return text("the probe", &self.probe, &other.probe);
        }
        for (a, b) in self.nets.iter().zip(&other.nets) {
            if a.weights != b.weights {
                let [a16, b16] = [&a.weights, &b.weights].map(|w| w.get(..16).unwrap_or(w));
                return differs(format!("the net `{}` has other weights: BLAKE3 {b16} there, {a16} here", b.name))
                    .map_err(|e: Error| e.hint("all shards are computed with one net; compute the state again"));
            }
            if a != b {
                return differs(format!("the net `{}` is called otherwise or takes photos otherwise", b.name));
            }
        }
        if self.nets.len() != other.nets.len() {
            return text("the number of nets", &self.nets.len().to_string(), &other.nets.len().to_string());
        }
        if self.subject != other.subject {
            return text("the subject", &self.subject, &other.subject);
        }
        if self.options != other.options {
            return text("the set of options", &self.options.to_string(), &other.options.to_string());
        }
        if self.images != other.images {
            return text("the number of images", &self.images.to_string(), &other.images.to_string());
        }
        if self.data != other.data {
            return text("the data set", &self.data.to_string(), &other.data.to_string());
        }
        if self.seed != other.seed {
            return text("the seed", &self.seed.to_string(), &other.seed.to_string());
        }
        Ok(())
    }
}
