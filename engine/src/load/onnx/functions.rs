//! Functions defined in a file: each call is replaced by the nodes of the function's body, whose names get the call's name as
//! prefix.

use super::wire::{self, WireReader};
use crate::error::{Error, Result};
use crate::limits::{ONNX_DEPTH, ONNX_EXPANDED};
use crate::signal::go_on;
use rten_onnx::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet};

/// A function: its interface and its body.
#[derive(Default)]
struct Function {
    name: String,
    domain: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// Default values of attributes.
    defaults: Vec<AttributeProto>,
    nodes: Vec<NodeProto>,
    /// For each node, the attributes that refer to the call's: the node's name of it, and the call's.
    references: Vec<Vec<(String, String)>>,
    /// The total length of names in its nodes, which get a prefix.
    names: usize,
    /// The length of its message, bytes.
    bytes: usize,
}

impl Function {
    /// An upper bound on the bytes that a call expands to.
    fn cost(&self, call: &NodeProto, prefix: &str) -> usize {
        let interface: usize = call.input.iter().chain(&call.output).map(|name| name.len() + size_of::<String>()).sum();
        let attributes = self.references.iter().map(Vec::len).sum::<usize>() * call_bytes(call);
        let own = self.bytes + self.names * (prefix.len() + size_of::<String>());
        own.saturating_add(interface).saturating_add(attributes)
    }
}

/// The bytes of the attributes that a call passes to the function's nodes.
fn call_bytes(call: &NodeProto) -> usize {
    let tensor = |a: &AttributeProto| {
        a.t.as_ref().and_then(|t| t.raw_data.as_ref()).map_or(0, |data| data.borrow().as_slice().len())
    };
    let lists = |a: &AttributeProto| 8 * (a.ints.len() + a.floats.len()) + a.s.as_ref().map_or(0, |s| s.len());
    call.attribute.iter().map(|a| tensor(a) + lists(a)).max().unwrap_or(0)
}

/// Replaces calls in `model` by the bodies of the functions in `bytes`.
///
/// # Errors
/// Where a function is damaged or recursive.
pub fn inline(model: &mut ModelProto, bytes: &[u8]) -> Result<()> {
    let mut functions = BTreeMap::new();
    wire::each(bytes, |number, part| {
        if number == 25 {
            let function = read(part)?;
            functions.insert((function.domain.clone(), function.name.clone()), function);
        }
        Ok(())
    })?;
    let Some(graph) = model.graph.as_mut().filter(|_| !functions.is_empty()) else { return Ok(()) };
    let mut budget = ONNX_EXPANDED;
    graph.node = expanded(std::mem::take(&mut graph.node), &functions, 0, &mut budget)?;
    Ok(())
}

fn read(bytes: &[u8]) -> Result<Function> {
    let mut f = Function { bytes: bytes.len(), ..Function::default() };
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    wire::each(bytes, |number, part| {
        match number {
            1 => f.name = text(part),
            4 => f.inputs.push(text(part)),
            5 => f.outputs.push(text(part)),
            7 => {
                f.nodes.push(WireReader::decoded(part)?);
                let mut references = Vec::new();
                wire::each(part, |number, attribute| {
                    if number == 5 {
                        let (mut own, mut of) = (String::new(), String::new());
                        wire::each(attribute, |number, part| {
                            match number {
                                1 => own = text(part),
                                21 => of = text(part),
                                _ => {}
                            }
                            Ok(())
                        })?;
                        if !of.is_empty() {
                            references.push((own, of));
                        }
                    }
                    Ok(())
                })?;
                f.references.push(references);
            }
            10 => f.domain = text(part),
            11 => f.defaults.push(WireReader::decoded(part)?),
            _ => {}
        }
        Ok(())
    })?;
    f.names = f.nodes.iter().map(|node| 1 + node.input.len() + node.output.len()).sum();
    Ok(f)
}

type Functions = BTreeMap<(String, String), Function>;

