//! Several right answers an image, from a file of lists of classes such as ReaL's (Beyer et al. 2020, "Are we done with ImageNet?").
//!
//! JSON: a list of lists, one an image (`[[2], [], [65, 795]]`); an object from images' names to lists; or a list of objects or an
//! object a line with `image` and `answers`. A .csv table: the columns `image` and `answers`, classes between `;`. Classes are names,
//! WordNet ids, or numbers of outputs, from 0. A list without names follows the images' file names in their order; ILSVRC's validation
//! images have their place in their name (ILSVRC2012_val_00000293 is the 293rd), so that some of them take their own lists out of all.

use super::dataset::Dataset;
use super::ids::ImageIds;
use super::ilsvrc::by_number;
use super::image::Attribute;
use super::join::{AttributeRows, JoinTarget, objects};
use crate::error::{Context, Error, Result};
use crate::limits::TEXT;
use crate::regular;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The attribute that holds an image's answers, as a JSON list.
pub const ANSWERS: &str = "answers";

/// What ILSVRC's validation images are called before their number.
const VALIDATION: &str = "ILSVRC2012_val_";

/// Answers by the images' numbers, and lists that are about no image.
#[derive(Default)]
struct Told {
    found: BTreeMap<usize, Vec<String>>,
    strange: Vec<String>,
}

impl Dataset {
    /// The same images with the attribute `answers`: a JSON list of the right classes of each. An image that the file does not
    /// contain has none; notes count these and lists of no image. `names` is a file of the classes' names by number.
    ///
    /// # Errors
    /// Where the file cannot be read, has another form, as many lists as fit no order of the images, no list about one of them, or a
    /// number that has no name.
    pub fn with_answers(&self, path: &Path, names: Option<&Path>) -> Result<Self> {
        let at = || format!("`{}`", path.display());
        let mut told = read(self, path).context(at)?;
        if told.found.is_empty() {
            let own = self.item(0).map(|item| item.caption(0)).unwrap_or_default();
            let first = told.strange.first().map_or("", String::as_str);
            return Err(Error::value(format!("no list of answers is about an image of `{}`", self.name))
                .context(at())
                .hint(format!("the first is about `{first}`, the first image is `{own}`")));
        }
        if let Some(file) = names {
            let known = numbered(file)?;
            told.found.values_mut().flatten().try_for_each(|class| named(class, &known)).context(at)?;
        }
        let mut notes: Vec<String> = self.notes.iter().cloned().collect();
        let missing = self.len() - told.found.len();
        if missing > 0 {
            notes.push(format!("{missing} of {} images have no list of answers in {}", self.len(), at()));
        }
        if let Some(first) = told.strange.first() {
            notes.push(format!("{} lists of {} are about no image: `{first}`", told.strange.len(), at()));
        }
        let row = |(i, classes): (usize, Vec<String>)| {
            (i.to_string(), BTreeMap::from([(ANSWERS.to_string(), Attribute::Text(Value::from(classes).to_string()))]))
        };
        let rows: AttributeRows = told.found.into_iter().map(row).collect();
        Ok(self.with_rows(JoinTarget::Images, rows).with_notes(notes))
    }
}

/// The classes by the numbers that answers use: WordNet ids in their order, whatever numbers a devkit gives them, or else the lines of
/// the file, from 0.
fn numbered(file: &Path) -> Result<BTreeMap<usize, String>> {
    let known = by_number(file, false)?;
    let is_id = |id: &String| id.len() == 9 && id.starts_with('n') && id.bytes().skip(1).all(|b| b.is_ascii_digit());
    if !known.values().all(is_id) {
        return Ok(known);
    }
    let mut ids: Vec<String> = known.into_values().collect();
    ids.sort();
    Ok(ids.into_iter().enumerate().collect())
}

/// A number becomes the name of its class; a name stays.
fn named(class: &mut String, known: &BTreeMap<usize, String>) -> Result<()> {
    let Ok(number) = class.parse::<usize>() else { return Ok(()) };
    let name = known.get(&number);
    *class = name
        .cloned()
        .ok_or_else(|| Error::value(format!("class {number} is none of the {} that are named", known.len())))?;
    Ok(())
}

