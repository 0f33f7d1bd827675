//! Nets of the papers as the public ONNX model zoo ships them (github.com/onnx/models, vision/classification), and their cards:
//! how photos become their inputs and what their classes are called, which the files do not say.
//!
//! A file's name proves nothing. A net is taken for one of these where the names of its input and output and the shapes of all
//! its layers are that net's; the pages of the zoo and the code by which its accuracies were measured say the rest.

mod detection;
mod layers;
mod nets;

use super::options::LoadOptions;
use super::presets;
use super::sidecar::Sidecar;
use super::{LoadRequest, fetch};
use crate::data::Interpolation;
use crate::data::preprocess::{Preprocess, Resize, Size};
use crate::error::{Error, Result, did_you_mean};
use crate::model::{Model, OutputKind};
use layers::{Layer, difference};
use std::path::Path;

pub use nets::NETS;

/// A net of the zoo and its card.
#[derive(Debug)]
pub struct Published {
    /// What its files are called, before the version of the operators: bvlcalexnet-12.onnx.
    pub name: &'static str,
    /// What it is and the paper it belongs to.
    pub what: &'static str,
    /// Its folder in the zoo.
    pub folder: &'static str,
    /// The names of input and output.
    ends: [&'static str; 2],
    /// The layers with weights and the normalisations, in any order.
    layers: fn() -> Vec<Layer>,
    photos: Photos,
    classes: Classes,
    /// What the outputs are, where the graph does not say it.
    output: Option<OutputKind>,
}

/// How photos become a net's input.
#[derive(Clone, Copy, Debug)]
enum Photos {
    /// The whole photo, bicubic, blue first, less the mean of each channel from 0 to 255, as accuracies of the zoo were measured.
    Caffe(Source),
    /// Short side 256, centre crop, pixels from 0 to 1 less mean and over deviation.
    ImageNet,
    /// The whole photo in grey from 0 to 1, digits white on black.
    Digits,
}

/// Who says how photos become a net's input.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The code by which the zoo's accuracies of this net were measured.
    Measured,
    /// Nobody says it of this net; the nets of its kind were trained so.
    Kin,
}

/// What a net's classes are called.
#[derive(Clone, Copy, Debug)]
enum Classes {
    /// ImageNet's thousand, in the order of their WordNet ids.
    ImageNet,
    /// The two hundred of ILSVRC's detection challenge.
    Detection,
    /// Digits.
    Digits,
}

/// The net of that name.
///
/// # Errors
/// Where there is none; the hint lists all.
pub fn named(name: &str) -> Result<&'static Published> {
    NETS.iter().find(|n| n.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names = NETS.iter().map(|n| n.name);
        let all = names.clone().collect::<Vec<_>>().join(", ");
        let close = did_you_mean(name, names).map_or(String::new(), |close| close + " ");
        Error::not_found(format!("no card `{name}`")).hint(format!("{close}the cards are {all}; \"none\" takes none"))
    })
}

/// The net whose name a file has, with a version or "-int8" and the like behind it.
fn called(path: &Path) -> Option<&'static Published> {
    let stem = path.file_stem()?.to_str()?.to_ascii_lowercase();
    let of =
        |net: &&Published| stem.strip_prefix(net.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    NETS.iter().filter(of).max_by_key(|net| net.name.len())
}

/// Whether a net has the card that the options name, or that of a net that it proves to be.
pub(super) fn is_known(net: &Model, options: &LoadOptions) -> bool {
    match options.card.as_deref() {
        Some(name) => name != "none",
        None => NETS.iter().any(|card| card.unlike(net).is_none()),
    }
}

impl Published {
    /// Where it can be had.
    pub fn address(&self) -> String {
        format!(
            "hf:onnxmodelzoo/legacy_models/validated/vision/classification/{}/model/{}-VERSION.onnx",
            self.folder, self.name
        )
    }

    /// Why `net` is not this one, or nothing where it is.
    fn unlike(&self, net: &Model) -> Option<String> {
        let [input, output] = self.ends;
        let inputs = net.inputs();
        if inputs.len() != 1 || inputs[0].name != input {
            let have: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            return Some(format!("its input is `{}`, not `{input}`", have.join("`, `")));
        }
        match net.output_names()[..] {
            [only] if only == output => difference(&(self.layers)(), net),
            ref names => Some(format!("its output is `{}`, not `{output}`", names.join("`, `"))),
        }
    }

    fn preprocess(&self, net: &Model) -> Result<Preprocess> {
        let &[channels, height, width] = net.input_shape() else {
            return Err(Error::value(format!("the net's input is {:?}, which no photo becomes", net.input_shape())));
        };
        let preset = |name: &str| presets::preset(name, Size { height, width }, channels);
        Ok(match self.photos {
            Photos::Caffe(_) => Preprocess { resize: Resize::Direct, ..preset("caffe")? },
            Photos::ImageNet => Preprocess {
                resize: Resize::Short(Preprocess::usual_short(Size { height, width })),
                interpolation: Interpolation::Bilinear,
                ..preset("imagenet")?
            },
            Photos::Digits => Preprocess { resize: Resize::Direct, scale: 1.0 / 255.0, ..preset("raw")? },
        })
    }

