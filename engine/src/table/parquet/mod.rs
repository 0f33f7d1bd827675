//! Rows of a Parquet file: Hugging Face's `struct<bytes, path>`, plain binary columns, and columns of paths.
//!
//! Only the columns that are asked for are read, in blocks of rows, each block once as long as rows are asked for in order.

mod cells;
mod groups;
mod pages;

use super::bytes::{ByteSource, with_source_error};
use super::filter::{Filter, FilterValue};
use super::rows::{ColumnChoice, IMAGES, LABELS, PixelSource, PreparedFilter, Rows};
use crate::data::Attribute;
use crate::error::{Error, Result, did_you_mean};
use crate::limits::{BLOCK, ROWS, ROWS_A_BYTE};
use cells::{ParquetCell, read, skip};
use pages::Pages;
use parquet::basic::{ConvertedType, LogicalType, SortOrder, Type as Physical};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of a block of images, and of anything else.
const IMAGE_BLOCK: usize = 16;
const PLAIN_BLOCK: usize = 1024;
/// Blocks kept a column.
const KEPT_BLOCKS: usize = 6;
/// Blocks ahead up to which those between are read and not skipped.
const MAX_READ_AHEAD_BLOCKS: usize = 3;

/// A Parquet file.
pub struct Parquet {
    file: SerializedFileReader<ByteSource>,
    source: ByteSource,
    /// The first row of each row group, and the number of all.
    starts: Vec<usize>,
    bytes: Option<Column>,
    path: Option<Column>,
    label: Option<Column>,
    attributes: Vec<(String, Column)>,
    /// The columns of the filter.
    filtered: Vec<(String, Column)>,
    names: Vec<String>,
    columns: ColumnChoice,
}

/// A leaf column and how far it was read.
struct Column {
    leaf: usize,
    block: usize,
    unsigned: bool,
    cursor: Mutex<Cursor>,
}

#[derive(Default)]
struct Cursor {
    group: usize,
    /// The block, counted within the group, that is read next.
    next: usize,
    reader: Option<ColumnReader>,
    /// Group, block, cells.
    kept: VecDeque<(usize, usize, Vec<ParquetCell>)>,
    /// A group that cannot be read from that block on, and why.
    broken: Option<(usize, usize, Error)>,
}

