//! A value as scripts hold it, which options are read from.

use crate::data::files::Dataset;
use crate::data::image::Image;
use crate::model::Model;
use crate::subject::Subject;
use candle_core::Tensor;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A probe as an option's value, of which options use only the settings; [`ProbeArg`](crate::probe::ProbeArg) implements it.
pub trait AnyProbe: Any + fmt::Debug + Send + Sync {
    /// Name and settings, as recorded with artifacts.
    fn settings(&self) -> serde_json::Value;
}

/// A value as scripts hold it.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing (`()`).
    Nothing,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(BTreeMap<String, Value>),
    /// An image.
    Image(Image),
    /// A tensor.
    Tensor(Tensor),
    /// A data set.
    Data(Dataset),
    /// A net.
    Model(Model),
    /// A subject: the part of a net that is asked about.
    Subject(Subject),
    /// A probe.
    Probe(Arc<dyn AnyProbe>),
}

impl Value {
    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Image(_) => "an image",
            Value::Tensor(_) => "a tensor",
            Value::Data(_) => "a data set",
            Value::Model(_) => "a net",
            Value::Subject(_) => "a subject",
            Value::Probe(_) => "a probe",
        }
    }

    /// The value as JSON, as recorded with artifacts; large values by their size or name.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::json;
        match self {
            Value::Nothing => json!(null),
            Value::Bool(b) => json!(b),
            Value::Int(i) => json!(i),
            Value::Float(f) => json!(f),
            Value::Text(s) => json!(s),
            Value::List(l) => l.iter().map(Value::json).collect(),
            Value::Map(m) => m.iter().map(|(k, v)| (k.clone(), v.json())).collect::<serde_json::Map<_, _>>().into(),
            Value::Image(i) => json!(format!("image {} x {}", i.width(), i.height())),
            Value::Tensor(t) => json!(format!("tensor {:?}", t.dims())),
            Value::Data(d) => json!(format!("data set of {}", d.len())),
            Value::Model(m) => json!(m.card().name),
            Value::Subject(s) => json!(s.to_string()),
            Value::Probe(p) => p.settings(),
        }
    }
}