fn expanded(nodes: Vec<NodeProto>, functions: &Functions, depth: usize, budget: &mut usize) -> Result<Vec<NodeProto>> {
    let mut all = Vec::new();
    for (i, node) in nodes.into_iter().enumerate() {
        let key = |n: &NodeProto| (n.domain.clone().unwrap_or_default(), n.op_type.clone().unwrap_or_default());
        let Some(function) = functions.get(&key(&node)) else {
            all.push(node);
            continue;
        };
        if depth > ONNX_DEPTH {
            return Err(Error::format(format!("the function `{}` calls itself", function.name)));
        }
        go_on()?;
        let own = node.name.as_deref().filter(|n| !n.is_empty()).or(node.output.first().map(String::as_str));
        let prefix = own.map_or_else(|| format!("{} {i}", function.name), str::to_string);
        *budget = budget.checked_sub(function.cost(&node, &prefix)).ok_or_else(|| {
            Error::unsupported(format!("functions that become more than {} MB of nodes", ONNX_EXPANDED >> 20))
        })?;
        all.extend(expanded(body(function, &node, &prefix)?, functions, depth + 1, budget)?);
    }
    Ok(all)
}

/// The nodes of a function for one call.
fn body(function: &Function, call: &NodeProto, prefix: &str) -> Result<Vec<NodeProto>> {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for (i, name) in function.inputs.iter().enumerate() {
        names.insert(name, call.input.get(i).cloned().unwrap_or_default());
    }
    for (name, outer) in function.outputs.iter().zip(&call.output) {
        if names.contains_key(name.as_str()) {
            return Err(Error::unsupported(format!("the function `{}` hands an input on", function.name)));
        }
        names.insert(name, outer.clone());
    }
    let given = |name: &str| {
        let named = |a: &&AttributeProto| a.name.as_deref() == Some(name);
        call.attribute.iter().find(named).or(function.defaults.iter().find(named))
    };
    let nodes = function.nodes.iter().zip(&function.references).map(|(node, references)| {
        let mut node = node.clone();
        node.attribute.retain(|a| !references.iter().any(|(own, _)| a.name.as_deref() == Some(own)));
        for (own, of) in references {
            node.attribute.extend(given(of).map(|a| AttributeProto { name: Some(own.clone()), ..a.clone() }));
        }
        node.name = node.name.filter(|n| !n.is_empty()).map(|n| format!("{prefix}/{n}"));
        renamed(&mut node, &names, &BTreeSet::new(), prefix);
        node
    });
    Ok(nodes.collect())
}

/// Renames the names in a body's node for a call; `inner` are the names made by a graph inside the node, which stay.
fn renamed(node: &mut NodeProto, names: &BTreeMap<&str, String>, inner: &BTreeSet<String>, prefix: &str) {
    let new = |name: &mut String| {
        if name.is_empty() || inner.contains(name) {
            return;
        }
        *name = names.get(name.as_str()).cloned().unwrap_or_else(|| format!("{prefix}/{name}"));
    };
    node.input.iter_mut().for_each(new);
    node.output.iter_mut().for_each(new);
    for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
        let mut own = inner.clone();
        own.extend(made(graph));
        graph.node.iter_mut().for_each(|n| renamed(n, names, &own, prefix));
        for output in &mut graph.output {
            if let Some(name) = output.name.as_mut().filter(|n| !own.contains(*n)) {
                *name = names.get(name.as_str()).cloned().unwrap_or_else(|| format!("{prefix}/{name}"));
            }
        }
    }
}

/// The names that a graph defines.
fn made(graph: &GraphProto) -> BTreeSet<String> {
    let inputs = graph.input.iter().filter_map(|i| i.name.clone());
    let held = graph.initializer.iter().filter_map(|t| t.name.clone());
    inputs.chain(held).chain(graph.node.iter().flat_map(|n| n.output.clone())).collect()
}
