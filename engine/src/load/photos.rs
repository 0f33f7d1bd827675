//! Preprocessing that the net itself does not contain: from options, presets, files beside the net, and assumptions where none
//! of these decides.

use super::options::LoadOptions;
use super::presets::preset;
use super::sidecar::Sidecar;
use super::{configs, metadata, onnx};
use crate::data::preprocess::{Preprocess, Resize, Size};
use crate::error::{Error, Result};
use crate::limits::TEXT;
use crate::model::Card;
use crate::regular;
use serde_json::Value;
use std::path::Path;

/// The `known` preprocessing with the options applied one by one; where none is known and an option says anything of it, a new
/// one for the net's own input (channels, height, width). And the assumptions, for a note.
///
/// # Errors
/// Where the options contradict each other or the input.
pub fn with_options(
    known: Option<Preprocess>,
    options: &LoadOptions,
    input: &[usize],
) -> Result<(Option<Preprocess>, Vec<String>)> {
    let said = options.says_photos();
    let base = if options.preset.is_some() || known.is_some() { Base::Known } else { Base::Plain };
    let mut made = match (&options.preset, known, input) {
        (Some(name), _, &[channels, height, width]) => preset(name, Size { height, width }, channels)?,
        (None, Some(known), _) => known,
        (None, None, &[channels, height, width]) if said => {
            Preprocess { resize: Resize::Auto, ..Preprocess::new(Size { height, width }, channels)? }
        }
        (_, _, _) if said => {
            return Err(Error::value(format!("the net's input is {input:?}, which no photo becomes"))
                .hint("leave the options of preprocessing out and give it tensors (load_tensor)"));
        }
        _ => return Ok((None, Vec::new())),
    };
    if let Some(size) = options.size {
        made.size = size;
        if let Resize::Short(_) | Resize::Squash(_) = made.resize {
            made.resize = Preprocess::new(size, made.channels)?.resize;
        }
    }
    made.resize = options.resize.unwrap_or(made.resize);
    made.interpolation = options.interpolation.unwrap_or(made.interpolation);
    made.rounding = options.rounding.unwrap_or(made.rounding);
    made.crop = options.crop.unwrap_or(made.crop);
    made.order = options.order.unwrap_or(made.order);
    made.scale = options.scale.unwrap_or(made.scale);
    if let Some(mean) = &options.mean {
        made.mean = mean.spread(made.channels);
    }
    if let Some(std) = &options.std {
        made.std = std.spread(made.channels);
    }
    made.draft = options.draft.unwrap_or(made.draft);
    made.check()?;
    let mut assumed = Vec::new();
    if base == Base::Plain {
        assumed.extend(unsaid(&made, options));
    }
    if made.resize == Resize::Auto && options.resize.is_none() {
        let Size { height, width } = made.size;
        assumed.push(format!(
            "photos of {width} x {height} go in as they are, others by their short side to {} and a centre crop; this is \
             assumed, the option `resize` says it",
            Preprocess::usual_short(made.size)
        ));
    }
    Ok((Some(made), assumed))
}

/// What the options change.
#[derive(PartialEq)]
enum Base {
    /// A preset, or what is known of the net.
    Known,
    /// Nothing is known.
    Plain,
}

/// The assumption for `mean` or `std` where only one of them is given, or neither.
fn unsaid(made: &Preprocess, options: &LoadOptions) -> Option<String> {
    let left: Vec<&str> = [("mean 0", options.mean.is_some()), ("std 1", options.std.is_some())]
        .into_iter()
        .filter_map(|(what, said)| (!said).then_some(what))
        .collect();
    let factor = match 1.0 / made.scale {
        n if (n - 255.0).abs() < 1e-3 => "pixel / 255".to_string(),
        1.0 => "pixel".to_string(),
        _ => format!("pixel * {}", made.scale),
    };
    (!left.is_empty()).then(|| {
        format!(
            "the options of preprocessing leave {} unsaid: x = ({factor} - mean) / std with {} is assumed; `mean`, `std` or \
             `preset` says it",
            if left.len() == 2 { "`mean` and `std`" } else if options.mean.is_none() { "`mean`" } else { "`std`" },
            left.join(" and ")
        )
    })
}

