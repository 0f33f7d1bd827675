//! An index of shards: a Parquet file with the columns `uri`, `format`, `first_row`, `rows`, `first_image`, a row a shard.
//!
//! A path in it is relative to the index's own folder where the file lies below it. Consecutive shards of one file are parts of it.

use super::bytes::{ByteSource, is_address, with_source_error};
use super::filter::Filter;
use super::sources::Format;
use crate::accumulators::fields::index;
use crate::error::{Context, Error, Result};
use crate::show::{Cell, Table};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use std::path::Path;

/// The columns of an index.
pub const COLUMNS: [&str; 5] = ["uri", "format", "first_row", "rows", "first_image"];

/// Some consecutive rows of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The file: a path or an address.
    pub uri: String,
    /// How its rows are laid out.
    pub format: Format,
    /// The first row.
    pub first_row: usize,
    /// How many rows.
    pub rows: usize,
    /// The number of the first row's image in the whole data set.
    pub first_image: usize,
}

/// The name that the filter has among the file's metadata.
const FILTER: &str = "convscope.filter";

/// A list of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The shards, in order.
    pub shards: Vec<Shard>,
    /// The filter whose rows they count.
    pub filter: Option<String>,
}

/// The bytes of an index that will lie in `folder`, of all rows or of those that a filter leaves.
///
/// # Errors
/// Where the filter is none.
pub fn encode(shards: &[Shard], filter: Option<&str>, folder: &Path) -> Result<Vec<u8>> {
    let folder = std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .map_err(|e| Error::io(folder, &e))?;
    let mut table = Table::new(COLUMNS);
    for shard in shards {
        let uri = if is_address(&shard.uri) { shard.uri.clone() } else { relative(&shard.uri, &folder)? };
        let number = |n: usize| Cell::Int(n as i64);
        table.push([
            uri.into(),
            shard.format.name().into(),
            number(shard.first_row),
            number(shard.rows),
            number(shard.first_image),
        ]);
    }
    let filter = filter.map(Filter::parse).transpose()?.map(|filter| (FILTER, filter.to_string()));
    crate::show::parquet::of_table_with(&table, filter)
}

fn relative(uri: &str, folder: &Path) -> Result<String> {
    let full = std::path::absolute(uri).map_err(|e| Error::io(uri, &e))?;
    Ok(full.strip_prefix(folder).unwrap_or(&full).to_string_lossy().into_owned())
}

/// The shards of an index; nothing where a Parquet file is none.
///
/// # Errors
/// Where the file cannot be read, or an index is damaged.
pub fn decode(path: &str) -> Result<Option<Index>> {
    with_source_error(|| read(path))
}

fn read(path: &str) -> Result<Option<Index>> {
    let place = || format!("`{path}`");
    let file = SerializedFileReader::new(ByteSource::open(path)?)
        .map_err(|e| Error::format(format!("a damaged Parquet file: {e}")))
        .context(place)?;
    let schema = file.metadata().file_metadata().schema_descr();
    if !schema.columns().iter().map(|c| c.name()).eq(COLUMNS) {
        return Ok(None);
    }
    let said = file.metadata().file_metadata().key_value_metadata();
    let filter = said.into_iter().flatten().find(|pair| pair.key == FILTER).and_then(|pair| pair.value.clone());
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut shards: Vec<Shard> = Vec::new();
    for (i, row) in file.get_row_iter(None).map_err(|e| Error::format(e.to_string()))?.enumerate() {
        let wrong = |what: &str| Error::format(format!("row {i} of the index `{path}`: {what}"));
        let row = row.map_err(|e| wrong(&e.to_string()))?;
        let text = |c: usize| row.get_string(c).map_err(|e| wrong(&e.to_string()));
        let number = |c: usize| {
            let value = row.get_long(c).map_err(|e| wrong(&e.to_string()))?;
            index(u64::try_from(value).map_err(|_| wrong("a number below zero"))?)
        };
        let format = Format::of_name(text(1)?).ok_or_else(|| wrong("no known format"))?;
        let uri = match is_address(text(0)?) {
            true => text(0)?.clone(),
            false => folder.join(text(0)?).to_string_lossy().into_owned(),
        };
        let shard = Shard { uri, format, first_row: number(2)?, rows: number(3)?, first_image: number(4)? };
        let next = shards.last().map_or(0, |s| s.first_image + s.rows);
        if shard.first_image != next {
            return Err(wrong(&format!("its first image is {}, {next} is next", shard.first_image)));
        }
        shards.push(shard);
    }
    Ok(Some(Index { shards, filter }))
}