impl Parquet {
    /// Opens a file and finds its columns.
    ///
    /// # Errors
    /// Where it is no Parquet file, or lacks a column.
    pub fn open(source: ByteSource, columns: &ColumnChoice) -> Result<Self> {
        let file_length = source.length();
        let file = guarded(|| SerializedFileReader::new(source.clone())).map_err(damaged)?;
        let meta = file.metadata();
        let most = file_length.saturating_mul(ROWS_A_BYTE).max(ROWS);
        let mut starts = vec![0usize];
        for group in meta.row_groups() {
            let rows = usize::try_from(group.num_rows()).map_err(|_| Error::format("a row group of no length"))?;
            let end = starts[starts.len() - 1].checked_add(rows).filter(|end| *end as u64 <= most);
            starts.push(
                end.ok_or_else(|| Error::format(format!("claims more than {most} rows, more than its bytes hold")))?,
            );
        }
        let schema = meta.file_metadata().schema_descr();
        let leaves: Vec<&ColumnDescriptor> = schema.columns().iter().map(|c| &**c).collect();
        let tops: Vec<String> = schema.root_schema().get_fields().iter().map(|f| f.name().to_string()).collect();
        let find = |parts: &[&str]| {
            leaves.iter().position(|c| c.path().parts().iter().map(String::as_str).eq(parts.iter().copied()))
        };
        let lacks = |what: &str, name: &str| {
            let close = did_you_mean(name, tops.iter().map(String::as_str)).map_or(String::new(), |c| c + "; ");
            Error::not_found(format!("no {what} column `{name}`")).hint(format!("{close}it has {}", tops.join(", ")))
        };
        let image = match &columns.image {
            Some(name) => name.clone(),
            None => {
                let known = |name: &str| tops.iter().find(|t| t.eq_ignore_ascii_case(name)).cloned();
                let struct_of_bytes = || tops.iter().find(|t| find(&[t, "bytes"]).is_some()).cloned();
                let found = IMAGES.iter().find_map(|name| known(name)).or_else(struct_of_bytes);
                found.ok_or_else(|| {
                    Error::not_found("no column of images")
                        .hint(format!("name it: load_table(.., #{{ image: \"NAME\" }}); it has {}", tops.join(", ")))
                })?
            }
        };
        let column = |leaf: usize, block: usize| -> Result<Column> {
            let about = leaves[leaf];
            if about.max_rep_level() > 0 {
                return Err(Error::unsupported(format!("the column `{}` holds lists", about.path().string())));
            }
            let whole = matches!(about.physical_type(), Physical::INT32 | Physical::INT64);
            let unsigned = whole && about.sort_order() == SortOrder::UNSIGNED;
            Ok(Column { leaf, block, unsigned, cursor: Mutex::default() })
        };
        let plain = |what: &str, name: &str| {
            find(&[name]).ok_or_else(|| lacks(what, name)).and_then(|leaf| column(leaf, PLAIN_BLOCK))
        };
        let (mut bytes, mut path) = (None, None);
        match (find(&[&image]), find(&[&image, "bytes"]), find(&[&image, "path"])) {
            (Some(leaf), ..) if leaves[leaf].physical_type() != Physical::BYTE_ARRAY => {
                return Err(Error::format(format!("the column `{image}` holds neither images nor paths"))
                    .hint(format!("name another one; it has {}", tops.join(", "))));
            }
            (Some(leaf), ..) if is_text(leaves[leaf]) => path = Some(column(leaf, PLAIN_BLOCK)?),
            (Some(leaf), ..) => bytes = Some(column(leaf, IMAGE_BLOCK)?),
            (None, None, None) => return Err(lacks("image", &image)),
            (None, held, named) => {
                bytes = held.map(|leaf| column(leaf, IMAGE_BLOCK)).transpose()?;
                path = named.map(|leaf| column(leaf, PLAIN_BLOCK)).transpose()?;
            }
        }
        let label = match &columns.label {
            Some(name) => Some(plain("label", name)?),
            None => LABELS.iter().find_map(|n| find(&[n])).map(|leaf| column(leaf, PLAIN_BLOCK)).transpose()?,
        };
        let attributes = columns.attributes.iter().map(|name| Ok((name.clone(), plain("attribute", name)?)));
        let attributes = attributes.collect::<Result<Vec<_>>>()?;
        let filtered = columns.filter.iter().flat_map(|filter| filter.columns());
        let filtered = filtered.map(|name| Ok((name.to_string(), plain("filter", name)?)));
        let filtered = filtered.collect::<Result<Vec<_>>>()?;
        let label_name = label.as_ref().map(|c| leaves[c.leaf].path().string());
        let names = label_name.map(|name| class_names(&file, &name)).unwrap_or_default();
        Ok(Parquet { source, starts, bytes, path, label, attributes, filtered, names, columns: columns.clone(), file })
    }

