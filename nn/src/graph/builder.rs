//! Builds a graph node by node, infers shapes and makes names unique.

use super::dag::{Graph, Node, NodeId, Shape};
use super::infer;
use super::op::{Op, ParamId};
use super::volume_field::VolumeWindow;
use super::weights::Weights;
use crate::error::{Context, Error, Result};
use candle_core::Tensor;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A graph under construction: nodes and parameters, which become a [`Graph`] and its [`Weights`].
#[derive(Default)]
pub struct Builder {
    nodes: Vec<Node>,
    weights: Weights,
    names: BTreeMap<String, NodeId>,
    /// The number appended to the last of equal names.
    numbers: BTreeMap<String, usize>,
    aliases: BTreeMap<String, Option<NodeId>>,
    /// Whether a value may be empty.
    allows_empty: bool,
    volumes: BTreeMap<String, VolumeWindow>,
}

impl Builder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty graph whose values may be empty: constants are computed in it.
    pub fn of_constants() -> Self {
        Builder { allows_empty: true, ..Self::default() }
    }

    /// An input of the net, of `shape` for one sample. The first that an output depends on is the one that questions are about
    /// ([`Graph::input`]); the others are held at fixed values ([`Model::given`](crate::model::Model::given)).
    pub fn input(&mut self, name: &str, shape: Shape) -> Result<NodeId> {
        self.push(name, Op::Input, &[], shape)
    }

    /// Adds a parameter tensor; its name is the file's.
    pub fn param(&mut self, name: &str, tensor: Tensor) -> Result<ParamId> {
        self.weights.push(name, tensor)
    }

    /// Adds the values of a constant, which may be infinite.
    ///
    /// # Errors
    /// Where a value is no number.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Result<ParamId> {
        self.weights.push_constant(name, tensor)
    }

    /// Adds a parameter of which only the shape is known: for graphs that are never run.
    ///
    /// # Errors
    /// Where there is no memory for its one value.
    pub fn shaped_param(&mut self, name: &str, shape: &[usize]) -> Result<ParamId> {
        self.weights.push_shape(name, shape)
    }

    /// The shape of a parameter.
    pub fn param_shape(&self, id: ParamId) -> &[usize] {
        self.weights.tensor(id).dims()
    }

    /// Adds a node; its shape follows from the operation and the inputs.
    ///
    /// # Errors
    /// Where the inputs' shapes do not fit the operation; the message names the node and both shapes.
    pub fn add(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|i| self.nodes[i.0].shape.as_slice()).collect();
        let shape = infer::shape(&op, &shapes, &self.weights).context(|| format!("node `{name}` ({})", op.kind()))?;
        self.push(name, op, inputs, shape)
    }

    /// Records that the value of `id`, which is computed in steps, is the result of a window over the volume at node `window.input`.
    pub fn slides(&mut self, id: NodeId, window: VolumeWindow) {
        self.volumes.insert(self.nodes[id.0].name.clone(), window);
    }

    /// A second name by which a node is found, unless another node has it too.
    pub fn alias(&mut self, name: &str, id: NodeId) {
        if name.is_empty() {
            return;
        }
        self.aliases
            .entry(name.to_string())
            .and_modify(|known| *known = known.filter(|k| *k == id))
            .or_insert(Some(id));
    }

    /// A node added before.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The parameters added so far.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The shape of a node added before.
    pub fn shape(&self, id: NodeId) -> &[usize] {
        &self.nodes[id.0].shape
    }

    /// The operation of a node added before.
    pub fn op(&self, id: NodeId) -> &Op {
        &self.nodes[id.0].op
    }

    /// The nodes made so far.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// Replaces how a node computes its value: by `op` from `inputs`, which may have been added after it but do not depend on
    /// it. The node keeps its name.
    ///
    /// # Errors
    /// Where that value has another shape.
    pub fn rewrite(&mut self, id: NodeId, op: Op, inputs: &[NodeId]) -> Result<()> {
        let name = &self.nodes[id.0].name;
        let shapes: Vec<&[usize]> = inputs.iter().map(|i| self.nodes[i.0].shape.as_slice()).collect();
        let shape = infer::shape(&op, &shapes, &self.weights).context(|| format!("node `{name}` ({})", op.kind()))?;
        if shape != self.nodes[id.0].shape {
            return Err(Error::internal(format!("node `{name}` of {:?} made {shape:?}", self.nodes[id.0].shape)));
        }
        let node = &mut self.nodes[id.0];
        (node.op, node.inputs) = (op, SmallVec::from_slice(inputs));
        Ok(())
    }

    /// Gives the node `id` the name of `of`, a node that is no longer needed; the old name of `id` still finds it.
    pub fn take_name(&mut self, id: NodeId, of: NodeId) {
        let (own, taken) = (self.nodes[id.0].name.clone(), self.nodes[of.0].name.clone());
        self.names.insert(taken.clone(), id);
        self.names.insert(own.clone(), of);
        (self.nodes[id.0].name, self.nodes[of.0].name) = (taken, own.clone());
        self.aliases.insert(own, Some(id));
    }

    /// The nodes that `outputs` depend on, they included: true at each one's index.
    pub fn ancestors(&self, outputs: &[NodeId]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        let mut open = outputs.to_vec();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut needed[id.0], true) {
                open.extend(&self.nodes[id.0].inputs);
            }
        }
        needed
    }

    /// The needed nodes, inputs before what they feed, otherwise as they were added.
    fn order(&self, needed: &[bool]) -> Vec<usize> {
        let (mut placed, mut order) = (vec![false; needed.len()], Vec::new());
        for id in (0..needed.len()).filter(|i| needed[*i]) {
            let mut open = vec![id];
            while let Some(&top) = open.last() {
                let missing = self.nodes[top].inputs.iter().find(|i| !placed[i.0]);
                match missing {
                    Some(input) => open.push(input.0),
                    None => {
                        open.pop();
                        if !std::mem::replace(&mut placed[top], true) {
                            order.push(top);
                        }
                    }
                }
            }
        }
        order
    }

    /// Closes the graph with `output` as the net's raw output. Nodes that the output does not need are dropped; parameters stay.
    ///
    /// # Errors
    /// Where the output depends on no input.
    pub fn finish(self, output: NodeId) -> Result<(Graph, Weights)> {
        Ok((self.graph(output)?, self.weights))
    }

    /// One graph for each name and output, all over the same weights, from which parameters that no output needs are dropped.
    ///
    /// # Errors
    /// As [`Builder::finish`].
    pub fn finish_all(mut self, outputs: &[(String, NodeId)]) -> Result<(Vec<(String, Graph)>, Weights)> {
        let needed = self.ancestors(&outputs.iter().map(|(_, id)| *id).collect::<Vec<_>>());
        let used = self.nodes.iter().zip(needed).filter(|(_, needed)| *needed).flat_map(|(node, _)| node.op.params());
        let numbers = self.weights.keep(used);
        self.nodes.iter_mut().flat_map(|node| node.op.params_mut()).for_each(|p| *p = numbers[p.0]);
        let graphs = outputs.iter().map(|(name, id)| Ok((name.clone(), self.graph(*id)?))).collect::<Result<_>>()?;
        Ok((graphs, self.weights))
    }

    /// The graph whose output is `output`.
    fn graph(&self, output: NodeId) -> Result<Graph> {
        let needed = self.ancestors(&[output]);
        let order = self.order(&needed);
        let first = (0..self.nodes.len()).find(|i| needed[*i] && self.nodes[*i].op == Op::Input);
        let input = first.ok_or_else(|| Error::unsupported("a net whose output depends on no input"))?;
        let mut renumbered: Vec<Option<NodeId>> = vec![None; self.nodes.len()];
        let mut nodes: Vec<Node> = Vec::new();
        for i in order {
            let mut node = self.nodes[i].clone();
            renumbered[i] = Some(NodeId(nodes.len()));
            node.inputs.iter_mut().for_each(|n| *n = renumbered[n.0].unwrap_or(*n));
            nodes.push(node);
        }
        let mut consumers = vec![Vec::new(); nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|n| consumers[n.0].push(NodeId(i)));
        }
        let found = |id: NodeId| renumbered[id.0];
        let mut aliases: BTreeMap<String, NodeId> =
            self.aliases.iter().filter_map(|(name, id)| Some((name.clone(), found((*id)?)?))).collect();
        aliases.extend(self.names.iter().filter_map(|(name, id)| Some((name.clone(), found(*id)?))));
        let place = |i: usize| renumbered[i].ok_or_else(|| Error::internal("a needed node was dropped"));
        Ok(Graph {
            input: place(input)?,
            output: place(output.0)?,
            nodes,
            consumers,
            aliases,
            volumes: Arc::new(self.volumes.clone()),
        })
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: Shape) -> Result<NodeId> {
        if shape.contains(&0) && !self.allows_empty {
            return Err(Error::shape(format!("node `{name}` ({}) has an empty shape {shape:?}", op.kind())));
        }
        let id = NodeId(self.nodes.len());
        let stem = if name.is_empty() { op.kind() } else { name };
        // Equal names go on from the number that the last one got.
        let from = if self.names.contains_key(stem) { self.numbers.get(stem).copied().unwrap_or(1) } else { 1 };
        let unique = std::iter::once((0, stem.to_string()))
            .chain((from..).map(|n| (n, format!("{stem}_{n}"))))
            .find(|(_, candidate)| !self.names.contains_key(candidate));
        let (number, unique) = unique.unwrap_or_else(|| (0, stem.to_string()));
        if number > 0 {
            self.numbers.insert(stem.to_string(), number);
        }
        self.names.insert(unique.clone(), id);
        self.nodes.push(Node { name: unique, op, inputs: SmallVec::from_slice(inputs), shape });
        Ok(id)
    }
}
