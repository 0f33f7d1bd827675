//! Annotations as PASCAL VOC has them (Everingham et al. 2010) and labelImg writes them: one XML file an image, in a folder
//! beside the images' or among them.
//!
//! An image's label and box are those of its largest object. `objects` (how many), `labels` (where there are several
//! kinds), and of that object `difficult`, `truncated`, `occluded` and `pose` become attributes; the centres of its parts become
//! named points. An image without an annotation has no label.

use super::annotation::Annotation;
use super::berkeley;
use super::dataset::{Item, Listed};
use super::extensions::{EXTENSIONS, extension, files_in, is_image};
use super::image::Attribute;
use crate::error::{Context, Error, Result};
use crate::limits::{TEXT, XML_ATTRIBUTES, XML_DEPTH};
use crate::regular;
use roxmltree::{Document, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where images are, seen from the folder above their annotations'.
const FOLDERS: [&str; 3] = ["JPEGImages", "images", "Images"];

/// The folder of annotations that `root` is or holds, and that of the images: VOC's (`Annotations` and `JPEGImages`), such
/// as others make it (`annotations` and `images`), or XML files among images or alone.
///
/// # Errors
/// Where a folder cannot be read.
pub fn folders(root: &Path) -> Result<Option<(PathBuf, Option<PathBuf>)>> {
    let is_xml = |p: &Path| extension(p) == "xml";
    let annotations = files_in(root, is_xml)?;
    if !annotations.is_empty() {
        let images = files_in(root, is_image)?;
        let stems: BTreeSet<_> = images.iter().filter_map(|p| p.file_stem()).collect();
        if !images.is_empty() && !annotations.iter().filter_map(|p| p.file_stem()).any(|s| stems.contains(s)) {
            // Images beside which some other XML lies.
            return Ok(None);
        }
        let beside = (!images.is_empty()).then(|| root.to_path_buf());
        let above = root.parent().unwrap_or(Path::new(""));
        let images = beside.or_else(|| FOLDERS.map(|f| above.join(f)).into_iter().find(|p| p.is_dir()));
        return Ok(Some((root.to_path_buf(), images)));
    }
    let annotations = ["Annotations", "annotations"].map(|f| root.join(f)).into_iter().find(|p| p.is_dir());
    let images = FOLDERS.map(|f| root.join(f)).into_iter().find(|p| p.is_dir());
    match (annotations, images) {
        (Some(annotations), Some(images)) if !files_in(&annotations, is_xml)?.is_empty() => {
            Ok(Some((annotations, Some(images))))
        }
        _ => Ok(None),
    }
}

/// The items of a folder of XML files, in their order, and behind them the images of `images` that have none.
///
/// # Errors
/// Where a file cannot be read or is none; the message names it.
pub fn voc(annotations: &Path, images: Option<&Path>) -> Result<Listed> {
    let files = files_in(annotations, |p| extension(p) == "xml")?;
    let mut items: Vec<Item> = files.iter().map(|f| one(f)).collect::<Result<_>>()?;
    let named: BTreeSet<PathBuf> = items.iter().filter_map(|i| Some(i.path()?.to_path_buf())).collect();
    let all = images.map(|folder| files_in(folder, is_image)).transpose()?.unwrap_or_default();
    let bare: Vec<PathBuf> = all.into_iter().filter(|p| !named.contains(p)).collect();
    let mut notes = Vec::new();
    if !bare.is_empty() {
        notes.push(format!("{} of {} images have no annotation", bare.len(), bare.len() + items.len()));
    }
    items.extend(bare.into_iter().map(Item::file));
    Ok(Listed { items, notes })
}

/// The item of one XML file.
///
/// # Errors
/// Where it cannot be read or is no annotation; the message names it.
pub fn one(path: &Path) -> Result<Item> {
    let text = text(path)?;
    read(path, &text).context(|| format!("`{}`", path.display()))
}

/// The text of an XML file: UTF-8, UTF-16, or Latin-1 where it says so.
fn text(path: &Path) -> Result<String> {
    let bytes = regular::read(path, |bytes| TEXT.check(bytes))?;
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).to_ascii_lowercase();
    let latin = ["iso-8859-1", "latin-1", "latin1", "windows-1252"].iter().any(|name| head.contains(name));
    if latin && std::str::from_utf8(&bytes).is_err() {
        return Ok(bytes.into_iter().map(char::from).collect());
    }
    regular::text(bytes).ok_or_else(|| Error::format(format!("`{}` is not a text file", path.display())))
}

