//! An ONNX node to be translated: its inputs, its attributes with checked types, its names.

use super::value::{Const, Ints, Value};
use crate::error::{Error, Result};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

/// A node to translate.
#[derive(Clone)]
pub(super) struct Site<'a> {
    /// The name of its value in the graph.
    pub name: String,
    /// Its operator.
    pub op: &'a str,
    /// The opset of the file.
    pub opset: i64,
    /// Its inputs; trailing omitted ones are missing.
    pub inputs: Vec<Value>,
    /// The names of its outputs; the first is `name`.
    pub outputs: Vec<String>,
    /// The range of the integer type of each input, for quantised operators.
    pub ranges: Vec<Option<[f64; 2]>>,
    /// For each input, whether it has an integer type in the file.
    pub integers: Vec<bool>,
    proto: &'a NodeProto,
}

impl<'a> Site<'a> {
    /// The node `proto` with the values of its inputs and the names of its outputs.
    pub fn new(proto: &'a NodeProto, opset: i64, inputs: Vec<Value>, outputs: Vec<String>) -> Self {
        let name = outputs.first().cloned().unwrap_or_default();
        let op = proto.op_type.as_deref().unwrap_or("");
        Site { name, op, opset, inputs, outputs, ranges: Vec::new(), integers: Vec::new(), proto }
    }

    /// The node under another name, for a step of its translation.
    pub fn renamed(&self, name: &str) -> Self {
        Site { name: name.to_string(), outputs: vec![name.to_string()], ..self.clone() }
    }

    /// The node as another operator with another name and other inputs.
    pub fn acting(&self, op: &'static str, name: &str, inputs: Vec<Value>) -> Self {
        Site { op, inputs, ..self.renamed(name) }
    }

    /// The node with other inputs.
    pub fn with(&self, inputs: Vec<Value>) -> Self {
        Site { inputs, ..self.clone() }
    }

    /// The number of outputs that the file names.
    pub fn named_outputs(&self) -> usize {
        self.proto.output.iter().filter(|name| !name.is_empty()).count()
    }

    /// Input `i`; `Absent` where it is omitted.
    pub fn input(&self, i: usize) -> &Value {
        self.inputs.get(i).unwrap_or(&Value::Absent)
    }

    /// The range of the integer type of input `i`, or of the node's output type.
    pub fn range(&self, i: usize) -> Option<[f64; 2]> {
        if !self.has(i) {
            let said = self.int("output_dtype").ok().flatten().and_then(|v| i32::try_from(v).ok());
            return said.and_then(|kind| super::value::range(DataType(kind)));
        }
        self.ranges.get(i).copied().flatten()
    }

    /// Whether input `i` is given.
    pub fn has(&self, i: usize) -> bool {
        !matches!(self.input(i), Value::Absent)
    }

    /// Input `i` as known integers.
    ///
    /// # Errors
    /// Where it is missing or not known while reading.
    pub fn ints(&self, i: usize) -> Result<&Ints> {
        match self.input(i) {
            Value::Ints(v) => Ok(v),
            other => Err(self.wants(i, "integers known while reading", other)),
        }
    }

    /// Input `i` as a real constant.
    ///
    /// # Errors
    /// Where it is missing or depends on the net's input.
    pub fn floats(&self, i: usize) -> Result<&Const> {
        match self.input(i) {
            Value::Floats(v) => Ok(v),
            other => Err(self.wants(i, "a constant", other)),
        }
    }

    /// Input `i` as a constant number; `None` where it is omitted.
    ///
    /// # Errors
    /// Where it depends on the net's input or has several entries.
    pub fn scalar(&self, i: usize) -> Result<Option<f64>> {
        let values = match self.input(i) {
            Value::Absent => return Ok(None),
            Value::Floats(c) => crate::tensor::to_f64(&c.tensor)?,
            Value::Ints(v) => v.known()?.into_iter().map(|v| v as f64).collect(),
            other => return Err(self.wants(i, "one constant number", other)),
        };
        match values[..] {
            [one] => Ok(Some(one)),
            _ => Err(Error::unsupported(format!("input {i} holds {} numbers, one is supported", values.len()))),
        }
    }

    /// The error that input `i` should be `what`.
    pub fn wants(&self, i: usize, what: &str, got: &Value) -> Error {
        let name = self.proto.input.get(i).map(String::as_str).unwrap_or_default();
        let got = match got {
            Value::Absent => return Error::format(format!("input {i} is missing; it takes {what}")),
            Value::Act(_) => "computed from the net's input",
            Value::Floats(_) => "real numbers",
            Value::Ints(_) => "integers",
        };
        Error::unsupported(format!("input {i}, `{name}`, is {got}; supported is {what}"))
    }

    /// An integer attribute.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        self.typed(name, AttributeType::INT, "an integer", |a| a.i)
    }

    /// A real attribute.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn float(&self, name: &str) -> Result<Option<f64>> {
        self.typed(name, AttributeType::FLOAT, "a real number", |a| a.f).map(|v| v.map(decimal))
    }

    /// A text attribute.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        self.typed(name, AttributeType::STRING, "text", |a| a.s.clone())
    }

    /// An integer-list attribute.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn int_list(&self, name: &str) -> Result<Option<Vec<i64>>> {
        self.typed(name, AttributeType::INTS, "a list of integers", |a| Some(a.ints.clone()))
    }

    /// A graph attribute: a branch or a loop body.
    ///
    /// # Errors
    /// Where it is missing or of another type.
    pub fn graph(&self, name: &str) -> Result<&'a GraphProto> {
        match self.find(name) {
            Some(AttributeProto { g: Some(g), .. }) => Ok(g),
            Some(_) => Err(Error::format(format!("attribute `{name}` should be a graph"))),
            None => Err(Error::format(format!("attribute `{name}` is missing"))),
        }
    }

    /// A real-list attribute.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn float_list(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let list = |a: &AttributeProto| Some(a.floats.iter().map(|v| f64::from(*v)).collect());
        self.typed(name, AttributeType::FLOATS, "a list of real numbers", list)
    }

    /// A text-list attribute.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn text_list(&self, name: &str) -> Result<Option<Vec<String>>> {
        self.typed(name, AttributeType::STRINGS, "a list of texts", |a| Some(a.strings.clone()))
    }

    /// A tensor attribute.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>> {
        match self.find(name) {
            None => Ok(None),
            Some(AttributeProto { t: Some(t), .. }) => Ok(Some(t)),
            Some(_) => Err(Error::format(format!("attribute `{name}` should be a tensor"))),
        }
    }

    /// An error unless attribute `name` has `default`, the only supported value.
    pub fn only(&self, name: &str, default: i64) -> Result<()> {
        match self.int(name)? {
            Some(v) if v != default => {
                Err(Error::unsupported(format!("attribute `{name}` = {v}, supported is {default}")))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }

    fn typed<T: Default>(
        &self,
        name: &str,
        kind: AttributeType,
        what: &str,
        get: impl Fn(&AttributeProto) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(a) = self.find(name) else { return Ok(None) };
        let said = a.r#type.filter(|t| *t != AttributeType::UNDEFINED);
        match (said.is_none_or(|t| t == kind), get(a)) {
            (true, Some(v)) => Ok(Some(v)),
            // Writers may omit a zero or an empty text.
            (true, None) if said.is_some() => Ok(Some(T::default())),
            _ => Err(Error::format(format!("attribute `{name}` should be {what}"))),
        }
    }
}

/// An f32 as the decimal number that its writer meant: 0.1 for 0.10000000149.
fn decimal(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}
