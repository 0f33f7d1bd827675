//! The options of `load_model` as data: scripts, flags of the command line, the reference and completion read them here.

use super::presets::PRESETS;
use super::zoo::HeadActivation;
use crate::data::Interpolation;
use crate::data::preprocess::{Crop, Order, Resize, Rounding, Size};
use crate::error::{Error, Result, did_you_mean};
use crate::model::{Background, OutputKind};
use serde::{Deserialize, Serialize};

/// The options of `load_model`. Those of preprocessing replace what the net's card says, one by one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// The weight file of a named architecture.
    pub weights: Option<String>,
    /// The architecture of a weight file that is given as a path.
    pub arch: Option<String>,
    /// Which of several state_dicts in a checkpoint is taken: its keys, joined by dots ("state_dict_ema").
    pub key: Option<String>,
    /// The activation between the linear layers of a classifier that is not the architecture's own; ReLU unless given.
    pub head_activation: Option<HeadActivation>,
    /// The names of the outputs.
    pub labels: Option<Labels>,
    /// Which output is the background where there is one name less than outputs.
    pub background: Option<Background>,
    /// What the raw outputs are.
    pub output: Option<OutputKind>,
    /// How boxes are decoded from the outputs.
    pub boxes: Option<DecodingSettings>,
    /// Whose card an ONNX file gets: that of a net of [`crate::load::published::NETS`], or "none".
    pub card: Option<String>,
    /// A named way of preprocessing, which the options below change one by one.
    pub preset: Option<String>,
    /// The net's input in pixels.
    pub size: Option<Size>,
    /// The short side or both sides before the crop, "direct", "letterbox" or "auto".
    pub resize: Option<Resize>,
    /// How values between pixels are interpolated.
    pub interpolation: Option<Interpolation>,
    /// How the sizes of resize and crop become whole numbers.
    pub rounding: Option<Rounding>,
    /// Which part of the resized photo is the net's input.
    pub crop: Option<Crop>,
    /// The order of the input's channels.
    pub order: Option<Order>,
    /// The factor before mean and deviation.
    pub scale: Option<f32>,
    /// What is subtracted, one value or one a channel.
    pub mean: Option<PerChannel>,
    /// What is divided by, one value or one a channel.
    pub std: Option<PerChannel>,
    /// Whether JPEG files of data sets are scaled down while they are decoded.
    pub draft: Option<bool>,
    /// The order of the axes of an ONNX file's input.
    pub layout: Option<Layout>,
    /// The input of an ONNX file that photos go into.
    pub input: Option<String>,
    /// The sampling rate of the signals that the net takes, Hz.
    pub rate: Option<f64>,
    /// The orientation of the volumes that the net takes.
    pub orientation: Option<String>,
    /// Whether GoogLeNet maps ImageNet's mean and deviation to 0.5 and 0.5 first, as its published weights need.
    pub transform_input: Option<bool>,
}

/// The order of the axes of a file's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// Channels, rows, columns.
    Nchw,
    /// Rows, columns, channels.
    Nhwc,
    /// Channels, slices, rows, columns.
    Ncdhw,
    /// Slices, rows, columns, channels.
    Ndhwc,
    /// Frames, channels, rows, columns.
    Ntchw,
}

/// Names of outputs, or where they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// A file (see [`crate::load::labels::read_labels`]), or "imagenet".
    Path(String),
    /// The names.
    Names(Vec<String>),
}

/// How boxes are decoded from the outputs: the name of a usual decoding, or its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DecodingSettings {
    /// One of [`crate::model::boxes::DECODINGS`].
    Name(String),
    /// Settings that replace those of the decoding that is recognised or named by `like`.
    Parts(serde_json::Map<String, serde_json::Value>),
}

/// One value for all channels, or one each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerChannel {
    /// For all.
    One(f32),
    /// For each.
    Each(Vec<f32>),
}

impl PerChannel {
    /// One value a channel.
    pub fn spread(&self, channels: usize) -> Vec<f32> {
        match self {
            PerChannel::One(x) => vec![*x; channels],
            PerChannel::Each(values) if values.len() == 1 => vec![values[0]; channels],
            PerChannel::Each(values) => values.clone(),
        }
    }
}

