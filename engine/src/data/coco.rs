//! COCO's annotation files (Lin et al. 2014): an object with `images`, `annotations`, `categories`.
//!
//! An image's label, box, mask (polygons or run lengths) and points are those of its largest object, a crowd's only where
//! there is no other; `objects` and `crowds` (how many), `area` (the object's share), `labels` (where there are several
//! kinds) and `caption` become attributes. Identifiers may be whole numbers, also as text or with a fraction of zero.

use super::annotation::{Annotation, Outline};
use super::dataset::{Item, Listed, Source};
use super::image::Attribute;
use super::runs::{Packed, Runs};
use crate::error::{Context, Error, Result};
use crate::limits;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many names a note lists.
const MAX_LISTED_NAMES: usize = 4;

#[derive(serde::Deserialize)]
struct File {
    images: Vec<Picture>,
    annotations: Vec<CocoAnnotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(serde::Deserialize)]
struct Picture {
    id: Option<Id>,
    file_name: Option<String>,
    width: Option<Number>,
    height: Option<Number>,
}

#[derive(serde::Deserialize)]
struct Category {
    id: Id,
    name: Option<String>,
    keypoints: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
struct CocoAnnotation {
    id: Option<Id>,
    image_id: Option<Id>,
    category_id: Option<Id>,
    bbox: Option<Vec<Number>>,
    area: Option<Number>,
    segmentation: Option<Segmentation>,
    keypoints: Option<Vec<Number>>,
    iscrowd: Option<Number>,
    caption: Option<String>,
}

/// An identifier: a whole number, however it is written, or a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Whole(i64),
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Whole(n) => n.fmt(f),
            Id::Text(t) => write!(f, "`{t}`"),
        }
    }
}

/// A number, also as text or a truth value.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

/// The outline of an object.
enum Segmentation {
    Polygons(Vec<Vec<f64>>),
    Runs(Packed),
}

/// The items of a COCO file, with notes on annotations that fit no image.
///
/// # Errors
/// Where it is not one, or an annotation is damaged; the message names the image.
pub fn coco(text: &str, base: &Path) -> Result<Listed> {
    let file: File = serde_json::from_str(text).map_err(|e| Error::format(format!("COCO's annotations: {e}")))?;
    let categories: BTreeMap<&Id, &Category> = file.categories.iter().map(|c| (&c.id, c)).collect();
    for category in &file.categories {
        let points = category.keypoints.iter().flatten().map(String::as_str);
        category.name.as_deref().into_iter().chain(points).try_for_each(|name| limits::name("a category", name))?;
    }
    let mut listed = Listed::default();
    let mut images = BTreeSet::new();
    for id in file.images.iter().filter_map(|i| i.id.as_ref()) {
        if !images.insert(id) {
            return Err(Error::format(format!("two images have the id {id}")));
        }
    }
    let mut objects: BTreeMap<&Id, Vec<&CocoAnnotation>> = BTreeMap::new();
    let (mut nowhere, mut unnamed) = (Vec::new(), BTreeSet::new());
    let mut without = 0;
    for annotation in &file.annotations {
        let of = annotation.image_id.as_ref().ok_or_else(|| Error::format("an annotation without `image_id`"))?;
        match images.contains(of) {
            true => objects.entry(of).or_default().push(annotation),
            false => nowhere.push(of),
        }
        if let Some(category) = annotation.category_id.as_ref().filter(|c| !categories.contains_key(c)) {
            without += 1;
            unnamed.insert(category);
        }
    }
    let some = |ids: &mut dyn Iterator<Item = &&Id>| {
        let ids: Vec<String> = ids.take(MAX_LISTED_NAMES).map(ToString::to_string).collect();
        ids.join(", ")
    };
    if !nowhere.is_empty() {
        listed.notes.push(format!(
            "{} of {} annotations are of images that the file does not list (image_id {}, ..) and are left out",
            nowhere.len(),
            file.annotations.len(),
            some(&mut nowhere.iter())
        ));
    }
    if without > 0 {
        let ids = some(&mut unnamed.iter());
        listed.notes.push(format!("{without} annotations are of categories without a name (category_id {ids}, ..)"));
    }
    let crowds = file.annotations.iter().any(CocoAnnotation::is_crowd);
    for image in &file.images {
        let own = image.id.as_ref().and_then(|id| objects.get(id)).map(Vec::as_slice).unwrap_or_default();
        listed.items.push(item(image, own, &categories, crowds, base)?);
    }
    Ok(listed)
}

