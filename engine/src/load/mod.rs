//! `load_model`: from a name or a path to a net with its card.

pub mod fetch;
mod foreign;
pub mod guess;
#[cfg(feature = "hub")]
pub mod hub;
pub mod labels;
mod metadata;
pub mod onnx;
pub mod options;
mod own_scaling;
pub mod photos;
pub mod pickle;
mod state_dict;
pub mod tensors;
pub mod torch;
pub mod zoo;

use std::path::Path;

use self::tensors::Tensors;
use self::zoo::{Built, How};
use crate::data::preprocess::{Preprocess, Size};
use crate::error::{Context, Error, Result, suggestions};
use crate::graph::closing::Closing;
use crate::model::boxes::{BoxDecoding, DECODINGS};
use crate::model::{Card, Model, OutputKind};
use crate::regular;
use crate::shapes::net as shapes;

pub use options::{Labels, Layout, LoadOption, LoadOptions, OPTIONS, PerChannel};
use photos::Beside;
pub use photos::PRESETS;

/// What `load_model` accepts, for hints.
const FORMS: &str = "a known net (`convscope models` lists them), \"shapes\", a path to an .onnx file, an architecture with \
                     its weights (load_model(\"resnet18\", #{ weights: \"resnet18.pth\" })) or \"hf:org/repo\"";

const TRANSFORMED: &str = "the layer `transform_input` maps the usual input to the one that the published weights expect; \
                           weights trained without it need #{ transform_input: false }";

/// Loads a net: a known net's name, "shapes", an architecture's name with `weights`, a path, or `hf:org/repo`. Paths are
/// relative to `base`. `report` is told what is being fetched.
///
/// # Errors
/// Where the name is unknown or the file missing, damaged or not of the architecture; the hint says what is accepted.
pub fn load_model(spec: &str, options: &LoadOptions, base: &Path, report: &dyn Fn(&str)) -> Result<Model> {
    let spec = spec.trim();
    let asked = Asked { options, base, report };
    if let Some(file) = &options.weights {
        let architecture = zoo::architecture(spec).map_err(|e| match is_path(spec) {
            true => Error::value(format!("`{spec}` is a path, and `weights` names another"))
                .hint("give the architecture's name and its weights: load_model(\"resnet18\", #{ weights: .. })"),
            false => e,
        })?;
        return asked.weights(architecture, &base.join(file));
    }
    if let Some(arch) = &options.arch {
        return asked.weights(zoo::architecture(arch)?, &base.join(spec));
    }
    if spec == "shapes" {
        let net = options.size.map_or_else(shapes::load, shapes::load_sized)?;
        return asked.finished(&net, net.card().preprocess.clone(), &Beside::default());
    }
    if fetch::models().iter().any(|m| m.name == spec) {
        let (architecture, card, path) = fetch::net(spec, report)?;
        return asked.architecture(architecture, card, &path, None);
    }
    if let Some(id) = spec.strip_prefix("hf:") {
        return asked.hub(id);
    }
    if is_path(spec) {
        return asked.path(&base.join(spec));
    }
    match zoo::architecture(spec) {
        Ok(_) => Err(Error::value(format!("`{spec}` is an architecture; its weights are in a file"))
            .hint(format!("load_model(\"{spec}\", #{{ weights: \"{spec}.pth\" }})"))),
        Err(_) => Err(unknown(spec)),
    }
}

/// Brings a repository of the Hugging Face Hub (`org/repo`, `org/repo@revision`) into the Hub's cache.
///
/// # Errors
/// As [`load_model`] with `hf:`.
#[cfg(feature = "hub")]
pub fn fetch_hub(id: &str, report: &dyn Fn(&str)) -> Result<()> {
    hub::fetch(&hub::Hub::from_environment()?, id, report).map(drop)
}

/// As with the feature `hub`, without which nothing is fetched.
///
/// # Errors
/// Always.
#[cfg(not(feature = "hub"))]
pub fn fetch_hub(id: &str, _: &dyn Fn(&str)) -> Result<()> {
    Err(no_hub(id))
}

