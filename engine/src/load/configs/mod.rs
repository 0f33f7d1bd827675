//! Preprocessing from the configurations beside a net: timm's `config.json` and the `preprocessor_config.json` of Hugging Face's
//! transformers, whose keys are read by what the processor that it names does with them.

use crate::data::Interpolation;
use crate::data::preprocess::{Preprocess, Resize, Rounding, Size};
use crate::error::Result;
use serde_json::Value;

mod processors;
mod transformers;

pub use transformers::transformers;

/// How photos become inputs, as a configuration says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it says.
    pub preprocess: Preprocess,
    /// What of it is not read, differs here or is assumed.
    pub remarks: Vec<String>,
}

impl Reading {
    /// A note on where it comes from, `source`, with the remarks.
    pub fn note(&self, source: &str) -> String {
        let all: Vec<&str> = std::iter::once(source).chain(self.remarks.iter().map(String::as_str)).collect();
        format!("preprocessing from {}", all.join("; "))
    }
}

/// timm's share of the resized photo that the crop takes, where nothing is said of it.
const USUAL_SHARE: f64 = 0.875;

/// The fields of timm's configurations.
const TIMM: &[&str] = &[
    "url",
    "file",
    "state_dict",
    "hf_hub_id",
    "hf_hub_filename",
    "source",
    "architecture",
    "tag",
    "custom_load",
    "input_size",
    "test_input_size",
    "min_input_size",
    "fixed_input_size",
    "interpolation",
    "crop_pct",
    "test_crop_pct",
    "crop_mode",
    "mean",
    "std",
    "num_classes",
    "label_offset",
    "label_names",
    "label_descriptions",
    "pool_size",
    "test_pool_size",
    "first_conv",
    "classifier",
    "license",
    "description",
    "origin_url",
    "paper_name",
    "paper_ids",
    "notes",
    "num_features",
    "global_pool",
    "model_args",
    "library_name",
    "pretrained_cfg",
];

/// timm's `pretrained_cfg` (or the file itself) for an `input` of this size, else for its own: mean, std, input_size, interpolation,
/// crop_pct, crop_mode. Nothing where it says no mean, deviation or size.
///
/// # Errors
/// Where its values cannot be computed with.
pub fn timm(config: &Value, input: Option<Size>) -> Result<Option<Reading>> {
    let about = if config["pretrained_cfg"].is_object() { &config["pretrained_cfg"] } else { config };
    let sized = |key: &str| match whole_numbers(&about[key])?[..] {
        [channels, height, width] => Some((channels, Size { height, width })),
        _ => None,
    };
    let (Some(mean), Some(std), Some((channels @ (1 | 3), own))) =
        (colours(&about["mean"]), colours(&about["std"]), sized("input_size"))
    else {
        return Ok(None);
    };
    let size = input.unwrap_or(own);
    let is_test = size != own && sized("test_input_size").is_some_and(|(_, test)| test == size);
    let mut remarks = Vec::new();
    if size != own && !is_test {
        remarks.push(in_proportion(own, size));
    }
    let said = about["test_crop_pct"].as_f64().filter(|_| is_test).or_else(|| about["crop_pct"].as_f64());
    let share = said.filter(|share| (0.1..=1.0).contains(share)).unwrap_or(USUAL_SHARE);
    if let Some(other) = said.filter(|said| *said != share) {
        remarks.push(format!("`crop_pct` of {other} is not read, {USUAL_SHARE} is assumed"));
    }
    let enlarged = |side: usize| (side as f64 / share) as usize;
    let both = Size { height: enlarged(size.height), width: enlarged(size.width) };
    let resize = match about["crop_mode"].as_str() {
        Some("squash") if both == size => Resize::Direct,
        Some("squash") => Resize::Squash(both),
        Some("border") => {
            remarks.push(
                "`crop_mode` \"border\" has a ground of the mean colour and cuts the rest off by `crop_pct`; here the whole photo \
                 lies on grey (option: resize)"
                    .to_string(),
            );
            Resize::Letterbox
        }
        mode => {
            if let Some(mode) = mode.filter(|mode| *mode != "center") {
                remarks.push(format!("`crop_mode` \"{mode}\" is not read, \"center\" is assumed (option: resize)"));
            }
            if size.height != size.width {
                remarks.push(
                    "timm resizes a photo until it covers an input that is no square; here its short side becomes that of a \
                     square (option: resize)"
                        .to_string(),
                );
            }
            Resize::Short(both.height.max(both.width))
        }
    };
    let interpolation = match about["interpolation"].as_str() {
        None => Interpolation::Bicubic,
        Some(name) => Interpolation::named(name).unwrap_or_else(|_| {
            remarks.push(format!("`interpolation` \"{name}\" is not known, bicubic is taken (option: interpolation)"));
            Interpolation::Bicubic
        }),
    };
    remarks.extend(unread(about, |key| TIMM.contains(&key)));
    let made = Preprocess {
        mean: spread(mean, channels),
        std: spread(std, channels),
        interpolation,
        rounding: Rounding::Torchvision,
        resize,
        ..Preprocess::new(size, channels)?
    };
    made.check()?;
    Ok(Some(Reading { preprocess: made, remarks }))
}

/// The size of the input that a configuration of timm's or of transformers' is for.
pub fn size_of(config: &Value) -> Option<Size> {
    let about = if config["pretrained_cfg"].is_object() { &config["pretrained_cfg"] } else { config };
    let timm = whole_numbers(&about["input_size"]).and_then(|sides| match sides[..] {
        [_, height, width] => Some(Size { height, width }),
        _ => None,
    });
    timm.or_else(|| transformers::size_of(config))
}

/// A remark that names the keys of which `is_read` does not hold; what is null or false changes nothing.
fn unread(config: &Value, is_read: impl Fn(&str) -> bool) -> Option<String> {
    let entries = config.as_object()?.iter();
    let left: Vec<String> = entries
        .filter(|(key, value)| !value.is_null() && **value != Value::Bool(false) && !is_read(key))
        .map(|(key, _)| format!("`{key}`"))
        .collect();
    (!left.is_empty()).then(|| format!("{} {} not read", left.join(", "), if left.len() == 1 { "is" } else { "are" }))
}

/// A remark on a configuration for photos of another size than the net's.
fn in_proportion(own: Size, input: Size) -> String {
    format!(
        "it is for photos of {} x {}, and is taken in proportion for {} x {}, which is assumed (options: preset, mean, std, resize)",
        own.height, own.width, input.height, input.width
    )
}

fn flag(config: &Value, key: &str, usual: bool) -> bool {
    config[key].as_bool().unwrap_or(usual)
}

fn spread(values: Vec<f32>, channels: usize) -> Vec<f32> {
    if values.len() == 1 { vec![values[0]; channels] } else { values }
}

fn colours(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|v| v.as_f64().map(|x| x as f32)).collect()
}

fn whole_numbers(value: &Value) -> Option<Vec<usize>> {
    value.as_array()?.iter().map(|v| v.as_f64().filter(|x| *x >= 1.0).map(|x| x as usize)).collect()
}
