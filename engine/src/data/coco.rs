//! Data sets in JSON: COCO's annotation files, and plain lists of images.
//!
//! - COCO (Lin et al. 2014): an object with `images`, `annotations`, `categories`. An image's label, box, mask (polygons or
//!   run lengths) and points are those of its largest object; `objects` (how many) and `area` (the largest one's share)
//!   become attributes.
//! - A plain list: objects with `path` and any of `label`, `box` (left, top, width, height), `mask` (a file), `keypoints`
//!   (name: \[x, y\]), `attributes`; other plain values are attributes, too.

use super::dataset::{Item, Source};
use super::image::Attribute;
use super::known::{Known, Outline};
use super::runs::Runs;
use crate::error::{Context, Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The items of a JSON file.
///
/// # Errors
/// Where it is neither form; the message names the file.
pub fn json(path: &Path) -> Result<Vec<Item>> {
    let at = || format!("`{}`", path.display());
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, &e))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| Error::format(e.to_string())).context(at)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let items = match &value {
        Value::Array(list) => {
            list.iter().enumerate().map(|(i, v)| plain(v, base).context(|| format!("entry {i}"))).collect()
        }
        Value::Object(o) if o.contains_key("images") && o.contains_key("annotations") => coco(&value, base),
        _ => Err(Error::format("neither a list of images nor COCO's images, annotations and categories")
            .hint("a list looks like [{\"path\": \"a.jpg\", \"label\": \"cat\"}]")),
    };
    let items: Vec<Item> = items.context(at)?;
    if items.is_empty() {
        return Err(Error::format("no images in it").context(at()));
    }
    Ok(items)
}

fn plain(value: &Value, base: &Path) -> Result<Item> {
    let object = value.as_object().ok_or_else(|| Error::format("is no object with a `path`"))?;
    let file = object.get("path").or_else(|| object.get("file")).and_then(Value::as_str);
    let file = file.ok_or_else(|| Error::format("has no `path`"))?;
    let mut item = Item::file(base.join(file));
    let mut known = Known::default();
    for (name, v) in object {
        match name.as_str() {
            "path" | "file" => {}
            "label" => item.label = attribute(v).map(|a| a.to_string()),
            "box" => {
                known.bounding_box = numbers(v)
                    .try_into()
                    .ok()
                    .map(Some)
                    .ok_or_else(|| Error::format("`box` takes [left, top, width, height]"))?
            }
            "mask" => known.mask = v.as_str().map(|m| Outline::File(base.join(m))),
            "keypoints" => {
                for (name, place) in v.as_object().into_iter().flatten() {
                    let [x, y] = numbers(place)[..] else {
                        return Err(Error::format(format!("keypoint `{name}` takes [x, y]")));
                    };
                    known.keypoints.insert(name.clone(), (x, y));
                }
            }
            "attributes" => item
                .attributes
                .extend(v.as_object().into_iter().flatten().filter_map(|(n, v)| Some((n.clone(), attribute(v)?)))),
            _ => item.attributes.extend(attribute(v).map(|a| (name.clone(), a))),
        }
    }
    item.known = (known != Known::default()).then(|| Arc::new(known));
    Ok(item)
}

fn attribute(value: &Value) -> Option<Attribute> {
    match value {
        Value::Number(n) => n.as_f64().map(Attribute::Number),
        Value::String(s) => Some(Attribute::Text(s.clone())),
        Value::Bool(b) => Some(Attribute::Text(b.to_string())),
        _ => None,
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn coco(value: &Value, base: &Path) -> Result<Vec<Item>> {
    let list = |name: &str| value[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let categories: BTreeMap<i64, &Value> =
        list("categories").iter().filter_map(|c| Some((c["id"].as_i64()?, c))).collect();
    let mut objects: BTreeMap<i64, Vec<&Value>> = BTreeMap::new();
    for annotation in list("annotations") {
        let of = annotation["image_id"].as_i64().ok_or_else(|| Error::format("an annotation without `image_id`"))?;
        objects.entry(of).or_default().push(annotation);
    }
    list("images")
        .iter()
        .map(|image| {
            let file = image["file_name"].as_str().ok_or_else(|| Error::format("an image without `file_name`"))?;
            let mut item = Item { source: Source::File(found(base, file)), ..Item::file(file) };
            let own = image["id"].as_i64().and_then(|id| objects.get(&id)).map(Vec::as_slice).unwrap_or_default();
            item.attributes.insert("objects".into(), Attribute::Number(own.len() as f64));
            let size = |a: &Value| match numbers(&a["bbox"])[..] {
                [_, _, w, h] => w * h,
                _ => a["area"].as_f64().unwrap_or(0.0),
            };
            if let Some(largest) = own.iter().copied().reduce(|a, b| if size(b) > size(a) { b } else { a }) {
                let category = largest["category_id"].as_i64().and_then(|id| categories.get(&id).copied());
                item.label = category.and_then(|c| c["name"].as_str()).map(str::to_string);
                if let (Some(w), Some(h)) = (image["width"].as_f64(), image["height"].as_f64()) {
                    item.attributes.insert("area".into(), Attribute::Number(size(largest) / (w * h)));
                }
                let known = of_object(largest, category).context(|| format!("the largest object of `{file}`"))?;
                item.known = Some(Arc::new(known));
            }
            Ok(item)
        })
        .collect()
}

fn of_object(object: &Value, category: Option<&Value>) -> Result<Known> {
    let names = category.and_then(|c| c["keypoints"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let places = numbers(&object["keypoints"]);
    let keypoints = names.iter().zip(places.chunks_exact(3)).filter(|(_, p)| p[2] > 0.0);
    Ok(Known {
        bounding_box: numbers(&object["bbox"]).try_into().ok(),
        mask: outline(&object["segmentation"])?,
        // COCO counts pixels from 0 at their corners' left; the middle of pixel 0 is 0.5 here.
        keypoints: keypoints.filter_map(|(n, p)| Some((n.as_str()?.to_string(), (p[0] + 0.5, p[1] + 0.5)))).collect(),
    })
}

/// Polygons, or runs for crowds.
fn outline(segmentation: &Value) -> Result<Option<Outline>> {
    if segmentation.is_object() {
        return Ok(Some(Outline::Runs(Runs::read(segmentation)?)));
    }
    let polygons: Vec<Vec<(f64, f64)>> = segmentation
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| numbers(p).chunks_exact(2).map(|xy| (xy[0], xy[1])).collect())
        .filter(|p: &Vec<_>| p.len() > 2)
        .collect();
    Ok((!polygons.is_empty()).then_some(Outline::Polygons(polygons)))
}

/// The image file: beside the annotations, in `images/` there, or in a folder beside theirs called after them
/// (`annotations/instances_val2017.json`: `val2017/`).
fn found(base: &Path, file: &str) -> PathBuf {
    let beside = base.join(file);
    let above = base.parent().unwrap_or(Path::new(""));
    let mut places = vec![base.join("images").join(file), above.join(file), above.join("images").join(file)];
    places.extend(["val2017", "train2017", "val2014", "train2014"].map(|f| above.join(f).join(file)));
    places.into_iter().find(|p| !beside.is_file() && p.is_file()).unwrap_or(beside)
}
