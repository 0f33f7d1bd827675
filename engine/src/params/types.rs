//! The types that options have: numbers, texts, images, lists, layers.

use super::{Form, Param, Value, wrong_kind};
use crate::data::Orientation;
use crate::data::files::Dataset;
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::subject::Subject;
use candle_core::Tensor;

macro_rules! plain {
    ($t:ty, $words:literal, $($pattern:pat $(if $guard:expr)? => $read:expr),+; $self:ident => $write:expr) => {
        impl Param for $t {
            fn form() -> Form {
                Form::words($words)
            }
            fn read(value: &Value) -> Result<Self> {
                match value {
                    $($pattern $(if $guard)? => Ok($read),)+
                    other => Err(wrong_kind::<Self>(other)),
                }
            }
            fn write(&self) -> Value {
                let $self = self;
                $write
            }
        }
    };
}

plain!(bool, "true or false", Value::Bool(b) => *b; s => Value::Bool(*s));
plain!(i64, "a whole number", Value::Int(i) => *i; s => Value::Int(*s));
plain!(u64, "a whole number from 0", Value::Int(i) if *i >= 0 => *i as u64; s => Value::Int(*s as i64));
plain!(usize, "a whole number from 0", Value::Int(i) if *i >= 0 => *i as usize; s => Value::Int(*s as i64));
plain!(f64, "a number", Value::Float(f) => *f, Value::Int(i) => *i as f64; s => Value::Float(*s));
plain!(String, "a text", Value::Text(t) => t.clone(); s => Value::Text(s.clone()));
plain!(Image, "an image", Value::Image(i) => i.clone(); s => Value::Image(s.clone()));
plain!(Tensor, "a tensor", Value::Tensor(t) => t.clone(); s => Value::Tensor(s.clone()));

impl Param for Dataset {
    fn form() -> Form {
        Form::words("a data set or a list of images")
    }
    fn read(value: &Value) -> Result<Self> {
        let image = |v: &Value| if let Value::Image(image) = v { Some(image.clone()) } else { None };
        match value {
            Value::Data(data) => Ok(data.clone()),
            Value::List(list) if !list.is_empty() => match list.iter().map(image).collect::<Option<Vec<_>>>() {
                Some(images) => Ok(Dataset::from_images("images", images)),
                None => Err(wrong_kind::<Self>(value)),
            },
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::Data(self.clone())
    }
}

impl<T: Param> Param for Option<T> {
    const FILE: bool = T::FILE;

    fn form() -> Form {
        T::form()
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Nothing => Ok(None),
            other => T::read(other).map(Some),
        }
    }
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Nothing, T::write)
    }
}

impl<T: Param> Param for Vec<T> {
    const POSITIONAL: bool = T::POSITIONAL;

    fn form() -> Form {
        Form::words(&format!("a list, each {}", T::form().words))
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::List(items) => items.iter().map(T::read).collect(),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::List(self.iter().map(T::write).collect())
    }
}

/// A layer named by an option: by its name or as a layer value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerName(pub String);

impl Param for LayerName {
    fn form() -> Form {
        Form::words("a layer or its name")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(name) => Ok(LayerName(name.clone())),
            Value::Subject(Subject::Layer { model, node }) => Ok(LayerName(model.graph().node(*node).name.clone())),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::Text(self.0.clone())
    }
}

impl Param for Orientation {
    fn form() -> Form {
        Form::words("three letters of R or L, A or P, S or I, such as \"RAS\"")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(text) => Orientation::parse(text).ok_or_else(|| {
                Error::value(format!("takes {}, got {text:?}", Self::form().words))
                    .hint("each axis of the body is named once: R or L, A or P, S or I")
            }),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }
}
