//! Data sets: images in order, with labels and attributes, listed one by one or made by a generator.
//!
//! An [`Item`] has an image's label and attributes without its pixels, which are decoded or drawn when needed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotation::Annotation;
use super::image::{Attribute, Image};
use super::preprocess::Preprocess;
use crate::error::{Error, Result};
use serde_json::{Value, json};

/// A list of images with labels and attributes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The data set's name in results.
    pub name: String,
    /// Notes on reading: annotations that fit no image, images without annotations.
    pub notes: Arc<Vec<String>>,
    store: Store,
}

/// The images that files list, with notes.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The images.
    pub items: Vec<Item>,
    /// Annotations that fit no image.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug)]
enum Store {
    Listed(Arc<Vec<Item>>),
    Generated(Arc<dyn Generator>),
    /// These of a generator's images, in that order.
    Chosen(Arc<dyn Generator>, Arc<Vec<usize>>),
}

/// Makes a data set's images, each from its index alone.
pub trait Generator: fmt::Debug + Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of image `index`, below [`Generator::len`].
    fn label(&self, index: usize) -> Option<String>;

    /// The attributes of image `index`, below [`Generator::len`].
    fn attributes(&self, index: usize) -> BTreeMap<String, Attribute>;

    /// Image `index`, below [`Generator::len`]: pixels, mask, bounding box, keypoints.
    fn image(&self, index: usize) -> Result<Image>;

    /// As [`Generator::image`], read as a net wants it ([`Preprocess::open`]).
    fn seen(&self, index: usize, _by: &Preprocess) -> Result<Image> {
        self.image(index)
    }

    /// The different labels, sorted.
    fn labels(&self) -> Vec<String>;

    /// The different labels of the images of a range, sorted; or those of more images where that is as quick.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn labels_in(&self, _range: Range<usize>) -> Result<Vec<String>> {
        Ok(self.labels())
    }

    /// The names of the attributes that images have, sorted; those of the first unless they differ.
    fn attribute_names(&self) -> Vec<String> {
        if self.is_empty() { Vec::new() } else { self.attributes(0).into_keys().collect() }
    }

    /// The identity of these images, beside their number: options, files.
    fn identity(&self) -> Value {
        Value::Null
    }
}

/// One image of a data set.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where the pixels are.
    pub source: Source,
    /// What the image shows.
    pub label: Option<String>,
    /// What else is known about it.
    pub attributes: BTreeMap<String, Attribute>,
    /// The object's position, from an annotation file; nothing for images that contain it themselves.
    pub annotation: Option<Arc<Annotation>>,
}

/// Where an item's pixels are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file, decoded each time it is needed.
    File(PathBuf),
    /// In memory.
    Memory(Image),
    /// Drawn by a generator each time it is needed: the image with this index.
    Generated(Arc<dyn Generator>, usize),
}

impl Item {
    /// An unlabelled file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Item { source: Source::File(path.into()), label: None, attributes: BTreeMap::new(), annotation: None }
    }

    /// The image with its label and attributes; an error names the file.
    pub fn image(&self) -> Result<Image> {
        let image = match &self.source {
            Source::File(path) => Image::open(path)?,
            Source::Memory(image) => image.clone(),
            Source::Generated(generator, index) => generator.image(*index)?,
        };
        let image = match &self.annotation {
            Some(annotation) => annotation.onto(image)?,
            None => image,
        };
        Ok(image.with_label(self.label.clone()).with_attributes(self.attributes.clone()))
    }

    /// The file, if the pixels are in one (or the image in memory came from one).
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Memory(image) => image.path(),
            Source::Generated(..) => None,
        }
    }

    /// A few words that tell image `index` of a data set from the others: its file's name, or its number and label.
    pub fn caption(&self, index: usize) -> String {
        match (self.path().and_then(Path::file_name), &self.label) {
            (Some(file), _) => file.to_string_lossy().into_owned(),
            (None, Some(label)) => format!("{index} {label}"),
            (None, None) => format!("image {index}"),
        }
    }

    fn generated(generator: &Arc<dyn Generator>, index: usize) -> Self {
        Item {
            label: generator.label(index),
            attributes: generator.attributes(index),
            source: Source::Generated(generator.clone(), index),
            annotation: None,
        }
    }
}

