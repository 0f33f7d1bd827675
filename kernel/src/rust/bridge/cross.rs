//! The Rust types that can be exchanged with rhai, and their conversions.

use super::kinds::{Image, Table, Tensor};
use super::value::Value;

/// A type to which rhai's values convert.
#[diagnostic::on_unimplemented(
    message = "no value of rhai can be taken as `{Self}`",
    note = "bool, whole numbers, f32, f64, String, Vec, Option, bridge::Tensor, bridge::Image, bridge::Table and bridge::Value can"
)]
pub trait Import: Sized {
    /// Converts the value.
    ///
    /// # Errors
    /// Where the value is of another kind or out of range.
    fn import(value: Value) -> Result<Self, String>;
}

/// A type that converts to rhai's values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given to rhai",
    note = "bool, whole numbers, f32, f64, String, &str, Vec, Option, bridge::Tensor, bridge::Image, bridge::Table and bridge::Value can"
)]
pub trait Export {
    /// Converts to a value.
    fn export(&self) -> Value;
}

/// What a function that rhai calls may return: a type that converts to rhai's values, or a `Result` of one.
#[diagnostic::on_unimplemented(message = "`{Self}` cannot be given to rhai")]
pub trait Return {
    /// The value, or the error's text.
    ///
    /// # Errors
    /// Where the function returned an error.
    fn outcome(self) -> Result<Value, String>;
}

impl<T: Export> Return for T {
    fn outcome(self) -> Result<Value, String> {
        Ok(self.export())
    }
}

impl<T: Export, E: std::fmt::Display> Return for Result<T, E> {
    fn outcome(self) -> Result<Value, String> {
        self.map(|value| value.export()).map_err(|error| error.to_string())
    }
}

fn wrong<T>(wanted: &str, value: &Value) -> Result<T, String> {
    Err(format!("expected {wanted}, got {}", value.kind()))
}

macro_rules! as_it_is {
    ($($type:ty, $kind:ident, $wanted:literal;)*) => {$(
        impl Import for $type {
            fn import(value: Value) -> Result<Self, String> {
                match value {
                    Value::$kind(v) => Ok(v),
                    other => wrong($wanted, &other),
                }
            }
        }
        impl Export for $type {
            fn export(&self) -> Value {
                Value::$kind(self.clone())
            }
        }
    )*};
}

as_it_is! {
    bool, Bool, "true or false";
    String, Text, "a text";
    Tensor, Tensor, "a tensor";
    Image, Image, "an image";
    Table, Table, "a table";
}

macro_rules! whole_numbers {
    ($($type:ty)*) => {$(
        impl Import for $type {
            fn import(value: Value) -> Result<Self, String> {
                let whole = match value {
                    Value::Int(i) => i,
                    Value::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => f as i64,
                    other => return wrong("a whole number", &other),
                };
                whole.try_into().map_err(|_| format!("{whole} is out of range for {}", stringify!($type)))
            }
        }
        impl Export for $type {
            fn export(&self) -> Value {
                i64::try_from(*self).map_or(Value::Float(*self as f64), Value::Int)
            }
        }
    )*};
}

whole_numbers! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Import for $type {
            fn import(value: Value) -> Result<Self, String> {
                match value {
                    Value::Int(i) => Ok(i as $type),
                    Value::Float(f) => Ok(f as $type),
                    other => wrong("a number", &other),
                }
            }
        }
        impl Export for $type {
            fn export(&self) -> Value {
                Value::Float(f64::from(*self))
            }
        }
    )*};
}

numbers! { f32 f64 }

impl Import for Value {
    fn import(value: Value) -> Result<Self, String> {
        Ok(value)
    }
}

impl Export for Value {
    fn export(&self) -> Value {
        self.clone()
    }
}

impl Export for () {
    fn export(&self) -> Value {
        Value::Nothing
    }
}

impl Export for str {
    fn export(&self) -> Value {
        Value::Text(self.into())
    }
}

impl<T: Export + ?Sized> Export for &T {
    fn export(&self) -> Value {
        (**self).export()
    }
}

/// From a list, or from a tensor of one axis.
impl<T: Import> Import for Vec<T> {
    fn import(value: Value) -> Result<Self, String> {
        match value {
            Value::List(list) => list.into_iter().map(T::import).collect(),
            Value::Tensor(t) if t.shape.len() == 1 => {
                t.values.into_iter().map(|v| T::import(Value::Float(v.into()))).collect()
            }
            other => wrong("a list", &other),
        }
    }
}

impl<T: Export> Export for Vec<T> {
    fn export(&self) -> Value {
        self.as_slice().export()
    }
}

impl<T: Export> Export for [T] {
    fn export(&self) -> Value {
        Value::List(self.iter().map(Export::export).collect())
    }
}

impl<T: Export, const N: usize> Export for [T; N] {
    fn export(&self) -> Value {
        self.as_slice().export()
    }
}

impl<T: Import> Import for Option<T> {
    fn import(value: Value) -> Result<Self, String> {
        match value {
            Value::Nothing => Ok(None),
            other => T::import(other).map(Some),
        }
    }
}

impl<T: Export> Export for Option<T> {
    fn export(&self) -> Value {
        self.as_ref().map_or(Value::Nothing, Export::export)
    }
}
