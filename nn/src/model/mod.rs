//! A trained net: its graph, its weights and its card (classes, preprocessing, origin).

pub mod boxes;
pub mod card;
mod class_maps;
mod inputs;
pub mod one_class;
pub mod outputs;
pub mod pack_cache;

use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Weights};
use candle_core::{DType, Device, Tensor};
use pack_cache::PackCache;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

pub use boxes::{BoxCode, BoxDecoding, BoxUnit, Column};
pub use card::{Background, Card, Class};
pub use class_maps::ClassMaps;
pub use inputs::NetInput;
pub use outputs::{OutputKind, Readout};

/// A trained net; cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    graph: Arc<Graph>,
    weights: Arc<Weights>,
    card: Arc<Card>,
    pack_cache: Arc<PackCache>,
    winograd_forward: bool,
    outputs: Arc<Vec<(String, Arc<Graph>)>>,
    digest: Arc<OnceLock<String>>,
    /// The values of the held inputs, by name, of one sample.
    held: Arc<BTreeMap<String, Tensor>>,
}

impl Model {
    /// A net from its parts.
    pub fn new(graph: Graph, weights: Weights, card: Card) -> Self {
        let output = graph.node(graph.output()).name.clone();
        Self::of(vec![(output, Arc::new(graph))], Arc::new(weights), card, 0)
    }

    /// A net with several outputs: one graph each, of which the first is used unless another is chosen
    /// ([`Model::output_named`]).
    ///
    /// # Errors
    /// Where there is none.
    pub fn with_outputs(outputs: Vec<(String, Graph)>, weights: Weights, card: Card) -> Result<Self> {
        if outputs.is_empty() {
            return Err(Error::format(format!("`{}` has no output", card.name)));
        }
        let outputs = outputs.into_iter().map(|(name, graph)| (name, Arc::new(graph))).collect();
        Ok(Self::of(outputs, Arc::new(weights), card, 0))
    }

    /// The same net with its graph rewritten, over other weights; inputs stay held at their values.
    pub fn rewritten(&self, graph: Graph, weights: Weights) -> Self {
        Model { held: self.held.clone(), ..Self::new(graph, weights, self.card().clone()) }
    }

    fn of(outputs: Vec<(String, Arc<Graph>)>, weights: Arc<Weights>, card: Card, chosen: usize) -> Self {
        let graph = outputs[chosen].1.clone();
        let pack_cache = Arc::new(PackCache::new(graph.nodes().len()));
        let (card, outputs) = (Arc::new(card), Arc::new(outputs));
        let (digest, held) = (Arc::default(), Arc::default());
        Model { graph, weights, card, pack_cache, winograd_forward: false, outputs, digest, held }
    }

    /// The names of the outputs.
    pub fn output_names(&self) -> Vec<&str> {
        self.outputs.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The same net with another of its outputs. The card's classes and the meaning of the outputs belong to the first output
    /// and are kept only for an output of as many values.
    ///
    /// # Errors
    /// Where there is no such output; the hint lists them.
    pub fn output_named(&self, name: &str) -> Result<Self> {
        let chosen = self.outputs.iter().position(|(n, _)| n == name).ok_or_else(|| {
            let names: Vec<String> = self.output_names().iter().map(|n| format!("`{n}`")).collect();
            Error::not_found(format!("no output `{name}` in `{}`", self.card.name))
                .hint(format!("its outputs are {}", names.join(", ")))
        })?;
        let mut card = self.card().clone();
        let outputs: Vec<_> = self.outputs.as_ref().clone();
        card.notes.retain(|n| !n.starts_with("this is the output `") && !n.starts_with("probability: "));
        let len = |graph: &Graph| graph.node(graph.output()).shape.iter().product::<usize>();
        if len(&outputs[chosen].1) != len(&self.graph) {
            (card.classes, card.complement, card.output) = (Vec::new(), None, None);
        }
        Ok(Model { held: self.held.clone(), ..Self::of(outputs, self.weights.clone(), card, chosen) })
    }

    /// The same net in real numbers: a quantised net without the rounding of its values. Its weights are the dequantised integers.
    ///
    /// # Errors
    /// Where the net rounds nothing.
    pub fn dequantised(&self) -> Result<Self> {
        let graphs = self.outputs.iter().map(|(name, graph)| (name, graph, graph.unrounded()));
        let mut found = false;
        let outputs: Vec<(String, Arc<Graph>)> = graphs
            .map(|(name, graph, twin)| {
                found |= twin.is_some();
                (name.clone(), twin.map_or_else(|| graph.clone(), Arc::new))
            })
            .collect();
        if !found {
            return Err(Error::value(format!("`{}` is no quantised net", self.card.name))
                .hint("nets with QuantizeLinear or QLinear operators have a twin in real numbers"));
        }
        let chosen = self.outputs.iter().position(|(_, graph)| Arc::ptr_eq(graph, &self.graph)).unwrap_or(0);
        let card = Card { name: format!("{} in real numbers", self.card.name), ..self.card().clone() };
        Ok(Model { held: self.held.clone(), ..Self::of(outputs, self.weights.clone(), card, chosen) })
    }

    /// The net's graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The net's parameters.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// BLAKE3 of the weights and biases by sorted name, and of the values at which inputs are held, with types, shapes and values,
    /// hexadecimal; computed once for each net.
    ///
    /// # Errors
    /// Where a weight cannot be read.
    pub fn weights_digest(&self) -> Result<String> {
        if let Some(known) = self.digest.get() {
            return Ok(known.clone());
        }
        let mut hasher = blake3::Hasher::new();
        let mut weights: Vec<_> = self.weights.iter().collect();
        weights.sort_by_key(|(name, _)| *name);
        for (name, tensor) in weights {
            crate::digest::weight(&mut hasher, name, tensor)?;
        }
        for (name, tensor) in self.held.iter() {
            crate::digest::weight(&mut hasher, &format!("input {name}"), tensor)?;
        }
        Ok(self.digest.get_or_init(|| hasher.finalize().to_hex().to_string()).clone())
    }

    /// Floating-point operations of one sample on its way forward (a multiply-add counts as two).
    pub fn flops(&self) -> u64 {
        self.graph.ids().map(|id| self.graph.flops(id, &self.weights)).sum()
    }

    /// Whether prepacked weights are kept between passes; not with [`Model::without_pack_cache`].
    pub fn has_pack_cache(&self) -> bool {
        self.pack_cache.is_enabled()
    }

    /// The net's prepacked convolutions.
    pub(crate) fn pack_cache(&self) -> &PackCache {
        &self.pack_cache
    }

    /// The same net, whose 3 x 3 convolutions use Winograd tiles F(2 x 2) in forward passes that a gradient follows, too
    /// ([`WinogradTile`](crate::kernels::conv::WinogradTile)). It is faster, but its rounding now and then flips the sign of a
    /// rectifier's input near zero, and with it the gradient there: for methods that average many gradients or iterate.
    pub fn with_winograd_forward(&self) -> Self {
        Model { winograd_forward: true, ..self.clone() }
    }

    /// Whether this is a net [`Model::with_winograd_forward`].
    pub fn has_winograd_forward(&self) -> bool {
        self.winograd_forward
    }

    /// The same net for little memory: weights are packed for every pass instead of being kept in two layouts. The results are
    /// the same.
    pub fn without_pack_cache(&self) -> Self {
        let pack_cache = Arc::new(PackCache::disabled(self.graph.nodes().len()));
        Model { pack_cache, ..self.clone() }
    }

    /// What is known of the net besides its graph.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The same net with another card.
    pub fn with_card(&self, card: Card) -> Self {
        Model { card: Arc::new(card), ..self.clone() }
    }

    /// The same net with other weights of the same shapes.
    pub fn with_weights(&self, weights: Weights) -> Self {
        let pack_cache = Arc::new(PackCache::new(self.graph.nodes().len()));
        Model { weights: Arc::new(weights), pack_cache, digest: Arc::default(), ..self.clone() }
    }

    /// The same net computing in `dtype` (f32 or f64).
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        Ok(self.with_weights(self.weights.cast(dtype)?))
    }