    /// How photos are preprocessed, and who says so.
    fn photos_note(&self) -> String {
        let caffe = "the whole photo in blue, green, red from 0 to 255 less the mean of ImageNet's channels";
        match self.photos {
            Photos::Caffe(Source::Measured) => format!("{caffe}, as the zoo's accuracies of it were measured"),
            Photos::Caffe(Source::Kin) => {
                format!("{caffe}, which is assumed: the zoo does not say it of this net, Caffe's nets of its kind were trained so")
            }
            Photos::ImageNet => "the preset \"imagenet\", as the zoo's page of it says".to_string(),
            Photos::Digits => {
                "grey from 0 to 1, as the zoo's page of it says: digits are white on black, other photos are no input of it".to_string()
            }
        }
    }

    /// The names of its classes, and a note of them; no names where they cannot be had.
    fn class_names(&self, report: &dyn Fn(&str)) -> (Option<Vec<String>>, String) {
        match self.classes {
            Classes::ImageNet => match fetch::imagenet_labels(report) {
                Ok(names) => (Some(names), "labels: ImageNet's 1,000 classes in the order of their WordNet ids".to_string()),
                Err(e) => (
                    None,
                    format!(
                        "labels are ImageNet's 1,000 classes in the order of their WordNet ids, but could not be had ({}); \
                         #{{ labels: \"synset.txt\" }} reads them from a file",
                        e.message
                    ),
                ),
            },
            Classes::Detection => (
                Some(detection::CLASSES.map(str::to_string).to_vec()),
                "labels: the 200 classes of ILSVRC's detection challenge in its own numbering, which is assumed: the zoo does not \
                 list them"
                    .to_string(),
            ),
            Classes::Digits => ((0..10).map(|d| Some(d.to_string())).collect(), "labels: the digits".to_string()),
        }
    }
}

/// What the card of a net says.
#[derive(Default)]
pub(super) struct CardValues {
    pub(super) preprocess: Option<Preprocess>,
    pub(super) output: Option<OutputKind>,
}

impl LoadRequest<'_> {
    /// The card of a net that was read from an ONNX file at `path`: the one that an option names, or that of the net of the zoo
    /// that it proves to be. Labels and notes are put into `beside`, as far as nothing there says otherwise; `is_known` tells
    /// whether its preprocessing is known already.
    ///
    /// # Errors
    /// Where the option names no card, or one that does not fit the net.
    pub(super) fn published(
        &self,
        net: &Model,
        path: &Path,
        is_known: bool,
        beside: &mut Sidecar,
    ) -> Result<CardValues> {
        let named_card = match self.options.card.as_deref() {
            Some("none") => return Ok(CardValues::default()),
            Some(name) => Some(named(name)?),
            None => None,
        };
        let proved = named_card.is_none().then(|| NETS.iter().find(|card| card.unlike(net).is_none())).flatten();
        let Some(card) = named_card.or(proved) else {
            beside.notes.extend(called(path).and_then(|card| Some((card, card.unlike(net)?))).map(|(card, why)| {
                format!(
                    "the file is called as the model zoo's `{0}`, but is not that net ({why}), so that its card is not taken; \
                     #{{ card: \"{0}\" }} takes it all the same",
                    card.name
                )
            }));
            return Ok(CardValues::default());
        };
        let unlike = card.unlike(net);
        beside.notes.push(match &unlike {
            None => format!(
                "this is `{}` of the ONNX model zoo by the names of its input and output and the shapes of all its layers",
                card.name
            ),
            Some(why) => format!("card: that of the model zoo's `{}`, as asked for, though this is not that net: {why}", card.name),
        });
        let mut found = CardValues { preprocess: None, output: card.output };
        let is_said = self.options.preset.is_some() || (self.options.mean.is_some() && self.options.std.is_some());
        if beside.preprocess.is_none() && !is_known && !is_said {
            found.preprocess = Some(card.preprocess(net).map_err(|e| e.context(format!("the card `{}`", card.name)))?);
            beside.notes.push(format!("photos: {}", card.photos_note()));
        }
        // A folder of several nets has the labels of one of them.
        let outputs = net.output_len();
        if let Some(others) = beside.labels.take_if(|labels| unlike.is_none() && labels.len() != outputs) {
            beside.notes.retain(|note| !note.starts_with("labels"));
            beside.notes.push(format!(
                "the {} labels beside the net do not fit its {outputs} outputs and are left out",
                others.len()
            ));
        }
        if beside.labels.is_none() && self.options.labels.is_none() {
            let (names, note) = card.class_names(self.report);
            beside.labels = names;
            beside.notes.push(note);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