impl CocoAnnotation {
    fn is_crowd(&self) -> bool {
        self.iscrowd.is_some_and(|c| c.0 != 0.0)
    }

    fn size(&self) -> f64 {
        match self.bbox.as_deref() {
            Some([_, _, w, h]) => w.0 * h.0,
            _ => self.area.map_or(0.0, |a| a.0),
        }
    }

    fn shown(&self) -> String {
        self.id.as_ref().map_or("an annotation".into(), |id| format!("annotation {id}"))
    }
}

fn item(
    image: &Picture,
    own: &[&CocoAnnotation],
    categories: &BTreeMap<&Id, &Category>,
    crowds: bool,
    base: &Path,
) -> Result<Item> {
    let file = image.file_name.as_deref().ok_or_else(|| Error::format("an image without `file_name`"))?;
    let mut item = Item { source: Source::File(found(base, file)), ..Item::file(file) };
    let number = |n: usize| Attribute::Number(n as f64);
    item.attributes.insert("objects".into(), number(own.len()));
    if crowds {
        item.attributes.insert("crowds".into(), number(own.iter().filter(|a| a.is_crowd()).count()));
    }
    let category = |a: &CocoAnnotation| a.category_id.as_ref().and_then(|id| categories.get(id).copied());
    let kinds: BTreeSet<&str> = own.iter().filter_map(|a| category(a)?.name.as_deref()).collect();
    if kinds.len() > 1 {
        let all: Vec<&str> = kinds.into_iter().collect();
        item.attributes.insert("labels".into(), Attribute::Text(all.join(", ")));
    }
    let captions: Vec<&str> = own.iter().filter_map(|a| a.caption.as_deref()).map(str::trim).collect();
    if !captions.is_empty() {
        item.attributes.insert("caption".into(), Attribute::Text(captions.join(" | ")));
    }
    let larger = |a: &CocoAnnotation, b: &CocoAnnotation| match (a.is_crowd(), b.is_crowd()) {
        (true, false) => true,
        (false, true) => false,
        _ => b.size() > a.size(),
    };
    let Some(largest) = own.iter().copied().reduce(|a, b| if larger(a, b) { b } else { a }) else { return Ok(item) };
    item.label = category(largest).and_then(|c| c.name.clone());
    if let (Some(w), Some(h)) = (image.width, image.height) {
        item.attributes.insert("area".into(), Attribute::Number(largest.size() / (w.0 * h.0)));
    }
    let mut annotation =
        of_object(largest, category(largest)).context(|| format!("{} of `{file}`", largest.shown()))?;
    for object in own.iter().filter(|a| !a.is_crowd()) {
        if let (Some(name), Some(&[x, y, w, h])) =
            (category(object).and_then(|c| c.name.clone()), object.bbox.as_deref())
        {
            annotation.objects.push((name, [x, y, w, h].map(|n| n.0)));
        }
    }
    item.annotation = (annotation != Annotation::default()).then(|| Arc::new(annotation));
    Ok(item)
}

fn of_object(object: &CocoAnnotation, category: Option<&Category>) -> Result<Annotation> {
    let bounding_box = match object.bbox.as_deref() {
        None | Some([]) => None,
        Some(&[x, y, w, h]) if w.0 >= 0.0 && h.0 >= 0.0 => Some([x, y, w, h].map(|n| n.0)),
        Some(other) => {
            return Err(Error::format(format!("its `bbox` {:?} is no left, top, width, height", values(other))));
        }
    };
    let names = category.and_then(|c| c.keypoints.as_deref()).unwrap_or_default();
    let places = object.keypoints.as_deref().unwrap_or_default();
    if !places.len().is_multiple_of(3) || (!names.is_empty() && places.len() > 3 * names.len()) {
        let (n, points) = (places.len(), names.len());
        return Err(Error::format(format!("its `keypoints` are {n} numbers for {points} named points of three each")));
    }
    // COCO counts pixels from 0 at their corners' left; the middle of pixel 0 is 0.5 here.
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| format!("point {i}"));
    let seen = places.chunks_exact(3).enumerate().filter(|(_, p)| p[2].0 > 0.0);
    let keypoints = seen.map(|(i, p)| (name(i), (p[0].0 + 0.5, p[1].0 + 0.5))).collect();
    let mask = object.segmentation.as_ref().map(outline).transpose()?.flatten();
    Ok(Annotation { bounding_box, mask, keypoints, ..Annotation::default() })
}

