//! Tables as data sets: Parquet files, WebDataset tars, CSV manifests and folders, local or behind addresses.
//!
//! Rows are read when their images are needed, a few blocks at a time, so that a table of any length takes little memory.
//! A file that cannot be opened when its rows are reached is tried twice; its images then count as broken ones.

mod archive;
pub mod bytes;
#[cfg(feature = "cloud")]
mod cloud;
mod cluster_options;
pub mod filter;
#[cfg(feature = "hub")]
mod http;
pub mod index;
mod manifest;
mod parquet;
#[cfg(any(feature = "hub", feature = "cloud"))]
mod ranges;
mod rows;
mod selected;
pub mod sources;

pub use self::cluster_options::ClusterOptions;

use self::bytes::{ByteSource, is_address, whole, with_source_error};
use crate::data::preprocess::Preprocess;
use crate::data::{Attribute, Dataset, Generator, Image};
use crate::error::{Context, Error, Result};
use crate::limits::IMAGE_FILE;
use filter::Filter;
use index::{Index, Shard};
use rows::{ColumnChoice, PixelSource, Rows};
use selected::Selected;
use serde_json::{Value, json};
use sources::Format;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Files that are held open.
const MAX_OPEN_FILES: usize = 4;
/// How often a file is tried.
const MAX_TRIES: usize = 2;
/// Files that an identity names; of more it is their digest.
const MAX_NAMED_FILES: usize = 100;

crate::params! {
    /// Which columns of a table are read.
    pub struct LoadTable as "load_table" {
        /// The column of images or paths (of a tar file: the ending of images); found by its name or type unless given.
        image: Option<String> = None;
        /// The column of labels; `label`, `labels` or `cls`, if there is one, unless given.
        label: Option<String> = None;
        /// The columns of attributes.
        attributes: Vec<String> = Vec::new();
        /// The names of labels that are numbers, in order from 0; those in the file (Hugging Face) unless given.
        names: Vec<String> = Vec::new();
        /// Which rows: conditions on columns joined by `and`, such as "label = 3 and size >= 0.5"; the row groups of a Parquet
        /// file whose statistics rule them out are not read. All rows unless given.
        filter: Option<String> = None;
    }
}

/// A table's files with the rows of each, and what is read of them.
struct Rowed {
    shards: Vec<Shard>,
    /// The file of each shard, by its number among different ones.
    files: Vec<usize>,
    total: usize,
    columns: ColumnChoice,
    open: Mutex<Opened>,
    labels: OnceLock<Vec<String>>,
}

#[derive(Default)]
struct Opened {
    files: VecDeque<(usize, Arc<dyn Rows>)>,
    failed: BTreeMap<usize, (usize, Error)>,
}

impl fmt::Debug for Rowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table of {} rows in {} shards", self.total, self.shards.len())
    }
}

/// The data set of a table: files by path, pattern, braces, folder or address, or an index of shards.
///
/// # Errors
/// Where there are none, a file is damaged or lacks a column.
pub fn load_table(names: &[String], base: &Path, options: &LoadTable) -> Result<Dataset> {
    let files = sources::files(names, base)?;
    let shards = shards_of(&files, options, None)?;
    of_shards(names, shards, options)
}

/// The data set of shards that are listed already.
///
/// # Errors
/// Where there are none.
pub fn of_shards(names: &[String], shards: Vec<Shard>, options: &LoadTable) -> Result<Dataset> {
    let total = shards.last().map_or(0, |s| s.first_image + s.rows);
    let columns = options.columns()?;
    if let Some(filter) = columns.filter.as_ref().filter(|_| total == 0) {
        return Err(Error::value(format!("no row of the table `{}` fulfils {filter}", names.join("`, `"))));
    }
    if total == 0 {
        return Err(Error::value(format!("the table `{}` has no rows", names.join("`, `"))));
    }
    let mut files = Vec::with_capacity(shards.len());
    for (i, shard) in shards.iter().enumerate() {
        let same = i > 0 && shards[i - 1].uri == shard.uri;
        files.push(if same { files[i - 1] } else { i });
    }
    let name = names.first().map_or("", |n| n.as_str());
    let name = Path::new(name.trim_end_matches('/'))
        .file_stem()
        .map_or_else(|| name.to_string(), |s| s.to_string_lossy().into_owned());
    let rowed = Rowed { shards, files, total, columns, open: Mutex::default(), labels: OnceLock::new() };
    Ok(Dataset::generated(name, Arc::new(rowed)))
}