/// Preprocessing and labels from the metadata of the file `net`, then from `preprocessor_config.json`, `config.json` and
/// `labels.txt` beside it, for an input of `size` with `channels`.
///
/// # Errors
/// Where one of them is there and cannot be used.
pub fn beside(net: &Path, size: Size, channels: usize) -> Result<Sidecar> {
    beside_of(net, size, channels, |_| true)
}

/// The files beside a net that [`beside`] reads.
pub const FILES: [&str; 3] = ["preprocessor_config.json", "config.json", "labels.txt"];

/// The files beside a net that its card was made from.
pub fn read_with(card: &Card) -> impl Iterator<Item = &'static str> {
    let is_named = |file: &&str| card.notes.iter().any(|n| n.contains(&format!("from `{file}` beside the net")));
    FILES.into_iter().filter(is_named).collect::<Vec<_>>().into_iter()
}

/// The architecture that a configuration of timm's names.
pub fn architecture_of(config: &Value) -> Option<&str> {
    config["architecture"].as_str().or(config["pretrained_cfg"]["architecture"].as_str())
}

/// As [`beside`], reading only the configurations of which `belongs` holds.
///
/// # Errors
/// As [`beside`].
pub fn beside_of(net: &Path, size: Size, channels: usize, belongs: impl Fn(&Value) -> bool) -> Result<Sidecar> {
    let onnx = net.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    let mut found = if onnx { metadata::read(&onnx::metadata(net)?, size, channels)? } else { Sidecar::default() };
    let folder = net.parent().unwrap_or(Path::new(""));
    let mut configurations = Vec::new();
    for name in &FILES[..2] {
        let Ok(text) = regular::read_text(&folder.join(name), |bytes| TEXT.check(bytes)) else { continue };
        match serde_json::from_str::<Value>(&text) {
            Ok(config) if belongs(&config) => configurations.push((*name, config)),
            Ok(_) => {}
            Err(_) => found.notes.push(format!("`{name}` beside the net is no JSON and is left out")),
        }
    }
    let model_type = configurations.iter().find_map(|(_, config)| config["model_type"].as_str());
    for (name, config) in &configurations {
        let read = match *name {
            "config.json" => configs::timm(config, Some(size))?,
            _ => configs::transformers(config, model_type, size)?,
        };
        match read {
            Some(read) if found.preprocess.is_none() && read.preprocess.channels == channels => {
                found.notes.push(read.note(&format!("`{name}` beside the net")));
                found.preprocess = Some(read.preprocess);
            }
            Some(read) if found.preprocess.is_none() => found.notes.push(format!(
                "`{name}` beside the net is for photos of {} channels, the net takes {channels}: how it preprocesses is left out",
                read.preprocess.channels
            )),
            Some(_) | None => {}
        }
        if let (None, Some(names)) = (&found.labels, named(config)) {
            found.labels = Some(names);
            found.notes.push(format!("labels from `{name}` beside the net"));
        }
    }
    let labels = folder.join(FILES[2]);
    if found.labels.is_none() && belongs(&Value::Null) && labels.is_file() {
        found.labels = Some(super::labels::read_labels(&labels)?);
        found.notes.push("labels from `labels.txt` beside the net".to_string());
    }
    Ok(found)
}

/// The size of a net's input that a configuration beside it says.
pub fn size_beside(net: &Path) -> Option<(Size, &'static str)> {
    let folder = net.parent().unwrap_or(Path::new(""));
    FILES[..2].iter().find_map(|name| {
        let text = regular::read_text(&folder.join(name), |bytes| TEXT.check(bytes)).ok()?;
        let config: Value = serde_json::from_str(&text).ok()?;
        configs::size_of(&config).map(|size| (size, *name))
    })
}

/// Names of classes as transformers (`id2label`) and timm (`label_names`) write them.
pub fn named(config: &Value) -> Option<Vec<String>> {
    let listed = [&config["id2label"], &config["label_names"], &config["pretrained_cfg"]["label_names"]];
    listed.into_iter().find(|v| !v.is_null()).and_then(|v| super::labels::from_json(&v.to_string()).ok())
}