/// One option as the reference prints it.
#[derive(Clone, Copy, Debug)]
pub struct LoadOption {
    /// Its name.
    pub name: &'static str,
    /// The values that it takes.
    pub takes: &'static str,
    /// Its effect and its default.
    pub doc: &'static str,
}

const fn option(name: &'static str, takes: &'static str, doc: &'static str) -> LoadOption {
    LoadOption { name, takes, doc }
}

/// Every option of `load_model`.
pub const OPTIONS: [LoadOption; 25] = [
    option("weights", "a path", "the .pth or .safetensors file of a named architecture"),
    option("arch", "a name", "the architecture of a weight file given as a path"),
    option(
        "key",
        "a text",
        "the keys of the state_dict to load from a checkpoint that holds several, joined by dots (\"state_dict_ema\"); default: the usual one, which a note names",
    ),
    option(
        "head_activation",
        "\"relu\", \"leaky_relu\", \"gelu\", \"silu\", \"tanh\", \"sigmoid\" or \"none\"",
        "the activation between the layers of a classifier of your own, which a state_dict does not hold; default: ReLU, which a note says",
    ),
    option(
        "labels",
        "a path, a list of names or \"imagenet\"",
        "the names of the outputs: .txt, .csv, .json or a Python dict; n names for n + 1 outputs leave output 0 to the background, which a note says",
    ),
    option(
        "background",
        "0, -1 or \"none\"",
        "which output is the background where there is one name less than outputs: the first or the last; \"none\" refuses such names",
    ),
    option(
        "output",
        "\"softmax\", \"sigmoid\", \"probability\" or \"value\"",
        "what the raw outputs are; default: read from the graph, else softmax (sigmoid for one output), which a note says",
    ),
    option(
        "boxes",
        "\"ssd\", \"retinanet\", \"yolov5\", \"yolov8\", \"fastestdet\", \"detr\", \"rtdetr\" or a map",
        "how a detector's outputs are boxes; a map says it part by part, over what `like: \"ssd\"` or the shapes of the outputs say: scores and boxes (names of outputs), columns ([\"objectness\", \"box\", \"classes\"] in order), classes (how many; numbers behind them are left out), candidates (their axis), code (\"corners\", \"corners_yx\", \"center\", \"corner\", \"offsets\", \"cells\"), unit (\"fraction\", \"pixels\"), activation (\"none\", \"sigmoid\", \"softmax\"), background (a class; -1 for the last), powers ([objectness, class]), anchors, variances, score (the least), iou (above which of two the better one stays), limit, each_class (whether a candidate stands for every class with a score high enough), limit_per_class",
    ),
    option(
        "card",
        "the name of a net of the ONNX model zoo, or \"none\"",
        "which net's preprocessing and labels an ONNX file gets, such as \"bvlcalexnet\" (`convscope models` lists them); without it that of the net that the names of input and output and the shapes of all layers prove it to be, which a note says; the options of preprocessing change it one by one",
    ),
    option(
        "preset",
        "\"imagenet\", \"caffe\", \"tf\", \"inception\" or \"raw\"",
        "a usual way of preprocessing; the options below change it one by one",
    ),
    option("size", "pixels, or [rows, columns]", "the net's input, where the file leaves it open"),
    option(
        "resize",
        "pixels, [rows, columns], \"direct\", \"letterbox\" or \"auto\"",
        "the short side before the centre crop; [rows, columns] resizes to these whatever the proportions, before the crop; \"direct\" resizes to the input's size without a crop; \"letterbox\" keeps the proportions of the whole photo and fills the rest with grey (114 of 255), as YOLO's nets are used; \"auto\", the default where nothing is known, leaves a picture of the input's size as it is and takes others to round(size / 0.875)",
    ),
    option(
        "interpolation",
        "\"bicubic\", \"bilinear\" or \"nearest\"",
        "the interpolation of the resize (default bicubic, as PIL)",
    ),
    option(
        "rounding",
        "\"nearest\", \"torchvision\" or \"transformers\"",
        "how the long side of the resize and the offset of the crop become whole numbers: to the nearest and down (default), down and to the nearest (torchvision, timm), or both down (Hugging Face's transformers); a configuration of timm or transformers that is read says it",
    ),
    option("crop", "\"center\"", "which part of the resized photo the net sees"),
    option("order", "\"RGB\" or \"BGR\"", "the order of the input's channels"),
    option("scale", "a number", "the factor before mean and std (default 1/255)"),
    option("mean", "a number or one a channel", "what is subtracted after scaling, in the net's order of channels"),
    option("std", "a number or one a channel", "what is divided by after scaling"),
    option(
        "draft",
        "true or false",
        "whether JPEG files of data sets are scaled down by 2, 4 or 8 while they are decoded, by the most that leaves them the size of the resize, as after PIL's `Image.draft`: faster where photos are at least twice that size; the inputs differ from those of whole files, and a note says so (default false)",
    ),
    option(
        "layout",
        "\"NCHW\" or \"NHWC\"; of volumes and videos \"NCDHW\", \"NDHWC\" or \"NTCHW\"",
        "the order of the axes of an ONNX file's input; default: inferred from the first convolution",
    ),
    option(
        "input",
        "a name",
        "the input of an ONNX file that photos go to (the asked one); default: the first that takes maps of three channels, of one, of any number, else the first",
    ),
    option(
        "rate",
        "Hz",
        "the sampling rate of the net's signals, Hz; signals of another rate are refused; default: none, and a note says what is assumed",
    ),
    option(
        "orientation",
        "three letters such as \"RAS\"",
        "the directions of the axes of the net's volumes (R or L, A or P, S or I); volumes of another orientation are refused; default: none, and a note says what is assumed",
    ),
    option("transform_input", "true or false", "googlenet: whether its input is mapped to mean and std 0.5 first"),
];

