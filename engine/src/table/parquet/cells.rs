//! The cells of a column, as they are read.

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;

/// A value of a cell.
#[derive(Clone, Debug)]
pub enum ParquetCell {
    /// None.
    Nothing,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number of 32 bits.
    Single(f32),
    /// A number.
    Number(f64),
    /// Bytes or a text.
    Bytes(Bytes),
}

impl ParquetCell {
    /// A whole number as it is stored, of a column of unsigned ones or not.
    pub fn of_int(stored: i32, unsigned: bool) -> Self {
        ParquetCell::Int(if unsigned { i64::from(stored as u32) } else { i64::from(stored) })
    }

    /// The same of 64 bits; an unsigned one from 2^63 on is no whole number here.
    pub fn of_long(stored: i64, unsigned: bool) -> Self {
        if unsigned && stored < 0 { ParquetCell::Number(stored as u64 as f64) } else { ParquetCell::Int(stored) }
    }
}

macro_rules! each_kind {
    ($reader:expr, $r:ident => $do:expr) => {
        match $reader {
            ColumnReader::BoolColumnReader($r) => $do,
            ColumnReader::Int32ColumnReader($r) => $do,
            ColumnReader::Int64ColumnReader($r) => $do,
            ColumnReader::Int96ColumnReader($r) => $do,
            ColumnReader::FloatColumnReader($r) => $do,
            ColumnReader::DoubleColumnReader($r) => $do,
            ColumnReader::ByteArrayColumnReader($r) => $do,
            ColumnReader::FixedLenByteArrayColumnReader($r) => $do,
        }
    };
}

/// Skips rows.
///
/// # Errors
/// As [`read`].
pub fn skip(reader: &mut ColumnReader, rows: usize) -> Result<(), ParquetError> {
    each_kind!(reader, r => r.skip_records(rows).map(|_| ()))
}

/// The next `rows` cells; a cell is there where its definition level is the highest.
///
/// # Errors
/// Where the file ends before, or is damaged.
pub fn read(
    reader: &mut ColumnReader,
    rows: usize,
    max: i16,
    unsigned: bool,
) -> Result<Vec<ParquetCell>, ParquetError> {
    fn values<T: DataType>(
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
        max: i16,
        cell: impl Fn(T::T) -> ParquetCell,
    ) -> Result<Vec<ParquetCell>, ParquetError> {
        let (mut values, mut levels): (Vec<T::T>, Vec<i16>) = (Vec::new(), Vec::new());
        let (mut read, mut left) = (0, rows);
        while left > 0 {
            let (records, ..) = reader.read_records(left, (max > 0).then_some(&mut levels), None, &mut values)?;
            if records == 0 {
                return Err(ParquetError::EOF(format!("{read} rows of {rows} are there")));
            }
            read += records;
            left -= records;
        }
        let mut values = values.into_iter().map(cell);
        if max == 0 {
            return Ok(values.collect());
        }
        Ok(levels
            .iter()
            .map(|l| if *l == max { values.next().unwrap_or(ParquetCell::Nothing) } else { ParquetCell::Nothing })
            .collect())
    }
    match reader {
        ColumnReader::BoolColumnReader(r) => values(r, rows, max, ParquetCell::Bool),
        ColumnReader::Int32ColumnReader(r) => values(r, rows, max, |v| ParquetCell::of_int(v, unsigned)),
        ColumnReader::Int64ColumnReader(r) => values(r, rows, max, |v| ParquetCell::of_long(v, unsigned)),
        ColumnReader::Int96ColumnReader(r) => values(r, rows, max, |_| ParquetCell::Nothing),
        ColumnReader::FloatColumnReader(r) => values(r, rows, max, ParquetCell::Single),
        ColumnReader::DoubleColumnReader(r) => values(r, rows, max, ParquetCell::Number),
        ColumnReader::ByteArrayColumnReader(r) => {
            values(r, rows, max, |v| ParquetCell::Bytes(Bytes::copy_from_slice(v.data())))
        }
        ColumnReader::FixedLenByteArrayColumnReader(r) => {
            values(r, rows, max, |v| ParquetCell::Bytes(Bytes::copy_from_slice(v.data())))
        }
    }
}
