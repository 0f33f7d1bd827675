//! Which row groups can hold rows that fulfil a filter, by the least and the greatest value and the number of nulls that the file
//! states of each (Parquet's `Statistics`).

use super::Parquet;
use super::cells::ParquetCell;
use crate::error::{Error, Result, did_you_mean};
use crate::table::filter::{Comparison, Condition, Filter, FilterValue, Literal, Test};
use crate::table::rows::PreparedFilter;
use parquet::basic::{LogicalType, Type as Physical};
use parquet::file::reader::FileReader;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use std::cmp::Ordering;

/// What is known of a column in a row group.
struct Known {
    /// A value that none is below, and one that none is above.
    bounds: Option<(FilterValue, FilterValue)>,
    /// Whether both are values that are there.
    exact: bool,
    nulls: Option<u64>,
    rows: u64,
}

impl Parquet {
    /// The filter with the names of classes as numbers where the column holds those, and the rows of the groups that can
    /// fulfil it.
    pub(super) fn by_statistics(&self, filter: &Filter) -> Result<PreparedFilter> {
        let meta = self.file.metadata();
        let schema = meta.file_metadata().schema_descr();
        let mut conditions = Vec::new();
        for condition in &filter.0 {
            let Some((_, column)) = self.filtered.iter().find(|(name, _)| *name == condition.column) else {
                return Err(Error::internal(format!("the filter's column `{}` is not open", condition.column)));
            };
            let about = schema.column(column.leaf);
            let is_label = self.label.as_ref().is_some_and(|label| label.leaf == column.leaf);
            let names = if self.columns.names.is_empty() { &self.names } else { &self.columns.names };
            let condition = condition.map(|literal| match literal {
                Literal::Text(name) if is_label && is_whole(&about) => number_of(name, names),
                other => Ok(other.clone()),
            })?;
            comparable(&condition, &about)?;
            conditions.push((condition, column));
        }
        let mut ranges = Vec::new();
        for (group, rows) in meta.row_groups().iter().zip(self.starts.windows(2)) {
            let can = conditions.iter().all(|(condition, column)| {
                let chunk = group.column(column.leaf);
                let stated = chunk.statistics();
                known(stated, rows[1] - rows[0], column.unsigned).is_none_or(|known| known.can_hold(condition))
            });
            if can {
                ranges.push(rows[0]..rows[1]);
            }
        }
        Ok((Filter(conditions.into_iter().map(|(condition, _)| condition).collect()), ranges))
    }
}

fn is_whole(column: &ColumnDescriptor) -> bool {
    matches!(column.physical_type(), Physical::INT32 | Physical::INT64)
}

/// The number of a class.
fn number_of(name: &str, names: &[String]) -> Result<Literal> {
    match names.iter().position(|n| n == name) {
        Some(i) => Ok(Literal::Int(i as i64)),
        None if names.is_empty() => {
            Err(Error::value(format!("the filter names the label '{name}', labels are numbers here"))
                .hint("compare with the number, or give the option `names`"))
        }
        None => {
            let error =
                Error::not_found(format!("the filter names the label '{name}', which is none of {}", names.len()));
            Err(match did_you_mean(name, names.iter().map(String::as_str)) {
                Some(close) => error.hint(close),
                None => error,
            })
        }
    }
}

/// # Errors
/// Where a column holds what a condition does not compare.
fn comparable(condition: &Condition, column: &ColumnDescriptor) -> Result<()> {
    let name = &condition.column;
    let holds = match (column.physical_type(), column.logical_type_ref()) {
        (_, Some(LogicalType::Date | LogicalType::Time { .. } | LogicalType::Timestamp { .. })) => "dates or times",
        (_, Some(LogicalType::Decimal { .. })) => "decimal numbers",
        (Physical::BOOLEAN, _) => "true or false",
        (Physical::INT32 | Physical::INT64, _) => "whole numbers",
        (Physical::FLOAT | Physical::DOUBLE, _) => "numbers",
        (Physical::BYTE_ARRAY, _) => "texts",
        (Physical::INT96 | Physical::FIXED_LEN_BYTE_ARRAY, _) => "bytes of fixed length",
    };
    let fits = |literal: &Literal| match literal {
        Literal::Bool(_) => holds == "true or false",
        Literal::Int(_) | Literal::Number(_) => holds.ends_with("numbers") && holds != "decimal numbers",
        Literal::Text(_) => holds == "texts",
    };
    match condition.literals().iter().find(|literal| !fits(literal)) {
        Some(literal) => Err(Error::value(format!("the filter compares `{name}` with {literal}, the column holds {holds}"))
            .hint("texts stand in single quotes; dates, times and decimal numbers are not compared: `data.filter(..)` takes any function")),
        None => Ok(()),
    }
}

