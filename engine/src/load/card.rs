//! The card of a loaded net: preprocessing, classes, outputs and boxes, from the file, the files beside it, and the options.

use super::options::{DecodingSettings, Labels, LoadOptions};
use super::photos;
use super::sidecar::Sidecar;
use super::{LoadRequest, fetch, labels};
use crate::data::Orientation;
use crate::data::preprocess::Preprocess;
use crate::error::{Error, Result};
use crate::graph::closing::Closing;
use crate::model::boxes::{BoxDecoding, DECODINGS};
use crate::model::outputs::{Evidence, OutputKind};
use crate::model::{Background, Card, Model};

impl LoadRequest<'_> {
    /// The net with its `known` preprocessing and its labels, as the options change them; labels `beside` it name classes that
    /// nothing else names.
    pub(super) fn finished(&self, model: &Model, known: Option<Preprocess>, beside: &Sidecar) -> Result<Model> {
        let mut card = model.card().clone();
        for note in &beside.notes {
            (self.report)(&format!("{}: {note}", card.name));
            card.notes.push(note.clone());
        }
        // What was read beside the net is of the net's own size already.
        let unsized_options = LoadOptions { size: None, ..self.options.clone() };
        let is_read = known.is_some() && known == beside.preprocess;
        let options = if is_read { &unsized_options } else { self.options };
        let (preprocess, assumed) = photos::with_options(known, options, model.input_shape())?;
        card.notes.extend(preprocess.as_ref().and_then(Preprocess::note));
        card.preprocess = preprocess;
        card.notes.extend(assumed);
        card.output = self.options.output.or(card.output);
        let names = match &self.options.labels {
            None => beside.labels.as_ref().map(Vec::len),
            Some(Labels::Names(names)) => Some(names.len()),
            Some(Labels::Path(path)) => labels::read_labels(&self.base.join(path)).ok().map(|names| names.len()),
        };
        card.boxes = decoding(model, self.options.boxes.as_ref(), names)?;
        (card.rate, card.orientation) = (rate(self.options)?, orientation(self.options)?);
        card.notes.extend(
            card.boxes
                .as_ref()
                .and_then(|b| b.evidence.as_ref())
                .map(|e| format!("{e}; this is assumed, load_model(.., #{{ boxes: .. }}) says otherwise")),
        );
        let said = model.with_card(card.clone());
        let outputs = labelled(&said)?;
        if said.labels_readout().is_ok() {
            card.notes.extend(said.readout().note());
            card.notes.extend(names_of_one(&said, self.options, beside));
        } else if let Ok(maps) = said.class_maps() {
            card.notes.extend(maps.readout.note());
            card.notes.extend(picture_note(&said, maps.classes()));
        } else if card.output.is_none() && said.graph().is_drawn() {
            card.notes.extend(said.readout().note());
        }
        match said.graph().last_step() {
            Some((_, step)) => card.notes.push(step.note()),
            None if said.graph().is_threshold() => card
                .notes
                .push("the output is 0 or 1 by a threshold, which has no gradient: ask a net without that step".into()),
            None if said.graph().is_sign() => {
                card.notes.push(
                    "the output is a sign, -1, 0 or 1, which has no gradient: ask a net without that step".into(),
                );
            }
            None => {}
        }
        let closing = said.graph().closing(said.weights());
        if closing == Closing::Sorted {
            card.notes.push(
                "the output is in order of size: its places are ranks, not classes, which is why it is taken for values"
                    .into(),
            );
        }
        if closing == Closing::Place {
            card.notes.push(format!(
                "the output of `{}` is the place of the largest score (argmax), which has no gradient: ask a net without that step",
                card.name
            ));
        }
        let labels = match &self.options.labels {
            None => {
                let found = beside.labels.as_ref().filter(|_| card.classes.is_empty());
                let Some(labels) = found else { return Ok(model.with_card(card)) };
                if let Ok(named) = named(card.clone(), labels, &said, self.options.background) {
                    return Ok(model.with_card(named));
                }
                let n = labels.len();
                card.notes.push(format!(
                    "the {n} labels in or beside the net's file do not fit its {outputs} outputs and are left out"
                ));
                return Ok(model.with_card(card));
            }
            Some(Labels::Names(names)) => names.clone(),
            Some(Labels::Path(name)) if name.eq_ignore_ascii_case("imagenet") => fetch::imagenet_labels(self.report)?,
            Some(Labels::Path(path)) => labels::read_labels(&self.base.join(path))?,
        };
        Ok(model.with_card(named(card, &labels, &said, self.options.background)?))
    }
}