    fn cell(&self, column: &Column, row: usize) -> Result<ParquetCell> {
        let group = self.starts.partition_point(|s| *s <= row).saturating_sub(1);
        let (Some(start), Some(end)) = (self.starts.get(group), self.starts.get(group + 1)) else {
            return Err(Error::not_found(format!("no row {row}")));
        };
        let (block, within) = ((row - start) / column.block, (row - start) % column.block);
        let mut cursor = column.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., cells)) = cursor.kept.iter().find(|(g, b, _)| (*g, *b) == (group, block)) {
            return cells.get(within).cloned().ok_or_else(|| Error::format(format!("row {row} is not there")));
        }
        if let Some((g, b, why)) = &cursor.broken
            && *g == group
            && block >= *b
        {
            return Err(why.clone());
        }
        let mut read = || guarded(|| self.read_to(column, &mut cursor, (group, block), end - start));
        match with_source_error(|| read().map_err(|e| Error::format(e.to_string()))) {
            Ok(()) => {}
            // It says nothing of the group.
            Err(e) if e.kind.ends_work() => {
                cursor.reader = None;
                return Err(e);
            }
            Err(e) => {
                // What is over a limit has a hint, and need not be damaged.
                let what = if e.hint.is_some() { "" } else { " is damaged" };
                let why = e.context(format!("row group {group}{what}"));
                let at = cursor.next.min(block);
                (cursor.reader, cursor.broken) = (None, Some((group, at, why.clone())));
                return Err(why);
            }
        }
        let found = cursor.kept.iter().find(|(g, b, _)| (*g, *b) == (group, block));
        found
            .and_then(|(.., cells)| cells.get(within).cloned())
            .ok_or_else(|| Error::format(format!("row {row} is not there")))
    }

    /// Reads a block of a group, and those shortly before it that have not been read.
    fn read_to(
        &self,
        column: &Column,
        cursor: &mut MutexGuard<'_, Cursor>,
        (group, block): (usize, usize),
        rows: usize,
    ) -> Result<(), ParquetError> {
        if cursor.reader.is_none() || cursor.group != group || cursor.next > block {
            cursor.reader = Some(self.reader(group, column.leaf)?);
            (cursor.group, cursor.next) = (group, 0);
        }
        let Some(mut reader) = cursor.reader.take() else { return Ok(()) };
        if block - cursor.next > MAX_READ_AHEAD_BLOCKS {
            skip(&mut reader, (block - cursor.next) * column.block)?;
            cursor.next = block;
        }
        while cursor.next <= block {
            let n = column.block.min(rows - cursor.next * column.block);
            let cells = read(&mut reader, n, self.max_definition(column), column.unsigned)?;
            let next = cursor.next;
            let bytes = held(&cells);
            pages::passed_on(BLOCK.check(bytes))?;
            cursor.kept.push_front((group, next, cells));
            cursor.kept.truncate(KEPT_BLOCKS);
            while cursor.kept.len() > 1 && cursor.kept.iter().map(|(.., cells)| held(cells)).sum::<u64>() > BLOCK.most()
            {
                cursor.kept.pop_back();
            }
            cursor.next += 1;
        }
        cursor.reader = Some(reader);
        Ok(())
    }

    /// A reader of a column's part of a row group, which reads no byte of another one.
    fn reader(&self, group: usize, leaf: usize) -> Result<ColumnReader, ParquetError> {
        let meta = self.file.metadata();
        let about = meta.row_group(group);
        let chunk = about.column(leaf);
        let (start, length) = chunk.byte_range();
        let part = self.source.part(start..start.saturating_add(length));
        let part = Pages::new(part, chunk.compression(), length);
        pages::passed_on(part.may_be(chunk.uncompressed_size()))?;
        let rows = usize::try_from(about.num_rows())?;
        let pages = SerializedPageReader::new(Arc::new(part), chunk, rows, None)?;
        Ok(get_column_reader(meta.file_metadata().schema_descr().column(leaf), Box::new(pages)))
    }

    fn max_definition(&self, column: &Column) -> i16 {
        self.file.metadata().file_metadata().schema_descr().column(column.leaf).max_def_level()
    }
}

impl Rows for Parquet {
    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    fn pixels(&self, row: usize) -> Result<PixelSource> {
        if let Some(column) = &self.bytes
            && let ParquetCell::Bytes(bytes) = self.cell(column, row)?
        {
            return Ok(PixelSource::Bytes(bytes));
        }
        if let Some(column) = &self.path
            && let ParquetCell::Bytes(path) = self.cell(column, row)?
            && !path.is_empty()
        {
            return Ok(PixelSource::Path(text(&path)?));
        }
        Err(Error::format(format!("row {row} has no image")))
    }

