//! The name of an image of a data set in files of answers: its path below the folder that contains all images, or, for
//! generated images, the data set's name and the image's index.

use super::dataset::{Dataset, Source};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The names of a data set's images, and the way back.
#[derive(Clone, Debug)]
pub struct ImageIds {
    keys: Vec<String>,
    exact: BTreeMap<String, usize>,
    by_file: BTreeMap<String, Option<usize>>,
}

impl ImageIds {
    /// The names of the images of `data`.
    pub fn of(data: &Dataset) -> Self {
        let items: Vec<_> = data.items().collect();
        let root = common_folder(items.iter().filter_map(|i| i.path()));
        let key = |(i, item): (usize, &std::borrow::Cow<'_, super::dataset::Item>)| match (&item.source, item.path()) {
            (Source::Generated(_, index), _) => format!("{}/{index}", data.name),
            (_, Some(path)) => slashed(path.strip_prefix(&root).unwrap_or(path)),
            (_, None) => format!("{}/{i}", data.name),
        };
        let keys: Vec<String> = items.iter().enumerate().map(key).collect();
        let (mut exact, mut by_file) = (BTreeMap::new(), BTreeMap::new());
        for (i, key) in keys.iter().enumerate() {
            exact.entry(key.clone()).or_insert(i);
            by_file.entry(file(key).to_string()).and_modify(|found| *found = None).or_insert(Some(i));
        }
        ImageIds { keys, exact, by_file }
    }

    /// The name of image `index`.
    pub fn name(&self, index: usize) -> &str {
        &self.keys[index]
    }

    /// The index of the image called `name`: by its whole name, else by its file name where only one image has it.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.exact.get(name).copied().or_else(|| self.by_file.get(file(name)).copied().flatten())
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

fn file(key: &str) -> &str {
    key.rsplit(['/', '\\']).next().unwrap_or(key)
}

fn slashed(path: &Path) -> String {
    let parts = path.components().filter(|c| !matches!(c, Component::CurDir));
    parts.map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The deepest folder that holds all `paths`.
fn common_folder<'a>(mut paths: impl Iterator<Item = &'a Path>) -> PathBuf {
    let Some(first) = paths.next() else { return PathBuf::new() };
    let mut common = first.parent().map(Path::to_path_buf).unwrap_or_default();
    for path in paths {
        while !path.starts_with(&common) && common.pop() {}
    }
    common
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::Item;
    use crate::shapes::{Shapes, shapes};

    #[test]
    fn images_are_named_below_their_common_folder_and_found_by_file_name() {
        let items = ["a/b/cat/1.png", "a/b/dog/1.png", "a/b/dog/2.png"].map(Item::file).to_vec();
        let keys = ImageIds::of(&Dataset::new("set", items));
        assert_eq!((0..3).map(|i| keys.name(i)).collect::<Vec<_>>(), ["cat/1.png", "dog/1.png", "dog/2.png"]);
        assert_eq!(keys.index("dog/1.png"), Some(1));
        assert_eq!(keys.index("elsewhere/2.png"), Some(2));
        assert_eq!(keys.index("1.png"), None, "two images have that name");
        let some = shapes(&Shapes::new().n(5usize)).unwrap().select(&[4, 2]).unwrap();
        let keys = ImageIds::of(&some);
        assert_eq!((keys.name(0), keys.index("shapes/2")), ("shapes/4", Some(1)));
    }
}
