//! ILSVRC's own folders and files of ground truth (Russakovsky et al. 2014), and Caltech's (Fei-Fei et al. 2004).
//!
//! - `ILSVRC` (with `Data/CLS-LOC/val` and `Annotations/CLS-LOC/val` in it): the validation images, labels (WordNet ids) and boxes from
//!   their XML. `Data/CLS-LOC/train` is a folder of folders: its labels are WordNet ids, too.
//! - Ground truth: a number a line, in the order of the images' names (the devkit's, numbers from 1); a file's name and a number a line
//!   (numbers from 0, the classes sorted by WordNet id); or a table `ImageId,PredictionString` with classes and boxes.
//! - `101_ObjectCategories` and `256_ObjectCategories` in a folder: Caltech's classes without the one of background.

use super::annotation::Annotation;
use super::dataset::{Dataset, Item, Listed};
use super::extensions::{files_in, is_image};
use super::ids::ImageIds;
use super::voc;
use crate::error::{Context, Error, Result};
use crate::limits::TEXT;
use crate::regular;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folders of validation images and of their annotations: of ILSVRC's root, or of the folder of images itself.
pub(super) fn folders(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let (images, annotations) = ("Data/CLS-LOC/val", "Annotations/CLS-LOC/val");
    for top in [root.to_path_buf(), root.join("ILSVRC")] {
        if top.join(images).is_dir() {
            return Some((top.join(images), top.join(annotations)));
        }
    }
    let full = std::path::absolute(root).ok()?;
    let top = full.ancestors().nth(3).filter(|_| full.ends_with(images))?;
    Some((root.to_path_buf(), top.join(annotations))).filter(|(_, a)| a.is_dir())
}

/// The validation images with what their XML says.
///
/// # Errors
/// Where a file cannot be read or is no annotation; the message names it.
pub(super) fn validation(images: &Path, annotations: &Path) -> Result<Listed> {
    let files = files_in(images, is_image)?;
    if files.is_empty() {
        return Err(Error::not_found(format!("no images in `{}`", images.display())));
    }
    let mut without = 0;
    let mut one = |file: PathBuf| {
        let stem = file.file_stem().unwrap_or_default();
        let xml = annotations.join(stem).with_extension("xml");
        if !xml.is_file() {
            without += 1;
            return Ok(Item::file(file));
        }
        Ok(Item { source: super::dataset::Source::File(file), ..voc::one(&xml)? })
    };
    let items = files.into_iter().map(&mut one).collect::<Result<Vec<_>>>()?;
    let notes = (without > 0).then(|| {
        format!("{without} of {} images have no annotation in `{}`: give `truth`", items.len(), annotations.display())
    });
    Ok(Listed { items, notes: notes.into_iter().collect() })
}

/// Caltech's folder of classes in `root`, its name, and the class of background images.
pub(super) fn caltech(root: &Path) -> Option<(PathBuf, &'static str)> {
    let known = [("101_ObjectCategories", "BACKGROUND_Google"), ("256_ObjectCategories", "257.clutter")];
    known.into_iter().map(|(name, none)| (root.join(name), none)).find(|(folder, _)| folder.is_dir())
}

/// Caltech's images without those of background; 256's classes without their numbers.
pub(super) fn without_background(items: Vec<Item>, background: &str) -> Listed {
    let all = items.len();
    let kept = items.into_iter().filter(|item| item.label.as_deref() != Some(background));
    let bare = |label: &str| match label.split_once('.') {
        Some((number, name)) if number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit()) => name.to_string(),
        _ => label.to_string(),
    };
    let items: Vec<Item> = kept.map(|item| Item { label: item.label.as_deref().map(bare), ..item }).collect();
    let left = all - items.len();
    let note = || format!("{left} images of `{background}` are left out; the folder of classes itself has them");
    Listed { notes: if left > 0 { vec![note()] } else { Vec::new() }, items }
}

