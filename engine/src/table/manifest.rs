//! Rows of a CSV manifest: paths of images with labels and attributes, and a folder of images as such rows.
//!
//! Of a manifest only the offsets of blocks of rows are kept in memory; the rows themselves are read in blocks.

use super::bytes::{ByteSource, is_object};
use super::filter::{Filter, FilterValue};
use super::rows::{ColumnChoice, IMAGES, LABELS, PixelSource, PreparedFilter, RecentBlocks, Rows};
use crate::data::Attribute;
use crate::data::extensions::is_image;
use crate::data::pattern::walk;
use crate::error::{Error, Result, did_you_mean};
use csv::StringRecord;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Rows of a block.
const BLOCK_ROWS: usize = 256;

/// A CSV file.
pub struct Manifest {
    source: ByteSource,
    separator: u8,
    /// Where each block begins.
    places: Vec<u64>,
    rows: usize,
    path: usize,
    label: Option<usize>,
    /// Name, column, whether all its values are numbers.
    attributes: Vec<(String, usize, bool)>,
    /// The columns of the filter, and whether it compares them with numbers.
    filtered: Vec<(String, usize, bool)>,
    blocks: RecentBlocks<StringRecord>,
    columns: ColumnChoice,
}

fn damaged(e: csv::Error) -> Error {
    Error::format(e.to_string())
}

impl Manifest {
    /// Opens a file, finds its columns and where its rows are.
    ///
    /// # Errors
    /// Where it is no table, or lacks a column.
    pub fn open(source: ByteSource, columns: &ColumnChoice) -> Result<Self> {
        let mut first = Vec::new();
        source.reader(0).take(1 << 16).read_to_end(&mut first).map_err(|e| Error::format(e.to_string()))?;
        let line = first.split(|b| *b == b'\n').next().unwrap_or_default();
        let separator = [b',', b';', b'\t'].into_iter().find(|s| line.contains(s)).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .from_reader(BufReader::new(source.reader(0)));
        let header: Vec<String> = reader.headers().map_err(damaged)?.iter().map(str::to_string).collect();
        let find = |name: &str| header.iter().position(|h| h.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
        let named = |what: &str, name: &str| {
            find(name).ok_or_else(|| {
                let close = did_you_mean(name, header.iter().map(String::as_str)).map_or(String::new(), |c| c + "; ");
                Error::not_found(format!("no {what} column `{name}`"))
                    .hint(format!("{close}it has {}", header.join(", ")))
            })
        };
        let path = match &columns.image {
            Some(name) => named("image", name)?,
            None => IMAGES.iter().find_map(|name| find(name)).ok_or_else(|| {
                Error::not_found("no column of images")
                    .hint(format!("name it: load_table(.., #{{ image: \"NAME\" }}); it has {}", header.join(", ")))
            })?,
        };
        let label = match &columns.label {
            Some(name) => Some(named("label", name)?),
            None => LABELS.iter().find_map(|name| find(name)),
        };
        let attributes = columns.attributes.iter().map(|name| Ok((name.clone(), named("attribute", name)?, true)));
        let mut attributes: Vec<(String, usize, bool)> = attributes.collect::<Result<_>>()?;
        let mut filtered = Vec::new();
        if let Some(filter) = &columns.filter {
            for name in filter.columns() {
                let numeric = filter.0.iter().any(|c| c.column == name && c.is_of_numbers());
                filtered.push((name.to_string(), named("filter", name)?, numeric));
            }
        }
        let (mut places, mut rows, mut record) = (Vec::new(), 0, StringRecord::new());
        loop {
            let place = reader.position().byte();
            if !reader.read_record(&mut record).map_err(damaged)? {
                break;
            }
            if rows % BLOCK_ROWS == 0 {
                places.push(place);
            }
            for (_, column, numeric) in &mut attributes {
                let value = &record[*column];
                *numeric &= value.is_empty() || number(value).is_some();
            }
            rows += 1;
        }
        let blocks = RecentBlocks::new();
        Ok(Manifest {
            source,
            separator,
            places,
            rows,
            path,
            label,
            attributes,
            filtered,
            blocks,
            columns: columns.clone(),
        })
    }

    fn field(&self, row: usize, column: usize) -> Result<String> {
        let block = row / BLOCK_ROWS;
        let read = || {
            let place = self.places.get(block).ok_or_else(|| Error::not_found(format!("no row {row}")))?;
            let mut from = BufReader::new(self.source.reader(0));
            from.seek(SeekFrom::Start(*place)).map_err(|e| Error::format(e.to_string()))?;
            let mut builder = csv::ReaderBuilder::new();
            builder.delimiter(self.separator).trim(csv::Trim::All).has_headers(false);
            builder.from_reader(from).into_records().take(BLOCK_ROWS).map(|r| r.map_err(damaged)).collect()
        };
        let block = self.blocks.get(block, read)?;
        let record = block.get(row % BLOCK_ROWS).ok_or_else(|| Error::not_found(format!("no row {row}")))?;
        Ok(record.get(column).unwrap_or_default().to_string())
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|v| v.is_finite())
}

impl Rows for Manifest {
    fn len(&self) -> usize {
        self.rows
    }

