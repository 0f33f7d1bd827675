//! Annotations as PASCAL VOC has them (Everingham et al. 2010): one XML file an image.
//!
//! An image's label and box are those of its largest object; `objects` (how many), and of that object `difficult`,
//! `truncated` and `pose`, become attributes.

use super::dataset::Item;
use super::image::Attribute;
use super::known::Known;
use crate::error::{Context, Error, Result};
use roxmltree::{Document, Node};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The items of XML files, in their order.
///
/// # Errors
/// Where one cannot be read or is none; the message names it.
pub fn voc(files: &[PathBuf]) -> Result<Vec<Item>> {
    files.iter().map(|f| one(f).context(|| format!("`{}`", f.display()))).collect()
}

fn one(path: &Path) -> Result<Item> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
    let document = Document::parse(&text).map_err(|e| Error::format(format!("damaged XML: {e}")))?;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        return Err(Error::format("no VOC annotation: its outermost element is not `annotation`"));
    }
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let file = text_of(root, "filename").unwrap_or_else(|| format!("{stem}.jpg"));
    let mut item = Item::file(found(path, &file));
    let objects: Vec<(Node, [f64; 4])> =
        root.children().filter(|n| n.has_tag_name("object")).filter_map(|o| Some((o, corners(o)?))).collect();
    item.attributes.insert("objects".into(), Attribute::Number(objects.len() as f64));
    let size = |b: &[f64; 4]| b[2] * b[3];
    let largest = objects.into_iter().reduce(|a, b| if size(&b.1) > size(&a.1) { b } else { a });
    if let Some((object, bounds)) = largest {
        item.label = text_of(object, "name");
        for name in ["difficult", "truncated", "occluded", "pose"] {
            if let Some(value) = text_of(object, name) {
                let number = value.parse().map(Attribute::Number);
                item.attributes.insert(name.into(), number.unwrap_or(Attribute::Text(value)));
            }
        }
        item.known = Some(Arc::new(Known { bounding_box: Some(bounds), ..Known::default() }));
    }
    Ok(item)
}

fn text_of(node: Node, name: &str) -> Option<String> {
    let text = node.children().find(|c| c.has_tag_name(name))?.text()?.trim();
    (!text.is_empty()).then(|| text.to_string())
}

/// Left, top, width, height; VOC counts pixels from 1 and includes the last.
fn corners(object: Node) -> Option<[f64; 4]> {
    let bounds = object.children().find(|c| c.has_tag_name("bndbox"))?;
    let [l, t, r, b] = ["xmin", "ymin", "xmax", "ymax"].map(|n| text_of(bounds, n)?.parse::<f64>().ok());
    let (l, t, r, b) = (l?, t?, r?, b?);
    Some([l - 1.0, t - 1.0, r - l + 1.0, b - t + 1.0])
}

/// The image: in `JPEGImages` or `images` beside the annotations' folder, else beside the annotation.
fn found(annotation: &Path, file: &str) -> PathBuf {
    let base = annotation.parent().unwrap_or(Path::new(""));
    let above = base.parent().unwrap_or(Path::new(""));
    let beside = base.join(file);
    let places = [above.join("JPEGImages").join(file), above.join("images").join(file), base.join("images").join(file)];
    places.into_iter().find(|p| !beside.is_file() && p.is_file()).unwrap_or(beside)
}
