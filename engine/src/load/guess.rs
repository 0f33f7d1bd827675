//! The most probable preprocessing of a net without any information on it: for `explain`, which gets only a file and a photo.
//! Everything that is guessed is named in a note, and an option overrides it.

use super::onnx::{self, Inlet};
use super::options::LoadOptions;
use super::own_scaling::{OwnScaling, Range};
use super::photos;
use super::sidecar::Sidecar;
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

/// The usual side of an input whose file leaves it open.
const USUAL_SIDE: usize = 224;

/// The size of an ONNX file's input, where the file leaves it open and no option says it, and where it comes from.
///
/// # Errors
/// Where the file cannot be read or is damaged.
pub fn size(path: &Path, options: &LoadOptions) -> Result<Option<(Size, String)>> {
    if options.size.is_some() || !inlet(path, options)?.open {
        return Ok(None);
    }
    Ok(Some(match photos::size_beside(path) {
        Some((size, file)) => {
            let Size { height, width } = size;
            (size, format!("the net's input is {height} x {width} from `{file}` beside the net"))
        }
        None => (
            Size { height: USUAL_SIDE, width: USUAL_SIDE },
            format!(
                "the file leaves rows and columns of its input open: {USUAL_SIDE} x {USUAL_SIDE} is assumed (option: size)"
            ),
        ),
    }))
}

/// An ONNX file's information on its input; nothing for other files.
fn inlet(path: &Path, options: &LoadOptions) -> Result<Inlet> {
    match path.is_file() && is_onnx(path) {
        true => {
            onnx::inlet(path, &onnx::Options { size: None, layout: options.layout, input: options.input.as_deref() })
        }
        false => Ok(Inlet::default()),
    }
}

/// The labels in or beside the file of a net that takes photos, where they can be read.
pub fn labels(net: &Model, path: &Path) -> Option<Vec<String>> {
    let &[channels, height, width] = net.input_shape() else { return None };
    let beside = || photos::beside(path, Size { height, width }, channels).ok();
    path.is_file().then(beside)?.and_then(|beside| beside.labels)
}