impl LoadOptions {
    /// Whether an option says anything of preprocessing.
    pub fn says_photos(&self) -> bool {
        self.preset.is_some()
            || self.resize.is_some()
            || self.interpolation.is_some()
            || self.rounding.is_some()
            || self.crop.is_some()
            || self.order.is_some()
            || self.scale.is_some()
            || self.mean.is_some()
            || self.std.is_some()
    }

    /// Options from names and values, as JSON.
    ///
    /// # Errors
    /// Where an option is unknown or does not fit; the message names it.
    pub fn from_json(given: &serde_json::Map<String, serde_json::Value>) -> Result<Self> {
        let known = || OPTIONS.iter().map(|o| o.name);
        if let Some(name) = given.keys().find(|k| !known().any(|n| n == k.as_str())) {
            let all = known().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            let close = did_you_mean(name, known()).map_or(String::new(), |c| c + " ");
            return Err(Error::not_found(format!("`load_model` has no option `{name}`"))
                .hint(format!("{close}the options are {all}")));
        }
        let read = |map: serde_json::Map<String, serde_json::Value>| serde_json::from_value::<Self>(map.into());
        let options = read(given.clone()).map_err(|e| {
            let one = |(name, value): &(&String, &serde_json::Value)| {
                read([((*name).clone(), (*value).clone())].into_iter().collect()).is_err()
            };
            match given.iter().find(one) {
                Some((name, value)) => {
                    let takes = OPTIONS.iter().find(|o| o.name == name).map_or("", |o| o.takes);
                    Error::value(format!("option `{name}` of `load_model` takes {takes}, got {value}"))
                }
                None => Error::value(format!("options of `load_model`: {e}")),
            }
        })?;
        if let Some(preset) = &options.preset
            && !PRESETS.contains(&preset.as_str())
        {
            let all = PRESETS.map(|p| format!("{p:?}")).join(", ");
            let close = did_you_mean(preset, PRESETS).map_or(String::new(), |c| c + " ");
            return Err(Error::value(format!("option `preset` of `load_model`: no preset {preset:?}"))
                .hint(format!("{close}the presets are {all}")));
        }
        Ok(options)
    }
}
