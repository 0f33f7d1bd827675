//! Resolves the names of an ONNX graph: checks names, sorts nodes topologically, and drops nodes that no output needs.

use crate::error::{Error, Result, did_you_mean};
use crate::limits::{self, ONNX_OUTPUTS};
use rten_onnx::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeMap, BTreeSet};

/// Which outputs of a file are read; the first always is.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// All outputs.
    All,
    /// Only the first.
    First,
    /// The first and these.
    These(&'a [String]),
}

/// A graph with its names resolved.
pub struct Links<'a> {
    /// Initialisers by name.
    pub initialisers: BTreeMap<&'a str, &'a TensorProto>,
    /// The nodes that the outputs need, in topological order.
    pub nodes: Vec<&'a NodeProto>,
    /// The inputs that the outputs need, the main input first.
    pub inputs: Vec<&'a ValueInfoProto>,
    /// The names of the outputs, the first output first.
    pub outputs: Vec<&'a str>,
    /// For each of `nodes`, whether the first output needs it.
    pub own: Vec<bool>,
    /// The names of each node's values, and last those of the inputs.
    pub names: Vec<Vec<String>>,
}

impl<'a> Links<'a> {
    /// Resolves the names of `graph` for its first output and the further `wanted` ones; `asked` is the name of the main input.
    ///
    /// # Errors
    /// Where a name is defined twice or not at all, where nodes form a cycle, or where the output depends on no input or not on the
    /// one called `asked`.
    pub fn of(graph: &'a GraphProto, wanted: Wanted<'_>, asked: Option<&str>) -> Result<Self> {
        let mut initialisers = BTreeMap::new();
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or("");
            if initialisers.insert(name, tensor).is_some() {
                return Err(Error::format(format!("two initialisers are called `{name}`")));
            }
        }
        // Before IR version 4, initialisers were listed as inputs, too.
        let mut inputs = BTreeMap::new();
        for input in graph.input.iter().filter(|i| !initialisers.contains_key(name_of(i))) {
            if inputs.insert(name_of(input), input).is_some() {
                return Err(Error::format(format!("two inputs are called `{}`", name_of(input))));
            }
        }
        let mut makers = BTreeMap::new();
        for (i, node) in graph.node.iter().enumerate() {
            // The names of a node's steps begin with its name.
            limits::name("a node", node.name.as_deref().unwrap_or_default())?;
            for out in node.output.iter().map(String::as_str).filter(|o| !o.is_empty()) {
                limits::name("a value", out)?;
                let taken = initialisers.contains_key(out) || inputs.contains_key(out);
                if taken || makers.insert(out, i).is_some() {
                    return Err(Error::format(format!("two things are called `{out}`, one made by {}", shown(node))));
                }
            }
        }
        if matches!(wanted, Wanted::All) && graph.output.len() > ONNX_OUTPUTS {
            return Err(Error::unsupported(format!("{} outputs, each a net of its own", graph.output.len())));
        }
        let further = |(i, name): &(usize, &str)| match wanted {
            Wanted::All => true,
            Wanted::First => *i == 0,
            Wanted::These(names) => *i == 0 || names.iter().any(|n| n == name),
        };
        let named = graph.output.iter().map(name_of).enumerate();
        let outputs: Vec<&str> = named.filter(further).map(|(_, name)| name).collect();
        let output = *outputs.first().ok_or_else(|| Error::format("the graph names no output"))?;
        let made = |output: &&str| {
            makers.get(output).copied().ok_or_else(|| Error::format(format!("no node makes the output `{output}`")))
        };
        let makers_of_outputs = outputs.iter().map(made).collect::<Result<Vec<_>>>()?;
        let needed_by_own: BTreeSet<usize> = order(graph, &makers, &makers_of_outputs[..1])?.into_iter().collect();
        let order = order(graph, &makers, &makers_of_outputs)?;
        let own = order.iter().map(|i| needed_by_own.contains(i)).collect();
        let nodes: Vec<&NodeProto> = order.iter().map(|i| &graph.node[*i]).collect();
        let mut needed: Vec<&'a ValueInfoProto> = Vec::new();
        let mut known = BTreeSet::new();
        for node in &nodes {
            for name in reads(node).into_iter().filter(|n| !n.is_empty() && !makers.contains_key(n)) {
                match inputs.get(name) {
                    Some(input) if known.insert(name) => needed.push(input),
                    None if !initialisers.contains_key(name) => {
                        return Err(Error::format(format!("{} takes `{name}`, which nothing makes", shown(node))));
                    }
                    _ => {}
                }
            }
        }
        if needed.is_empty() {
            return Err(Error::unsupported(format!("the output `{output}` depends on no input")));
        }
        let first = main_input(&needed, asked)?;
        let input = needed.remove(first);
        needed.insert(0, input);
        let names = names(&nodes, &needed.iter().map(|info| name_of(info)).collect::<Vec<_>>());
        Ok(Links { initialisers, nodes, inputs: needed, outputs, own, names })
    }
}

/// The name of an input or output.
pub fn name_of(info: &ValueInfoProto) -> &str {
    info.name.as_deref().unwrap_or("")
}