    /// The shape of one input sample, C x H x W.
    pub fn input_shape(&self) -> &[usize] {
        &self.graph.node(self.graph.input()).shape
    }

    /// The type of number the net computes in.
    pub fn dtype(&self) -> DType {
        self.weights.iter().next().map_or(DType::F32, |(_, t)| t.dtype())
    }

    /// The device the net computes on.
    pub fn device(&self) -> Device {
        self.weights.iter().next().map_or(Device::Cpu, |(_, t)| t.device().clone())
    }

    /// The layer of that name.
    ///
    /// # Errors
    /// Where there is none; the hint names the closest.
    pub fn layer(&self, name: &str) -> Result<NodeId> {
        self.graph.find(name).filter(|id| self.graph.is_layer(*id)).ok_or_else(|| {
            let names: Vec<&str> = self.layers().map(|id| self.graph.node(id).name.as_str()).collect();
            let all = format!("`net.layers` lists all {}", names.len());
            let hint = match crate::error::did_you_mean(name, names.iter().copied()) {
                Some(close) => format!("{close} {all}"),
                None => all,
            };
            Error::not_found(format!("no layer `{name}` in `{}`", self.card.name)).hint(hint)
        })
    }

    /// The layers that can be subjects, in topological order.
    pub fn layers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.ids().filter(|id| self.graph.is_layer(*id))
    }

    /// The last layer whose value is channels x rows x columns of more than one position; of a signal channels x samples, of a
    /// volume channels x depth x rows x columns.
    pub fn last_map_layer(&self) -> Option<NodeId> {
        let layouts = self.graph.map_layouts();
        let images = self.graph.is_over_images();
        let fits = |rank: usize| rank == 3 || !images;
        let maps = |id: &NodeId| {
            let plain = layouts[id.0].filter(|l| l.is_plain() && fits(self.graph.node(*id).shape.len()));
            plain.is_some_and(|l| l.shape[1] * l.shape[2] > 1)
        };
        let score = self.graph.scores();
        let (reached, helpers) = (self.graph.descendants(self.graph.input()), self.graph.helper_nodes());
        // A step behind the scores says less than they do.
        let behind = self.graph.last_step().map(|(head, _)| self.graph.descendants(head));
        let open = |id: &NodeId| behind.as_ref().is_none_or(|behind| !behind[id.0]);
        let counts = |id: &NodeId| reached[id.0] && !helpers[id.0] && *id != self.graph.input() && *id != score;
        let last = self.layers().filter(|id| maps(id) && counts(id) && open(id)).last();
        last.map(|id| self.graph.before_helpers(id))
    }

    /// Number of raw outputs a sample.
    pub fn output_len(&self) -> usize {
        self.graph.node(self.graph.output()).shape.iter().product()
    }
}
