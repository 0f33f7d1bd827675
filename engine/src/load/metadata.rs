//! Preprocessing and labels from an ONNX file's own metadata, as exporters write them: image metadata of the ONNX standard
//! (docs/MetadataProps.md), Ultralytics' `names` and authorship, and keys named as the options of `load_model`.

use super::configs::{self, Reading};
use super::labels::read_text;
use super::sidecar::Sidecar;
use crate::data::preprocess::{Order, Preprocess, Resize, Size};
use crate::error::Result;
use serde_json::Value;

/// Keys that hold the names of classes.
const LABELS: [&str; 5] = ["names", "labels", "classes", "class_names", "id2label"];

/// The preprocessing and labels in `pairs`, for an input of `size` with `channels`. Values that cannot be read are left out,
/// with a note.
///
/// # Errors
/// Where values of preprocessing contradict each other.
pub fn read(pairs: &[(String, String)], size: Size, channels: usize) -> Result<Sidecar> {
    let mut found = Sidecar::default();
    let value = |key: &str| pairs.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str());
    for key in LABELS {
        let Some(text) = value(key).filter(|_| found.labels.is_none()) else { continue };
        match read_text(text) {
            Ok(labels) if !labels.is_empty() => {
                found.labels = Some(labels);
                found.notes.push(format!("labels from the file's own metadata `{key}`"));
            }
            _ => found.notes.push(format!("the file's metadata `{key}` are no list of names and are left out")),
        }
    }
    let read = match value("preprocessing").or(value("pretrained_cfg")).map(serde_json::from_str::<Value>) {
        Some(Ok(config)) => configs::timm(&config, Some(size))?.filter(|read| read.preprocess.channels == channels),
        _ => None,
    };
    let read = match read {
        Some(read) => Some(read),
        None => normalised(&value, size, channels)?.map(|preprocess| Reading { preprocess, remarks: Vec::new() }),
    };
    if let Some(read) = read {
        found.notes.push(read.note("the file's own metadata"));
        found.preprocess = Some(read.preprocess);
    } else if is_ultralytics(&value) {
        let (made, note) = ultralytics(value("task").unwrap_or("detect"), size, channels)?;
        found.preprocess = Some(made);
        found.notes.push(note);
    }
    Ok(found)
}

/// Whether the metadata are those that Ultralytics' exporter writes.
fn is_ultralytics<'a>(value: &dyn Fn(&str) -> Option<&'a str>) -> bool {
    let begins = |key: &str| value(key).is_some_and(|text| text.trim().to_ascii_lowercase().starts_with("ultralytics"));
    begins("author") || begins("description")
}

/// The preprocessing of Ultralytics' nets, which their files do not write down: RGB from 0 to 1. And a note on it.
fn ultralytics(task: &str, size: Size, channels: usize) -> Result<(Preprocess, String)> {
    let base = Preprocess::new(size, channels)?;
    let (resize, way) = match task.trim() {
        "classify" => (Resize::Short(size.height.max(size.width)), "the photo's centre is taken"),
        _ => (Resize::Letterbox, "the whole photo in its proportions, with grey borders"),
    };
    let note = format!(
        "preprocessing as Ultralytics', whom the file's own metadata name: RGB from 0 to 1, which is assumed; {way} \
         (options: preset, mean, std, scale, order, resize)"
    );
    Ok((Preprocess { resize, ..base }, note))
}

