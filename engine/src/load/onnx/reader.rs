//! Translates a file node by node, with the value of each of the file's names so far.

use super::external::TensorFiles;
use super::integers::Integers;
use super::links::{self, Links};
use super::ops;
use super::scope::Scope;
use super::site::Site;
use super::suppression::Suppression;
use super::value::{self, Const, Dim, Ints, Value};
use crate::error::{Context, Error, Result};
use crate::limits::ONNX_FOLDED;
use rten_onnx::onnx::{DataType, TensorProto};
use std::collections::{BTreeMap, BTreeSet};

/// The bytes of a node's own results; an operator that only rearranges other values has none.
fn result_bytes(op: &str, values: &[Value]) -> u64 {
    let shows = ["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "CastLike", "Dropout"].contains(&op);
    let bytes = |value: &Value| match value {
        Value::Floats(_) if shows => 0,
        Value::Floats(c) => size_of::<f32>() * c.tensor.elem_count(),
        Value::Ints(v) => size_of::<Dim>() * v.values.len(),
        Value::Act(_) | Value::Absent => 0,
    };
    values.iter().map(|v| bytes(v) as u64).sum()
}

/// The graph so far and the values of the file's names.
pub struct Reader<'a> {
    pub(super) scope: Scope,
    pub(super) files: TensorFiles<'a>,
    pub(super) values: BTreeMap<&'a str, Value>,
    /// The initialisers of branches and loop bodies.
    pub(super) inner: BTreeMap<&'a str, &'a TensorProto>,
    /// The element types of constants.
    pub(super) kinds: BTreeMap<&'a str, DataType>,
    /// Which computed values are integers.
    pub(super) integers: Integers,
    /// The number of nodes of branches and loop bodies translated so far.
    pub(super) steps: usize,
    /// The bytes of those computed constants from which only constants were computed.
    pub(super) computed: BTreeMap<&'a str, u64>,
    /// The bytes of all constants computed so far.
    pub(super) folded: u64,
    /// The suppression, where it ends the graph before the file ends.
    pub(super) suppression: Option<Suppression>,
    /// The names of values behind that end.
    pub(super) behind: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    pub(super) fn node(
        &mut self,
        links: &Links<'a>,
        node: &'a rten_onnx::onnx::NodeProto,
        names: &[String],
        opset: i64,
    ) -> Result<()> {
        if self.is_behind(node) {
            self.end(node);
            return Ok(());
        }
        let inputs = node.input.iter().map(|name| self.value(links, name)).collect::<Result<Vec<Value>>>()?;
        let mut site = Site::new(node, opset, inputs, names.to_vec());
        site.integers = self.integers.among(&site.inputs);
        let domain = node.domain.as_deref().unwrap_or("");
        if site.op.contains("Q") || site.op.ends_with("Integer") || site.op.ends_with("izeLinear") {
            let kind = |name: &String| {
                let held = links.initialisers.get(name.as_str()).or(self.inner.get(name.as_str()));
                held.and_then(|t| t.data_type).or(self.kinds.get(name.as_str()).copied())
            };
            site.ranges = node.input.iter().map(|name| kind(name).and_then(value::range)).collect();
        }
        if site.op == "NonMaxSuppression" && matches!(domain, "" | "ai.onnx") {
            return self.suppress(&site, node);
        }
        let values = if ops::is_constant(site.op, domain) {
            if let (Some(kind), Some(name)) = (site.tensor("value")?.and_then(|t| t.data_type), node.output.first()) {
                self.kinds.insert(name, kind);
            }
            vec![self.constant(&site)?]
        } else if matches!(site.op, "If" | "Loop") && matches!(domain, "" | "ai.onnx") {
            self.control_flow(links, &site, opset)?
        } else {
            if site.op == "ConstantOfShape"
                && let Some(tensor) = site.tensor("value")?
            {
                site.inputs.push(value::decode(&site.name, tensor, &mut self.files)?);
            }
            ops::translate(&mut self.scope, &mut site, domain)?
        };
        self.integers.note(&site, &values)?;
        let bytes = result_bytes(site.op, &values);
        self.folded = self.folded.saturating_add(bytes);
        ONNX_FOLDED.check(self.folded)?;
        // An operator that only shows a constant in another form keeps its memory alive.
        if bytes == 0 || values.iter().any(|v| matches!(v, Value::Act(_))) {
            for name in &node.input {
                self.computed.remove(name.as_str());
            }
        } else if let [name] = &node.output[..] {
            self.computed.insert(name, bytes);
        }
        for (name, value) in node.output.iter().zip(values) {
            if let Value::Act(x) = value {
                self.scope.builder.alias(name, x.id);
            }
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Drops the constants whose last reader is `node` and from which only constants were computed.
    pub(super) fn drop_constants(&mut self, node: &'a rten_onnx::onnx::NodeProto, readers: &mut BTreeMap<&str, usize>) {
        for name in links::reads(node) {
            let Some(left) = readers.get_mut(name) else { continue };
            *left -= 1;
            if *left == 0
                && let Some(bytes) = self.computed.remove(name)
            {
                self.values.remove(name);
                self.folded = self.folded.saturating_sub(bytes);
            }
        }
    }

    /// The value of a node's input; initialisers are decoded at their first use.
    pub(super) fn value(&mut self, links: &Links<'a>, name: &'a str) -> Result<Value> {
        if name.is_empty() {
            return Ok(Value::Absent);
        }
        if !self.values.contains_key(name) {
            let tensor = links.initialisers.get(name).or(self.inner.get(name)).ok_or_else(|| {
                Error::unsupported(format!("it takes `{name}`, an output that its node does not have here"))
                    .hint("second outputs of pools, dropouts and normalisations are not supported")
            })?;
            let value = value::decode(name, tensor, &mut self.files).context(|| format!("weight `{name}`"))?;
            self.values.insert(name, value);
        }
        Ok(self.values.get(name).cloned().unwrap_or(Value::Absent))
    }

    fn constant(&mut self, site: &Site<'_>) -> Result<Value> {
        if let Some(tensor) = site.tensor("value")? {
            return value::decode(&site.name, tensor, &mut self.files);
        }
        let floats = |values: Vec<f64>, dims: &[usize]| -> Result<Value> {
            let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
            let tensor = candle_core::Tensor::from_vec(values, dims, &candle_core::Device::Cpu)?;
            Ok(Value::Floats(Const { name: site.name.clone(), tensor }))
        };
        if let Some(v) = site.float("value_float")? {
            return floats(vec![v], &[]);
        }
        if let Some(list) = site.float_list("value_floats")? {
            let n = list.len();
            return floats(list, &[n]);
        }
        if let Some(v) = site.int("value_int")? {
            return Ok(Value::Ints(Ints { dims: Vec::new(), values: vec![Dim::Known(v)] }));
        }
        if let Some(list) = site.int_list("value_ints")? {
            return Ok(Value::Ints(Ints::list(list.into_iter().map(Dim::Known).collect())));
        }
        Err(Error::unsupported("a constant that is neither a tensor nor numbers"))
    }
}
