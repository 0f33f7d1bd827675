//! `load_model`: from a name or a path to a net with its card.

mod card;
pub mod configs;
pub mod fetch;
mod foreign;
pub mod guess;
pub mod hog;
#[cfg(feature = "hub")]
pub mod hub;
pub mod labels;
mod metadata;
pub mod onnx;
pub mod options;
mod own_scaling;
pub mod photos;
pub mod pickle;
mod presets;
pub mod published;
mod sidecar;
mod state_dict;
pub mod tensors;
pub mod torch;
mod weight_file;
pub mod zoo;

use std::path::Path;

use self::tensors::Tensors;
use self::zoo::{Built, How, Recognised};
use crate::data::preprocess::{Preprocess, Size};
use crate::error::{Context, Error, Result, suggestions};
use crate::model::{Card, Model, OutputKind};
use crate::regular;
use crate::shapes::net as shapes;

pub use card::labelled;
pub use options::{Labels, Layout, LoadOption, LoadOptions, OPTIONS, PerChannel};
pub use presets::PRESETS;
use sidecar::Sidecar;

/// The nets that need no file: what each is.
pub const EMBEDDED: [(&str, &str); 2] = [
    ("shapes", "a small net for generated images of textured shapes"),
    ("hog", "histograms of oriented gradients as a net, without training"),
];

/// What `load_model` accepts, for hints.
const FORMS: &str = "a known net (`convscope models` lists them), \"shapes\", \"hog\", a path to an .onnx file, an architecture with \
                     its weights (load_model(\"resnet18\", #{ weights: \"resnet18.pth\" })), \"hf:org/repo\" or \"hf:org/repo/file.onnx\"";

const TRANSFORMED: &str = "the layer `transform_input` maps the usual input to the one that the published weights expect; \
                           weights trained without it need #{ transform_input: false }";

/// Loads a net: a known net's name, "shapes" or "hog", an architecture's name with `weights`, a path, `hf:org/repo`, or one of its
/// ONNX files, `hf:org/repo/path/to/file.onnx`. Paths are relative to `base`. `report` gets a line for everything that is fetched.
///
/// # Errors
/// Where the name is unknown or the file missing, damaged or not of the architecture; the hint says what is accepted.
pub fn load_model(spec: &str, options: &LoadOptions, base: &Path, report: &dyn Fn(&str)) -> Result<Model> {
    let spec = spec.trim();
    let request = LoadRequest { options, base, report };
    if let Some(file) = &options.weights {
        let architecture = zoo::architecture(spec).map_err(|e| match is_path(spec) {
            true => Error::value(format!("`{spec}` is a path, and `weights` names another"))
                .hint("give the architecture's name and its weights: load_model(\"resnet18\", #{ weights: .. })"),
            false => e,
        })?;
        return request.weights(architecture, &base.join(file));
    }
    if let Some(arch) = &options.arch {
        return request.weights(zoo::architecture(arch)?, &base.join(spec));
    }
    if spec == "shapes" {
        let net = options.size.map_or_else(shapes::load, shapes::load_sized)?;
        return request.finished(&net, net.card().preprocess.clone(), &Sidecar::default());
    }
    if spec == "hog" {
        let net = hog::net(options.size)?;
        return request.finished(&net, net.card().preprocess.clone(), &Sidecar::default());
    }
    if fetch::models().iter().any(|m| m.name == spec) {
        let (architecture, card, path) = fetch::net(spec, report)?;
        return request.architecture(architecture, card, &path, None);
    }
    if let Some(id) = spec.strip_prefix("hf:") {
        return request.hub(id);
    }
    if is_path(spec) {
        return request.path(&base.join(spec));
    }
    match zoo::architecture(spec) {
        Ok(_) => Err(Error::value(format!("`{spec}` is an architecture; its weights are in a file"))
            .hint(format!("load_model(\"{spec}\", #{{ weights: \"{spec}.pth\" }})"))),
        Err(_) => Err(unknown(spec)),
    }
}

/// Fetches a repository of the Hugging Face Hub (`org/repo`, `org/repo@revision`) into the Hub's cache.
///
/// # Errors
/// As [`load_model`] with `hf:`.
#[cfg(feature = "hub")]
pub fn fetch_hub(id: &str, report: &dyn Fn(&str)) -> Result<()> {
    hub::fetch(&hub::Hub::from_environment()?, id, report).map(drop)
}

/// Nothing can be fetched without the feature `hub`.
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

/// Whether a name looks like a path: it has a folder or one of the extensions of weight files.
fn is_path(spec: &str) -> bool {
    let endings =
        ["onnx", "pth", "pt", "bin", "safetensors", "ckpt", "pkl", "h5", "hdf5", "pb", "tflite", "keras", "pt2", "npz"];
    let ending = Path::new(spec).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    spec.contains(['/', '\\']) || ending.is_some_and(|e| endings.contains(&e.as_str()))
}

/// The request of a `load_model` call, beside the net itself.
struct LoadRequest<'a> {
    options: &'a LoadOptions,
    base: &'a Path,
    report: &'a dyn Fn(&str),
}