/// The shards of files, of at most `most` rows each; an index among them stands for its own.
///
/// # Errors
/// Where a file is damaged or lacks a column.
pub fn shards_of(files: &[(String, Format)], options: &LoadTable, most: Option<usize>) -> Result<Vec<Shard>> {
    let columns = options.columns()?;
    let mut shards: Vec<Shard> = Vec::new();
    for (uri, format) in files {
        if *format == Format::Parquet
            && let Some(listed) = index::decode(uri)?
        {
            check_filter(uri, &listed, options)?;
            for shard in listed.shards {
                let first_image = shards.last().map_or(0, |s| s.first_image + s.rows);
                shards.push(Shard { first_image, ..shard });
            }
            continue;
        }
        let rows = with_source_error(|| open(uri, *format, &columns)).context(|| format!("`{uri}`"))?.len();
        let most = most.unwrap_or(rows).max(1);
        for first_row in (0..rows).step_by(most) {
            let first_image = shards.last().map_or(0, |s| s.first_image + s.rows);
            let rows = most.min(rows - first_row);
            shards.push(Shard { uri: uri.clone(), format: *format, first_row, rows, first_image });
        }
    }
    Ok(shards)
}

/// Checks that a list of shards is one of the rows that the options ask for.
///
/// # Errors
/// Where it was made with another filter.
pub fn check_filter(list: &str, listed: &Index, options: &LoadTable) -> Result<()> {
    let asked = options.columns()?.filter.map(|filter| filter.to_string());
    if listed.filter == asked {
        return Ok(());
    }
    let said = |filter: &Option<String>| filter.as_ref().map_or("no filter".into(), |f| format!("the filter {f}"));
    Err(Error::value(format!(
        "the list of shards `{list}` was made with {}, the table is asked for with {}",
        said(&listed.filter),
        said(&asked)
    ))
    .hint("the list counts the rows that are left: make it with the same one: convscope index --filter"))
}

fn open(uri: &str, format: Format, columns: &ColumnChoice) -> Result<Arc<dyn Rows>> {
    let rows: Arc<dyn Rows> = match format {
        Format::Parquet => Arc::new(parquet::Parquet::open(ByteSource::open(uri)?, columns)?),
        Format::Csv => Arc::new(manifest::Manifest::open(ByteSource::open(uri)?, columns)?),
        Format::Tar => Arc::new(archive::Archive::open(ByteSource::open(uri)?, columns)?),
        Format::Folder => Arc::new(manifest::ImageFolder::open(uri)?),
    };
    match &columns.filter {
        Some(filter) => Ok(Arc::new(Selected::of(rows, filter)?)),
        None => Ok(rows),
    }
}

impl LoadTable {
    fn columns(&self) -> Result<ColumnChoice> {
        Ok(ColumnChoice {
            image: self.image.clone(),
            label: self.label.clone(),
            attributes: self.attributes.clone(),
            names: self.names.clone(),
            filter: self.filter.as_deref().map(Filter::parse).transpose()?.map(Arc::new),
        })
    }
}

impl Rowed {
    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows that hold an image, and its row there.
    fn at(&self, image: usize) -> Result<(Arc<dyn Rows>, usize)> {
        let i = self.shards.partition_point(|s| s.first_image <= image).saturating_sub(1);
        let shard = self.shards.get(i).ok_or_else(|| Error::not_found(format!("no image {image}")))?;
        let row = shard.first_row + (image - shard.first_image);
        let file = self.files[i];
        let mut opened = self.opened();
        if let Some((_, rows)) = opened.files.iter().find(|(f, _)| *f == file) {
            return Ok((rows.clone(), row));
        }
        if let Some((_, error)) = opened.failed.get(&file).filter(|(tries, _)| *tries >= MAX_TRIES) {
            return Err(error.clone());
        }
        let made = with_source_error(|| open(&shard.uri, shard.format, &self.columns)).and_then(|rows| {
            match row < rows.len() {
                true => Ok(rows),
                false => Err(Error::format(format!("has {} rows, the index says that it has more", rows.len()))),
            }
        });
        match made.context(|| format!("`{}`", shard.uri)) {
            Ok(rows) => {
                opened.files.push_front((file, rows.clone()));
                opened.files.truncate(MAX_OPEN_FILES);
                Ok((rows, row))
            }
            // The next one to ask tries it again.
            Err(error) if error.kind.ends_work() => Err(error),
            Err(error) => {
                let tries = opened.failed.get(&file).map_or(0, |(tries, _)| *tries);
                opened.failed.insert(file, (tries + 1, error.clone()));
                Err(error)
            }
        }
    }

