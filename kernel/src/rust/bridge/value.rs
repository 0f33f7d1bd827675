//! The exchanged values and their byte format: a letter for the kind, then numbers of 8 bytes (4 for the f32 of tensors), little
//! endian; texts and lists follow their lengths.

use super::kinds::{Image, Table, Tensor};

/// A value of a script.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing: `()` in rhai.
    #[default]
    Nothing,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map, in the order of its names.
    Map(Vec<(String, Value)>),
    /// A tensor.
    Tensor(Tensor),
    /// An image.
    Image(Image),
    /// A table.
    Table(Table),
}

impl Value {
    /// The kind of the value in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Tensor(_) => "a tensor",
            Value::Image(_) => "an image",
            Value::Table(_) => "a table",
        }
    }

    /// The value as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write(self, &mut out);
        out
    }

    /// Reads a value from its bytes.
    ///
    /// # Errors
    /// Where the bytes are damaged.
    pub fn read(bytes: &[u8]) -> Result<Value, String> {
        let mut reader = Reader(bytes);
        let value = reader.value()?;
        match reader.0.is_empty() {
            true => Ok(value),
            false => Err(DAMAGED.into()),
        }
    }
}

const DAMAGED: &str = "a value was damaged on its way";

fn size(n: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(n as u64).to_le_bytes());
}

fn text(t: &str, out: &mut Vec<u8>) {
    size(t.len(), out);
    out.extend_from_slice(t.as_bytes());
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Nothing => out.push(b'N'),
        Value::Bool(b) => out.extend_from_slice(&[b'B', u8::from(*b)]),
        Value::Int(i) => {
            out.push(b'I');
            out.extend_from_slice(&i.to_le_bytes());
        }
        Value::Float(f) => {
            out.push(b'F');
            out.extend_from_slice(&f.to_le_bytes());
        }
        Value::Text(t) => {
            out.push(b'T');
            text(t, out);
        }
        Value::List(list) => {
            out.push(b'L');
            size(list.len(), out);
            list.iter().for_each(|v| write(v, out));
        }
        Value::Map(entries) => {
            out.push(b'M');
            size(entries.len(), out);
            for (name, v) in entries {
                text(name, out);
                write(v, out);
            }
        }
        Value::Tensor(t) => {
            out.push(b'X');
            size(t.shape.len(), out);
            t.shape.iter().for_each(|d| size(*d, out));
            size(t.values.len(), out);
            t.values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
        Value::Image(i) => {
            out.push(b'P');
            size(i.width, out);
            size(i.height, out);
            size(i.pixels.len(), out);
            out.extend_from_slice(&i.pixels);
        }
        Value::Table(t) => {
            out.push(b'D');
            size(t.columns.len(), out);
            t.columns.iter().for_each(|c| text(c, out));
            size(t.rows.len(), out);
            t.rows.iter().flatten().for_each(|v| write(v, out));
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], String> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8], String> {
        self.take(8)?.try_into().map_err(|_| DAMAGED.into())
    }

    /// A count of entries that take at least `each` bytes.
    fn count(&mut self, each: usize) -> Result<usize, String> {
        let n = usize::try_from(u64::from_le_bytes(self.eight()?)).map_err(|_| DAMAGED)?;
        match n.checked_mul(each).is_some_and(|bytes| bytes <= self.0.len()) {
            true => Ok(n),
            false => Err(DAMAGED.into()),
        }
    }

    fn size(&mut self) -> Result<usize, String> {
        usize::try_from(u64::from_le_bytes(self.eight()?)).map_err(|_| DAMAGED.into())
    }

    fn text(&mut self) -> Result<String, String> {
        let n = self.count(1)?;
        String::from_utf8(self.take(n)?.to_vec()).map_err(|_| DAMAGED.into())
    }

    fn value(&mut self) -> Result<Value, String> {
        Ok(match self.take(1)? {
            b"N" => Value::Nothing,
            b"B" => Value::Bool(self.take(1)? == [1]),
            b"I" => Value::Int(i64::from_le_bytes(self.eight()?)),
            b"F" => Value::Float(f64::from_le_bytes(self.eight()?)),
            b"T" => Value::Text(self.text()?),
            b"L" => Value::List((0..self.count(1)?).map(|_| self.value()).collect::<Result<_, _>>()?),
            b"M" => Value::Map(
                (0..self.count(9)?).map(|_| Ok((self.text()?, self.value()?))).collect::<Result<_, String>>()?,
            ),
            b"X" => {
                let shape = (0..self.count(8)?).map(|_| self.size()).collect::<Result<Vec<_>, _>>()?;
                let n = self.count(4)?;
                let values = self.take(4 * n)?.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                Value::Tensor(Tensor { shape, values: values.collect() })
            }
            b"P" => {
                let (width, height, n) = (self.size()?, self.size()?, self.count(1)?);
                Value::Image(Image { width, height, pixels: self.take(n)?.to_vec() })
            }
            b"D" => {
                let columns = (0..self.count(8)?).map(|_| self.text()).collect::<Result<Vec<_>, _>>()?;
                let row = |this: &mut Self| columns.iter().map(|_| this.value()).collect::<Result<Vec<_>, _>>();
                let rows = (0..self.count(columns.len())?).map(|_| row(self)).collect::<Result<_, _>>()?;
                Value::Table(Table { columns, rows })
            }
            _ => return Err(DAMAGED.into()),
        })
    }
}
