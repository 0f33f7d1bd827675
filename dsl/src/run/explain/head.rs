//! Which of several outputs is explained, and which probes do not apply to the net.

use super::literals::{literal, quoted};
use super::{Question, concerns_reader};
use convscope_engine::graph::closing::Closing;
use convscope_engine::load::{Labels, LoadOptions, labels, load_model};
use convscope_engine::model::outputs::{Evidence, OutputKind};
use convscope_engine::probes::attribution::cam;
use convscope_engine::{Error, Model, Result, Subject};
use std::path::Path;

/// A net with the output to explain.
pub(super) struct Head {
    /// The net.
    pub(super) net: Model,
    /// The output's name, where it is not the first.
    pub(super) name: Option<String>,
    /// The names of its classes, where they differ from those of the first output.
    pub(super) labels: Option<Vec<String>>,
    /// Why this output is explained.
    pub(super) notes: Vec<String>,
}

impl Head {
    fn own(net: Model) -> Self {
        Head { net, name: None, labels: None, notes: Vec::new() }
    }

    /// The call in the script that selects this output; empty for the first.
    ///
    /// # Errors
    /// Where a name has no form in a script.
    pub(super) fn call(&self) -> Result<String> {
        let Some(name) = &self.name else { return Ok(String::new()) };
        let labels = self.labels.as_ref().map(|names| literal(&serde_json::json!(names))).transpose()?;
        Ok(format!(".output({}{})", quoted(name)?, labels.map(|list| format!(", {list}")).unwrap_or_default()))
    }
}

impl Question<'_> {
    /// The net loaded with the options. Given labels that fit another output than the first are returned beside it.
    ///
    /// # Errors
    /// Where it cannot be loaded, or labels fit no output.
    pub(super) fn loaded(&self, options: &LoadOptions, report: &dyn Fn(&str)) -> Result<(Model, Option<Vec<String>>)> {
        let names = match &options.labels {
            Some(Labels::Names(names)) => Some(names.clone()),
            Some(Labels::Path(path)) if path.eq_ignore_ascii_case("imagenet") => None,
            Some(Labels::Path(path)) => Some(labels::read_labels(Path::new(path))?),
            None => None,
        };
        let all = load_model(self.net, options, Path::new(""), report);
        let Some(names) = names else { return all.map(|net| (net, None)) };
        if let Ok(net) = &all
            && (net.scores_len() == names.len() || fitting(net, names.len()).is_none())
        {
            return all.map(|net| (net, None));
        }
        let bare = LoadOptions { labels: None, ..options.clone() };
        match load_model(self.net, &bare, Path::new(""), report) {
            Ok(net) if fitting(&net, names.len()).is_some() => Ok((net, Some(names))),
            _ => all.map(|net| (net, None)),
        }
    }

    /// The output to explain: the given one; else the one with as many entries as there are class names, where the first has
    /// another number; else the one that ends in probabilities, where the numbers of the first are unknown; else the first.
    ///
    /// # Errors
    /// Where there is no output of that name, or no output has scores.
    pub(super) fn head(&self, net: Model, given: Option<Vec<String>>, beside: Option<Vec<String>>) -> Result<Head> {
        let first = net.output_names().first().map(ToString::to_string).unwrap_or_default();
        let others = |name: &str| format!("the output `{name}` is explained (option: head)");
        if let Some(name) = self.head {
            let other = net.output_named(name)?;
            let fit = |names: &Vec<String>| other.card().classes.is_empty() && names.len() == other.scores_len();
            let labels = given.or(beside).filter(fit);
            return Ok(Head { name: Some(name.to_string()), labels, notes: Vec::new(), net: other }.noted());
        }
        if net.card().boxes.is_some() {
            return Ok(Head::own(net));
        }
        let is_given = given.is_some();
        let names = given.or(beside);
        if let Some(names) = names.filter(|names| is_given || names.len() != labelled(&net))
            && let Some((name, other)) = fitting(&net, names.len())
        {
            let n = names.len();
            let why = format!("the {n} labels fit the output `{name}`, not the first, `{first}`: {}", others(&name));
            return Ok(Head { net: other, name: Some(name), labels: Some(names), notes: vec![why] }.noted());
        }
        if is_place(&net) {
            return scored(&net);
        }
        let is_list = net.labels_readout().is_ok() && net.scores_len() > 1;
        if is_list && net.card().classes.is_empty() && net.readout().evidence == Evidence::Assumed {
            for (name, other) in further(&net) {
                let Ok(readout) = other.labels_readout() else { continue };
                if readout.evidence == Evidence::Graph && readout.kind != OutputKind::Value {
                    let why = format!(
                        "nothing says what the {} numbers of the first output `{first}` are, and `{name}` ends in probabilities: {}",
                        net.scores_len(),
                        others(&name)
                    );
                    return Ok(Head { net: other, name: Some(name), labels: None, notes: vec![why] }.noted());
                }
            }
        }
        Ok(Head::own(net))
    }
}

impl Head {
    /// Adds the assumptions about the output.
    fn noted(mut self) -> Self {
        let readout = self.net.labels_readout().ok().and_then(|readout| readout.note());
        self.notes.extend(readout.filter(|note| concerns_reader(note)));
        self
    }
}

/// How many classes of the first output have names.
fn labelled(net: &Model) -> usize {
    convscope_engine::load::labelled(net).unwrap_or(0)
}

/// The other outputs, by name.
fn further(net: &Model) -> Vec<(String, Model)> {
    let names = net.output_names().into_iter().skip(1);
    names.filter_map(|name| Some((name.to_string(), net.output_named(name).ok()?))).collect()
}

/// The other output with `n` entries, one for each class, where the first has another number of classes.
fn fitting(net: &Model, n: usize) -> Option<(String, Model)> {
    let fits = |other: &Model| other.scores_len() == n && other.labels_readout().is_ok() && !is_place(other);
    further(net).into_iter().find(|(_, other)| labelled(net) != n && fits(other))
}

fn is_place(net: &Model) -> bool {
    net.graph().closing(net.weights()) == Closing::Place
}

/// The first other output with scores, for a net whose first output is an argmax.
fn scored(net: &Model) -> Result<Head> {
    for (name, other) in further(net) {
        if !is_place(&other) && other.scores_len() > 1 && other.labels_readout().is_ok() {
            let notes = vec![format!("the first output has no scores; the output `{name}` is asked instead")];
            return Ok(Head { net: other, name: Some(name), labels: None, notes });
        }
    }
    Err(Error::unsupported(format!(
        "the output of `{}` is the place of the largest score (argmax), which has no gradient and no probabilities",
        net.card().name
    ))
    .hint("export the net without that step, or cut it: onnx.utils.extract_model(\"net.onnx\", \"scores.onnx\", [input], [scores])"))
}

/// Why a probe does not apply to a net's classes, whatever the photo; none where it does.
pub(super) fn refusal(probe: &str, net: &Model) -> Option<String> {
    if probe != "grad_cam" || net.card().boxes.is_some() {
        return None;
    }
    let class = Subject::Class { model: net.clone(), index: 0 };
    cam::usual_layer(&class).err().map(|why| why.message)
}