    fn pixels(&self, image: usize, by: Option<&Preprocess>) -> Result<Image> {
        let decode = |bytes: &[u8]| by.map_or_else(|| Image::decode(bytes), |by| by.decode(bytes));
        let open = |path: &Path| by.map_or_else(|| Image::open(path), |by| by.open(path));
        let fetched = |address: &str| decode(&whole(address, IMAGE_FILE)?).context(|| format!("`{address}`"));
        let (rows, row) = self.at(image)?;
        // What is known of the image is asked for apart, where nothing tells a label that cannot be read from one that is not there.
        rows.label(row).context(|| "its label")?;
        for name in &self.columns.attributes {
            rows.attribute(row, name).context(|| format!("its attribute `{name}`"))?;
        }
        match rows.pixels(row)? {
            PixelSource::Bytes(bytes) => decode(&bytes).context(|| format!("row {}", rows.number(row))),
            PixelSource::File(path) => open(path.as_ref()),
            PixelSource::Path(path) if is_address(&path) => fetched(&path),
            // Relative to the file that names it.
            PixelSource::Path(path) => {
                let i = self.shards.partition_point(|s| s.first_image <= image).saturating_sub(1);
                let uri = self.shards.get(i).map_or("", |s| s.uri.as_str());
                match uri.rfind('/').filter(|_| is_address(uri)) {
                    Some(end) => fetched(&format!("{}/{path}", &uri[..end])),
                    None => open(&Path::new(uri).parent().unwrap_or(Path::new("")).join(path)),
                }
            }
        }
    }

    fn labels_of(&self, range: Range<usize>) -> Result<Vec<String>> {
        let mut all = BTreeSet::new();
        for image in range {
            // What cannot be read is broken when its image is asked for.
            match self.at(image).and_then(|(rows, row)| rows.label(row)) {
                Ok(Some(label)) if !all.contains(&label) => drop(all.insert(label)),
                Err(error) if error.kind.ends_work() => return Err(error),
                _ => {}
            }
        }
        Ok(all.into_iter().collect())
    }
}

impl Generator for Rowed {
    fn len(&self) -> usize {
        self.total
    }

    fn label(&self, index: usize) -> Option<String> {
        let (rows, row) = self.at(index).ok()?;
        rows.label(row).ok()?
    }

    fn attributes(&self, index: usize) -> BTreeMap<String, Attribute> {
        if self.columns.attributes.is_empty() {
            return BTreeMap::new();
        }
        let Ok((rows, row)) = self.at(index) else { return BTreeMap::new() };
        let one = |name: &String| Some((name.clone(), rows.attribute(row, name).ok()??));
        self.columns.attributes.iter().filter_map(one).collect()
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.pixels(index, None)
    }

    fn seen(&self, index: usize, by: &Preprocess) -> Result<Image> {
        self.pixels(index, Some(by))
    }

    fn labels(&self) -> Vec<String> {
        if let Some(labels) = self.labels.get() {
            return labels.clone();
        }
        match self.labels_of(0..self.total) {
            Ok(labels) => self.labels.get_or_init(|| labels).clone(),
            // Where the store does not answer, whoever asks for an image learns of it.
            Err(_) => Vec::new(),
        }
    }

    fn labels_in(&self, range: Range<usize>) -> Result<Vec<String>> {
        match self.labels.get() {
            Some(labels) if range == (0..self.total) => Ok(labels.clone()),
            _ if range == (0..self.total) => {
                let labels = self.labels_of(range)?;
                Ok(self.labels.get_or_init(|| labels).clone())
            }
            _ => self.labels_of(range),
        }
    }

    fn identity(&self) -> Value {
        let mut files: Vec<(String, usize)> = Vec::new();
        for (i, shard) in self.shards.iter().enumerate() {
            let name = shard.uri.rsplit('/').next().unwrap_or_default().to_string();
            match files.last_mut().filter(|_| i > 0 && self.files[i] == self.files[i - 1]) {
                Some((_, rows)) => *rows += shard.rows,
                None => files.push((name, shard.rows)),
            }
        }
        let files = match files.len() {
            0..=MAX_NAMED_FILES => json!(files),
            _ => json!(crate::digest::digest(json!(files).to_string().as_bytes())),
        };
        let columns = &self.columns;
        match &columns.filter {
            None => json!([files, columns.image, columns.label, columns.attributes, columns.names]),
            Some(filter) => {
                json!([files, columns.image, columns.label, columns.attributes, columns.names, filter.to_string()])
            }
        }
    }
}
