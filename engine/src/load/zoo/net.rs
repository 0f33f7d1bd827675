//! Builds an architecture's graph with a [`Builder`] from a weight file's named tensors, and lists the tensors that do not fit.

use candle_core::{DType, Device, Tensor};
use std::collections::BTreeSet;

use super::built::{Built, HeadActivation, How};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary, Conv, Padding, Pool, Reduction, Window};
use crate::graph::{Builder, NodeId, Op, ParamId};
use crate::load::tensors::Tensors;

/// How many misfits an error lists.
const LISTED_MISFITS: usize = 8;

/// Prefixes of tensors that may be left over: heads that only training uses.
const HEADS: [&str; 3] = ["aux1.", "aux2.", "AuxLogits."];

/// Suffixes of tensors that may be left over: what Swin computes from its sizes.
const BUFFERS: [&str; 2] = [".relative_position_index", ".attn_mask"];

/// A net under construction. Methods take the module's path, which is the node's name and the prefix of its tensors' names.
pub struct Net<'a> {
    builder: Builder,
    tensors: &'a Tensors,
    used: BTreeSet<String>,
    misfits: Vec<String>,
    /// Notes on how the file was read, for the user.
    pub notes: Vec<String>,
    /// Whether the file has no classifier.
    pub headless: bool,
    /// Whether GoogLeNet transforms its input.
    pub transform_input: bool,
    /// The activation between the linear layers of a user's own classifier.
    pub head_activation: Option<HeadActivation>,
    /// Batch normalisation's epsilon.
    pub eps: f64,
    /// Whether convolutions are padded as TensorFlow's "same".
    pub same: bool,
    /// The activation between the linear layers of the architecture's own classifier.
    pub own_between: Activation,
    /// Whether only shapes are checked: parameters are not read.
    dry: bool,
    /// The first convolution, and the module that is the classifier.
    ends: [String; 2],
}

impl<'a> Net<'a> {
    /// An empty net over a file's tensors.
    pub fn new(tensors: &'a Tensors, how: How) -> Self {
        Net {
            builder: Builder::new(),
            tensors,
            used: BTreeSet::new(),
            misfits: Vec::new(),
            notes: Vec::new(),
            headless: false,
            transform_input: how.transform_input.unwrap_or(true),
            head_activation: how.head,
            eps: 1e-5,
            same: false,
            own_between: Activation::Relu,
            dry: how.dry,
            ends: Default::default(),
        }
    }