    fn label(&self, row: usize) -> Result<Option<String>> {
        let Some(column) = &self.label else { return Ok(None) };
        Ok(match self.cell(column, row)? {
            ParquetCell::Nothing => None,
            ParquetCell::Bool(b) => Some(b.to_string()),
            ParquetCell::Int(i) => self.columns.name_of(i, &self.names),
            ParquetCell::Single(x) => Some(x.to_string()),
            ParquetCell::Number(x) => Some(x.to_string()),
            ParquetCell::Bytes(bytes) => Some(text(&bytes)?).filter(|t| !t.is_empty()),
        })
    }

    fn attribute(&self, row: usize, name: &str) -> Result<Option<Attribute>> {
        let Some((_, column)) = self.attributes.iter().find(|(n, _)| n == name) else { return Ok(None) };
        Ok(match self.cell(column, row)? {
            ParquetCell::Nothing => None,
            ParquetCell::Bool(b) => Some(Attribute::Text(b.to_string())),
            ParquetCell::Int(i) => Some(Attribute::Number(i as f64)),
            ParquetCell::Single(x) => Some(Attribute::Number(f64::from(x))),
            ParquetCell::Number(x) => Some(Attribute::Number(x)),
            ParquetCell::Bytes(bytes) => Some(Attribute::Text(text(&bytes)?)),
        })
    }

    fn prepare(&self, filter: &Filter) -> Result<PreparedFilter> {
        self.by_statistics(filter)
    }

    fn value(&self, row: usize, name: &str) -> Result<FilterValue> {
        let Some((_, column)) = self.filtered.iter().find(|(n, _)| n == name) else { return Ok(FilterValue::Nothing) };
        Ok(match self.cell(column, row)? {
            ParquetCell::Nothing => FilterValue::Nothing,
            ParquetCell::Bool(b) => FilterValue::Bool(b),
            ParquetCell::Int(i) => FilterValue::Int(i),
            ParquetCell::Single(x) => FilterValue::Single(x),
            ParquetCell::Number(x) => FilterValue::Number(x),
            ParquetCell::Bytes(bytes) => FilterValue::Text(text(&bytes)?),
        })
    }
}

/// The bytes of texts and images in cells.
fn held(cells: &[ParquetCell]) -> u64 {
    cells.iter().map(|cell| if let ParquetCell::Bytes(bytes) = cell { bytes.len() as u64 } else { 0 }).sum()
}

/// What the Parquet reader gives; a panic of it at a damaged file is an error as others are.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    caught.unwrap_or_else(|_| Err(ParquetError::General("its pages or its footer are no valid ones".into())))
}

fn damaged(e: ParquetError) -> Error {
    let said = e.to_string();
    let error = Error::format(format!("a damaged Parquet file: {said}"));
    if said.contains("zstd") || said.contains("ZSTD") {
        return error.hint("build convscope with `--features zstd`, or write the file with snappy, lz4 or gzip");
    }
    if said.contains("brotli") || said.contains("BROTLI") {
        return error.hint("write it with snappy, lz4, gzip or zstd");
    }
    error
}

fn is_text(column: &ColumnDescriptor) -> bool {
    column.converted_type() == ConvertedType::UTF8 || matches!(column.logical_type_ref(), Some(LogicalType::String))
}

fn text(bytes: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes).map(str::to_string).map_err(|_| Error::format("a text that is not UTF-8"))
}

/// The names of the classes of a column of numbers, as Hugging Face's `datasets` writes them beside the schema.
fn class_names(file: &SerializedFileReader<ByteSource>, column: &str) -> Vec<String> {
    let pairs = file.metadata().file_metadata().key_value_metadata();
    let said = pairs.into_iter().flatten().find(|p| p.key == "huggingface").and_then(|p| p.value.as_deref());
    let Some(value) = said.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()) else {
        return Vec::new();
    };
    let names = value["info"]["features"][column]["names"].as_array().cloned().unwrap_or_default();
    names.iter().filter_map(|n| n.as_str().map(str::to_string)).collect()
}
