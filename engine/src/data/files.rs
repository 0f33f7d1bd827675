//! Data sets from files: a folder, a pattern, a table, annotations, records. Files are decoded when an image is needed.
//!
//! - A folder with sub-folders: each image's label is its sub-folder's name. A flat folder: no labels.
//! - A pattern (`photos/*.jpg`, `**` for any depth): when the files lie in several folders, those name the labels.
//! - A CSV table: `path` (relative to the table); `label`, `box` (left top width height), `mask` (a file), `class_mask` (a file whose
//!   grey values are class numbers) and `keypoints` (`tip 3 4; left 5 6`) if they are there; every other column is an attribute, a
//!   number where all its values are numbers.
//! - A JSON file: COCO's annotations ([`super::coco`]), or a list of images ([`super::json_list`]).
//! - VOC's XML annotations: their folder, the one above it, one where images lie among them, or one file ([`super::voc`]).
//! - ILSVRC's own folders, and Caltech-101's and 256's ([`super::ilsvrc`]).
//! - Berkeley's annotations of named points, a folder a category ([`super::berkeley`]).
//! - CIFAR-10's binary batches (a file or their folder) and IDX files such as MNIST's ([`super::records`]).
//!
//! The order is that of the paths' bytes, component by component (a table's: its rows).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotation::{Annotation, Outline, four, points};
use super::berkeley;
pub use super::dataset::{Dataset, Item, Source};
use super::extensions::{EXTENSIONS, extension, files_in, is_image};
use super::ilsvrc;
use super::image::Attribute;
use super::json_list::json;
use super::pattern::{matching, walk};
use super::records::{is_records, records};
use super::voc;
use crate::error::{Context, Error, Kind, Result};
use crate::limits::{self, COLUMNS, TEXT};
use crate::regular;

/// The data set that `from` names: a folder, a pattern with `*`, `?` or `[..]`, a `.csv` table, a `.json` or `.xml` file of
/// annotations, a file of records, or one image file.
///
/// # Errors
/// Where there is nothing of the kind, or a table or annotation is damaged.
pub fn load_images(from: impl AsRef<Path>) -> Result<Dataset> {
    let from = from.as_ref();
    let name = from.file_stem().map_or_else(|| from.display().to_string(), |n| n.to_string_lossy().into_owned());
    if from.is_dir() {
        let batches = files_in(from, is_batch)?;
        if !batches.is_empty() && files_in(from, is_image)?.is_empty() {
            return records(name, &batches);
        }
        if let Some((images, annotations)) = ilsvrc::folders(from) {
            let listed = ilsvrc::validation(&images, &annotations)?;
            return Ok(Dataset::new(name, listed.items).with_notes(listed.notes));
        }
        if let Some((classes, background)) = ilsvrc::caltech(from) {
            let listed = ilsvrc::without_background(folder(&classes)?, background);
            return Ok(Dataset::new(name, listed.items).with_notes(listed.notes));
        }
        if let Some((annotations, images)) = voc::folders(from)? {
            let listed = voc::voc(&annotations, images.as_deref())?;
            return Ok(Dataset::new(name, listed.items).with_notes(listed.notes));
        }
        if let Some(categories) = berkeley::folders(from)? {
            let listed = berkeley::berkeley(&categories)?;
            return Ok(Dataset::new(name, listed.items).with_notes(listed.notes));
        }
        return Ok(Dataset::new(name, folder(from)?));
    }
    if from.is_file() {
        let items = match extension(from).as_str() {
            "csv" | "tsv" => table(from)?,
            "json" => {
                let listed = json(from)?;
                return Ok(Dataset::new(name, listed.items).with_notes(listed.notes));
            }
            "xml" => vec![voc::one(from)?],
            _ if is_records(from) => return records(name, &[from.to_path_buf()]),
            _ => vec![Item::file(from)],
        };
        return Ok(Dataset::new(name, items));
    }
    if from.to_string_lossy().contains(['*', '?', '[']) {
        return Ok(Dataset::new(name, pattern(from)?));
    }
    // Says what is there instead, such as a device.
    regular::open(from).map_err(|e| {
        e.hint("a folder, a pattern such as `photos/*.jpg`, a .csv table, .json or .xml annotations, or CIFAR or IDX files")
    })?;
    Err(Error::internal(format!("`{}` changed while it was looked at", from.display())))
}

/// Whether a file of a folder is a training batch of CIFAR-10; its test batch is a data set of its own.
fn is_batch(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("data_batch") && name.ends_with(".bin")
}

fn folder(root: &Path) -> Result<Vec<Item>> {
    let all = walk(root)?;
    let seen = all.len();
    let paths: Vec<PathBuf> = all.into_iter().filter(|p| is_image(p)).collect();
    if paths.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("no images in `{}`", root.display())).hint(format!(
            "{seen} other files are there; images end in {}",
            EXTENSIONS.map(|e| format!(".{e}")).join(" ")
        )));
    }
    let label = |path: &Path| {
        let inside: Vec<_> = path.strip_prefix(root).ok()?.components().collect();
        (inside.len() > 1).then(|| inside[0].as_os_str().to_string_lossy().into_owned())
    };
    Ok(paths.into_iter().map(|path| Item { label: label(&path), ..Item::file(path) }).collect())
}