/// The additions to `options` with which `net`, loaded from `path`, takes photos and names its classes.
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
    if ![1, 3].contains(&channels) {
        let shape = format!("{channels} channels x {height} rows x {width} columns");
        let axes = [height, width].contains(&3) && options.layout.is_some();
        return Err(Error::value(format!("the net's input is {shape}, and photos have 1 or 3 channels")).hint(match axes {
            true => "the option `layout` says so; without it the first convolution's weight tells the axes",
            false => "give it the numbers themselves: `convscope explain NET x.npy`, or load_tensor(\"x.npy\") in a script",
        }));
    }
    let size = Size { height, width };
    let beside = if path.is_file() { photos::beside(path, size, channels)? } else { Sidecar::default() };
    if net.card().classes.is_empty()
        && options.labels.is_none()
        && let Some(labels) = &beside.labels
    {
        let classes = super::labelled(net)?;
        let fits = super::card::named(net.card().clone(), labels, net, options.background).is_ok();
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
    let said = options.preset.is_some() || options.mean.is_some() || options.std.is_some() || options.scale.is_some();
    let found = beside.preprocess.filter(|p| p.channels == channels && p.size == size);
    // Options such as `resize` alone do not say what pixels become.
    let has_card = super::published::is_known(net, options);
    let plain = !has_card && path.is_file() && found.is_none() && !said && options.says_photos() && is_onnx(path);
    let is_open = !has_card && found.is_none() && (net.card().preprocess.is_none() || options.says_photos());
    if is_open && path.is_file() && options.resize.is_none() {
        guess.show_whole_photo(net);
    }
    if net.card().preprocess.is_some() && !plain {
        return Ok(guess);
    }
    if let Some(found) = found {
        guess.options.extend(by_name(&found)?);
        guess.notes.extend(beside.notes.iter().filter(|n| n.starts_with("preprocessing")).cloned());
        return Ok(guess);
    }
    let Inlet { bytes, tensorflow, is_converted, .. } = inlet(path, options)?;
    let own = OwnScaling::of(net);
    let range = if bytes { Some(Range::Bytes) } else { own.as_ref().and_then(OwnScaling::takes) };
    let mut set = |name: &str, value: serde_json::Value| guess.options.insert(name.into(), value);
    let way = match range {
        Some(Range::Bytes) => {
            set("preset", "raw".into());
            "pixels from 0 to 255 as they are (the preset \"raw\") are assumed"
        }
        Some(Range::Unit) => {
            set("preset", "raw".into());
            set("scale", serde_json::json!(1.0 / 255.0));
            "pixels from 0 to 1 are assumed"
        }
        Some(Range::Signed) => {
            set("preset", "tf".into());
            "pixels from -1 to 1 (the preset \"tf\") are assumed"
        }
        None if is_yolo(net) => {
            set("preset", "raw".into());
            set("scale", serde_json::json!(1.0 / 255.0));
            "nets with YOLO's boxes take pixels from 0 to 1, which are assumed"
        }
        None if channels == 1 => {
            set("preset", "raw".into());
            set("scale", serde_json::json!(1.0 / 255.0));
            "grey from 0 to 1 is assumed"
        }
        None if tensorflow => {
            set("preset", "tf".into());
            match is_converted {
                true => "the file comes from TensorFlow, so pixels from -1 to 1 (the preset \"tf\") are assumed",
                false => {
                    "channels come last, as in most nets from TensorFlow, so pixels from -1 to 1 (the preset \"tf\") are assumed"
                }
            }
        }
        None if is_with_background(net) => {
            set("preset", "tf".into());
            "1,001 outputs are TensorFlow's, so pixels from -1 to 1 (the preset \"tf\") are assumed"
        }
        None => {
            set("preset", "imagenet".into());
            "the preset \"imagenet\" is assumed"
        }
    };
    let why = match (bytes, range) {
        (true, _) => "the file's input takes bytes: ",
        (false, Some(_)) => "the net scales its input itself: ",
        (false, None) => "nothing says how photos are preprocessed: ",
    };
    let mut note = format!(
        "{why}{way}; the maps are wrong if the net was trained otherwise \
         (options: preset, size, mean, std, scale, order, resize)"
    );
    if options.order.is_none() && own.is_some_and(|own| own.is_bgr()) {
        set("order", "BGR".into());
        note.push_str("; the means that it takes off are those of blue, green, red, so `order: \"BGR\"` is assumed");
    }
    guess.notes.push(note);
    Ok(guess)
}

impl Guess {
    /// For nets whose outputs are positions in the photo: resizes the whole photo, without a crop.
    fn show_whole_photo(&mut self, net: &Model) {
        if net.card().boxes.is_some() || net.class_maps().is_ok() {
            let (resize, note) = match is_yolo(net) {
                true => (
                    "letterbox",
                    "the whole photo goes in in its proportions, with grey borders (\"letterbox\"), which is assumed of nets with YOLO's boxes (option: resize)",
                ),
                false => (
                    "direct",
                    "the whole photo is resized to the input's size, which is assumed of nets that find places in it (option: resize)",
                ),
            };
            self.options.insert("resize".into(), resize.into());
            self.notes.push(note.into());
        }
    }
}

/// Whether a net's boxes were recognised as those of YOLO version 5 or 8 and later.
fn is_yolo(net: &Model) -> bool {
    let evidence = net.card().boxes.as_ref().and_then(|boxes| boxes.evidence.as_deref());
    evidence.is_some_and(|said| said.contains("(\"yolov5\")") || said.contains("(\"yolov8\")"))
}

/// Whether a net has the classes of ImageNet and one for the background.
fn is_with_background(net: &Model) -> bool {
    net.labels_readout().is_ok() && net.scores_len() == 1001
}

fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
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
