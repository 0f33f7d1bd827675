//! Plain lists of images in JSON: objects with `path` and any of `label`, `box` (left, top, width, height), `mask` (a file),
//! `keypoints` (name: \[x, y\]), `attributes`; all other members of an object are attributes, too.

use super::annotation::{Annotation, Outline};
use super::coco::coco;
use super::dataset::{Item, Listed};
use super::image::Attribute;
use crate::error::{Context, Error, Result};
use crate::limits::TEXT;
use crate::regular;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// The items of a JSON file: a plain list, or COCO's annotations ([`super::coco`]).
///
/// # Errors
/// Where it is neither form; the message names the file.
pub fn json(path: &Path) -> Result<Listed> {
    let at = || format!("`{}`", path.display());
    let text = regular::read_text(path, |bytes| TEXT.check(bytes))?;
    let base = path.parent().unwrap_or(Path::new(""));
    let listed = match text.trim_start().as_bytes().first() {
        Some(b'[') => plain(&text, base),
        Some(b'{') if text.contains("\"images\"") && text.contains("\"annotations\"") => coco(&text, base),
        _ => Err(Error::format("neither a list of images nor COCO's images, annotations and categories")
            .hint("a list looks like [{\"path\": \"a.jpg\", \"label\": \"cat\"}]")),
    };
    let listed = listed.context(at)?;
    if listed.items.is_empty() {
        return Err(Error::format("no images in it").context(at()));
    }
    Ok(listed)
}

fn plain(text: &str, base: &Path) -> Result<Listed> {
    let entries: Vec<Value> = serde_json::from_str(text).map_err(|e| Error::format(e.to_string()))?;
    let items = entries.iter().enumerate().map(|(i, v)| {
        let object = v.as_object().ok_or_else(|| Error::format("is no object with a `path`"));
        object.and_then(|o| item(o, base)).context(|| format!("entry {i}"))
    });
    Ok(Listed { items: items.collect::<Result<_>>()?, notes: Vec::new() })
}

fn item(object: &Map<String, Value>, base: &Path) -> Result<Item> {
    let file = object.get("path").or_else(|| object.get("file")).and_then(Value::as_str);
    let file = file.ok_or_else(|| Error::format("has no `path`"))?;
    let mut item = Item::file(base.join(file));
    let mut annotation = Annotation::default();
    for (name, v) in object.iter().filter(|(_, v)| !v.is_null()) {
        match name.as_str() {
            "path" | "file" => {}
            "label" => item.label = attribute(v).map(|a| a.to_string()),
            "box" => {
                let four = numbers(v).and_then(|n| n.try_into().ok());
                annotation.bounding_box =
                    Some(four.ok_or_else(|| Error::format("`box` takes [left, top, width, height]"))?);
            }
            "mask" | "class_mask" => {
                let file =
                    v.as_str().ok_or_else(|| Error::format(format!("`{name}` takes the path of an image file")))?;
                let file = base.join(file);
                annotation.mask = Some(if name == "mask" { Outline::File(file) } else { Outline::Classes(file) });
            }
            "keypoints" => {
                let points = v.as_object().ok_or_else(|| Error::format("`keypoints` takes {name: [x, y]}"))?;
                for (name, place) in points {
                    let Some([x, y]) = numbers(place).and_then(|n| <[f64; 2]>::try_from(n).ok()) else {
                        return Err(Error::format(format!("keypoint `{name}` takes [x, y]")));
                    };
                    annotation.keypoints.insert(name.clone(), (x, y));
                }
            }
            "attributes" => {
                let all = v.as_object().ok_or_else(|| Error::format("`attributes` takes {name: value}"))?;
                item.attributes.extend(all.iter().filter_map(|(n, v)| Some((n.clone(), attribute(v)?))));
            }
            _ => item.attributes.extend(attribute(v).map(|a| (name.clone(), a))),
        }
    }
    item.annotation = (annotation != Annotation::default()).then(|| Arc::new(annotation));
    Ok(item)
}

/// A plain value as it is, a list or an object as its JSON; nothing for null.
fn attribute(value: &Value) -> Option<Attribute> {
    match value {
        Value::Null => None,
        Value::Number(n) => n.as_f64().map(Attribute::Number),
        Value::String(s) => Some(Attribute::Text(s.clone())),
        other => Some(Attribute::Text(other.to_string())),
    }
}

/// The numbers of a list; nothing where it is none or holds anything else.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}