/// The data set with the labels (and boxes) that a file of ground truth gives.
///
/// # Errors
/// Where the file cannot be read, does not fit the images, or says numbers whose classes are not known.
pub fn with_truth(data: &Dataset, truth: &Path, names: Option<&Path>) -> Result<Dataset> {
    let at = || format!("`{}`", truth.display());
    let text = regular::read_text(truth, |bytes| TEXT.check(bytes))?;
    let told = read(&text).context(at)?;
    let beside = truth.parent().unwrap_or(Path::new(""));
    let numbers = |from_one: bool| -> Result<BTreeMap<usize, String>> {
        let usual: &[&str] =
            if from_one { &["map_clsloc.txt"] } else { &["synset_words.txt", "synsets.txt", "LOC_synset_mapping.txt"] };
        let found = usual.iter().map(|name| beside.join(name)).find(|p| p.is_file());
        match names.map(Path::to_path_buf).or(found) {
            Some(file) => by_number(&file, from_one),
            None => Err(Error::value("the names of its numbered classes are unknown").context(at()).hint(format!(
                "give the names: load_images(.., #{{ truth: .., classes_by_number: \"{}\" }})",
                usual[0]
            ))),
        }
    };
    let name = |names: &BTreeMap<usize, String>, number: usize| {
        let unknown =
            || Error::value(format!("class {number} is none of the {} that are named", names.len())).context(at());
        names.get(&number).cloned().ok_or_else(unknown)
    };
    let mut items: Vec<Item> = data.items().map(std::borrow::Cow::into_owned).collect();
    let (mut missing, mut strange) = (0, Vec::new());
    match told {
        Truth::Numbers(numbered) => {
            if numbered.len() != items.len() {
                return Err(Error::value(format!(
                    "{} lines for {} images of `{}`",
                    numbered.len(),
                    items.len(),
                    data.name
                ))
                .context(at())
                .hint("the lines are in the order of the images' names, a line an image"));
            }
            let names = numbers(true)?;
            for (item, number) in items.iter_mut().zip(numbered) {
                item.label = Some(name(&names, number)?);
            }
        }
        Truth::Named(lines) => {
            let (ids, mut seen) = (ImageIds::of(data), vec![false; items.len()]);
            let names = match lines.iter().any(|(_, said)| matches!(said, Said::Number(_))) {
                true => numbers(false)?,
                false => BTreeMap::new(),
            };
            for (file, said) in lines {
                let Some(i) = ids.index(&file).or_else(|| ids.index(&format!("{file}.JPEG"))) else {
                    strange.push(file);
                    continue;
                };
                seen[i] = true;
                match said {
                    Said::Number(number) => items[i].label = Some(name(&names, number)?),
                    Said::Objects(objects) => {
                        items[i].label = objects.first().map(|(class, _)| class.clone());
                        let bounding_box = objects.first().map(|(_, b)| *b);
                        items[i].annotation =
                            Some(Arc::new(Annotation { objects, bounding_box, ..Annotation::default() }));
                    }
                }
            }
            missing = seen.iter().filter(|s| !**s).count();
            if missing == items.len() {
                let first = strange.first().map_or("", String::as_str);
                return Err(Error::value(format!("no line is about an image of `{}`", data.name))
                    .context(at())
                    .hint(format!("the first line is about `{first}`, the first image is `{}`", ids.name(0))));
            }
        }
    }
    let mut notes: Vec<String> = data.notes.iter().filter(|n| !n.contains("give `truth`")).cloned().collect();
    if missing > 0 {
        notes.push(format!("{missing} images have no line in {}", at()));
    }
    if let Some(first) = strange.first() {
        notes.push(format!("{} lines of {} are about no image: `{first}`", strange.len(), at()));
    }
    Ok(Dataset::new(data.name.clone(), items).with_notes(notes))
}

/// The content of a file of ground truth.
enum Truth {
    /// A class's number an image.
    Numbers(Vec<usize>),
    /// Of an image by its name.
    Named(Vec<(String, Said)>),
}

enum Said {
    Number(usize),
    /// Classes and boxes (left, top, width, height).
    Objects(Vec<(String, [f64; 4])>),
}