fn pattern(pattern: &Path) -> Result<Vec<Item>> {
    let paths: Vec<PathBuf> = matching(pattern)?.into_iter().filter(|p| is_image(p)).collect();
    if paths.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("no images match `{}`", pattern.display())));
    }
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|p| p.parent()).collect();
    let label = |path: &Path| {
        let name = path.parent()?.file_name()?;
        (folders.len() > 1).then(|| name.to_string_lossy().into_owned())
    };
    Ok(paths.iter().map(|path| Item { label: label(path), ..Item::file(path) }).collect())
}

fn table(path: &Path) -> Result<Vec<Item>> {
    let at = || format!("`{}`", path.display());
    let damaged = |e: csv::Error| Error::format(e.to_string());
    let text = regular::read_text(path, |bytes| TEXT.check(bytes))?;
    let first = text.lines().next().unwrap_or_default();
    // What spreadsheets of other languages write.
    let separator = [b',', b';', b'\t'].into_iter().find(|s| first.as_bytes().contains(s)).unwrap_or(b',');
    let columns = first.bytes().filter(|b| *b == separator).count() + 1;
    if columns > COLUMNS {
        return Err(
            Error::format(format!("a table of {columns} columns, more than the limit of {COLUMNS}")).context(at())
        );
    }
    let mut table = csv::ReaderBuilder::new();
    let mut reader = table.delimiter(separator).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().map_err(damaged).context(at)?.iter().map(str::to_string).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    header.iter().try_for_each(|column| limits::name("a column", column)).context(at)?;
    let Some(path_column) = header.iter().position(|h| h.eq_ignore_ascii_case("path")) else {
        let names = header.iter().take(20).copied().collect::<Vec<_>>().join("`, `");
        let more = if header.len() > 20 { format!(" and {} more", header.len() - 20) } else { String::new() };
        return Err(Error::format(format!("no column `path` among `{names}`{more}"))
            .context(at())
            .hint("the first line names the columns: path, label, and any attributes"));
    };
    let label_column = header.iter().position(|h| h.eq_ignore_ascii_case("label"));
    let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(damaged).context(at)?;
    if rows.is_empty() {
        return Err(Error::format("a table without rows").context(at()));
    }
    let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite());
    let column = |name: &str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
    let places = ["box", "mask", "keypoints", "class_mask"].map(column);
    let attributes: Vec<(usize, &str, bool)> = (0..header.len())
        .filter(|c| *c != path_column && Some(*c) != label_column && !places.contains(&Some(*c)))
        .map(|c| (c, header[c], rows.iter().all(|row| row[c].is_empty() || number(&row[c]).is_some())))
        .collect();
    let base = path.parent().unwrap_or(Path::new(""));
    let item = |(line, row): (usize, &csv::StringRecord)| {
        if row[path_column].is_empty() {
            return Err(Error::format(format!("row {} has no path", line + 1)).context(at()));
        }
        let value = |&(c, name, numeric): &(usize, &str, bool)| {
            let text = &row[c];
            let number = number(text).filter(|_| numeric).map(Attribute::Number);
            (!text.is_empty()).then(|| (name.to_string(), number.unwrap_or_else(|| Attribute::Text(text.to_string()))))
        };
        let text = |c: Option<usize>| c.map(|c| &row[c]).filter(|t| !t.is_empty());
        let place = || format!("row {} of `{}`", line + 1, path.display());
        let annotation = Annotation {
            bounding_box: text(places[0]).map(four).transpose().context(place)?,
            mask: match (text(places[3]), text(places[1])) {
                (Some(classes), _) => Some(Outline::Classes(base.join(classes))),
                (None, mask) => mask.map(|m| Outline::File(base.join(m))),
            },
            objects: Vec::new(),
            keypoints: text(places[2]).map(points).transpose().context(place)?.unwrap_or_default(),
        };
        Ok(Item {
            source: Source::File(base.join(&row[path_column])),
            label: label_column.map(|c| row[c].to_string()).filter(|label| !label.is_empty()),
            attributes: attributes.iter().filter_map(value).collect(),
            annotation: (annotation != Annotation::default()).then(|| Arc::new(annotation)),
        })
    };
    rows.iter().enumerate().map(item).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::image::Image;

    fn image_file(path: &Path, shade: u8) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(3, 2, [shade; 3]).unwrap().save_png(path).unwrap();
    }

    fn listing(data: &Dataset) -> Vec<(String, Option<String>)> {
        let name = |i: &Item| i.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        data.items().map(|i| (name(&i), i.label.clone())).collect()
    }

    #[test]
    fn a_table_of_very_many_columns_is_refused_in_a_short_message() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("wide.csv");
        for (columns, wanted) in [(COLUMNS + 1, "more than the limit of 4096"), (COLUMNS, " and 4076 more")] {
            std::fs::write(&path, ",".repeat(columns - 1) + "\n").unwrap();
            let error = load_images(&path).unwrap_err();
            assert!(error.message.contains(wanted) && error.message.len() < 400, "{error}");
        }
    }

    #[test]
    fn a_folder_s_sub_folders_are_the_labels() {
        let root = tempfile::tempdir().unwrap();
        for (i, name) in
            ["dog/b.png", "cat/z.PNG", "cat/deep/a.png", "top.png", ".hidden/x.png", "cat/.y.png"].iter().enumerate()
        {
            image_file(&root.path().join(name), i as u8);
        }
        std::fs::write(root.path().join("notes.txt"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.path(), root.path().join("cat/loop")).unwrap();
        let data = load_images(root.path()).unwrap();
        let (cat, dog) = (Some("cat"), Some("dog"));
        let expected = [("a.png", cat), ("z.PNG", cat), ("b.png", dog), ("top.png", None)];
        assert_eq!(listing(&data), expected.map(|(n, l)| (n.to_string(), l.map(String::from))));
        assert_eq!(data.labels(), ["cat", "dog"]);
        let image = data.get(2).unwrap();
        assert_eq!((image.label(), image.pixel(0, 0)), (dog, Some([0; 3])));
        assert_eq!(data.get(4).unwrap_err().hint.unwrap(), "it has 4 images, counted from 0");
        assert_eq!(data.iter().filter(Result::is_ok).count(), 4);
        assert_eq!(data.select(&[2, 0]).unwrap().get(0).unwrap().label(), dog);
    }

    #[test]
    fn a_pattern_finds_files_and_labels_them_by_folder_when_there_are_several() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a/1.png", "a/2.png", "b/1.png"] {
            image_file(&root.path().join(name), 0);
        }
        let data = load_images(root.path().join("*/*.png")).unwrap();
        let expected = [("1.png", Some("a")), ("2.png", Some("a")), ("1.png", Some("b"))];
        assert_eq!(listing(&data), expected.map(|(n, l)| (n.to_string(), l.map(String::from))));
        let data = load_images(root.path().join("a/?.png")).unwrap();
        assert_eq!(
            listing(&data),
            [("1.png", None), ("2.png", None)].map(|(n, l): (_, Option<&str>)| (n.to_string(), l.map(String::from)))
        );
        let error = load_images(root.path().join("c/*.png")).unwrap_err();
        assert!(error.message.starts_with("no images match"), "{error}");
        assert!(load_images(root.path().join("***")).unwrap_err().message.contains("no file pattern"));
    }

    #[test]
    fn a_table_gives_labels_and_attributes() {
        let root = tempfile::tempdir().unwrap();
        image_file(&root.path().join("x/1.png"), 5);
        let path = root.path().join("set.csv");
        std::fs::write(&path, "path,label,scale,kind\nx/1.png,cat,0.5,a\nx/2.png,,2,3\n").unwrap();
        let data = load_images(&path).unwrap();
        assert_eq!(data.name, "set");
        assert_eq!(data.attribute_names(), ["kind", "scale"]);
        let image = data.get(0).unwrap();
        assert_eq!(image.label(), Some("cat"));
        assert_eq!(image.attributes()["scale"], Attribute::Number(0.5));
        assert_eq!(image.attributes()["kind"], Attribute::Text("a".into()));
        assert_eq!(data.item(1).unwrap().label, None);
        assert_eq!(data.item(1).unwrap().attributes["kind"], Attribute::Text("3".into()));
        let error = data.get(1).unwrap_err();
        assert!(error.message.contains("2.png") && error.message.contains("no such file"), "{error}");
        for (text, part) in
            [("file\nx.png\n", "no column `path`"), ("path\n", "without rows"), ("path,a\nx,1,2\n", "record")]
        {
            std::fs::write(&path, text).unwrap();
            let message = load_images(&path).unwrap_err().message;
            assert!(message.contains(part) && message.contains("set.csv"), "{message}");
        }
    }

    #[test]
    fn nothing_there_is_an_error_that_says_what_is() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("notes.txt"), "x").unwrap();
        let error = load_images(root.path()).unwrap_err();
        assert!(error.message.starts_with("no images in"), "{error}");
        assert!(error.hint.unwrap().starts_with("1 other files"));
        assert_eq!(load_images(root.path().join("no")).unwrap_err().kind, Kind::Io);
    }

    #[test]
    fn generated_images_make_a_data_set() {
        let image = Image::filled(2, 2, [1; 3]).unwrap().with_label(Some("disc".into()));
        let data = Dataset::from_images("shapes", [image.clone(), image]);
        assert_eq!((data.len(), data.get(1).unwrap().label()), (2, Some("disc")));
        assert!(!data.is_empty());
    }
}