/// The names that a node reads, including those that its branches or loop body read from outside.
pub fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        let mut own: BTreeSet<&str> = graph.input.iter().map(name_of).collect();
        own.extend(graph.initializer.iter().filter_map(|t| t.name.as_deref()));
        for inner in &graph.node {
            names.extend(reads(inner).into_iter().filter(|n| !n.is_empty() && !own.contains(n)));
            own.extend(inner.output.iter().map(String::as_str));
        }
        names.extend(graph.output.iter().map(name_of).filter(|n| !own.contains(n)));
    }
    names
}

/// The name of a node in messages.
pub fn shown(node: &NodeProto) -> String {
    let name = node.name.as_deref().filter(|n| !n.is_empty()).or(node.output.first().map(String::as_str));
    format!("node `{}` ({})", name.unwrap_or(""), node.op_type.as_deref().unwrap_or("no operator"))
}

/// The nodes `lasts` and all that they depend on, in topological order, otherwise in the file's order.
fn order(graph: &GraphProto, makers: &BTreeMap<&str, usize>, lasts: &[usize]) -> Result<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let read: Vec<Vec<&str>> = graph.node.iter().map(reads).collect();
    let mut state = vec![State::New; graph.node.len()];
    let (mut stack, mut order) = (Vec::new(), Vec::new());
    for last in lasts {
        if state[*last] == State::New {
            stack.push((*last, 0));
        }
        while let Some((node, next)) = stack.pop() {
            state[node] = State::Open;
            let Some(name) = read[node].get(next) else {
                state[node] = State::Done;
                order.push(node);
                continue;
            };
            stack.push((node, next + 1));
            let Some(maker) = makers.get(name) else { continue };
            match state[*maker] {
                State::New => stack.push((*maker, 0)),
                State::Open => {
                    let what = shown(&graph.node[*maker]);
                    return Err(Error::format(format!("the graph is cyclic: {what} depends on itself")));
                }
                State::Done => {}
            }
        }
    }
    let sorted = {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        sorted
    };
    // A file in topological order keeps its order.
    let in_order = sorted.iter().all(|i| read[*i].iter().filter_map(|n| makers.get(n)).all(|maker| maker < i));
    Ok(if in_order { sorted } else { order })
}

/// Unique names for the outputs of each node and, last, for the inputs: the node's name, else the output's. Names of nodes come
/// first, so that none is taken by another node's output.
fn names(nodes: &[&NodeProto], inputs: &[&str]) -> Vec<Vec<String>> {
    let own = |n: &NodeProto| n.name.clone().filter(|n| !n.is_empty());
    let mut taken: BTreeSet<String> = nodes.iter().filter_map(|n| own(n)).collect();
    let mut used: BTreeSet<String> = BTreeSet::new();
    // The highest number appended to each name so far.
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut unique = |wanted: &str, is_own: bool| {
        let mut name = wanted.to_string();
        let mut n = 0;
        if used.contains(wanted) || (!is_own && taken.contains(wanted)) {
            n = numbers.get(wanted).copied().unwrap_or(0);
        }
        while used.contains(&name) || (!(is_own && n == 0) && taken.contains(&name)) {
            n += 1;
            name = format!("{wanted}_{n}");
        }
        if n > 0 {
            numbers.insert(wanted.to_string(), n);
        }
        taken.insert(name.clone());
        used.insert(name.clone());
        name
    };
    let firsts: Vec<Option<String>> = nodes.iter().map(|n| own(n).map(|name| unique(&name, true))).collect();
    let mut all: Vec<Vec<String>> = nodes
        .iter()
        .zip(firsts)
        .map(|(node, mut first)| {
            let one = |out: &String| first.take().unwrap_or_else(|| unique(out, false));
            node.output.iter().map(one).collect()
        })
        .collect();
    all.push(inputs.iter().map(|input| unique(input, false)).collect());
    all
}

/// The index of the net's main input: the one called `wanted`, else the first that takes maps of three channels, of one, of any
/// number, else the first.
///
/// # Errors
/// Where there is no input of that name.
fn main_input(inputs: &[&ValueInfoProto], wanted: Option<&str>) -> Result<usize> {
    if let Some(wanted) = wanted {
        return inputs.iter().position(|i| name_of(i) == wanted).ok_or_else(|| {
            let names: Vec<&str> = inputs.iter().map(|i| name_of(i)).collect();
            let all = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            let close = did_you_mean(wanted, names.iter().copied()).map_or(String::new(), |c| c + " ");
            Error::not_found(format!("no input `{wanted}` that the output depends on"))
                .hint(format!("{close}the inputs are {all}"))
        });
    }
    // Channels may be last; maps are large, so a size of one or three is the channels'.
    let rank = |info: &&ValueInfoProto| match open_dims(info).get(1..).unwrap_or_default() {
        [a, _, c] if [*a, *c].contains(&Some(3)) => 0,
        [a, _, c] if [*a, *c].contains(&Some(1)) => 1,
        [_, _, _] => 2,
        _ => 3,
    };
    Ok((0..inputs.len()).min_by_key(|i| rank(&inputs[*i])).unwrap_or(0))
}

/// The dimensions that the file fixes. Zero and negative numbers used to stand for open ones.
pub fn open_dims(info: &ValueInfoProto) -> Vec<Option<usize>> {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| &s.dim[..]).unwrap_or_default();
    dims.iter().map(|d| d.dim_value.and_then(|v| usize::try_from(v).ok()).filter(|v| *v > 0)).collect()
}
