//! Codes and tables as Apache Parquet: a column for each array or table column, a row for each image.

use super::artifact::Artifact;
use super::table::{Cell, Table};
use crate::error::{Error, Result};
use crate::tensor::to_f32;
use candle_core::Tensor;
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{PrimitiveTypeBuilder, Type, TypePtr};
use std::sync::Arc;

/// A named column.
struct Column {
    name: String,
    values: Values,
}

enum Values {
    /// f32, without missing values.
    Floats(Vec<f32>),
    /// Lists of this many f32.
    Lists(usize, Vec<f32>),
    /// Rows of f32, each as long as its number says.
    Ragged(Vec<usize>, Vec<f32>),
    Bools(Vec<Option<bool>>),
    Ints(Vec<Option<i64>>),
    Doubles(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

/// A Parquet file with a table's columns.
///
/// # Errors
/// Where two columns have the same name.
pub fn of_table(table: &Table) -> Result<Vec<u8>> {
    of_table_with(table, None)
}

/// The same with a key and a value in the file's metadata.
///
/// # Errors
/// As [`of_table`].
pub fn of_table_with(table: &Table, said: Option<(&str, String)>) -> Result<Vec<u8>> {
    write(cells(table), said)
}

/// A Parquet file with one column: numbers, or lists of them (the axes after the first, flattened).
///
/// # Errors
/// Where the tensor has no axis.
pub fn of_tensor(name: &str, tensor: &Tensor) -> Result<Vec<u8>> {
    write(vec![array(name, tensor)?], None)
}

/// A Parquet file with the arrays that have as many rows as the primary one, and with the first table where it has as many rows.
///
/// # Errors
/// Where the artifact has neither.
pub fn of_artifact(artifact: &Artifact) -> Result<Vec<u8>> {
    let Ok(primary) = artifact.value() else {
        return of_table(artifact.table().ok_or_else(|| {
            Error::unsupported(format!("\"{}\" holds neither a table nor an array", artifact.title))
        })?);
    };
    let rows = primary.dims().first().copied();
    let mut columns = match artifact.table() {
        Some(table) if Some(table.len()) == rows => cells(table),
        _ => Vec::new(),
    };
    for (name, tensor) in artifact.data.iter().filter(|(_, t)| t.dims().first().copied() == rows) {
        columns.push(array(name, tensor)?);
    }
    write(columns, None)
}

/// The bytes of a file with a table's columns and, behind them, a column of lists: a tensor's values a row, row-major. Tensors may
/// differ in shape, and none is empty.
///
/// # Errors
/// Where two columns have one name, there are not as many tensors as rows, or one holds no value.
pub fn of_lists(table: &Table, name: &str, tensors: &[Tensor]) -> Result<Vec<u8>> {
    if tensors.len() != table.len() || tensors.iter().any(|t| t.elem_count() == 0) {
        return Err(Error::internal(format!("{} lists for {} rows, or an empty one", tensors.len(), table.len())));
    }
    let lengths = tensors.iter().map(Tensor::elem_count).collect();
    let values = tensors.iter().map(to_f32).collect::<Result<Vec<_>>>()?.concat();
    let mut columns = cells(table);
    columns.push(Column { name: name.to_string(), values: Values::Ragged(lengths, values) });
    write(columns, None)
}

fn array(name: &str, tensor: &Tensor) -> Result<Column> {
    let values = to_f32(tensor)?;
    let values = match tensor.dims() {
        [] => return Err(Error::unsupported("a single number has no rows").hint("save it as .npy or .json")),
        [_] => Values::Floats(values),
        [_, rest @ ..] if rest.contains(&0) => {
            return Err(Error::unsupported(format!("`{name}` of shape {:?} holds no number", tensor.dims())));
        }
        [_, rest @ ..] => Values::Lists(rest.iter().product(), values),
    };
    Ok(Column { name: name.to_string(), values })
}

fn cells(table: &Table) -> Vec<Column> {
    let column = |(c, name): (usize, &String)| {
        let cells: Vec<&Cell> = table.rows().iter().map(|r| &r[c]).collect();
        let all = |fits: fn(&Cell) -> bool| cells.iter().all(|c| matches!(c, Cell::Nothing) || fits(c));
        let values = if all(|c| matches!(c, Cell::Bool(_))) {
            Values::Bools(cells.iter().map(|c| if let Cell::Bool(b) = c { Some(*b) } else { None }).collect())
        } else if all(|c| matches!(c, Cell::Int(_))) {
            Values::Ints(cells.iter().map(|c| if let Cell::Int(i) = c { Some(*i) } else { None }).collect())
        } else if all(|c| matches!(c, Cell::Int(_) | Cell::Float(_))) {
            Values::Doubles(cells.iter().map(|c| c.number()).collect())
        } else {
            Values::Texts(cells.iter().map(|c| (!matches!(c, Cell::Nothing)).then(|| c.text())).collect())
        };
        Column { name: name.clone(), values }
    };
    table.columns().iter().enumerate().map(column).collect()
}

fn write(columns: Vec<Column>, said: Option<(&str, String)>) -> Result<Vec<u8>> {
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].iter().any(|c| c.name == column.name) {
            return Err(Error::unsupported(format!("two columns are called `{}`", column.name))
                .hint("save it as .csv or .safetensors"));
        }
    }
    encode(&columns, said).map_err(|e| Error::internal(e.to_string()))
}