fn read(data: &Dataset, path: &Path) -> Result<Told> {
    let text = regular::read_text(path, |bytes| TEXT.check(bytes))?;
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(lists)) if lists.iter().all(Value::is_array) => in_order(data, &lists),
        Ok(Value::Object(all)) if all.values().all(Value::is_array) => {
            by_name(data, all.iter().map(|(image, list)| Ok((image.clone(), classes(list)?))))
        }
        _ => by_name(
            data,
            objects(path)?.iter().enumerate().map(|(i, row)| one(row).context(|| format!("row {}", i + 1))),
        ),
    }
}

/// A row's image and answers.
fn one(row: &serde_json::Map<String, Value>) -> Result<(String, Vec<String>)> {
    let of =
        |names: &[&str]| names.iter().find_map(|n| row.iter().find(|(k, _)| k.eq_ignore_ascii_case(n)).map(|(_, v)| v));
    let image = of(&["image", "path", "file", "filename", "file_name"]).and_then(Value::as_str);
    let image = image.ok_or_else(|| Error::format("has no `image`"))?;
    match of(&[ANSWERS, "labels"]) {
        Some(Value::String(text)) => {
            let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
            Ok((image.to_string(), parts.map(str::to_string).collect()))
        }
        Some(list) => Ok((image.to_string(), classes(list)?)),
        // A table's empty cell.
        None => Ok((image.to_string(), Vec::new())),
    }
}