/// The card with `labels` of the classes of `net`, whose boxes or the option say which class is the background.
///
/// # Errors
/// Where the numbers of labels and classes do not fit, or what a detector's card says does not fit its outputs.
pub(super) fn named(card: Card, labels: &[String], net: &Model, background: Option<Background>) -> Result<Card> {
    let outputs = labelled(net)?;
    let mut background = background;
    if background.is_none() && net.card().boxes.is_some() && labels.len() + 1 == outputs {
        match crate::detect::Detector::new(net)?.background() {
            Some(0) => background = Some(Background::First),
            Some(last) if last + 1 == outputs => {
                let with_last: Vec<String> = labels.iter().cloned().chain(["no object".to_string()]).collect();
                return card.with_labels(&with_last, outputs);
            }
            Some(_) | None => {}
        }
    }
    card.with_labels_and(labels, outputs, background)
}

/// The name of a two-class net's single output, where no labels name it.
fn names_of_one(net: &Model, options: &LoadOptions, beside: &Sidecar) -> Option<String> {
    let named = options.labels.is_some() || beside.labels.is_some() || !net.card().classes.is_empty();
    (net.readout().is_binary() && !named).then(|| {
        "probability: the one output is the score of `class 0`; `class 1` is its complement; #{ labels: [\"no\", \"yes\"] } names the \
         complement, then the class"
            .to_string()
    })
}

/// A note that a map with the photo's number of channels and its size may be an image, where nothing says that it is of classes.
fn picture_note(net: &Model, classes: usize) -> Option<String> {
    let output = &net.graph().node(net.graph().scores()).shape;
    let readout = net.readout();
    // Sigmoids bound the colours of pictures as well; a softmax over the channels is of classes.
    let open = readout.evidence == Evidence::Assumed
        || readout.evidence == Evidence::Graph && readout.kind == OutputKind::Probability;
    let may_be = classes == 3 && output == net.input_shape() && open;
    may_be.then(|| {
        "the output has the shape of the input: three classes are assumed; if it is a picture, `output: \"value\"` says so".to_string()
    })
}

/// How many classes a net has that labels can name: those of a detector or of a map of classes, else one an output.
///
/// # Errors
/// Where what a detector's card says does not fit its outputs.
pub fn labelled(model: &Model) -> Result<usize> {
    if model.card().boxes.is_some() {
        return Ok(crate::detect::Detector::new(model)?.classes());
    }
    Ok(match (model.labels_readout(), model.class_maps()) {
        (Err(_), Ok(maps)) => maps.classes(),
        _ => model.scores_len(),
    })
}

/// The decoding of a net's boxes: as the option says, else as recognised by the outputs' shapes, the graph, and the number of
/// `names` of classes.
fn decoding(model: &Model, said: Option<&DecodingSettings>, names: Option<usize>) -> Result<Option<BoxDecoding>> {
    let named = |name: &str| {
        BoxDecoding::named(name).ok_or_else(|| {
            let all = DECODINGS.map(|d| format!("{d:?}")).join(", ");
            Error::value(format!("option `boxes` of `load_model`: no decoding {name:?}"))
                .hint(format!("the decodings are {all}, or a map says it part by part"))
        })
    };
    // Which output holds what is seen from the shapes, where two do.
    let seen = model.card().boxes.clone().or_else(|| crate::detect::recognise_with(model, names));
    let beside = |decoding: BoxDecoding| match &seen {
        Some(seen) if seen.boxes.is_some() => {
            BoxDecoding { scores: seen.scores.clone(), boxes: seen.boxes.clone(), ..decoding }
        }
        _ => decoding,
    };
    match said {
        None => Ok(seen),
        Some(DecodingSettings::Name(name)) => Ok(Some(beside(named(name)?))),
        Some(DecodingSettings::Parts(parts)) => {
            let base = match parts.get("like") {
                Some(serde_json::Value::String(name)) => beside(named(name)?),
                Some(other) => {
                    return Err(Error::value(format!("option `boxes` of `load_model`: `like` is a name, got {other}")));
                }
                None => BoxDecoding { evidence: None, ..seen.unwrap_or_default() },
            };
            let json = serde_json::to_value(&base).map_err(|e| Error::internal(e.to_string()))?;
            let mut whole = json.as_object().cloned().unwrap_or_default();
            whole.extend(parts.iter().filter(|(k, _)| *k != "like").map(|(k, v)| (k.clone(), v.clone())));
            serde_json::from_value(whole.into())
                .map(Some)
                .map_err(|e| Error::value(format!("option `boxes` of `load_model`: {e}")))
        }
    }
}

/// The sampling rate that the options say.
fn rate(options: &LoadOptions) -> Result<Option<f64>> {
    match options.rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0) => {
            Err(Error::value(format!("option `rate` of `load_model` takes Hz, got {rate}")))
        }
        said => Ok(said),
    }
}

/// The orientation that the options say, in capital letters.
fn orientation(options: &LoadOptions) -> Result<Option<String>> {
    let Some(text) = &options.orientation else { return Ok(None) };
    let read = Orientation::parse(text).ok_or_else(|| {
        Error::value(format!("option `orientation` of `load_model` takes three letters such as \"RAS\", got {text:?}"))
            .hint("each axis of the body is named once: R or L, A or P, S or I")
    })?;
    Ok(Some(read.to_string()))
}