impl From<Image> for Item {
    fn from(image: Image) -> Self {
        let label = image.label().map(str::to_string);
        Item { label, attributes: image.attributes().clone(), source: Source::Memory(image), annotation: None }
    }
}

impl Dataset {
    /// A data set of these items.
    pub fn new(name: impl Into<String>, items: Vec<Item>) -> Self {
        Dataset { name: name.into(), notes: Arc::default(), store: Store::Listed(Arc::new(items)) }
    }

    /// A data set of images in memory, with the labels and attributes that they carry.
    pub fn from_images(name: impl Into<String>, images: impl IntoIterator<Item = Image>) -> Self {
        Self::new(name, images.into_iter().map(Item::from).collect())
    }

    /// A data set whose images are made when needed; it takes no memory, however many there are.
    pub fn generated(name: impl Into<String>, generator: Arc<dyn Generator>) -> Self {
        Dataset { name: name.into(), notes: Arc::default(), store: Store::Generated(generator) }
    }

    /// The same data set with these notes.
    pub fn with_notes(self, notes: Vec<String>) -> Self {
        Dataset { notes: Arc::new(notes), ..self }
    }

    /// Whether images are made or read by a generator.
    pub(super) fn is_generated(&self) -> bool {
        !matches!(self.store, Store::Listed(_))
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        match &self.store {
            Store::Listed(items) => items.len(),
            Store::Generated(generator) => generator.len(),
            Store::Chosen(_, chosen) => chosen.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item of image `index` (from 0), without its pixels.
    ///
    /// # Errors
    /// Where there is no such image.
    pub fn item(&self, index: usize) -> Result<Cow<'_, Item>> {
        if index < self.len() { Ok(self.known(index)) } else { Err(self.beyond(index)) }
    }

    fn beyond(&self, index: usize) -> Error {
        Error::not_found(format!("no image {index} in `{}`", self.name))
            .hint(format!("it has {} images, counted from 0", self.len()))
    }

    /// The items in order, without their pixels.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Cow<'_, Item>> + '_ {
        (0..self.len()).map(|i| self.known(i))
    }

    /// The image at `index` (from 0), decoded or drawn now.
    ///
    /// # Errors
    /// Where there is no such image or its file cannot be read.
    pub fn get(&self, index: usize) -> Result<Image> {
        self.item(index)?.image()
    }

    /// The label of image `index`, without reading anything else.
    pub fn label(&self, index: usize) -> Option<String> {
        match &self.store {
            Store::Listed(items) => items.get(index)?.label.clone(),
            Store::Generated(generator) if index < generator.len() => generator.label(index),
            Store::Generated(_) => None,
            Store::Chosen(generator, chosen) => generator.label(*chosen.get(index)?),
        }
    }