impl LoadRequest<'_> {
    /// A file, by its extension and content.
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
                if let Some(found) = tensors.ok().as_ref().and_then(zoo::recognised) {
                    return self.recognised(&found, path);
                }
                Err(Error::value(format!(
                    "`{file}` holds weights, whose names and shapes fit no architecture that is known"
                ))
                .hint(format!(
                    "name the architecture, and the error lists what does not fit: load_model(\"resnet18\", #{{ weights: \"{file}\" }})"
                )))
            }
            _ => Err(Error::unsupported(format!("`{file}` is no kind of net that convscope reads")).hint(forms())),
        }
    }

    /// A weight file whose names and shapes fit an architecture, or several.
    fn recognised(&self, found: &Recognised, path: &Path) -> Result<Model> {
        let model = self.weights(found.architecture, path)?;
        let mut card = model.card().clone();
        let note = found.note();
        (self.report)(&note);
        card.notes.insert(0, note);
        card.name = found.name().into();
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
            _ if self.options.card.as_deref().is_some_and(|card| card != "none") => {
                let shape = model.input_shape();
                return Err(Error::value(format!(
                    "option `card`: the net's input is {shape:?}, which no photo becomes"
                )));
            }
            _ => return self.finished(&model, None, &Sidecar::default()),
        };
        let fits = |p: &Preprocess| p.size == Size { height, width } && p.channels == model.input_shape()[0];
        let known = known.filter(fits);
        let mut beside = self.beside(&model, path, known.is_some(), |_| true);
        let card = self.published(&model, path, known.is_some(), &mut beside)?;
        let known = known.or(beside.preprocess.clone().filter(fits)).or(card.preprocess);
        let output = model.card().output.or(card.output);
        self.finished(&model.with_card(Card { output, ..model.card().clone() }), known, &beside)
    }

    /// Preprocessing and labels from a net's own metadata and the files beside it, where neither known values nor an option decide.
    /// `belongs` says whether a configuration is this net's. Files that cannot be used are reported and left out.
    fn beside(
        &self,
        model: &Model,
        path: &Path,
        is_known: bool,
        belongs: impl Fn(&serde_json::Value) -> bool,
    ) -> Sidecar {
        let &[channels @ (1 | 3), height, width] = model.input_shape() else { return Sidecar::default() };
        let mut found = match photos::beside_of(path, Size { height, width }, channels, belongs) {
            Ok(found) => found,
            Err(e) => Sidecar { notes: vec![format!("what is beside the net is left out: {e}")], ..Sidecar::default() },
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

    /// A repository of the Hugging Face Hub, in a build without the Hub's client.
    #[cfg(not(feature = "hub"))]
    fn hub(&self, id: &str) -> Result<Model> {
        Err(no_hub(id))
    }

    /// A repository of the Hugging Face Hub.
    #[cfg(feature = "hub")]
    fn hub(&self, id: &str) -> Result<Model> {
        let fetched = hub::fetch(&hub::Hub::from_environment()?, id, self.report)?;
        let mut card = Card { source: format!("hf:{id}"), license: fetched.license, ..Card::named(id) };
        // What needs no remark is the repository's own and needs no note.
        let note = fetched.reading.as_ref().filter(|r| !r.remarks.is_empty()).map(|r| r.note("its `config.json`"));
        let known = fetched.reading.map(|reading| reading.preprocess);
        let model = match fetched.architecture {
            Some(architecture) => {
                card.notes.extend(note);
                self.architecture(architecture, card, &fetched.file, known)?
            }
            None => {
                let model = self.onnx(&fetched.file, known.clone())?;
                let Card { name, source, license, .. } = card;
                let mut card = Card { name, source, license, ..model.card().clone() };
                card.notes.extend(note.filter(|_| card.preprocess == known));
                model.with_card(card)
            }
        };
        match fetched.labels {
            Some(names) if self.options.labels.is_none() => {
                let labelled = card::named(model.card().clone(), &names, &model, self.options.background);
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
        if self.options.card.is_some() {
            return Err(Error::value("`card` is an option of ONNX files; weight files have their architecture's"));
        }
        let tensors = Tensors::open_part(path, self.options.key.as_deref())?;
        // Weights with a preprocessing of their own expect the input as that makes it.
        let is_said = known.is_some();
        let transform_input =
            self.options.transform_input.or(match architecture.transforms_input() && known.is_some() {
                true => Some(false),
                false => None,
            });
        let known = known.map_or_else(|| architecture.preprocess_of(&tensors), Ok)?;
        let size = self.options.size.unwrap_or(known.size);
        let how = How { transform_input, head: self.options.head_activation, dry: false };
        let built = architecture.build(&tensors, [size.height, size.width], how);
        let Built { graph, weights, notes, headless, .. } = built.context(|| format!("`{}`", path.display()))?;
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
}

fn unknown(spec: &str) -> Error {
    let names = fetch::models().iter().map(|m| m.name).chain(zoo::ARCHITECTURES.iter().map(|a| a.name));
    let names = names.chain(EMBEDDED.iter().map(|(name, _)| *name));
    let close = suggestions(spec, names);
    let close: Vec<String> = close.iter().map(|c| format!("`{c}`")).collect();
    let forms = format!("load_model takes {FORMS}");
    if let Ok(net) = published::named(spec) {
        return Error::not_found(format!("`{spec}` is a net of the ONNX model zoo; it is in a file")).hint(format!(
            "load_model(\"{}-VERSION.onnx\"), or from the Hub: {}",
            net.name,
            net.address()
        ));
    }
    Error::not_found(format!("no net `{spec}`")).hint(match close.is_empty() {
        true => forms,
        false => format!("did you mean {}? {forms}", close.join(" or ")),
    })
}