fn read(text: &str) -> Result<Truth> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let Some(first) = lines.first() else { return Err(Error::format("an empty file of ground truth")) };
    let wrong = |i: usize, line: &str| {
        Error::format(format!("line {}: `{}` says no class", i + 1, line.chars().take(60).collect::<String>()))
            .hint("a class's number a line, a file's name and a number, or a table ImageId,PredictionString")
    };
    if first.parse::<usize>().is_ok() {
        let one = |(i, l): (usize, &&str)| l.parse::<usize>().map_err(|_| wrong(i, l));
        return Ok(Truth::Numbers(lines.iter().enumerate().map(one).collect::<Result<_>>()?));
    }
    let table = first.to_ascii_lowercase().starts_with("imageid,");
    let mut named = Vec::new();
    for (i, line) in lines.iter().enumerate().skip(usize::from(table)) {
        if table {
            let (file, rest) = line.split_once(',').ok_or_else(|| wrong(i, line))?;
            let words: Vec<&str> = rest.trim_matches('"').split_whitespace().collect();
            if words.is_empty() || !words.len().is_multiple_of(5) {
                return Err(wrong(i, line));
            }
            let object = |w: &[&str]| -> Result<(String, [f64; 4])> {
                let n: Vec<f64> =
                    w[1..].iter().map(|t| t.parse().map_err(|_| wrong(i, line))).collect::<Result<_>>()?;
                Ok((w[0].to_string(), [n[0], n[1], n[2] - n[0], n[3] - n[1]]))
            };
            named.push((file.to_string(), Said::Objects(words.chunks(5).map(object).collect::<Result<_>>()?)));
        } else {
            let (file, number) = line.rsplit_once(char::is_whitespace).ok_or_else(|| wrong(i, line))?;
            let number = number.parse().map_err(|_| wrong(i, line))?;
            named.push((file.trim().to_string(), Said::Number(number)));
        }
    }
    Ok(Truth::Named(named))
}

