//! Writes the script of `convscope explain`: the usual probes of a net on an image, a signal or a volume.

mod head;
mod literals;
mod values;

use self::head::refusal;
pub use self::literals::literal;
use self::literals::quoted;
use self::values::Values;
use super::source::Source;
use convscope_engine::load::LoadOptions;
use convscope_engine::load::guess::{self, Guess};
use convscope_engine::{Error, Model, Result};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The kind of a net's outputs.
#[derive(Clone, Copy)]
enum Kind {
    /// A score for each class.
    Classes,
    /// A map of classes.
    Maps,
    /// A map of one class: inside or outside.
    Mask,
    /// Numbers of any shape that are no classes: images, depths, letters along a line.
    Values,
    /// Boxes.
    Boxes,
}

/// The form of the net's input.
enum Form {
    /// A photo.
    Photo,
    /// Samples along time.
    Signal,
    /// Voxels.
    Volume,
    /// Numbers in the net's input shape.
    Numbers,
}

/// The probes that run on a photo.
const OF_PHOTOS: [&str; 4] = ["gradient", "guided_backprop", "grad_cam", "occlusion"];

/// The extensions of signal files.
const SIGNALS: [&str; 2] = [".wav", ".wave"];

/// The extensions of volume files, including those that are refused with a hint.
const VOLUMES: [&str; 5] = [".nii", ".nii.gz", ".hdr", ".dcm", ".dicom"];

/// The probes that run on a signal or a volume.
const OF_RECORDINGS: [&str; 4] = ["gradient", "integrated_gradients", "grad_cam", "occlusion"];

/// The probes that run on an input of any shape.
const OF_NUMBERS: [&str; 3] = ["gradient", "guided_backprop", "integrated_gradients"];

/// The request to explain a decision.
pub struct Question<'a> {
    /// The net, as `load_model` takes it.
    pub net: &'a str,
    /// The given options of `load_model`, by name.
    pub given: &'a Map<String, Value>,
    /// The image, as `load_image` takes it, a signal, a volume, or a `.npy` file of the input's numbers.
    pub image: &'a str,
    /// The class, by name or index; the most probable one where none is given.
    pub class: Option<&'a str>,
    /// The output to explain, by name; unless given, the first one, or another that is known better.
    pub head: Option<&'a str>,
    /// The values of the net's other inputs: an input's name, and an image or a `.npy` file of its numbers.
    pub held: &'a [(String, String)],
}

