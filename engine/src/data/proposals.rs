//! Regions of images as a data set of their own, from a file of proposals (Girshick et al. 2013: R-CNN classifies the boxes of
//! selective search).
//!
//! A file is .csv or .tsv with a header, or JSON: a list of objects or an object a line. The image stands in the column `image`,
//! `path`, `file` or `file_name`; the box in `left`, `top` (or `x`, `y`), `width`, `height` (or `w`, `h`), in `left`, `top`,
//! `right`, `bottom` (or `x1`, `y1`, `x2`, `y2`), or in JSON as `box` or `bbox`, [left, top, width, height]; px of the image.
//! `label` is the region's own label, every other column an attribute, such as a score.

use super::dataset::{Dataset, Generator};
use super::ids::ImageIds;
use super::image::{Attribute, Image, PixelBox};
use super::join::{attribute, objects};
use crate::error::{Context, Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The columns that name the image.
const IMAGE: [&str; 5] = ["image", "path", "file", "filename", "file_name"];
/// Names of a box's sides: left, top, width, height, right, bottom.
const SIDES: [&[&str]; 6] = [
    &["left", "x", "x1", "xmin"],
    &["top", "y", "y1", "ymin"],
    &["width", "w"],
    &["height", "h"],
    &["right", "x2", "xmax"],
    &["bottom", "y2", "ymax"],
];

impl Dataset {
    /// The regions of a proposal file, each cropped from its image when it is needed, in the file's order. A region has its
    /// image's label unless it has its own, its image's attributes and its own, and `image`, `left`, `top`, `width`, `height`.
    /// A region is clipped at its image's border; one outside is an image that cannot be read. Rows of images that are not in
    /// this data set are left out, and a note says so.
    ///
    /// # Errors
    /// Where the file cannot be read, lacks a column, has a box without extent, or no row is about an image of the data set.
    pub fn proposals(&self, path: &Path) -> Result<Self> {
        let at = || format!("`{}`", path.display());
        let ids = ImageIds::of(self);
        let (mut regions, mut strange, mut rows) = (Vec::new(), BTreeSet::new(), 0usize);
        for (i, object) in objects(path).context(at)?.into_iter().enumerate() {
            rows += 1;
            let row = Region::read(object, &ids).map_err(|e| e.context(format!("row {}", i + 1))).context(at)?;
            match row {
                Ok(region) => regions.push(region),
                Err(name) => drop(strange.insert(name)),
            }
        }
        let some =
            |names: &BTreeSet<String>| names.iter().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        if regions.is_empty() {
            let first = if ids.is_empty() { "" } else { ids.name(0) };
            return Err(Error::value(format!("none of its {rows} regions is of an image of `{}`", self.name))
                .context(at())
                .hint(format!("the file is about {}, the first of the data is `{first}`", some(&strange))));
        }
        let mut notes: Vec<String> = self.notes.iter().cloned().collect();
        if !strange.is_empty() {
            let left_out = rows - regions.len();
            notes.push(format!(
                "{left_out} regions in {} are of no image of `{}`: {}",
                at(),
                self.name,
                some(&strange)
            ));
        }
        let identity = crate::digest::digest(format!("{regions:?}").as_bytes());
        let made = Regions { inner: self.clone(), regions, identity };
        Ok(Dataset::generated(format!("regions of {}", self.name), Arc::new(made)).with_notes(notes))
    }
}

/// A region of an image.
#[derive(Debug)]
struct Region {
    image: usize,
    place: PixelBox,
    label: Option<String>,
    attributes: BTreeMap<String, Attribute>,
}

impl Region {
    /// The region that a row describes, or the name of its image where that is not in the data set.
    fn read(object: Map<String, Value>, ids: &ImageIds) -> Result<Result<Self, String>> {
        let column = |names: &[&str]| {
            names.iter().find_map(|name| object.iter().find(|(k, v)| k.eq_ignore_ascii_case(name) && !v.is_null()))
        };
        let Some((_, image)) = column(&IMAGE) else {
            let all = object.keys().take(20).cloned().collect::<Vec<_>>().join("`, `");
            return Err(Error::format(format!("no column `image` among `{all}`")));
        };
        let name = image.as_str().map_or_else(|| image.to_string(), str::to_string);
        let corners = match column(&["box", "bbox"]) {
            Some((key, value)) => listed(value).ok_or_else(|| {
                Error::format(format!("`{key}` is {value}, not [left, top, width, height] with an extent"))
            })?,
            None => {
                let side = |names: &[&str]| column(names).and_then(|(_, v)| number(v));
                let [left, top, width, height, right, bottom] = SIDES.map(side);
                let extent =
                    |size: Option<f64>, start: Option<f64>, end: Option<f64>| size.or_else(|| Some(end? - start?));
                let (width, height) = (extent(width, left, right), extent(height, top, bottom));
                let all = left.zip(top).zip(width.zip(height));
                all.map(|((l, t), (w, h))| [l, t, w, h]).ok_or_else(|| {
                    Error::format("no box").hint("columns left, top, width, height; or left, top, right, bottom; px")
                })?
            }
        };
        let place = pixels(corners).ok_or_else(|| Error::format(format!("the box {corners:?} has no extent")))?;
        let Some(index) = ids.index(&name) else { return Ok(Err(name)) };
        let known =
            |key: &str| IMAGE.iter().chain(SIDES.iter().copied().flatten()).any(|k| key.eq_ignore_ascii_case(k));
        let own = object
            .iter()
            .filter(|(k, _)| !known(k) && !["box", "bbox", "label"].iter().any(|n| k.eq_ignore_ascii_case(n)));
        let mut attributes: BTreeMap<String, Attribute> =
            own.filter_map(|(k, v)| Some((k.clone(), attribute(v)?))).collect();
        attributes.insert("image".into(), Attribute::Text(ids.name(index).to_string()));
        let sides = [place.left, place.top, place.width, place.height];
        attributes.extend(
            ["left", "top", "width", "height"]
                .iter()
                .zip(sides)
                .map(|(k, v)| (k.to_string(), Attribute::Number(v as f64))),
        );
        let label = column(&["label"]).and_then(|(_, v)| v.as_str()).filter(|l| !l.is_empty()).map(str::to_string);
        Ok(Ok(Region { image: index, place, label, attributes }))
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|v| v.is_finite())
}

/// [left, top, width, height] of a list, or of a text with blanks between them.
fn listed(value: &Value) -> Option<[f64; 4]> {
    let all: Vec<f64> = match value {
        Value::Array(parts) => parts.iter().map(number).collect::<Option<_>>()?,
        Value::String(text) => text.split_whitespace().map(|p| p.parse().ok()).collect::<Option<_>>()?,
        _ => return None,
    };
    <[f64; 4]>::try_from(all).ok().filter(|b| b.iter().all(|v| v.is_finite()))
}

/// The pixels that a box touches; what lies left of or above the image is cut off.
fn pixels([left, top, width, height]: [f64; 4]) -> Option<PixelBox> {
    let span = |from: f64, length: f64| {
        let (a, b) = (from.max(0.0).floor(), (from + length).max(0.0).ceil());
        (length > 0.0 && a < b && b < f64::from(u32::MAX)).then_some((a as usize, (b - a) as usize))
    };
    let ((left, width), (top, height)) = (span(left, width)?, span(top, height)?);
    Some(PixelBox::new(left, top, width, height))
}

/// A data set of regions.
#[derive(Debug)]
struct Regions {
    inner: Dataset,
    regions: Vec<Region>,
    identity: String,
}

impl Generator for Regions {
    fn len(&self) -> usize {
        self.regions.len()
    }

    fn label(&self, index: usize) -> Option<String> {
        let region = &self.regions[index];
        region.label.clone().or_else(|| self.inner.label(region.image))
    }

    fn attributes(&self, index: usize) -> BTreeMap<String, Attribute> {
        let region = &self.regions[index];
        let mut all = self.inner.item(region.image).map(|item| item.attributes.clone()).unwrap_or_default();
        all.extend(region.attributes.clone());
        all
    }

    fn image(&self, index: usize) -> Result<Image> {
        let region = &self.regions[index];
        let whole = self.inner.get(region.image)?;
        let Some(place) = region.place.within(whole.width(), whole.height()) else {
            let name = self.inner.item(region.image)?.caption(region.image);
            return Err(Error::value(format!(
                "region {index}, {}, lies outside `{name}` of {} x {}",
                region.place,
                whole.width(),
                whole.height()
            )));
        };
        Ok(whole.crop(place)?.with_label(self.label(index)).with_attributes(self.attributes(index)))
    }

    fn labels(&self) -> Vec<String> {
        (0..self.len()).filter_map(|i| self.label(i)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn attribute_names(&self) -> Vec<String> {
        let more = self.regions.iter().flat_map(|r| r.attributes.keys().cloned());
        self.inner.attribute_names().into_iter().chain(more).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn identity(&self) -> Value {
        json!([self.inner.identity(), self.identity])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::shapes::{Shapes, shapes};

    fn read(name: &str, text: &str) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        shapes(&Shapes { n: 5, seed: 3, ..Shapes::new() }).unwrap().proposals(&path)
    }

    #[test]
    fn regions_are_cut_out_of_their_images() {
        let whole = shapes(&Shapes { n: 5, seed: 3, ..Shapes::new() }).unwrap();
        let forms = [
            (
                "p.csv",
                "image,left,top,width,height,score\nshapes/3,4,6,20,30,0.9\nshapes/1,50,50,40,40,0.2\nshapes/1,70,0,9,9,0.1\n",
            ),
            (
                "p.csv",
                "image,x1,y1,x2,y2,score\nshapes/3,4,6,24,36,0.9\nshapes/1,50,50,90,90,0.2\nshapes/1,70,0,79,9,0.1\n",
            ),
            (
                "p.jsonl",
                "{\"image\":\"shapes/3\",\"bbox\":[4,6,20,30],\"score\":0.9}\n{\"image\":\"shapes/1\",\"bbox\":[50,50,40,40],\"score\":0.2}\n\
                 {\"image\":\"shapes/1\",\"bbox\":[70,0,9,9],\"score\":0.1}\n",
            ),
        ];
        for (name, text) in forms {
            let regions = read(name, text).unwrap();
            assert_eq!(regions.len(), 3);
            let first = regions.get(0).unwrap();
            let by_hand = whole.get(3).unwrap().crop(PixelBox::new(4, 6, 20, 30)).unwrap();
            assert_eq!((first.pixels(), first.label()), (by_hand.pixels(), by_hand.label()));
            assert_eq!(first.attributes()["score"], Attribute::Number(0.9));
            assert_eq!(first.attributes()["image"], Attribute::Text("shapes/3".into()));
            // Over the border it is cut, outside it cannot be had.
            let cut = regions.get(1).unwrap();
            assert_eq!((cut.width(), cut.height()), (14, 14));
            assert!(regions.get(2).unwrap_err().message.contains("outside `1 "), "{}", regions.get(2).unwrap_err());
        }
    }

    #[test]
    fn files_that_do_not_fit_are_refused_or_counted() {
        let some = read("p.csv", "image,x,y,w,h,label\nshapes/2,1,1,8,8,eye\nother.jpg,1,1,8,8,eye\n").unwrap();
        assert_eq!((some.len(), some.label(0).as_deref()), (1, Some("eye")));
        assert!(some.notes[0].starts_with("1 regions in") && some.notes[0].contains("`other.jpg`"), "{:?}", some.notes);
        let said = |text: &str| read("p.csv", text).unwrap_err().to_string();
        assert!(said("image,x,y,w,h\nq.jpg,1,1,8,8\n").contains("none of its 1 regions is of an image of `shapes`"));
        assert!(said("x,y,w,h\n1,1,8,8\n").contains("no column `image` among"));
        assert!(said("image,x,y\nshapes/1,1,1\n").contains("row 1: no box"));
        assert!(said("image,x,y,w,h\nshapes/1,1,1,0,8\n").contains("has no extent"));
    }
}