/// The folder of the Hub's cache, where there can be one.
pub fn hub_cache() -> Option<std::path::PathBuf> {
    #[cfg(feature = "hub")]
    return hub::Hub::from_environment().ok().map(|hub| hub.cache);
    #[cfg(not(feature = "hub"))]
    None
}

#[cfg(not(feature = "hub"))]
fn no_hub(id: &str) -> Error {
    Error::unsupported(format!("`hf:{id}`: this build does not speak to the Hugging Face Hub"))
        .hint("compile convscope with its default features, or load the downloaded file")
}

/// Whether a name looks like a path: it has a folder or one of the endings of weight files.
fn is_path(spec: &str) -> bool {
    let endings =
        ["onnx", "pth", "pt", "bin", "safetensors", "ckpt", "pkl", "h5", "hdf5", "pb", "tflite", "keras", "pt2", "npz"];
    let ending = Path::new(spec).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    spec.contains(['/', '\\']) || ending.is_some_and(|e| endings.contains(&e.as_str()))
}

/// What `load_model` was asked for, beside the net itself.
struct Asked<'a> {
    options: &'a LoadOptions,
    base: &'a Path,
    report: &'a dyn Fn(&str),
}

impl Asked<'_> {
    /// A file that says itself what it is.
    fn path(&self, path: &Path) -> Result<Model> {
        let forms = || format!("load_model takes {FORMS}");
        if let Some(foreign) = foreign::path(path) {
            return Err(foreign);
        }
        regular::open(path).map_err(|e| e.hint(forms()))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("onnx") => self.onnx(path, None),
            Some("pth" | "pt" | "bin" | "safetensors" | "ckpt") => {
                // A whole module or a program says so first.
                if let Err(error) = Tensors::open(path)
                    && foreign::converts(&error)
                {
                    return Err(error);
                }
                let tensors = Tensors::open_part(path, self.options.key.as_deref());
                let found = tensors.as_ref().map(zoo::recognised).unwrap_or_default();
                if let [first, others @ ..] = &found[..] {
                    return self.recognised(first, others, path);
                }
                Err(Error::value(format!(
                    "`{file}` holds weights, whose names and shapes fit no architecture that is known"
                ))
                .hint(format!(
                    "say which it is, and it is said what does not fit: load_model(\"resnet18\", #{{ weights: \"{file}\" }})"
                )))
            }
            _ => Err(Error::unsupported(format!("`{file}` is no kind of net that convscope reads")).hint(forms())),
        }
    }

    /// A weight file whose names and shapes fit an architecture, or several.
    fn recognised(
        &self,
        first: &zoo::Architecture,
        others: &[&'static zoo::Architecture],
        path: &Path,
    ) -> Result<Model> {
        let model = self.weights(first, path)?;
        let mut card = model.card().clone();
        let mut note = format!("recognised as `{}` by the names and shapes of its tensors", first.name);
        if !others.is_empty() {
            let all: Vec<String> = others.iter().map(|a| format!("`{}`", a.name)).collect();
            note.push_str(&format!(
                "; {} has the same, with other activations, epsilon or padding, which a file does not say: \
                 load_model(.., #{{ arch: \"{}\" }}) takes that",
                all.join(", "),
                others[0].name
            ));
        }
        (self.report)(&note);
        card.notes.insert(0, note);
        Ok(model.with_card(card))
    }

    fn onnx(&self, path: &Path, known: Option<Preprocess>) -> Result<Model> {
        if self.options.transform_input.is_some() {
            return Err(Error::value("`transform_input` is an option of `googlenet`, not of ONNX files"));
        }
        if self.options.key.is_some() || self.options.head_activation.is_some() {
            return Err(Error::value("`key` and `head_activation` are options of weight files, not of ONNX files"));
        }
        let size = self.options.size.map(|s| [s.height, s.width]);
        let model = onnx::load(
            path,
            &onnx::Options { size, layout: self.options.layout, input: self.options.input.as_deref() },
        )?;
        let [height, width] = match *model.input_shape() {
            [_, height, width] => [height, width],
            _ => return self.finished(&model, None, &Beside::default()),
        };
        let fits = |p: &Preprocess| p.size == Size { height, width } && p.channels == model.input_shape()[0];
        let known = known.filter(fits);
        let beside = self.beside(&model, path, known.is_some(), |_| true);
        let known = known.or(beside.preprocess.clone().filter(fits));
        self.finished(&model, known, &beside)
    }

    /// What a net's own metadata and the files beside it say of photos and labels, where neither what is known nor an option
    /// decides. `belongs` tells whether a configuration is this net's. What cannot be used is said and left out.
    fn beside(
        &self,
        model: &Model,
        path: &Path,
        is_known: bool,
        belongs: impl Fn(&serde_json::Value) -> bool,
    ) -> Beside {
        let &[channels @ (1 | 3), height, width] = model.input_shape() else { return Beside::default() };
        let mut found = match photos::beside_of(path, Size { height, width }, channels, belongs) {
            Ok(found) => found,
            Err(e) => Beside { notes: vec![format!("what is beside the net is left out: {e}")], ..Beside::default() },
        };
        let options = self.options;
        // Options change one by one what is read; a preset, or mean and deviation, say all of it.
        let said = options.preset.is_some() || (options.mean.is_some() && options.std.is_some());
        if is_known || said {
            found.preprocess = None;
            found.notes.retain(|n| !n.starts_with("preprocessing"));
        }
        if self.options.labels.is_some() {
            found.labels = None;
            found.notes.retain(|n| !n.starts_with("labels"));
        }
        found
    }

    /// A repository of the Hugging Face Hub, where nothing that speaks to it was compiled in.
    #[cfg(not(feature = "hub"))]
    fn hub(&self, id: &str) -> Result<Model> {
        Err(no_hub(id))
    }

    /// A repository of the Hugging Face Hub.
    #[cfg(feature = "hub")]
    fn hub(&self, id: &str) -> Result<Model> {
        let fetched = hub::fetch(&hub::Hub::from_environment()?, id, self.report)?;
        let card = Card { source: format!("hf:{id}"), license: fetched.license, ..Card::named(id) };
        let model = match fetched.architecture {
            Some(architecture) => self.architecture(architecture, card, &fetched.file, fetched.preprocess)?,
            None => {
                let model = self.onnx(&fetched.file, fetched.preprocess)?;
                let card = Card { classes: model.card().classes.clone(), ..card };
                model.with_card(Card { preprocess: model.card().preprocess.clone(), ..card })
            }
        };
        match fetched.labels {
            Some(names) if self.options.labels.is_none() => {
                let labelled = model.card().clone().with_labels(&names, labelled(&model)?);
                Ok(labelled.map_or(model.clone(), |card| model.with_card(card)))
            }
            _ => Ok(model),
        }
    }

    /// An architecture with a weight file of the user's.
    fn weights(&self, architecture: &zoo::Architecture, path: &Path) -> Result<Model> {
        let card = Card { source: path.display().to_string(), ..Card::named(architecture.name) };
        self.architecture(architecture, card, path, None)
    }

    /// An architecture with a weight file; `known` is its preprocessing where that is not the published weights'.
    fn architecture(
        &self,
        architecture: &zoo::Architecture,
        mut card: Card,
        path: &Path,
        known: Option<Preprocess>,
    ) -> Result<Model> {
        let tensors = Tensors::open_part(path, self.options.key.as_deref())?;
        // Weights with a preprocessing of their own expect the input as that makes it.
        let is_said = known.is_some();
        let transform_input =
            self.options.transform_input.or(match architecture.transforms_input() && known.is_some() {
                true => Some(false),
                false => None,
            });
        let known = known.map_or_else(|| architecture.preprocess(), Ok)?;
        let size = self.options.size.unwrap_or(known.size);
        let how = How { transform_input, head: self.options.head_activation, dry: false };
        let built = architecture.build(&tensors, [size.height, size.width], how);
        let Built { graph, weights, notes, headless } = built.context(|| format!("`{}`", path.display()))?;
        for note in tensors.notes.iter().cloned().chain(notes) {
            (self.report)(&format!("{}: {note}", architecture.name));
            card.notes.push(note);
        }
        if headless {
            card.output = Some(OutputKind::Value);
        }
        if architecture.transforms_input() && transform_input != Some(false) {
            card.notes.push(TRANSFORMED.to_string());
        }
        let model = Model::new(graph, weights, card);
        let channels = model.input_shape()[0];
        let own = |config: &serde_json::Value| photos::architecture_of(config) == Some(architecture.name);
        let beside = self.beside(&model, path, is_said, own);
        let known = beside.preprocess.clone().filter(|p| p.size == size).unwrap_or(known);
        self.finished(&model, Some(known).filter(|p| p.channels == channels), &beside)
    }

    /// The net with the preprocessing that is `known` of it and the labels, as the options change them; labels `beside` it name
    /// classes that nothing else names.
    fn finished(&self, model: &Model, known: Option<Preprocess>, beside: &Beside) -> Result<Model> {
        let mut card = model.card().clone();
        for note in &beside.notes {
            (self.report)(&format!("{}: {note}", card.name));
            card.notes.push(note.clone());
        }
        let (preprocess, assumed) = photos::with_options(known, self.options, model.input_shape())?;
        card.preprocess = preprocess;
        card.notes.extend(assumed);
        card.output = self.options.output.or(card.output);
        card.boxes = decoding(model, self.options.boxes.as_ref())?;
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
        }
        if said.graph().closing(said.weights()) == Closing::Place {
            card.notes.push(format!(
                "the output of `{}` is the place of the largest score (argmax), which has no gradient: ask a net without that step",
                card.name
            ));
        }
        let labels = match &self.options.labels {
            None => {
                let found = beside.labels.as_ref().filter(|_| card.classes.is_empty());
                let Some(labels) = found else { return Ok(model.with_card(card)) };
                if let Ok(named) = card.clone().with_labels(labels, outputs) {
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
        Ok(model.with_card(card.with_labels(&labels, outputs)?))
    }
}

/// What the one output of a net of two classes stands for, where no labels name them.
fn names_of_one(net: &Model, options: &LoadOptions, beside: &Beside) -> Option<String> {
    let named = options.labels.is_some() || beside.labels.is_some() || !net.card().classes.is_empty();
    (net.readout().is_binary() && !named).then(|| {
        "probability: the one output is the score of `class 0`; `class 1` is its complement; #{ labels: [\"no\", \"yes\"] } names the \
         complement, then the class"
            .to_string()
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
        _ => model.output_len(),
    })
}

/// How a net's outputs are boxes: as the option says, else as their shapes do.
fn decoding(model: &Model, said: Option<&options::Boxes>) -> Result<Option<BoxDecoding>> {
    let named = |name: &str| {
        BoxDecoding::named(name).ok_or_else(|| {
            let all = DECODINGS.map(|d| format!("{d:?}")).join(", ");
            Error::value(format!("option `boxes` of `load_model`: no decoding {name:?}"))
                .hint(format!("the decodings are {all}, or a map says it part by part"))
        })
    };
    // Which output holds what is seen from the shapes, where two do.
    let seen = model.card().boxes.clone().or_else(|| crate::detect::recognise(model));
    let beside = |decoding: BoxDecoding| match &seen {
        Some(seen) if seen.boxes.is_some() => {
            BoxDecoding { scores: seen.scores.clone(), boxes: seen.boxes.clone(), ..decoding }
        }
        _ => decoding,
    };
    match said {
        None => Ok(seen),
        Some(options::Boxes::Name(name)) => Ok(Some(beside(named(name)?))),
        Some(options::Boxes::Parts(parts)) => {
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

fn unknown(spec: &str) -> Error {
    let names =
        fetch::models().iter().map(|m| m.name).chain(zoo::ARCHITECTURES.iter().map(|a| a.name)).chain(["shapes"]);
    let close = suggestions(spec, names);
    let close: Vec<String> = close.iter().map(|c| format!("`{c}`")).collect();
    let forms = format!("load_model takes {FORMS}");
    Error::not_found(format!("no net `{spec}`")).hint(match close.is_empty() {
        true => forms,
        false => format!("did you mean {}? {forms}", close.join(" or ")),
    })
}