    /// The names of the file's tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.names()
    }

    /// The shape of a tensor of the file.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.shape(name)
    }

    /// Where only names and shapes are asked for: whether the file has squeezes must be as the architecture has it.
    pub fn disprove_squeezes(&mut self, expected: bool, leaf: &str) {
        if self.dry && self.names().any(|name| name.ends_with(leaf)) != expected {
            self.misfit("squeeze and excitation".to_string());
        }
    }

    /// Says which module is the classifier.
    pub fn classifier(&mut self, module: &str) {
        self.ends[1] = module.to_string();
    }

    /// How many values the net has that neither its input's channels nor its number of classes decide: those outside the
    /// first convolution's weight and the classifier.
    fn values(&self) -> usize {
        let first = format!("{}.weight", self.ends[0]);
        let within = |name: &str| {
            name.strip_prefix(self.ends[1].as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let size = |name: &String| self.shape(name).map_or(0, |shape| shape.iter().product());
        self.used.iter().filter(|name| **name != first && !within(name)).map(size).sum()
    }

    /// Notes what does not fit the architecture.
    pub fn misfit(&mut self, what: String) {
        self.misfits.push(what);
    }

    /// Counts a layer's weight and bias among the names that the architecture has, whether they are there or not.
    pub fn expect(&mut self, layer: &str) {
        self.used.extend(["weight", "bias"].map(|leaf| format!("{layer}.{leaf}")));
    }

    /// Counts all tensors of a module as used.
    pub fn use_up(&mut self, module: &str) {
        let front = format!("{module}.");
        self.used.extend(self.tensors.names().filter(|n| n.starts_with(&front)).map(str::to_string));
    }

    /// Whether nothing was missing so far, of another shape, or would be left over.
    pub fn fits(&self) -> bool {
        self.misfits.is_empty() && self.left_over().next().is_none()
    }

    /// The names that the architecture was found to have.
    pub fn expected(&self) -> &BTreeSet<String> {
        &self.used
    }

    fn left_over(&self) -> impl Iterator<Item = &str> {
        let counter = |name: &str| name.ends_with("num_batches_tracked");
        let ignored = |name: &str| {
            HEADS.iter().any(|front| name.starts_with(front)) || BUFFERS.iter().any(|leaf| name.ends_with(leaf))
        };
        self.tensors.names().filter(move |n| !counter(n) && !ignored(n) && !self.used.contains(*n))
    }

    /// The net's input of height and width `size`, with as many channels as the weight `first` takes (3 if it is missing).
    pub fn input(&mut self, first: &str, size: [usize; 2]) -> Result<NodeId> {
        self.ends[0] = first.to_string();
        let channels = match self.tensors.shape(&format!("{first}.weight")) {
            Some(&[_, c, _, _]) => c,
            _ => 3,
        };
        self.builder.input("input", vec![channels, size[0], size[1]])
    }

    /// How many outputs the last layer has in the file (1000 if it is missing).
    pub fn outputs(&self, last: &str) -> usize {
        self.tensors.shape(&format!("{last}.weight")).and_then(|s| s.first().copied()).unwrap_or(1000)
    }

    /// The channels of a node's value.
    pub fn channels(&self, x: NodeId) -> usize {
        self.builder.shape(x)[0]
    }

    /// Height and width of a node's value.
    pub fn size(&self, x: NodeId) -> [usize; 2] {
        match *self.builder.shape(x) {
            [_, h, w] => [h, w],
            _ => [1, 1],
        }
    }

    /// A convolution to `out` channels with a bias.
    pub fn conv(&mut self, name: &str, x: NodeId, out: usize, window: Window) -> Result<NodeId> {
        self.conv_in_groups(name, x, out, window, 1, true)
    }

    /// A convolution to `out` channels without one.
    pub fn plain_conv(&mut self, name: &str, x: NodeId, out: usize, window: Window) -> Result<NodeId> {
        self.conv_in_groups(name, x, out, window, 1, false)
    }

    /// A convolution of each channel by itself, without a bias.
    pub fn depthwise(&mut self, name: &str, x: NodeId, window: Window) -> Result<NodeId> {
        let channels = self.channels(x);
        self.conv_in_groups(name, x, channels, window, channels, false)
    }

    /// A convolution in groups of channels.
    pub fn conv_in_groups(
        &mut self,
        name: &str,
        x: NodeId,
        out: usize,
        window: Window,
        groups: usize,
        bias: bool,
    ) -> Result<NodeId> {
        let [kh, kw] = window.kernel;
        let weight = self.param(&format!("{name}.weight"), &[out, self.channels(x) / groups, kh, kw])?;
        let bias = if bias { Some(self.param(&format!("{name}.bias"), &[out])?) } else { None };
        self.builder.add(name, Op::Conv2d(Conv { weight, bias, window, groups }), &[x])
    }

    /// y = x W^T + b, without b where the file has none.
    pub fn linear(&mut self, name: &str, x: NodeId, out: usize) -> Result<NodeId> {
        let inputs = self.value_shape(x).last().copied().unwrap_or(1);
        let weight = self.param(&format!("{name}.weight"), &[out, inputs])?;
        let bias = format!("{name}.bias");
        let bias = if self.shape(&bias).is_some() { Some(self.param(&bias, &[out])?) } else { None };
        self.builder.add(name, Op::Linear { weight, bias }, &[x])
    }

    /// A linear layer whose weight and bias have names of their own.
    pub fn linear_named(&mut self, name: &str, weight: &str, bias: &str, x: NodeId) -> Result<NodeId> {
        let inputs = self.value_shape(x).last().copied().unwrap_or(1);
        let out = self.needed(weight)?.first().copied().unwrap_or(1);
        let weight = self.param(weight, &[out, inputs])?;
        let bias = if self.has(bias) { Some(self.param(bias, &[out])?) } else { None };
        self.builder.add(name, Op::Linear { weight, bias }, &[x])
    }

    /// Batch normalisation with running statistics.
    pub fn batch_norm(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let c = [self.channels(x)];
        let mut part = |leaf: &str| self.param(&format!("{name}.{leaf}"), &c);
        let (scale, shift) = (part("weight")?, part("bias")?);
        let (mean, var) = (part("running_mean")?, part("running_var")?);
        self.builder.add(name, Op::BatchNorm { scale, shift, mean, var, eps: self.eps }, &[x])
    }

    /// x * factor + shift, a channel each: batch normalisation with constants.
    pub fn affine(&mut self, name: &str, x: NodeId, factor: &[f32], shift: &[f32]) -> Result<NodeId> {
        let c = factor.len();
        let mut constant = |leaf: &str, values: &[f32]| {
            self.builder.param(&format!("{name}.{leaf}"), Tensor::from_slice(values, c, &Device::Cpu)?)
        };
        let (scale, shift) = (constant("scale", factor)?, constant("shift", shift)?);
        let (mean, var) = (constant("mean", &vec![0.0; c])?, constant("var", &vec![1.0; c])?);
        self.builder.add(name, Op::BatchNorm { scale, shift, mean, var, eps: 0.0 }, &[x])
    }

    /// An element-wise function.
    pub fn activation(&mut self, name: &str, x: NodeId, f: Activation) -> Result<NodeId> {
        self.builder.add(name, Op::Activation(f), &[x])
    }

    /// max(0, x)
    pub fn relu(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.activation(name, x, Activation::Relu)
    }

    /// An element-wise function of two nodes.
    pub fn binary(&mut self, name: &str, f: Binary, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.builder.add(name, Op::Binary(f), &[a, b])
    }

    /// The largest of each window, rounding up in ceil mode.
    pub fn max_pool(&mut self, name: &str, x: NodeId, window: Window, ceil: bool) -> Result<NodeId> {
        self.builder.add(name, Op::MaxPool(Pool { window, ceil, count_padding: false }), &[x])
    }

    /// The mean of each window.
    pub fn avg_pool(&mut self, name: &str, x: NodeId, window: Window) -> Result<NodeId> {
        self.builder.add(name, Op::AvgPool(Pool { window, ceil: false, count_padding: true }), &[x])
    }

    /// Inputs joined along an axis.
    pub fn concat_along(&mut self, name: &str, axis: usize, inputs: &[NodeId]) -> Result<NodeId> {
        self.builder.add(name, Op::Concat { axis }, inputs)
    }

    /// Any operation.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        self.builder.add(name, op, inputs)
    }

    /// The shape of a node's value.
    pub fn value_shape(&self, x: NodeId) -> Vec<usize> {
        self.builder.shape(x).to_vec()
    }

    /// Inputs joined along the channels.
    pub fn concat(&mut self, name: &str, inputs: &[NodeId]) -> Result<NodeId> {
        self.builder.add(name, Op::Concat { axis: 0 }, inputs)
    }

    /// The mean of each channel as C x 1 x 1.
    pub fn global_pool(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.builder.add(name, Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true }, &[x])
    }

    /// The means of `out` x `out` regions that cover the map, as PyTorch's AdaptiveAvgPool2d: region i of n rows goes
    /// from floor(i n / out) to ceil((i + 1) n / out).
    pub fn adaptive_pool(&mut self, name: &str, x: NodeId, out: usize) -> Result<NodeId> {
        let [h, w] = self.size(x);
        if out == 1 {
            return self.global_pool(name, x);
        }
        if h == out && w == out {
            return self.builder.add(name, Op::Identity, &[x]);
        }
        if h.is_multiple_of(out) && w.is_multiple_of(out) {
            let step = [h / out, w / out];
            let window = Window { kernel: step, stride: step, dilation: [1, 1], padding: Padding::default() };
            return self.avg_pool(name, x, window);
        }
        let rows = self.regions(&format!("{name}.rows"), x, 1, out)?;
        self.regions(name, rows, 2, out)
    }

    /// The means of `out` regions along one axis.
    fn regions(&mut self, name: &str, x: NodeId, axis: usize, out: usize) -> Result<NodeId> {
        let n = self.builder.shape(x)[axis];
        let mut means = Vec::with_capacity(out);
        for i in 0..out {
            let index = (i * n / out..((i + 1) * n).div_ceil(out)).collect();
            let region = self.builder.add(&format!("{name}.region{i}"), Op::Select { axis, index }, &[x])?;
            let mean = Op::Reduce { reduction: Reduction::Mean, axes: vec![axis], keep: true };
            means.push(self.builder.add(&format!("{name}.mean{i}"), mean, &[region])?);
        }
        self.builder.add(name, Op::Concat { axis }, &means)
    }

    /// All values in one row.
    pub fn flatten(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let n = self.builder.shape(x).iter().product();
        self.builder.add(name, Op::Reshape(vec![n]), &[x])
    }

    /// TensorFlow's "same" padding; an odd row or column is added at the end.
    pub fn same_padding(&self, x: NodeId, kernel: usize, stride: usize) -> Padding {
        let [rows, columns] = self.size(x).map(|n| ((n.div_ceil(stride) - 1) * stride + kernel).saturating_sub(n));
        Padding { top: rows / 2, left: columns / 2, bottom: rows - rows / 2, right: columns - columns / 2 }
    }

    /// Closes the net.
    ///
    /// # Errors
    /// Where tensors were missing, had other shapes, or were left over: all of them, up to eight.
    pub fn finish(mut self, output: NodeId, arch: &str) -> Result<Built> {
        let left: Vec<String> = self
            .left_over()
            .map(|name| {
                let shape = self.tensors.shape(name).unwrap_or_default();
                format!("`{name}` is {}, `{arch}` has none of that name", dims(shape))
            })
            .collect();
        self.misfits.extend(left);
        if self.misfits.is_empty() {
            let values = self.values();
            let (graph, weights) = self.builder.finish(output)?;
            return Ok(Built { graph, weights, notes: self.notes, headless: self.headless, values });
        }
        let count = self.misfits.len();
        let more =
            if count > LISTED_MISFITS { format!("\n  and {} more", count - LISTED_MISFITS) } else { String::new() };
        self.misfits.truncate(LISTED_MISFITS);
        let tensors = if count == 1 { "1 tensor does".to_string() } else { format!("{count} tensors do") };
        Err(Error::format(format!("{tensors} not fit `{arch}`:\n  {}{more}", self.misfits.join("\n  ")))
            .hint("is it another architecture's file? `convscope doc load_model` lists the names that are known"))
    }

    /// A tensor of the file, which counts as used; zeros where only shapes are checked.
    pub fn taken(&mut self, name: &str) -> Result<Tensor> {
        self.used.insert(name.to_string());
        match (self.dry, self.tensors.shape(name)) {
            (true, Some(shape)) => Ok(Tensor::zeros(shape, DType::F32, &Device::Cpu)?),
            _ => self.tensors.tensor(name),
        }
    }

    /// A parameter that is no tensor of the file.
    pub fn push_param(&mut self, name: &str, tensor: Tensor) -> Result<ParamId> {
        self.builder.param(name, tensor)
    }

    /// A parameter of the shape that the architecture has; its shape alone stands in for one that does not fit, until
    /// [`Net::finish`].
    pub fn param(&mut self, name: &str, shape: &[usize]) -> Result<ParamId> {
        self.used.insert(name.to_string());
        match self.tensors.shape(name) {
            Some(have) if have == shape && !self.dry => return self.builder.param(name, self.tensors.tensor(name)?),
            Some(have) if have == shape => {}
            other => {
                self.misfits.push(match other {
                    None => format!("`{name}` is missing, {} is needed", dims(shape)),
                    Some(have) => format!("`{name}` is {}, {} is needed", dims(have), dims(shape)),
                });
            }
        }
        self.builder.shaped_param(name, shape)
    }
}

/// A shape as messages write it.
pub fn dims(shape: &[usize]) -> String {
    match shape {
        [] => "a number".into(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
    }
}