fn known(stated: Option<&Statistics>, rows: usize, unsigned: bool) -> Option<Known> {
    let stated = stated?;
    let of_cell = |cell: ParquetCell| match cell {
        ParquetCell::Int(i) => Some(FilterValue::Int(i)),
        ParquetCell::Number(x) => Some(FilterValue::Number(x)),
        _ => None,
    };
    let pair = |a: Option<FilterValue>, b: Option<FilterValue>| a.zip(b);
    // Old files order texts and unsigned numbers by other rules than they are compared by.
    let trusted = !stated.is_min_max_deprecated();
    let signed = trusted || !unsigned;
    let number = |x: &f64| (!x.is_nan()).then_some(FilterValue::Number(*x));
    let single = |x: &f32| (!x.is_nan()).then_some(FilterValue::Single(*x));
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|t| FilterValue::Text(t.to_string()));
    let bounds = match stated {
        Statistics::Boolean(s) => {
            pair(s.min_opt().map(|b| FilterValue::Bool(*b)), s.max_opt().map(|b| FilterValue::Bool(*b)))
        }
        Statistics::Int32(s) if signed => {
            let one = |v: &i32| of_cell(ParquetCell::of_int(*v, unsigned));
            pair(s.min_opt().and_then(one), s.max_opt().and_then(one))
        }
        Statistics::Int64(s) if signed => {
            let one = |v: &i64| of_cell(ParquetCell::of_long(*v, unsigned));
            pair(s.min_opt().and_then(one), s.max_opt().and_then(one))
        }
        Statistics::Float(s) => pair(s.min_opt().and_then(single), s.max_opt().and_then(single)),
        Statistics::Double(s) => pair(s.min_opt().and_then(number), s.max_opt().and_then(number)),
        Statistics::ByteArray(s) if trusted => {
            pair(s.min_opt().and_then(|b| text(b.data())), s.max_opt().and_then(|b| text(b.data())))
        }
        _ => None,
    };
    // NaN is in no statistics, so that of numbers the least and the greatest are not all that is there.
    let exact = stated.min_is_exact()
        && stated.max_is_exact()
        && !matches!(stated, Statistics::Float(_) | Statistics::Double(_));
    Some(Known { bounds, exact, nulls: stated.null_count_opt(), rows: rows as u64 })
}

impl Known {
    /// Whether a row may fulfil a condition.
    fn can_hold(&self, condition: &Condition) -> bool {
        let only_nulls = self.nulls == Some(self.rows);
        match &condition.test {
            Test::Null => self.nulls != Some(0),
            Test::NotNull => !only_nulls,
            _ if only_nulls => false,
            Test::In(list) => list.iter().any(|literal| self.can_be(Comparison::Equal, literal)),
            // One value that is in the list, and no other.
            Test::NotIn(list) => list.iter().all(|literal| self.can_be(Comparison::Unequal, literal)),
            Test::Is(how, literal) => self.can_be(*how, literal),
        }
    }

    fn can_be(&self, how: Comparison, literal: &Literal) -> bool {
        let Some((least, greatest)) = &self.bounds else { return true };
        // What has no order, or is of another kind, is decided row by row.
        let (Some(Some(low)), Some(Some(high))) = (literal.order(least), literal.order(greatest)) else { return true };
        match how {
            Comparison::Equal => low != Ordering::Greater && high != Ordering::Less,
            Comparison::Unequal => !(self.exact && low == Ordering::Equal && high == Ordering::Equal),
            Comparison::Less => low == Ordering::Less,
            Comparison::AtMost => low != Ordering::Greater,
            Comparison::Greater => high == Ordering::Greater,
            Comparison::AtLeast => high != Ordering::Less,
        }
    }
}