/// Mean and deviation by name, or the ONNX standard's pixel format and nominal range.
fn normalised<'a>(value: &dyn Fn(&str) -> Option<&'a str>, size: Size, channels: usize) -> Result<Option<Preprocess>> {
    let base = Preprocess { resize: Resize::Auto, ..Preprocess::new(size, channels)? };
    let numbers = |keys: [&str; 2]| keys.iter().find_map(|k| value(k)).and_then(numbers);
    let order = match value("Image.BitmapPixelFormat").or(value("color_order")).map(str::to_ascii_lowercase) {
        Some(format) if format.starts_with("bgr") => Order::Bgr,
        _ => Order::Rgb,
    };
    let pixels = |scale: f32, mean: f32, std: f32| Preprocess {
        scale,
        mean: vec![mean; channels.min(3)],
        std: vec![std; channels.min(3)],
        order,
        ..base.clone()
    };
    let made = match (numbers(["mean", "image_mean"]), numbers(["std", "image_std"])) {
        (Some(mean), Some(std)) if mean.len() == channels && std.len() == channels => {
            let scale = value("scale").or(value("rescale_factor")).and_then(|v| v.trim().parse().ok());
            Preprocess { mean, std, order, scale: scale.unwrap_or(base.scale), ..base }
        }
        _ => match value("Image.NominalPixelRange") {
            Some("NominalRange_0_255") => pixels(1.0, 0.0, 1.0),
            Some("Normalized_0_1") => pixels(1.0 / 255.0, 0.0, 1.0),
            Some("Normalized_1_1") => pixels(1.0, 127.5, 127.5),
            _ => return Ok(None),
        },
    };
    made.check()?;
    Ok(Some(made))
}

/// Numbers such as "[0.485, 0.456, 0.406]" or "0.485 0.456 0.406".
fn numbers(text: &str) -> Option<Vec<f32>> {
    let plain = text.trim().trim_matches(['[', ']', '(', ')']);
    plain.split([',', ' ']).filter(|t| !t.is_empty()).map(|t| t.parse().ok().filter(|v: &f32| v.is_finite())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Sidecar {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        read(&pairs, Size { height: 32, width: 32 }, 3).unwrap()
    }

    #[test]
    fn names_are_read_in_each_form() {
        for text in
            ["{0: 'cat', 1: 'dog'}", "[\"cat\", \"dog\"]", "{\"0\": \"cat\", \"1\": \"dog\"}", "cat,dog", "cat\ndog"]
        {
            assert_eq!(of(&[("names", text)]).labels.unwrap(), ["cat", "dog"], "{text}");
        }
        let wrong = of(&[("names", "{0: 'cat', 5: 'dog'}")]);
        assert!(wrong.labels.is_none() && wrong.notes[0].contains("`names`"), "{:?}", wrong.notes);
    }

    #[test]
    fn pixels_follow_the_standard_or_mean_and_deviation() {
        let bgr = [("Image.BitmapPixelFormat", "Bgr8"), ("Image.NominalPixelRange", "Normalized_1_1")];
        let made = of(&bgr).preprocess.unwrap();
        assert_eq!((made.order, made.scale, made.mean[0], made.std[2]), (Order::Bgr, 1.0, 127.5, 127.5));
        let made = of(&[("mean", "[0.5, 0.4, 0.3]"), ("std", "0.2 0.2 0.1")]).preprocess.unwrap();
        assert_eq!((made.mean, made.std), (vec![0.5, 0.4, 0.3], vec![0.2, 0.2, 0.1]));
        assert!(of(&[("mean", "0.5"), ("stride", "32")]).preprocess.is_none());
    }

    #[test]
    fn nets_of_ultralytics_take_pixels_from_0_to_1() {
        for pair in [("author", "Ultralytics"), ("description", "Ultralytics YOLOv8n model trained on coco.yaml")] {
            let found = of(&[pair, ("task", "segment"), ("stride", "32")]);
            let made = found.preprocess.unwrap();
            assert_eq!((made.scale, &made.mean[..], &made.std[..]), (1.0 / 255.0, &[0.0; 3][..], &[1.0; 3][..]));
            assert_eq!((made.order, made.resize), (Order::Rgb, Resize::Letterbox));
            assert!(found.notes[0].contains("assumed") && found.notes[0].contains("grey borders"), "{:?}", found.notes);
        }
        let said = of(&[("author", "Ultralytics"), ("mean", "[0.5, 0.4, 0.3]"), ("std", "0.2 0.2 0.1")]);
        assert_eq!(said.preprocess.unwrap().mean, [0.5, 0.4, 0.3]);
        let classes = of(&[("author", "Ultralytics"), ("task", "classify")]).preprocess.unwrap();
        assert_eq!(classes.resize, Resize::Short(32));
    }
}