/// The classes of a list of names and numbers; one alone is a list, too.
fn classes(list: &Value) -> Result<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(name) => Ok(name.clone()),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        Value::Number(number) if number.as_f64().is_some_and(|x| x >= 0.0 && x.fract() == 0.0) => {
            Ok(format!("{:.0}", number.as_f64().unwrap_or_default()))
        }
        other => Err(Error::format(format!("`{other}` is no class: a name or a number from 0 is"))),
    };
    match list {
        Value::Array(all) => all.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

fn by_name(data: &Dataset, rows: impl Iterator<Item = Result<(String, Vec<String>)>>) -> Result<Told> {
    let (ids, mut told) = (ImageIds::of(data), Told::default());
    for row in rows {
        let (image, classes) = row?;
        match ids.index(&image) {
            Some(i) if told.found.insert(i, classes).is_some() => {
                return Err(Error::format(format!("`{image}` has two lists")));
            }
            Some(_) => {}
            None => told.strange.push(image),
        }
    }
    Ok(told)
}

/// Lists without names, by the images' file names.
fn in_order(data: &Dataset, lists: &[Value]) -> Result<Told> {
    let ids = ImageIds::of(data);
    let file = |i: usize| ids.name(i).rsplit('/').next().unwrap_or_default().to_string();
    let files: Vec<String> = (0..data.len()).map(file).collect();
    let number = |file: &String| {
        let digits = file.strip_prefix(VALIDATION)?.split('.').next()?;
        digits.parse::<usize>().ok()?.checked_sub(1).filter(|place| *place < lists.len())
    };
    let places: Option<Vec<usize>> = files.iter().map(number).collect();
    let places = match places {
        Some(places) => places,
        None if lists.len() == data.len() => {
            let mut order: Vec<usize> = (0..data.len()).collect();
            // Generated images are called by their number, whose texts are in another order.
            if data.items().all(|item| item.path().is_some()) {
                order.sort_by(|a, b| files[*a].cmp(&files[*b]));
            }
            let mut places = vec![0; data.len()];
            order.into_iter().enumerate().for_each(|(place, image)| places[image] = place);
            places
        }
        None => {
            return Err(Error::value(format!("{} lists for {} images of `{}`", lists.len(), data.len(), data.name))
                .hint("lists without names need one an image, or the names of ILSVRC's validation images; an object from names to lists fits any"));
        }
    };
    let list = |(i, place): (usize, usize)| Ok((i, classes(&lists[place]).context(|| format!("list {}", place + 1))?));
    Ok(Told { found: places.into_iter().enumerate().map(list).collect::<Result<_>>()?, strange: Vec::new() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::dataset::Item;
    use super::*;
    use crate::shapes::{Shapes, shapes};

    fn file(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn answers(data: &Dataset) -> Vec<String> {
        let of = |item: &Item| item.attributes.get(ANSWERS).map_or("-".to_string(), ToString::to_string);
        data.items().map(|item| of(&item)).collect()
    }

    fn photos(names: &[&str]) -> Dataset {
        Dataset::new("photos", names.iter().map(|n| Item::file(*n)).collect())
    }

    #[test]
    fn lists_follow_file_names_and_validation_images_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "real.json", "[[2], [], [65, 795]]");
        // In folders of classes the order of the paths is not that of the names.
        let data = photos(&["f/a/z.jpg", "f/b/m.jpg", "f/c/b.jpg"]).with_answers(&path, None).unwrap();
        assert_eq!(answers(&data), ["[\"65\",\"795\"]", "[]", "[\"2\"]"]);
        let some = photos(&["v/n2/ILSVRC2012_val_00000003.JPEG", "v/n3/ILSVRC2012_val_00000001.JPEG"]);
        assert_eq!(answers(&some.with_answers(&path, None).unwrap()), ["[\"65\",\"795\"]", "[\"2\"]"]);
        let error = photos(&["a.jpg", "b.jpg"]).with_answers(&path, None).unwrap_err();
        assert!(error.message.contains("3 lists for 2 images of `photos`"), "{error}");
        let names = file(folder.path(), "names.txt", &(0..796).map(|i| format!("n{i:08}\n")).collect::<String>());
        let data = some.with_answers(&path, Some(&names)).unwrap();
        assert_eq!(answers(&data)[0], "[\"n00000065\",\"n00000795\"]");
        // The devkit's numbers are others than those of the sorted ids.
        let devkit = file(folder.path(), "map.txt", "n00000003 1 c\nn00000001 3 a\nn00000002 2 b\n");
        let sorted = file(folder.path(), "two.json", "[[0], [1], [2, 0]]");
        let data = some.with_answers(&sorted, Some(&devkit)).unwrap();
        assert_eq!(answers(&data), ["[\"n00000003\",\"n00000001\"]", "[\"n00000001\"]"]);
        let few = file(folder.path(), "few.txt", "n00000000\nn00000001\nn00000002\n");
        let error = some.with_answers(&path, Some(&few)).unwrap_err();
        assert!(error.message.contains("class 65 is none of the 3"), "{error}");
        let made = shapes(&Shapes { n: 3, seed: 1, ..Shapes::new() }).unwrap();
        let told = made.with_answers(&path, None).unwrap();
        assert_eq!(answers(&told), ["[\"2\"]", "[]", "[\"65\",\"795\"]"]);
        assert!(told.identity() != made.identity() && told.get(1).unwrap().pixels() == made.get(1).unwrap().pixels());
    }

    #[test]
    fn names_tell_which_image_a_list_is_about() {
        let folder = tempfile::tempdir().unwrap();
        let data = photos(&["f/a.jpg", "f/b.jpg"]);
        let same = [
            ("o.json", "{\"b.jpg\": [\"cat\", \"dog\"], \"x.jpg\": [\"cow\"]}"),
            (
                "l.jsonl",
                "{\"image\": \"b.jpg\", \"answers\": [\"cat\", \"dog\"]}\n{\"image\": \"x.jpg\", \"answers\": \"cow\"}\n",
            ),
            ("t.csv", "image,answers\nb.jpg,cat; dog\nx.jpg,cow\n"),
        ];
        for (name, text) in same {
            let told = data.with_answers(&file(folder.path(), name, text), None).unwrap();
            assert_eq!(answers(&told), ["-", "[\"cat\",\"dog\"]"], "{name}");
            assert!(told.notes[0].starts_with("1 of 2 images have no list of answers"), "{:?}", told.notes);
            assert!(told.notes[1].ends_with("are about no image: `x.jpg`"), "{:?}", told.notes);
        }
        let said =
            |name: &str, text: &str| data.with_answers(&file(folder.path(), name, text), None).unwrap_err().to_string();
        assert!(said("n.json", "{\"q.jpg\": [\"cat\"]}").contains("no list of answers is about an image of `photos`"));
        assert!(said("d.csv", "image,answers\na.jpg,cat\nf/a.jpg,dog\n").contains("has two lists"));
        assert!(said("w.json", "[[true], []]").contains("list 1: `true` is no class"));
        assert!(said("m.csv", "what,answers\na.jpg,cat\n").contains("row 1: has no `image`"));
    }
}
