//! Berkeley's annotations of named points (Bourdev et al. 2010; those of PASCAL VOC 2011): one XML file an object, in a folder
//! a category, with the image's name, the category, a box and the points.
//!
//! Each object is an item: its label is the category, its box `visible_bounds`. Points that are not visible are left out; the
//! attribute `hidden` says how many. Images are looked for as VOC's are, under any ending.

use super::annotation::Annotation;
use super::dataset::{Item, Listed};
use super::extensions::{EXTENSIONS, extension, files_in};
use super::image::Attribute;
use super::voc::{found, one};
use crate::error::{Error, Result};
use crate::regular;
use roxmltree::Node;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether an annotation is one of named points: a list of points and no object of VOC's.
pub(super) fn is_points(root: Node) -> bool {
    let has = |name: &str| root.children().any(|c| c.has_tag_name(name));
    has("keypoints") && !has("object")
}

/// The folders of categories that `root`, or its folder `annotations`, holds: those with annotations of named points.
///
/// # Errors
/// Where a folder cannot be read.
pub fn folders(root: &Path) -> Result<Option<Vec<PathBuf>>> {
    for above in [root.to_path_buf(), root.join("annotations"), root.join("Annotations")] {
        if !above.is_dir() {
            continue;
        }
        let mut inside = regular::entries(&above)?;
        inside.retain(|p| p.is_dir());
        inside.sort();
        let (mut categories, mut is_known) = (Vec::new(), false);
        for folder in inside {
            let Some(first) = files_in(&folder, |p| extension(p) == "xml")?.into_iter().next() else { continue };
            let read = one(&first);
            let points = read.as_ref().is_ok_and(|item| item.attributes.contains_key("hidden"));
            is_known |= points;
            // Beside annotations of points, one that cannot be read is an error later, not another form.
            if points || read.is_err() {
                categories.push(folder);
            }
        }
        if is_known {
            return Ok(Some(categories));
        }
    }
    Ok(None)
}

/// The objects of folders of categories, in their order.
///
/// # Errors
/// Where a file cannot be read or is no annotation; the message names it.
pub fn berkeley(folders: &[PathBuf]) -> Result<Listed> {
    let mut items = Vec::new();
    for folder in folders {
        let files = files_in(folder, |p| extension(p) == "xml")?;
        items.extend(files.iter().map(|f| one(f)).collect::<Result<Vec<_>>>()?);
    }
    let missing = items.iter().filter(|item| item.path().is_some_and(|p| !p.is_file())).count();
    let note = || {
        format!(
            "the images of {missing} of {} objects are not there: put VOC's `JPEGImages` beside the annotations",
            items.len()
        )
    };
    Ok(Listed { notes: if missing > 0 { vec![note()] } else { Vec::new() }, items })
}

/// The item of an annotation of named points.
///
/// # Errors
/// Where it has no image, or a number is none.
pub(super) fn item(path: &Path, root: Node) -> Result<Item> {
    let child = |name: &str| root.children().find(|c| c.has_tag_name(name));
    let text = |name: &str| child(name).and_then(|n| n.text()).map(str::trim).filter(|t| !t.is_empty());
    let image = text("image").ok_or_else(|| Error::format("names no `image`"))?;
    let names: Vec<String> = ["jpg"].iter().chain(&EXTENSIONS).map(|e| format!("{image}.{e}")).collect();
    let mut item = Item::file(found(path, &names));
    item.label = text("category").map(str::to_string);
    let (mut keypoints, mut hidden) = (BTreeMap::new(), 0);
    for point in child("keypoints").into_iter().flat_map(|n| n.children()).filter(|c| c.has_tag_name("keypoint")) {
        let name = point.attribute("name").ok_or_else(|| Error::format("has a `keypoint` without a `name`"))?;
        if point.attribute("visible").is_some_and(|v| v.trim() == "0") {
            hidden += 1;
            continue;
        }
        // Pixel 1 is the first; its middle lies at 0.5 here.
        let at = |axis: &str| Ok::<_, Error>(number(point, axis, &format!("keypoint `{name}`"))? - 0.5);
        keypoints.insert(name.to_string(), (at("x")?, at("y")?));
    }
    item.attributes.insert("hidden".into(), Attribute::Number(f64::from(hidden)));
    let side = |bounds: Node, name: &str| number(bounds, name, "`visible_bounds`");
    let bounding_box = child("visible_bounds")
        .map(|b| {
            Ok::<_, Error>([side(b, "xmin")? - 1.0, side(b, "ymin")? - 1.0, side(b, "width")?, side(b, "height")?])
        })
        .transpose()?;
    item.annotation = Some(Arc::new(Annotation { keypoints, bounding_box, ..Annotation::default() }));
    Ok(item)
}

fn number(node: Node, name: &str, what: &str) -> Result<f64> {
    let text = node.attribute(name).ok_or_else(|| Error::format(format!("{what} has no `{name}`")))?;
    let number = text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    number.ok_or_else(|| Error::format(format!("the `{name}` of {what} is `{text}`, no number")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::files::load_images;
    use super::super::image::Image;

    const COW: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<annotation>
  <image>2007_000001</image><voc_id>1</voc_id><category>cow</category>
  <visible_bounds height="20.00" width="30.00" xmin="11.00" ymin="6.00"/>
  <keypoints>
    <keypoint name="L_Eye" visible="1" x="15.50" y="8.25" z="0.00"/>
    <keypoint name="Nose" visible="0" x="1.00" y="2.00" z="0.00"/>
    <keypoint name="TailBase" visible="1" x="90.00" y="12.00" z="0.00"/>
  </keypoints>
</annotation>"#;

    #[test]
    fn objects_of_categories_have_boxes_and_points() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("annotations/cow/2007_000001_1.xml", COW);
        put("annotations/cow/2007_000001_2.xml", &COW.replace("15.50", "20"));
        put("annotations/dog/2007_000002_1.xml", &COW.replace("cow", "dog").replace("000001", "000002"));
        std::fs::create_dir_all(root.path().join("JPEGImages")).unwrap();
        Image::filled(60, 40, [9; 3]).unwrap().save_png(root.path().join("JPEGImages/2007_000001.png")).unwrap();
        for from in [root.path().to_path_buf(), root.path().join("annotations")] {
            let data = load_images(&from).unwrap();
            assert_eq!((data.len(), data.labels()), (3, vec!["cow".to_string(), "dog".to_string()]));
            assert!(data.notes[0].starts_with("the images of 1 of 3 objects are not there"), "{:?}", data.notes);
            let cow = data.get(0).unwrap();
            assert_eq!(cow.keypoints()["L_Eye"], (15.0, 7.75));
            assert_eq!(cow.keypoints().keys().collect::<Vec<_>>(), ["L_Eye", "TailBase"]);
            let b = cow.bounding_box().unwrap();
            assert_eq!((b.left, b.top, b.width, b.height), (10, 5, 30, 20));
            assert_eq!(data.get(1).unwrap().keypoints()["L_Eye"].0, 19.5);
            assert!(data.get(2).unwrap_err().message.contains("2007_000002"));
        }
        assert_eq!(load_images(root.path().join("annotations/cow")).unwrap().len(), 2);
        put("annotations/dog/2007_000002_1.xml", &COW.replace("15.50", "far"));
        let error = load_images(root.path()).unwrap_err().message;
        assert!(error.contains("2007_000002_1.xml") && error.contains("`x` of keypoint `L_Eye` is `far`"), "{error}");
    }
}