fn read(path: &Path, text: &str) -> Result<Item> {
    guard(text)?;
    let document = Document::parse(text).map_err(|e| Error::format(format!("damaged XML: {e}")))?;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        return Err(Error::format("no VOC annotation: its outermost element is not `annotation`"));
    }
    if berkeley::is_points(root) {
        return berkeley::item(path, root);
    }
    let names = ["filename", "path"].map(|name| text_of(root, name));
    let mut item = Item::file(found(path, &names.into_iter().flatten().collect::<Vec<_>>()));
    let objects: Vec<(Node, [f64; 4])> = root
        .children()
        .filter(|n| n.has_tag_name("object"))
        .enumerate()
        .map(|(i, o)| Ok((o, corners(o).context(|| format!("object {}", i + 1))?)))
        .collect::<Result<_>>()?;
    item.attributes.insert("objects".into(), Attribute::Number(objects.len() as f64));
    let kinds: BTreeSet<String> = objects.iter().filter_map(|(o, _)| text_of(*o, "name")).collect();
    if kinds.len() > 1 {
        let all: Vec<String> = kinds.into_iter().collect();
        item.attributes.insert("labels".into(), Attribute::Text(all.join(", ")));
    }
    let all = objects.iter().filter_map(|(o, b)| Some((text_of(*o, "name")?, *b))).collect();
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
        item.annotation = Some(Arc::new(Annotation {
            objects: all,
            bounding_box: Some(bounds),
            keypoints: parts(object)?,
            mask: None,
        }));
    }
    Ok(item)
}

/// Refuses what would take a parser long: many attributes of one element are compared each with each, and deep elements
/// inherit what those above declare.
fn guard(text: &str) -> Result<()> {
    let mut depth = 0usize;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let skipped =
            [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")].iter().find(|(from, _)| rest.starts_with(from));
        if let Some((from, to)) = skipped {
            rest = rest[from.len()..].split_once(to).map_or("", |(_, behind)| behind);
            continue;
        }
        let (mut quote, mut attributes, mut end) = (None, 0, rest.len());
        for (i, byte) in rest.bytes().enumerate() {
            match (byte, quote) {
                (b'"' | b'\'', None) => quote = Some(byte),
                (_, Some(open)) if byte == open => quote = None,
                (b'=', None) => attributes += 1,
                (b'>', None) => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        let tag = &rest[..end];
        if tag.starts_with("</") {
            depth = depth.saturating_sub(1);
        } else if !tag.ends_with('/') {
            depth += 1;
        }
        if attributes > XML_ATTRIBUTES || depth > XML_DEPTH {
            return Err(Error::format(format!(
                "XML with more than {XML_ATTRIBUTES} attributes of an element, or elements nested more than {XML_DEPTH} deep"
            )));
        }
        rest = &rest[end..];
    }
    Ok(())
}

fn text_of(node: Node, name: &str) -> Option<String> {
    let text = node.children().find(|c| c.has_tag_name(name))?.text()?.trim();
    (!text.is_empty()).then(|| text.to_string())
}

/// Left, top, width, height; VOC counts pixels from 1 and includes the last.
fn corners(object: Node) -> Result<[f64; 4]> {
    let bounds = object.children().find(|c| c.has_tag_name("bndbox"));
    let bounds = bounds.ok_or_else(|| Error::format("has no `bndbox`"))?;
    let side = |name: &str| {
        let text = text_of(bounds, name).ok_or_else(|| Error::format(format!("its `bndbox` has no `{name}`")))?;
        let number = text.parse::<f64>().ok().filter(|x| x.is_finite());
        number.ok_or_else(|| Error::format(format!("the `{name}` of its `bndbox` is `{text}`, no number")))
    };
    let [l, t, r, b] = [side("xmin")?, side("ymin")?, side("xmax")?, side("ymax")?];
    if r < l || b < t {
        return Err(Error::format(format!("its `bndbox` goes from {l}, {t} back to {r}, {b}")));
    }
    Ok([l - 1.0, t - 1.0, r - l + 1.0, b - t + 1.0])
}

/// The centres of an object's parts (VOC's persons have a head, hands and feet); of one name, the second is `hand 2`.
fn parts(object: Node) -> Result<BTreeMap<String, (f64, f64)>> {
    let mut points = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for part in object.children().filter(|c| c.has_tag_name("part")) {
        let name = text_of(part, "name").unwrap_or_else(|| "part".into());
        let [left, top, width, height] = corners(part).context(|| format!("part `{name}`"))?;
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        let name = if *count == 1 { name } else { format!("{name} {count}") };
        points.insert(name, (left + width / 2.0, top + height / 2.0));
    }
    Ok(points)
}

/// The image: in a folder of images beside the annotations', beside the annotation, or there under the annotation's own
/// stem, as after a conversion of the images.
pub(super) fn found(annotation: &Path, names: &[String]) -> PathBuf {
    let base = annotation.parent().unwrap_or(Path::new(""));
    let above = base.parent().unwrap_or(Path::new(""));
    let mut folders = vec![base.to_path_buf()];
    folders.extend(FOLDERS.map(|f| above.join(f)));
    folders.extend(FOLDERS.map(|f| base.join(f)));
    folders.extend(above.parent().into_iter().flat_map(|top| FOLDERS.map(|f| top.join(f))));
    // A path of the machine where it was labelled may have either separator.
    let names: Vec<&str> =
        names.iter().filter_map(|n| n.rsplit(['/', '\\']).next()).filter(|n| !n.is_empty()).collect();
    let stem = annotation.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let tries = names.iter().map(ToString::to_string);
    let tries = tries.chain(EXTENSIONS.iter().map(|e| format!("{stem}.{e}")));
    let tries: Vec<String> = tries.collect();
    let all = tries.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
    let missing = || base.join(names.first().map_or_else(|| format!("{stem}.jpg"), ToString::to_string));
    all.into_iter().find(|p| p.is_file()).unwrap_or_else(missing)
}
