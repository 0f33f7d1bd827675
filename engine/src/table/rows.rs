//! The common interface of all table formats: rows with an image, a label and attributes.

use super::filter::{Filter, FilterValue};
use crate::data::Attribute;
use crate::error::Result;
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the pixels of a row are.
pub enum PixelSource {
    /// The bytes of an image file, from the table itself.
    Bytes(Bytes),
    /// In a file: a path as the table gives it, relative to the table's own file, or an address.
    Path(String),
    /// In the file at this path.
    File(PathBuf),
}

/// The rows of one file or folder.
pub trait Rows: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// The image of a row.
    ///
    /// # Errors
    /// Where it cannot be read, or the row has none.
    fn pixels(&self, row: usize) -> Result<PixelSource>;

    /// The label of a row, if it has one.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn label(&self, row: usize) -> Result<Option<String>>;

    /// An attribute of a row, if it has it.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn attribute(&self, row: usize, name: &str) -> Result<Option<Attribute>>;

    /// The number of a row in its file.
    fn number(&self, row: usize) -> usize {
        row
    }

    /// The filter in the terms of these rows (names of classes as numbers, say), and the ranges of rows that may fulfil it: all
    /// rows, unless statistics exclude some.
    ///
    /// # Errors
    /// Where a column of it is not there, or holds what no filter compares.
    fn prepare(&self, filter: &Filter) -> Result<PreparedFilter>;

    /// The value of a row in a column of the filter.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn value(&self, row: usize, name: &str) -> Result<FilterValue>;
}

/// A filter in the terms of some rows, and the ranges of rows that may fulfil it.
pub type PreparedFilter = (Filter, Vec<Range<usize>>);

/// Which columns are read, and of which rows.
#[derive(Clone, Debug, Default)]
pub struct ColumnChoice {
    /// The column of images; found by its name or type without it.
    pub image: Option<String>,
    /// The column of labels; `label` or `cls`, if there is one, without it.
    pub label: Option<String>,
    /// The columns of attributes.
    pub attributes: Vec<String>,
    /// The names of labels that are numbers.
    pub names: Vec<String>,
    /// Which rows; all without it.
    pub filter: Option<Arc<Filter>>,
}

/// The usual names of columns of images.
pub const IMAGES: [&str; 8] = ["image", "img", "jpg", "png", "path", "file", "file_name", "url"];
/// The usual names of columns of labels.
pub const LABELS: [&str; 3] = ["label", "labels", "cls"];

impl ColumnChoice {
    /// The name of a label that is a number: of `known`, else of those that were given, else the number.
    pub fn name_of(&self, number: i64, known: &[String]) -> Option<String> {
        let names = if self.names.is_empty() { known } else { &self.names };
        match usize::try_from(number) {
            Ok(i) if i < names.len() => Some(names[i].clone()),
            Ok(_) if names.is_empty() => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Blocks of rows that were read last, newest first.
pub struct RecentBlocks<T>(Mutex<VecDeque<(usize, Arc<Vec<T>>)>>);

/// Blocks kept.
const KEPT_BLOCKS: usize = 8;

impl<T> RecentBlocks<T> {
    /// No blocks yet.
    pub fn new() -> Self {
        RecentBlocks(Mutex::default())
    }

    /// The block of that number, read now where it is not kept. One thread reads at a time.
    ///
    /// # Errors
    /// As `read`.
    pub fn get(&self, number: usize, read: impl FnOnce() -> Result<Vec<T>>) -> Result<Arc<Vec<T>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, block)) = kept.iter().find(|(n, _)| *n == number) {
            return Ok(block.clone());
        }
        let block = Arc::new(read()?);
        kept.push_front((number, block.clone()));
        kept.truncate(KEPT_BLOCKS);
        Ok(block)
    }
}