/// The classes' WordNet ids by their numbers: `n02119789 1 kit_fox` says its number, else it is the line's, from 0.
pub(super) fn by_number(file: &Path, from_one: bool) -> Result<BTreeMap<usize, String>> {
    let at = || format!("`{}`", file.display());
    let text = regular::read_text(file, |bytes| TEXT.check(bytes))?;
    let mut names = BTreeMap::new();
    for (i, line) in text.lines().map(str::trim).filter(|l| !l.is_empty()).enumerate() {
        let mut words = line.split_whitespace();
        let id = words.next().unwrap_or_default().to_string();
        let number = match words.next().and_then(|w| w.parse::<usize>().ok()) {
            Some(number) => number,
            None if !from_one => i,
            None => {
                return Err(Error::format(format!("line {} does not say the class's number", i + 1))
                    .context(at())
                    .hint("the devkit's numbers are not in the order of the ids: map_clsloc.txt has lines such as `n02119789 1 kit_fox`"));
            }
        };
        if names.insert(number, id).is_some() {
            return Err(Error::format(format!("two classes have the number {number}")).context(at()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::files::load_images;
    use super::super::image::Image;
    use super::*;

    fn put(root: &Path, path: &str, text: &str) -> PathBuf {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn image(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(40, 30, [7; 3]).unwrap().save_png(&path).unwrap();
    }

    fn labels(data: &Dataset) -> Vec<Option<String>> {
        (0..data.len()).map(|i| data.label(i)).collect()
    }

    #[test]
    fn ilsvrc_s_folders_give_labels_and_boxes_and_its_ground_truth_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let val = "ILSVRC/Data/CLS-LOC/val";
        for i in 1..4 {
            image(root, &format!("{val}/ILSVRC2012_val_0000000{i}.png"));
        }
        let xml = "<annotation><filename>ILSVRC2012_val_00000001</filename><object><name>n02119789</name><bndbox><xmin>5</xmin>\
                   <ymin>3</ymin><xmax>14</xmax><ymax>22</ymax></bndbox></object></annotation>";
        put(root, "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", xml);
        for from in [root.to_path_buf(), root.join("ILSVRC"), root.join(val)] {
            let data = load_images(&from).unwrap();
            assert_eq!(labels(&data), [Some("n02119789".into()), None, None], "{}", from.display());
            let b = data.get(0).unwrap().bounding_box().unwrap();
            assert_eq!((b.left, b.top, b.width, b.height), (4, 2, 10, 20));
            assert!(data.notes[0].starts_with("2 of 3 images have no annotation"), "{:?}", data.notes);
        }
        let data = load_images(root.join(val)).unwrap();
        let truth = put(root, "devkit/truth.txt", "2\n1\n2\n");
        let error = with_truth(&data, &truth, None).unwrap_err();
        assert!(error.hint.unwrap().contains("map_clsloc.txt"));
        put(root, "devkit/map_clsloc.txt", "n02119789 1 kit_fox\nn02100735 2 English_setter\n");
        let told = with_truth(&data, &truth, None).unwrap();
        assert_eq!(labels(&told), ["n02100735", "n02119789", "n02100735"].map(|l| Some(l.to_string())));
        assert!(told.notes.is_empty() && told.get(0).unwrap().bounding_box().is_some());
        let words = put(root, "words.txt", "n01440764 tench, Tinca tinca\nn01443537 goldfish\n");
        let error = with_truth(&data, &truth, Some(&words)).unwrap_err().to_string();
        assert!(error.contains("does not say the class's number"), "{error}");
        let pairs = put(root, "val.txt", "ILSVRC2012_val_00000002.png 1\nILSVRC2012_val_00000009.png 0\n");
        let told = with_truth(&data, &pairs, Some(&words)).unwrap();
        assert_eq!(told.label(1).as_deref(), Some("n01443537"));
        assert!(told.notes.iter().any(|n| n.starts_with("2 images have no line")), "{:?}", told.notes);
        assert!(told.notes.iter().any(|n| n.contains("are about no image: `ILSVRC2012_val_00000009.png`")));
        let boxes = put(
            root,
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000003,n02119789 2 4 12 24 n02119789 1 1 5 5 \n",
        );
        let told = with_truth(&data, &boxes, None);
        assert!(told.is_err(), "the images end in .png here, ILSVRC's in .JPEG");
        let short = put(root, "devkit/short.txt", "2\n1\n");
        assert!(with_truth(&data, &short, None).unwrap_err().message.contains("2 lines for 3 images"));
        let wrong = put(root, "devkit/wrong.txt", "2\nx\n1\n");
        assert!(with_truth(&data, &wrong, None).unwrap_err().message.contains("line 2: `x` says no class"));
        let beyond = put(root, "devkit/beyond.txt", "2\n7\n1\n");
        assert!(with_truth(&data, &beyond, None).unwrap_err().message.contains("class 7 is none of the 2"));
    }

    #[test]
    fn a_table_of_classes_and_boxes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("val")).unwrap();
        let jpeg = Image::filled(40, 30, [7; 3]).unwrap().encode_png().unwrap();
        std::fs::write(folder.path().join("val/ILSVRC2012_val_00000003.JPEG"), jpeg).unwrap();
        let data = Dataset::new("val", vec![Item::file(folder.path().join("val/ILSVRC2012_val_00000003.JPEG"))]);
        let text = "ImageId,PredictionString\nILSVRC2012_val_00000003,n02119789 2 4 12 24 n02119789 1 1 5 5 \n";
        let told = with_truth(&data, &put(folder.path(), "solution.csv", text), None).unwrap();
        let item = told.item(0).unwrap();
        assert_eq!(item.label.as_deref(), Some("n02119789"));
        assert_eq!(item.annotation.as_ref().unwrap().objects.len(), 2);
        assert_eq!(item.annotation.as_ref().unwrap().bounding_box, Some([2.0, 4.0, 10.0, 20.0]));
    }

    #[test]
    fn caltech_s_root_has_no_background() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ant/image_0001.png", "ant/image_0002.png", "BACKGROUND_Google/image_0001.png"] {
            image(folder.path(), &format!("101_ObjectCategories/{name}"));
        }
        let data = load_images(folder.path()).unwrap();
        assert_eq!((data.len(), data.labels()), (2, vec!["ant".to_string()]));
        assert!(data.notes[0].starts_with("1 images of `BACKGROUND_Google` are left out"), "{:?}", data.notes);
        let own = load_images(folder.path().join("101_ObjectCategories")).unwrap();
        assert_eq!(own.labels(), ["BACKGROUND_Google", "ant"]);
        let more = tempfile::tempdir().unwrap();
        image(more.path(), "256_ObjectCategories/001.ak47/001_0001.png");
        assert_eq!(load_images(more.path()).unwrap().labels(), ["ak47"]);
    }
}
