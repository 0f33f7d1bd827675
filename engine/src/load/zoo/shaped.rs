//! Layers whose sizes are read from the file. The architecture then only says what the file does not hold: strides,
//! activations, epsilons, the number of blocks and their output widths.

use candle_core::{Device, Tensor};

use super::net::{Net, dims};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary, Pool, Reduction, Window};
use crate::graph::{NodeId, Op};

impl Net<'_> {
    /// Whether the file has a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// The shape of a tensor that the architecture needs.
    ///
    /// # Errors
    /// Where the file lacks it.
    pub fn needed(&self, name: &str) -> Result<Vec<usize>> {
        self.shape(name).map(<[usize]>::to_vec).ok_or_else(|| {
            Error::format(format!("the file lacks `{name}`"))
                .hint("is it another architecture's file? `convscope doc load_model` lists the names that are known")
        })
    }

    /// Where a value has another number of channels than the architecture ends this part with.
    pub fn expect_width(&mut self, part: &str, x: NodeId, width: usize) {
        let have = self.channels(x);
        if have != width {
            self.misfit(format!("`{part}` has {have} channels, {width} are needed"));
        }
    }

    /// A convolution of the file's size, a bias where the file has one, padded by half its kernel (or as TensorFlow's "same"
    /// where the net is written so).
    pub fn conv_as(&mut self, name: &str, x: NodeId, stride: usize) -> Result<NodeId> {
        let kernel = self.kernel(name)?;
        let padding = match self.same {
            true => self.same_padding(x, kernel[0], stride),
            false => crate::graph::op::Padding {
                top: kernel[0] / 2,
                left: kernel[1] / 2,
                bottom: kernel[0] / 2,
                right: kernel[1] / 2,
            },
        };
        self.conv_of(name, x, Window { kernel, stride: [stride; 2], dilation: [1, 1], padding })
    }

    /// As [`Net::conv_as`] without padding.
    pub fn conv_bare(&mut self, name: &str, x: NodeId, stride: usize) -> Result<NodeId> {
        let kernel = self.kernel(name)?;
        let padding = crate::graph::op::Padding::default();
        self.conv_of(name, x, Window { kernel, stride: [stride; 2], dilation: [1, 1], padding })
    }

    fn kernel(&self, name: &str) -> Result<[usize; 2]> {
        match self.needed(&format!("{name}.weight"))?[..] {
            [_, _, rows, columns] => Ok([rows, columns]),
            ref other => Err(Error::format(format!("`{name}.weight` is {}, no convolution's", dims(other)))),
        }
    }

    fn conv_of(&mut self, name: &str, x: NodeId, window: Window) -> Result<NodeId> {
        let shape = self.needed(&format!("{name}.weight"))?;
        let channels = self.channels(x);
        if shape[1] == 0 || !channels.is_multiple_of(shape[1]) {
            return Err(Error::format(format!(
                "`{name}.weight` is {}, which does not fit its {channels} channels",
                dims(&shape)
            )));
        }
        let bias = self.has(&format!("{name}.bias"));
        self.conv_in_groups(name, x, shape[0], window, channels / shape[1], bias)
    }

    /// A linear layer of the file's size over the last axis.
    pub fn linear_as(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        match self.needed(&format!("{name}.weight"))?[..] {
            [out, _] => self.linear(name, x, out),
            ref other => Err(Error::format(format!("`{name}.weight` is {}, no linear layer's", dims(other)))),
        }
    }

    /// Batch normalisation, then an activation as node `after` where there is one.
    pub fn norm(&mut self, name: &str, x: NodeId, after: Option<(&str, Activation)>) -> Result<NodeId> {
        let y = self.batch_norm(name, x)?;
        match after {
            Some((after, f)) => self.activation(after, y, f),
            None => Ok(y),
        }
    }

    /// Layer normalisation over the last axis.
    pub fn layer_norm(&mut self, name: &str, x: NodeId, eps: f64) -> Result<NodeId> {
        let shape = self.value_shape(x);
        let (axis, n) = (shape.len() - 1, shape[shape.len() - 1]);
        let scale = self.param(&format!("{name}.weight"), &[n])?;
        let shift = Some(self.param(&format!("{name}.bias"), &[n])?);
        self.node(name, Op::LayerNorm { axis, scale, shift, eps }, &[x])
    }

    /// Layer normalisation over the channels of a map.
    pub fn layer_norm_of_maps(&mut self, name: &str, x: NodeId, eps: f64) -> Result<NodeId> {
        let y = self.node(&format!("{name}.last"), Op::Transpose(vec![1, 2, 0]), &[x])?;
        let y = self.layer_norm(name, y, eps)?;
        self.node(&format!("{name}.first"), Op::Transpose(vec![2, 0, 1]), &[y])
    }

    /// Squeeze and excitation (Hu et al. 2018): channels weighed by a function of their means, two convolutions or linear
    /// layers `NAME.PARTS`.
    pub fn squeeze(
        &mut self,
        name: &str,
        parts: [&str; 2],
        x: NodeId,
        inner: Activation,
        gate: Activation,
    ) -> Result<NodeId> {
        let mut s = self.global_pool(&format!("{name}.avgpool"), x)?;
        s = self.conv_as(&format!("{name}.{}", parts[0]), s, 1)?;
        s = self.activation(&format!("{name}.activation"), s, inner)?;
        s = self.conv_as(&format!("{name}.{}", parts[1]), s, 1)?;
        s = self.activation(&format!("{name}.scale_activation"), s, gate)?;
        self.binary(&format!("{name}.mul"), Binary::Mul, s, x)
    }

    /// The mean of each channel as a vector.
    pub fn pooled(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let x = self.global_pool(name, x)?;
        self.flatten("flatten", x)
    }

    /// A tensor of the file, in another shape, as a value.
    pub fn constant_as(&mut self, name: &str, shape: &[usize]) -> Result<NodeId> {
        let have = self.needed(name)?;
        if have.iter().product::<usize>() != shape.iter().product::<usize>() {
            self.misfit(format!("`{name}` is {}, {} is needed", dims(&have), dims(shape)));
            return self.constant(name, Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)?);
        }
        let tensor = self.taken(name)?.reshape(shape)?;
        self.constant(name, tensor)
    }

    /// A value that is the same for every input.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Result<NodeId> {
        let param = self.push_param(name, tensor)?;
        self.node(name, Op::Constant(param), &[])
    }

    /// A value times a tensor of the file, which broadcasts from the last axes; the value itself where the file has none.
    pub fn scaled_by(&mut self, tensor: &str, x: NodeId) -> Result<NodeId> {
        if !self.has(tensor) {
            return Ok(x);
        }
        let n: usize = self.needed(tensor)?.iter().product();
        let factor = self.constant_as(tensor, &[n])?;
        self.binary(&format!("{tensor}.mul"), Binary::Mul, x, factor)
    }

    /// Axes in another order.
    pub fn permute(&mut self, name: &str, x: NodeId, axes: &[usize]) -> Result<NodeId> {
        self.node(name, Op::Transpose(axes.to_vec()), &[x])
    }

    /// The same values in another shape.
    pub fn reshape(&mut self, name: &str, x: NodeId, shape: &[usize]) -> Result<NodeId> {
        self.node(name, Op::Reshape(shape.to_vec()), &[x])
    }

    /// Some of the entries along an axis.
    pub fn select(&mut self, name: &str, x: NodeId, axis: usize, index: Vec<usize>) -> Result<NodeId> {
        self.node(name, Op::Select { axis, index: index.into() }, &[x])
    }

    /// The mean over some axes, which go.
    pub fn mean(&mut self, name: &str, x: NodeId, axes: &[usize]) -> Result<NodeId> {
        self.node(name, Op::Reduce { reduction: Reduction::Mean, axes: axes.to_vec(), keep: false }, &[x])
    }

    /// The mean of each window, whose size rounds up and which does not count what is outside.
    pub fn avg_pool_within(&mut self, name: &str, x: NodeId, window: Window) -> Result<NodeId> {
        self.node(name, Op::AvgPool(Pool { window, ceil: true, count_padding: false }), &[x])
    }

    /// Attention of several heads over windows of tokens, windows x tokens x channels (or tokens x channels): `qkv` holds
    /// queries, keys and values along the last axis, one after the other; what `bias` gives is added to the products.
    pub fn attention(&mut self, name: &str, qkv: NodeId, heads: usize, bias: &[NodeId]) -> Result<NodeId> {
        let shape = self.value_shape(qkv);
        let (front, tokens, channels) = match shape[..] {
            [tokens, all] => (vec![], tokens, all / 3),
            [windows, tokens, all] => (vec![windows], tokens, all / 3),
            _ => return Err(Error::internal("attention over tokens of other axes")),
        };
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(Error::format(format!("`{name}`: {channels} channels in {heads} heads")));
        }
        let (a, width) = (front.len(), channels / heads);
        let split = [&front[..], &[tokens, heads, width]].concat();
        // From tokens x heads x width to heads x tokens x width, or to heads x width x tokens.
        let order = |last: [usize; 2]| (0..a).chain([a + 1]).chain(last.map(|i| a + i)).collect::<Vec<usize>>();
        let part = |net: &mut Self, at: usize, leaf: &str, last: [usize; 2]| {
            let index = (at * channels..(at + 1) * channels).collect();
            let x = net.select(&format!("{name}.{leaf}"), qkv, a + 1, index)?;
            let x = net.reshape(&format!("{name}.{leaf}.heads"), x, &split)?;
            net.permute(&format!("{name}.{leaf}.first"), x, &order(last))
        };
        let q = part(self, 0, "q", [0, 2])?;
        let k = part(self, 1, "k", [2, 0])?;
        let v = part(self, 2, "v", [0, 2])?;
        let scale = Tensor::new(libm::powf(width as f32, -0.5), &Device::Cpu)?;
        let scale = self.constant(&format!("{name}.scale"), scale)?;
        let q = self.binary(&format!("{name}.q.scaled"), Binary::Mul, q, scale)?;
        let mut products = self.node(&format!("{name}.products"), Op::MatMul, &[q, k])?;
        for (i, bias) in bias.iter().enumerate() {
            products = self.binary(&format!("{name}.biased{i}"), Binary::Add, products, *bias)?;
        }
        let attention = Op::Softmax { axis: a + 2, log: false };
        let weights = self.node(&format!("{name}.softmax"), attention, &[products])?;
        let y = self.node(&format!("{name}.sums"), Op::MatMul, &[weights, v])?;
        let back: Vec<usize> = (0..a).chain([a + 1, a, a + 2]).collect();
        let y = self.permute(&format!("{name}.tokens"), y, &back)?;
        self.reshape(&format!("{name}.joined"), y, &[&front[..], &[tokens, channels]].concat())
    }
}
