//! Constant folding: real numbers are computed by the engine's kernels. Integers are moved by the operators' own translations,
//! applied to an array of indices that the integers then follow.

use super::operator::Translate;
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Dim, Ints, Value};
use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::pass::apply::apply;
use candle_core::{DType, Device, Tensor};

/// Converts integers and truth values that were computed as real numbers back to integers.
///
/// # Errors
/// Where they are no real numbers.
pub fn whole(values: Vec<Value>) -> Result<Vec<Value>> {
    let whole = |value| match value {
        Value::Floats(c) => {
            let values = crate::tensor::to_f32(&c.tensor)?.into_iter().map(|v| Dim::Known(v as i64));
            Ok(Value::Ints(Ints { dims: c.tensor.dims().to_vec(), values: values.collect() }))
        }
        other => Ok(other),
    };
    values.into_iter().map(whole).collect()
}

/// The outputs of a node with constant inputs.
///
/// # Errors
/// As for the operator.
pub fn floats(site: &Site<'_>, translate: Translate) -> Result<Vec<Value>> {
    let mut scratch = Scope::of_constants();
    let outputs = translate(&mut scratch, site)?;
    let mut known: Vec<Option<Tensor>> = Vec::new();
    outputs
        .into_iter()
        .zip(&site.outputs)
        .map(|(value, name)| match value {
            Value::Act(Act { id, lead }) => {
                let value = evaluate(&scratch, id, &mut known)?;
                let tensor = if lead == 1 { value } else { value.squeeze(0)? };
                Ok(Value::Floats(Const { name: name.clone(), tensor }))
            }
            constant => Ok(constant),
        })
        .collect()
}

/// The value of a node that depends on constants only, with a batch of one.
fn evaluate(scratch: &Scope, id: NodeId, known: &mut Vec<Option<Tensor>>) -> Result<Tensor> {
    for i in known.len()..=id.0 {
        let node = scratch.builder.node(NodeId(i));
        let inputs: Option<Vec<&Tensor>> = node.inputs.iter().map(|n| known[n.0].as_ref()).collect();
        let inputs = inputs.ok_or_else(|| Error::internal("a constant depends on an input"))?;
        let value = match node.op {
            Op::Input => return Err(Error::internal("a constant depends on an input")),
            // An empty value needs no computation.
            _ if node.shape.contains(&0) => {
                Tensor::zeros([&[1], node.shape.as_slice()].concat(), DType::F32, &Device::Cpu)?
            }
            Op::Concat { .. } => {
                let full: Vec<&Tensor> = inputs.iter().copied().filter(|t| t.elem_count() > 0).collect();
                apply(&node.op, &full, scratch.builder.weights(), &node.shape)?
            }
            _ => apply(&node.op, &inputs, scratch.builder.weights(), &node.shape)?,
        };
        known.push(Some(value));
    }
    known[id.0].clone().ok_or_else(|| Error::internal("a constant was not computed"))
}

/// The outputs of a node that moves integers: its first `data` inputs are moved, the others say how.
///
/// # Errors
/// As for the operator.
pub fn ints(site: &mut Site<'_>, data: usize, translate: Translate) -> Result<Vec<Value>> {
    let mut pool: Vec<Dim> = Vec::new();
    // An empty part adds nothing to a list.
    if site.op == "Concat" {
        site.inputs.retain(|v| !matches!(v, Value::Ints(i) if i.values.is_empty() && i.dims.len() == 1));
        if site.inputs.is_empty() {
            return Ok(vec![Value::Ints(Ints::list(Vec::new()))]);
        }
    }
    if let Some(i) = (0..site.inputs.len().min(data)).find(|i| matches!(site.input(*i), Value::Act(_))) {
        return Err(site.wants(i, "integers known while reading, as the others are", site.input(i)));
    }
    for (i, input) in site.inputs.iter_mut().take(data).enumerate() {
        let Value::Ints(v) = input else { continue };
        super::ints::room(pool.len() + v.values.len())?;
        let indices: Vec<f32> = (pool.len()..pool.len() + v.values.len()).map(|i| i as f32).collect();
        pool.extend_from_slice(&v.values);
        let tensor = Tensor::from_vec(indices, v.dims.as_slice(), &Device::Cpu)?;
        *input = Value::Floats(Const { name: format!("integers {i}"), tensor });
    }
    let moved = floats(site, translate)?;
    moved
        .into_iter()
        .map(|value| match value {
            Value::Floats(c) => {
                super::ints::room(c.tensor.elem_count())?;
                let values = crate::tensor::to_f32(&c.tensor)?.into_iter().map(|i| pool[i as usize]).collect();
                Ok(Value::Ints(Ints { dims: c.tensor.dims().to_vec(), values }))
            }
            other => Ok(other),
        })
        .collect()
}