impl Question<'_> {
    /// The script, and the assumptions about the net, one note per line. `report` receives messages about downloads.
    ///
    /// # Errors
    /// Where the net cannot be loaded, or a name has no form in a script.
    pub fn script(&self, report: &dyn Fn(&str)) -> Result<(Source, Vec<String>)> {
        let NetQuery { net, options, mut notes, kind, head, form, values, all, score } = self.options(report)?;
        let held = self.held()?;
        let named = match self.class {
            None => "top[0].index".to_string(),
            Some(index) if index.parse::<i32>().is_ok() => index.to_string(),
            Some(name) => quoted(name)?,
        };
        let (asks, shows) = match kind {
            Kind::Boxes => (self.best_candidate(&all, score)? + "let top = net.predict(image);\n", "show(top);\n"),
            Kind::Values => (values.statements()?, ""),
            _ => ("let top = net.predict(image);\n".to_string(), "show(top);\n"),
        };
        let (class, more) = match (kind, self.class) {
            (Kind::Classes, _) => (format!("net.class({named})"), ""),
            (Kind::Mask, None) => ("net.pixel_class(0)".to_string(), "show(net.segment(image));\n"),
            (Kind::Values, None) => (values.largest(), "show(activations().run(out, image));\n"),
            (Kind::Values, Some(class)) => {
                return Err(Error::value(format!(
                    "class `{class}` of `{}`, whose output is a map of values",
                    self.net
                ))
                .hint(
                    "its largest value is explained; another in a script: net.layer(name).unit(channel, row, column)",
                ));
            }
            (Kind::Maps | Kind::Mask, _) => {
                (format!("net.pixel_class({named}, #{{ mask: \"predicted\" }})"), "show(net.segment(image));\n")
            }
            (Kind::Boxes, None) => ("net.box(0, image)".to_string(), "show(net.detect(image));\n"),
            (Kind::Boxes, Some(class)) => {
                return Err(Error::value(format!("class `{class}` of the detector `{}`", self.net))
                    .hint("its best box is explained; others in a script: net.box(1, image)"));
            }
        };
        let said = match notes.is_empty() {
            true => String::new(),
            false => {
                let lines: String = notes.iter().map(|n| format!("- {n}\n")).collect();
                format!("markdown({});\n", quoted(&format!("What is assumed of the net:\n\n{lines}"))?)
            }
        };
        let (load, picture, probes) = match form {
            Form::Photo => ("load_image", "show(image);\n", &OF_PHOTOS[..]),
            Form::Signal => ("load_signal", "show(image);\n", &OF_RECORDINGS[..]),
            Form::Volume => ("load_volume", "show(image);\n", &OF_RECORDINGS[..]),
            Form::Numbers => ("load_tensor", "", &OF_NUMBERS[..]),
        };
        let mut asked = String::new();
        for probe in probes {
            match refusal(probe, &net) {
                None => asked.push_str(&format!("show({probe}().run(class, image));\n")),
                Some(why) => {
                    let note = format!("`{probe}` is left out: {why}");
                    asked.push_str(&format!("markdown({});\n", quoted(&note)?));
                    notes.push(note);
                }
            }
        }
        let source = format!(
            "{said}let net = load_model({}{options}){held}{head};\n\
             let image = {load}({});\n\
             {asks}\
             let class = {class};\n\n\
             {picture}\
             {shows}\
             {more}\
             {asked}",
            quoted(self.net)?,
            quoted(self.image)?,
        );
        Ok((Source::of("explain", "explain.rhai", source, PathBuf::new())?, notes))
    }

    /// The call that holds the net's other inputs; empty where none are given.
    fn held(&self) -> Result<String> {
        let entries = self.held.iter().map(|(name, file)| {
            let numbers = Path::new(file).extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"));
            let load = if numbers { "load_tensor" } else { "load_image" };
            Ok(format!("{}: {load}({})", quoted(name)?, quoted(file)?))
        });
        let entries = entries.collect::<Result<Vec<_>>>()?;
        Ok(if entries.is_empty() { String::new() } else { format!(".given(#{{ {} }})", entries.join(", ")) })
    }

    /// Refuses a net with inputs without given values.
    ///
    /// # Errors
    /// Names these inputs and the flag that gives each.
    fn all_given(&self, net: &Model) -> Result<()> {
        let inputs = net.inputs();
        let is_given = |name: &str| self.held.iter().any(|(given, _)| given == name);
        let open: Vec<&str> = inputs
            .iter()
            .filter(|i| !i.is_asked && !i.is_held && !is_given(&i.name))
            .map(|i| i.name.as_str())
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let listed = inputs.iter().map(|i| format!("`{}` {:?}", i.name, i.shape)).collect::<Vec<_>>().join(", ");
        let flags = open.iter().map(|name| format!("--given {name}=FILE")).collect::<Vec<_>>().join(" ");
        Err(Error::value(format!("`{}` takes {} inputs: {listed}", net.card().name, inputs.len())).hint(format!(
            "give it the others, an image or a .npy file of one sample each: convscope explain {} {} {flags}; \
             --input NAME says which input the image is",
            self.net, self.image
        )))
    }

    /// The statements that keep the best candidate where the detector finds no box with this `score`.
    fn best_candidate(&self, given: &Map<String, Value>, score: f64) -> Result<String> {
        let mut all = given.clone();
        let mut boxes = match all.remove("boxes") {
            Some(Value::Object(parts)) => parts,
            Some(like) => Map::from_iter([("like".to_string(), like)]),
            None => Map::new(),
        };
        boxes.extend([("score".to_string(), serde_json::json!(0.0)), ("limit".to_string(), serde_json::json!(1))]);
        all.insert("boxes".into(), boxes.into());
        let why =
            quoted(&format!("No box has a score of {score} or more. The best candidate is shown and explained."))?;
        Ok(format!(
            "if net.boxes(image).len() == 0 {{\n    markdown({why});\n    net = load_model({}, {});\n}}\n",
            quoted(self.net)?,
            literal(&all.into())?
        ))
    }

    /// Whether the input's file has one of these extensions.
    fn ends(&self, endings: &[&str]) -> bool {
        let lower = self.image.to_lowercase();
        endings.iter().any(|end| lower.ends_with(end))
    }

    /// Whether the extension of the input's file is not a photo's.
    fn is_recorded(&self) -> bool {
        self.ends(&[".npy"]) || self.ends(&SIGNALS) || self.ends(&VOLUMES)
    }

    /// The form of the input by its extension; an array has the net's input shape.
    fn form(&self, net: &Model) -> Form {
        let ends = |endings: &[&str]| self.ends(endings);
        let windows = net.last_map_layer().is_some();
        match net.input_shape().len() {
            _ if ends(&SIGNALS) => Form::Signal,
            _ if ends(&VOLUMES) => Form::Volume,
            _ if !ends(&[".npy"]) => Form::Photo,
            1 | 2 if windows => Form::Signal,
            4 if windows => Form::Volume,
            _ => Form::Numbers,
        }
    }

    /// The query that loads the net; its options are completed where the net's file says nothing about preprocessing.
    fn options(&self, report: &dyn Fn(&str)) -> Result<NetQuery> {
        let mut options = LoadOptions::from_json(self.given)?;
        let path = Path::new(self.net);
        let (mut all, mut notes) = (self.given.clone(), Vec::new());
        if !self.is_recorded()
            && let Some((size, note)) = guess::size(path, &options)?
        {
            all.insert("size".into(), serde_json::json!([size.height, size.width]));
            options.size = Some(size);
            notes.push(note);
        }
        let (net, given) = self.loaded(&options, report)?;
        if given.is_some() {
            all.remove("labels");
            options.labels = None;
        }
        self.all_given(&net)?;
        let form = self.form(&net);
        if !matches!(form, Form::Photo) && options.says_photos() {
            notes.push("options of preprocessing change nothing here: the input is given as numbers".to_string());
        }
        let beside = match form {
            Form::Photo if self.given.get("labels").is_none() => guess::labels(&net, path),
            Form::Photo | Form::Signal | Form::Volume | Form::Numbers => None,
        };
        let mut head = self.head(net, given, beside)?;
        let net = &head.net;
        let mut guess = match form {
            Form::Signal | Form::Volume | Form::Numbers => Guess::default(),
            Form::Photo => guess::complete(net, path, &options)?,
        };
        if head.name.is_some()
            && let Some(names) = guess.options.remove("labels")
        {
            head.labels = head.labels.take().or(serde_json::from_value(names).ok());
        }
        let call = head.call()?;
        all.extend(guess.options);
        let is_photo_note = |n: &str| n.starts_with("the options of preprocessing leave");
        let replaced = all.contains_key("preset") && !self.given.contains_key("preset");
        // Notes on the labels of the first output do not apply to another one.
        let is_others = |n: &str| head.name.is_some() && n.contains("do not fit its");
        let is_shown = |n: &str| concerns_reader(n) && !(replaced && is_photo_note(n)) && !is_others(n);
        notes.extend(net.card().notes.iter().filter(|n| is_shown(n)).cloned());
        notes.extend(guess.notes);
        notes.extend(head.notes.iter().cloned());
        let shape = &net.graph().node(net.graph().output()).shape;
        let kind = match (net.card().boxes.is_some(), net.labels_readout().is_ok(), net.class_maps().ok()) {
            (true, ..) => Kind::Boxes,
            (_, false, Some(maps)) if maps.readout.is_binary() => Kind::Mask,
            (_, false, Some(_)) => Kind::Maps,
            (_, false, None) if net.joined_heads().is_none() => Kind::Values,
            _ => Kind::Classes,
        };
        if matches!(kind, Kind::Values) {
            let dims = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
            notes.push(format!("the output, {dims}, is taken for values, not for classes: its largest is explained"));
        }
        let options = match all.is_empty() {
            true => String::new(),
            false => format!(", {}", literal(&all.clone().into())?),
        };
        let score = net.card().boxes.as_ref().map_or(0.0, |boxes| boxes.score);
        Ok(NetQuery { values: Values::of(net), net: head.net, options, notes, kind, head: call, all, score, form })
    }
}

/// How the script loads the net.
struct NetQuery {
    /// The net with the output to explain.
    net: Model,
    /// The options of `load_model`, after a comma.
    options: String,
    /// Notes on what was read beside the net or is assumed.
    notes: Vec<String>,
    kind: Kind,
    /// The call that selects another output; empty for the first.
    head: String,
    /// The form of the input.
    form: Form,
    values: Values,
    /// The options, given and completed.
    all: Map<String, Value>,
    /// The least score of a detector's boxes.
    score: f64,
}

/// Whether a note of a net's card states an assumption, or the source of preprocessing or labels.
fn concerns_reader(note: &str) -> bool {
    let words = [
        "assumed",
        "own metadata",
        "beside the net",
        "the one output",
        "are values",
        "this is the output",
        "are read",
        "ranks",
    ];
    words.iter().any(|word| note.contains(word))
}
