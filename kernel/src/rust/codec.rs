//! Conversions between a session's values and those of Rust cells.

use super::kinds::{Image, Table, Tensor};
use super::value::Value;
use convscope_dsl::Foreign;
use convscope_engine::tensor::{tensor, to_f32};
use convscope_engine::{Error, Result, show};

/// Converts a script's value for Rust.
///
/// # Errors
/// Where a tensor cannot be read.
pub fn to_rust(value: Foreign) -> Result<Value> {
    Ok(match value {
        Foreign::Nothing => Value::Nothing,
        Foreign::Bool(b) => Value::Bool(b),
        Foreign::Int(i) => Value::Int(i),
        Foreign::Float(f) => Value::Float(f),
        Foreign::Text(t) => Value::Text(t),
        Foreign::List(list) => Value::List(list.into_iter().map(to_rust).collect::<Result<_>>()?),
        Foreign::Map(entries) => {
            let entries = entries.into_iter().map(|(name, v)| Ok((name, to_rust(v)?)));
            Value::Map(entries.collect::<Result<_>>()?)
        }
        Foreign::Tensor(t) => {
            let values = to_f32(&t)?;
            Value::Tensor(Tensor { shape: t.dims().to_vec(), values })
        }
        Foreign::Image(i) => Value::Image(Image { width: i.width(), height: i.height(), pixels: i.pixels().to_vec() }),
        Foreign::Table(t) => {
            let row = |cells: &Vec<show::Cell>| cells.iter().map(|c| to_rust(Foreign::of_cell(c))).collect();
            Value::Table(Table {
                columns: t.columns().to_vec(),
                rows: t.rows().iter().map(row).collect::<Result<_>>()?,
            })
        }
    })
}

/// Converts Rust's value for a script.
///
/// # Errors
/// Where a tensor's or an image's values do not fit its size.
pub fn from_rust(value: Value) -> Result<Foreign> {
    Ok(match value {
        Value::Nothing => Foreign::Nothing,
        Value::Bool(b) => Foreign::Bool(b),
        Value::Int(i) => Foreign::Int(i),
        Value::Float(f) => Foreign::Float(f),
        Value::Text(t) => Foreign::Text(t),
        Value::List(list) => Foreign::List(list.into_iter().map(from_rust).collect::<Result<_>>()?),
        Value::Map(entries) => {
            let entries = entries.into_iter().map(|(name, v)| Ok((name, from_rust(v)?)));
            Foreign::Map(entries.collect::<Result<_>>()?)
        }
        Value::Tensor(t) => {
            if t.shape.iter().product::<usize>() != t.values.len() {
                let message = format!("a tensor of shape {:?} cannot have {} values", t.shape, t.values.len());
                return Err(Error::shape(message));
            }
            Foreign::Tensor(tensor(t.values, &t.shape)?)
        }
        Value::Image(i) => Foreign::Image(convscope_engine::data::Image::new(i.width, i.height, i.pixels)?),
        Value::Table(t) => {
            let mut table = show::Table::new(t.columns);
            for row in t.rows {
                let cells = row.into_iter().map(|v| from_rust(v).map(Foreign::cell));
                table.push(cells.collect::<Result<Vec<_>>>()?);
            }
            Foreign::Table(table)
        }
    })
}

/// The Rust type of an imported value.
pub fn rust_type(value: &Value) -> &'static str {
    match value {
        Value::Nothing | Value::Map(_) => "bridge::Value",
        Value::Bool(_) => "bool",
        Value::Int(_) => "i64",
        Value::Float(_) => "f64",
        Value::Text(_) => "String",
        Value::Tensor(_) => "bridge::Tensor",
        Value::Image(_) => "bridge::Image",
        Value::Table(_) => "bridge::Table",
        Value::List(list) => {
            let all = |fits: fn(&Value) -> bool| !list.is_empty() && list.iter().all(fits);
            match () {
                () if all(|v| matches!(v, Value::Int(_))) => "Vec<i64>",
                () if all(|v| matches!(v, Value::Int(_) | Value::Float(_))) => "Vec<f64>",
                () if all(|v| matches!(v, Value::Text(_))) => "Vec<String>",
                () if all(|v| matches!(v, Value::Tensor(_))) => "Vec<bridge::Tensor>",
                () if all(|v| matches!(v, Value::Image(_))) => "Vec<bridge::Image>",
                () => "Vec<bridge::Value>",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all() -> Value {
        let mut table = Table::new(["a", "b"]);
        table.push([Value::Int(1), Value::Text("é".into())]);
        table.push([Value::Float(0.1)]);
        let entries = vec![("k".into(), Value::Nothing), ("l".into(), Value::Bool(true))];
        Value::List(vec![
            Value::Tensor(Tensor::new([2, 3], [f32::MIN_POSITIVE, -0.0, 1.5, f32::INFINITY, 1e-40, 3.0])),
            Value::Tensor(Tensor::zeros([])),
            Value::Tensor(Tensor::zeros([0, 4])),
            Value::Image(Image::new(2, 1, [1, 2, 3, 4, 5, 6])),
            Value::Table(table),
            Value::Map(entries),
            Value::Int(i64::MIN),
            Value::Float(0.1 + 0.2),
            Value::Text(String::new()),
            Value::List(vec![]),
        ])
    }

    #[test]
    fn values_come_back_bit_for_bit() {
        let there = Value::read(&all().bytes()).unwrap();
        assert_eq!(there, all());
        let back = to_rust(from_rust(there).unwrap()).unwrap();
        assert_eq!(back.bytes(), all().bytes());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = all().bytes();
        for end in 0..bytes.len() {
            assert!(Value::read(&bytes[..end]).is_err(), "{end} bytes");
        }
        assert!(Value::read(&[bytes, vec![0]].concat()).is_err());
        assert!(Value::read(b"L\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        let wrong = Tensor { shape: vec![2], values: vec![1.0] };
        assert!(from_rust(Value::Tensor(wrong)).is_err());
    }

    #[test]
    fn types_follow_values() {
        let list = |values: Vec<Value>| rust_type(&Value::List(values));
        assert_eq!(list(vec![Value::Int(1), Value::Float(2.0)]), "Vec<f64>");
        assert_eq!(list(vec![Value::Int(1)]), "Vec<i64>");
        assert_eq!(list(vec![Value::Int(1), Value::Text("a".into())]), "Vec<bridge::Value>");
        assert_eq!(list(vec![]), "Vec<bridge::Value>");
    }
}