fn values(numbers: &[Number]) -> Vec<f64> {
    numbers.iter().map(|n| n.0).collect()
}

/// Polygons, or runs for crowds.
fn outline(segmentation: &Segmentation) -> Result<Option<Outline>> {
    match segmentation {
        Segmentation::Runs(packed) => Ok(Some(Outline::Runs(Runs::read(packed)?))),
        Segmentation::Polygons(lists) => {
            if let Some(odd) = lists.iter().find(|p| !p.len().is_multiple_of(2)) {
                return Err(Error::format(format!(
                    "a polygon of {} numbers, which are no pairs of x and y",
                    odd.len()
                )));
            }
            let polygons: Vec<Vec<(f64, f64)>> = lists
                .iter()
                .filter(|p| p.len() >= 6)
                .map(|p| p.chunks_exact(2).map(|xy| (xy[0], xy[1])).collect())
                .collect();
            Ok((!polygons.is_empty()).then_some(Outline::Polygons(polygons)))
        }
    }
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

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an identifier: a whole number or a text")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Id, E> {
                Ok(Id::Whole(n))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Id, E> {
                Ok(i64::try_from(n).map_or_else(|_| Id::Text(n.to_string()), Id::Whole))
            }
            fn visit_f64<E: de::Error>(self, x: f64) -> Result<Id, E> {
                match x.fract() == 0.0 && x.abs() < 9e15 {
                    true => Ok(Id::Whole(x as i64)),
                    false => Err(E::custom(format!("{x} is no identifier"))),
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                Ok(text.trim().parse().map_or_else(|_| Id::Text(text.to_string()), Id::Whole))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Number, E> {
                Ok(Number(n as f64))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Number, E> {
                Ok(Number(n as f64))
            }
            fn visit_f64<E: de::Error>(self, x: f64) -> Result<Number, E> {
                Ok(Number(x))
            }
            fn visit_bool<E: de::Error>(self, b: bool) -> Result<Number, E> {
                Ok(Number(f64::from(u8::from(b))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let number = text.trim().parse().ok().filter(|x: &f64| x.is_finite());
                number.map(Number).ok_or_else(|| E::custom(format!("`{text}` is no number")))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Segmentation;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("polygons, or run lengths with `size` and `counts`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Segmentation, A::Error> {
                let (mut polygons, mut flat) = (Vec::new(), Vec::new());
                while let Some(part) = list.next_element::<Part>()? {
                    match part {
                        Part::One(x) => flat.push(x),
                        Part::Many(polygon) => polygons.push(polygon),
                    }
                }
                // One polygon without the list around it.
                polygons.extend((!flat.is_empty()).then_some(flat));
                Ok(Segmentation::Polygons(polygons))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Segmentation, A::Error> {
                let mut packed = Packed::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "size" => packed.size = map.next_value::<Vec<Number>>()?.into_iter().map(|n| n.0).collect(),
                        "counts" => packed.counts = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Segmentation::Runs(packed))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A member of `segmentation`: a polygon, or a number of the only one.
enum Part {
    One(f64),
    Many(Vec<f64>),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Part;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a polygon: x, y, x, y, ..")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Part, E> {
                Ok(Part::One(n as f64))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Part, E> {
                Ok(Part::One(n as f64))
            }
            fn visit_f64<E: de::Error>(self, x: f64) -> Result<Part, E> {
                Ok(Part::One(x))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Part, A::Error> {
                let mut polygon = Vec::new();
                while let Some(Number(x)) = list.next_element()? {
                    polygon.push(x);
                }
                Ok(Part::Many(polygon))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
