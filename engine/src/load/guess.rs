//! What a net that says nothing of photos most probably takes: for `explain`, which must answer a person who has a file and
//! a photo only. Everything guessed is named, so that an option can say otherwise.

use super::options::LoadOptions;
use super::photos::{self, Beside};
use crate::data::preprocess::{Preprocess, Size};
use crate::error::{Error, Result};
use crate::model::Model;
use std::path::Path;

/// Options that complete those given, and where each comes from.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    /// The options to load the net with, by name.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// What was read from files beside the net, and what is assumed.
    pub notes: Vec<String>,
}

/// What is to be added to `options` so that `net`, loaded with them from `path`, takes photos and names its classes.
///
/// # Errors
/// Where the net takes no photos, or a file beside it cannot be used.
pub fn complete(net: &Model, path: &Path, options: &LoadOptions) -> Result<Guess> {
    let mut guess = Guess::default();
    let &[channels, height, width] = net.input_shape() else {
        return Err(Error::unsupported(format!("the net's input is {:?}, which no photo becomes", net.input_shape()))
            .hint(
                "give it the numbers themselves: `convscope explain NET x.npy`, or load_tensor(\"x.npy\") in a script",
            ));
    };
    let size = Size { height, width };
    let beside = if path.is_file() { photos::beside(path, size, channels)? } else { Beside::default() };
    if net.card().classes.is_empty()
        && options.labels.is_none()
        && let Some(labels) = &beside.labels
    {
        let classes = super::labelled(net)?;
        let fits = net.card().clone().with_labels(labels, classes).is_ok();
        match fits {
            true => {
                guess.options.insert("labels".into(), serde_json::json!(labels));
                guess.notes.extend(beside.notes.iter().filter(|n| n.starts_with("labels")).cloned());
            }
            false => guess.notes.push(format!(
                "the {} labels in or beside the net's file do not fit its {} outputs and are left out",
                labels.len(),
                classes
            )),
        }
    }
    if net.card().preprocess.is_some() {
        return Ok(guess);
    }
    if let Some(found) = beside.preprocess.filter(|p| p.channels == channels && p.size == size) {
        guess.options.extend(by_name(&found)?);
        guess.notes.extend(beside.notes.iter().filter(|n| n.starts_with("preprocessing")).cloned());
        return Ok(guess);
    }
    let preset = if channels == 1 { "raw" } else { "imagenet" };
    guess.options.insert("preset".into(), preset.into());
    if channels == 1 {
        guess.options.insert("scale".into(), serde_json::json!(1.0 / 255.0));
    }
    guess.notes.push(format!(
        "nothing says how photos are preprocessed: {} is assumed; the maps are wrong if the net was trained otherwise \
         (options: preset, size, mean, std, scale, order, resize)",
        match channels {
            1 => "grey in 0 to 1".to_string(),
            _ => format!("the preset \"{preset}\""),
        }
    ));
    Ok(guess)
}

/// A preprocessing as options of `load_model`.
fn by_name(found: &Preprocess) -> Result<serde_json::Map<String, serde_json::Value>> {
    let json = serde_json::to_value(found).map_err(|e| Error::internal(e.to_string()))?;
    let mut map = json.as_object().cloned().unwrap_or_default();
    for own in ["size", "channels"] {
        map.remove(own);
    }
    Ok(map)
}