    /// The images in order, each decoded or drawn when it is reached.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<Image>> + '_ {
        self.items().map(|item| item.image())
    }

    /// The different labels, sorted.
    pub fn labels(&self) -> Vec<String> {
        let items = match &self.store {
            Store::Listed(items) => items,
            Store::Generated(generator) => return generator.labels(),
            Store::Chosen(generator, chosen) => return distinct(generator, chosen),
        };
        let labels: BTreeSet<&String> = items.iter().filter_map(|i| i.label.as_ref()).collect();
        labels.into_iter().cloned().collect()
    }

    /// The different labels of the images of a range, sorted; of more images where that is as quick.
    ///
    /// # Errors
    /// Where the labels of a table cannot be read.
    pub fn labels_in(&self, range: Range<usize>) -> Result<Vec<String>> {
        match &self.store {
            Store::Listed(_) => Ok(self.labels()),
            Store::Generated(generator) => generator.labels_in(range),
            Store::Chosen(generator, chosen) => Ok(distinct(generator, chosen.get(range).unwrap_or_default())),
        }
    }

    /// The data set's identity, independent of the place of its files: its name, its first and last image, the generator's identity.
    pub fn identity(&self) -> Value {
        let ends = [0, self.len().saturating_sub(1)].map(|i| self.item(i).map(|item| item.caption(i)).ok());
        let made = match &self.store {
            Store::Listed(_) => Value::Null,
            Store::Generated(generator) => generator.identity(),
            Store::Chosen(generator, chosen) => {
                let bytes: Vec<u8> = chosen.iter().flat_map(|i| (*i as u64).to_le_bytes()).collect();
                json!([generator.identity(), crate::digest::digest(&bytes)])
            }
        };
        json!([self.name, ends, made])
    }

    /// The names of the attributes that any image has, sorted.
    pub fn attribute_names(&self) -> Vec<String> {
        let items = match &self.store {
            Store::Listed(items) => items,
            Store::Generated(generator) => return generator.attribute_names(),
            Store::Chosen(_, chosen) if chosen.is_empty() => return Vec::new(),
            Store::Chosen(generator, _) => return generator.attribute_names(),
        };
        let names: BTreeSet<&String> = items.iter().flat_map(|i| i.attributes.keys()).collect();
        names.into_iter().cloned().collect()
    }

    /// The images at `indices`, in that order; an error when one is out of range.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        let chosen = |generator: &Arc<dyn Generator>, of: &dyn Fn(usize) -> usize| {
            let chosen = indices.iter().map(|i| if *i < self.len() { Ok(of(*i)) } else { Err(self.beyond(*i)) });
            let store = Store::Chosen(generator.clone(), Arc::new(chosen.collect::<Result<_>>()?));
            Ok(Dataset { name: self.name.clone(), notes: Arc::default(), store })
        };
        match &self.store {
            Store::Generated(generator) => return chosen(generator, &|i| i),
            Store::Chosen(generator, before) => return chosen(generator, &|i| before[i]),
            Store::Listed(_) => {}
        }
        let items = indices.iter().map(|i| self.item(*i).map(Cow::into_owned)).collect::<Result<_>>()?;
        Ok(Self::new(self.name.clone(), items))
    }

    fn known(&self, index: usize) -> Cow<'_, Item> {
        match &self.store {
            Store::Listed(items) => Cow::Borrowed(&items[index]),
            Store::Generated(generator) => Cow::Owned(Item::generated(generator, index)),
            Store::Chosen(generator, chosen) => Cow::Owned(Item::generated(generator, chosen[index])),
        }
    }
}

/// The different labels of some of a generator's images, sorted.
fn distinct(generator: &Arc<dyn Generator>, images: &[usize]) -> Vec<String> {
    let labels: BTreeSet<String> = images.iter().filter_map(|i| generator.label(*i)).collect();
    labels.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug)]
    struct Shades;

    impl Generator for Shades {
        fn len(&self) -> usize {
            usize::MAX
        }
        fn label(&self, index: usize) -> Option<String> {
            Some(["even", "odd"][index % 2].into())
        }
        fn attributes(&self, index: usize) -> BTreeMap<String, Attribute> {
            [("shade".to_string(), Attribute::Number((index % 256) as f64))].into()
        }
        fn image(&self, index: usize) -> Result<Image> {
            Image::filled(2, 2, [index as u8; 3])
        }
        fn labels(&self) -> Vec<String> {
            vec!["even".into(), "odd".into()]
        }
    }

    #[test]
    fn a_generator_s_images_are_made_when_asked_for() {
        let data = Dataset::generated("shades", Arc::new(Shades));
        assert_eq!(data.len(), usize::MAX);
        let image = data.get(515).unwrap();
        assert_eq!((image.label(), image.pixel(0, 0)), (Some("odd"), Some([3; 3])));
        assert_eq!(image.attributes()["shade"], Attribute::Number(3.0));
        assert_eq!((data.labels(), data.attribute_names()), (vec!["even".into(), "odd".into()], vec!["shade".into()]));
        let some = data.select(&[4, 7]).unwrap();
        assert_eq!(some.items().map(|i| i.label.clone().unwrap()).collect::<Vec<_>>(), ["even", "odd"]);
        assert_eq!(some.get(1).unwrap().pixel(1, 1), Some([7; 3]));
        assert_eq!(some.item(2).unwrap_err().hint.unwrap(), "it has 2 images, counted from 0");
        let one = some.select(&[1]).unwrap();
        assert_eq!(
            (one.labels(), one.label(0), one.attribute_names()),
            (vec!["odd".into()], Some("odd".into()), vec!["shade".into()])
        );
        assert_eq!(one.get(0).unwrap().pixel(0, 0), Some([7; 3]));
        assert!(some.select(&[2]).is_err() && one.identity() != some.identity());
        assert!(data.item(1).unwrap().path().is_none());
    }
}