fn encode(columns: &[Column], said: Option<(&str, String)>) -> std::result::Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().map(Column::schema).collect::<std::result::Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    // Floats rarely repeat: no dictionaries.
    let said = said.map(|(name, value)| vec![KeyValue::new(name.to_string(), value)]);
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_key_value_metadata(said).build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for column in columns {
        let Some(mut writer) = group.next_column()? else { break };
        column.values.write(&mut writer)?;
        writer.close()?;
    }
    group.close()?;
    file.into_inner()
}

impl Column {
    fn schema(&self) -> std::result::Result<TypePtr, ParquetError> {
        let name = self.name.as_str();
        let optional = |kind: Physical| leaf(name, kind, Repetition::OPTIONAL).build();
        let made = match &self.values {
            Values::Floats(_) => leaf(name, Physical::FLOAT, Repetition::REQUIRED).build()?,
            Values::Bools(_) => optional(Physical::BOOLEAN)?,
            Values::Ints(_) => optional(Physical::INT64)?,
            Values::Doubles(_) => optional(Physical::DOUBLE)?,
            Values::Texts(_) => leaf(name, Physical::BYTE_ARRAY, Repetition::OPTIONAL)
                .with_converted_type(ConvertedType::UTF8)
                .with_logical_type(Some(LogicalType::String))
                .build()?,
            Values::Lists(..) | Values::Ragged(..) => {
                let element = leaf("element", Physical::FLOAT, Repetition::REQUIRED).build()?;
                let list = Type::group_type_builder("list")
                    .with_repetition(Repetition::REPEATED)
                    .with_fields(vec![Arc::new(element)])
                    .build()?;
                Type::group_type_builder(name)
                    .with_repetition(Repetition::REQUIRED)
                    .with_converted_type(ConvertedType::LIST)
                    .with_logical_type(Some(LogicalType::List))
                    .with_fields(vec![Arc::new(list)])
                    .build()?
            }
        };
        Ok(Arc::new(made))
    }
}

fn leaf(name: &str, kind: Physical, repetition: Repetition) -> PrimitiveTypeBuilder<'_> {
    Type::primitive_type_builder(name, kind).with_repetition(repetition)
}

impl Values {
    fn write(&self, to: &mut SerializedColumnWriter<'_>) -> std::result::Result<(), ParquetError> {
        match self {
            Values::Floats(v) => to.typed::<FloatType>().write_batch(v, None, None).map(|_| ()),
            Values::Lists(width, v) => {
                // A repetition level of zero begins a row; the definition level says that an element exists.
                let starts: Vec<i16> = (0..v.len()).map(|i| i16::from(i % width != 0)).collect();
                let there = vec![1; v.len()];
                to.typed::<FloatType>().write_batch(v, Some(&there), Some(&starts)).map(|_| ())
            }
            Values::Ragged(lengths, v) => {
                let starts: Vec<i16> = lengths.iter().flat_map(|n| (0..*n).map(|i| i16::from(i > 0))).collect();
                let there = vec![1; v.len()];
                to.typed::<FloatType>().write_batch(v, Some(&there), Some(&starts)).map(|_| ())
            }
            Values::Bools(v) => optional::<BoolType, _>(to, v, |b| *b),
            Values::Ints(v) => optional::<Int64Type, _>(to, v, |i| *i),
            Values::Doubles(v) => optional::<DoubleType, _>(to, v, |d| *d),
            Values::Texts(v) => optional::<ByteArrayType, _>(to, v, |t| ByteArray::from(t.as_str())),
        }
    }
}

fn optional<T: DataType, V>(
    to: &mut SerializedColumnWriter<'_>,
    values: &[Option<V>],
    as_stored: impl Fn(&V) -> T::T,
) -> std::result::Result<(), ParquetError> {
    let there: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
    let held: Vec<T::T> = values.iter().flatten().map(as_stored).collect();
    to.typed::<T>().write_batch(&held, Some(&there), None).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::tensor::tensor;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::io::Write;

    fn rows(bytes: Vec<u8>) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        reader.get_row_iter(None).unwrap().map(|r| r.unwrap().to_string()).collect()
    }

    #[test]
    fn codes_stand_beside_the_images_they_belong_to() {
        let mut table = Table::new(["name", "label", "size"]);
        table.push(["a.png".into(), "é".into(), 3usize.into()]);
        table.push(["b.png".into(), Cell::Nothing, 4usize.into()]);
        let codes = tensor(vec![1f32, 2., 3., 4., 5., 6.], &[2, 3]).unwrap();
        let artifact =
            Artifact::new("codes").array("codes", codes).part(super::super::Part::Table(String::new(), table));
        let rows = rows(of_artifact(&artifact).unwrap());
        assert_eq!(rows[0], r#"{name: "a.png", label: "é", size: 3, codes: [1.0, 2.0, 3.0]}"#);
        assert_eq!(rows[1], r#"{name: "b.png", label: null, size: 4, codes: [4.0, 5.0, 6.0]}"#);
    }

    #[test]
    fn a_column_of_numbers_and_words_is_text_and_names_are_told_apart() {
        let mut table = Table::new(["x"]);
        table.push([1.5.into()]);
        table.push(["high".into()]);
        assert_eq!(rows(of_table(&table).unwrap()), [r#"{x: "1.5"}"#, r#"{x: "high"}"#]);
        let twice = Table::new(["x", "x"]);
        assert!(of_table(&twice).unwrap_err().to_string().contains("two columns are called `x`"));
    }
}