    fn pixels(&self, row: usize) -> Result<PixelSource> {
        let path = self.field(row, self.path)?;
        if path.is_empty() { Err(Error::format(format!("row {row} has no path"))) } else { Ok(PixelSource::Path(path)) }
    }

    fn label(&self, row: usize) -> Result<Option<String>> {
        let Some(column) = self.label else { return Ok(None) };
        let label = self.field(row, column)?;
        Ok(match label.parse::<i64>() {
            Ok(i) if !self.columns.names.is_empty() => self.columns.name_of(i, &[]),
            _ => Some(label).filter(|l| !l.is_empty()),
        })
    }

    fn attribute(&self, row: usize, name: &str) -> Result<Option<Attribute>> {
        let Some((_, column, numeric)) = self.attributes.iter().find(|(n, ..)| n == name) else { return Ok(None) };
        let text = self.field(row, *column)?;
        Ok(match number(&text).filter(|_| *numeric) {
            Some(x) => Some(Attribute::Number(x)),
            None => (!text.is_empty()).then_some(Attribute::Text(text)),
        })
    }

    fn prepare(&self, filter: &Filter) -> Result<PreparedFilter> {
        Ok((filter.clone(), std::iter::once(0..self.rows).collect()))
    }

    fn value(&self, row: usize, name: &str) -> Result<FilterValue> {
        let Some((_, column, numeric)) = self.filtered.iter().find(|(n, ..)| n == name) else {
            return Ok(FilterValue::Nothing);
        };
        let text = self.field(row, *column)?;
        Ok(if *numeric { FilterValue::number_of(text) } else { FilterValue::of(text) })
    }
}

/// The images below a folder, in the order of their paths; sub-folders are labels.
pub struct ImageFolder {
    root: PathBuf,
    /// The address where it lies in a bucket.
    address: Option<String>,
    files: Vec<PathBuf>,
}

impl ImageFolder {
    /// Looks for the images.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn open(root: &str) -> Result<Self> {
        if is_object(root) {
            return Self::in_bucket(root);
        }
        let root = Path::new(root);
        let all = walk(root)?.into_iter().filter(|p| is_image(p));
        let files = all.map(|p| p.strip_prefix(root).map(Path::to_path_buf).unwrap_or(p)).collect();
        Ok(ImageFolder { root: root.to_path_buf(), address: None, files })
    }

    #[cfg(feature = "cloud")]
    fn in_bucket(root: &str) -> Result<Self> {
        let root = root.trim_end_matches('/');
        let inside = |uri: String| uri.strip_prefix(root).map(|rest| PathBuf::from(rest.trim_start_matches('/')));
        let files = super::cloud::below(root, true)?.into_iter().filter_map(inside).filter(|p| is_image(p)).collect();
        Ok(ImageFolder { root: PathBuf::new(), address: Some(root.to_string()), files })
    }

    #[cfg(not(feature = "cloud"))]
    fn in_bucket(root: &str) -> Result<Self> {
        Err(super::bytes::no_buckets(root))
    }
}

impl Rows for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn pixels(&self, row: usize) -> Result<PixelSource> {
        let file = self.files.get(row).ok_or_else(|| Error::not_found(format!("no row {row}")))?;
        Ok(match &self.address {
            Some(address) => PixelSource::Path(format!("{address}/{}", file.to_string_lossy())),
            None => PixelSource::File(self.root.join(file)),
        })
    }

    fn label(&self, row: usize) -> Result<Option<String>> {
        let Some(file) = self.files.get(row) else { return Ok(None) };
        let mut parts = file.components();
        let first = parts.next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        Ok(parts.next().and(first))
    }

    fn attribute(&self, _: usize, _: &str) -> Result<Option<Attribute>> {
        Ok(None)
    }
    fn prepare(&self, filter: &Filter) -> Result<PreparedFilter> {
        Err(Error::unsupported(format!("a folder of images has no columns; the filter is {filter}"))
            .hint("filter the data set: load_table(..).filter(|image| image.label == \"cat\")"))
    }

    fn value(&self, _: usize, _: &str) -> Result<FilterValue> {
        Ok(FilterValue::Nothing)
    }
}
