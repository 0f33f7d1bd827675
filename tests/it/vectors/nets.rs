//! Small nets with seeded weights, as ONNX files: one of each kind of architecture, so that together they use all kernels, with
//! sizes that leave tails in every tile.

use crate::onnx_bytes::{Graph, Node, node};
use convscope_engine::random::Stream;

/// The files by name.
pub fn files() -> [(&'static str, Vec<u8>); 5] {
    [
        ("residual", residual()),
        ("inverted", inverted()),
        ("convnext", convnext()),
        ("inception", inception()),
        ("grouped", grouped()),
    ]
}

/// A net as it grows. Its methods add nodes and return the name of what these compute.
struct Net {
    input: [i64; 4],
    nodes: Vec<Node>,
    weights: Vec<(String, Vec<i64>, Vec<f32>)>,
    shapes: Vec<(String, Vec<i64>)>,
}

impl Net {
    fn new([height, width]: [i64; 2]) -> Self {
        Net { input: [-1, 3, height, width], nodes: Vec::new(), weights: Vec::new(), shapes: Vec::new() }
    }

    fn add(&mut self, op: &str, inputs: &[&str], with: impl FnOnce(Node) -> Node) -> String {
        let name = format!("{}{}", op.to_lowercase(), self.nodes.len());
        self.nodes.push(with(node(op, inputs, &[&name])));
        name
    }

    fn plain(&mut self, op: &str, inputs: &[&str]) -> String {
        self.add(op, inputs, |node| node)
    }

    fn weight(&mut self, dims: &[usize], scale: f64, offset: f64) -> String {
        let name = format!("weight{}", self.weights.len());
        let stream = Stream::new(3, &name);
        let values = (0..dims.iter().product::<usize>()).map(|i| (offset + scale * stream.normal_at(i as u64)) as f32);
        self.weights.push((name.clone(), dims.iter().map(|n| *n as i64).collect(), values.collect()));
        name
    }

    /// A convolution between so many channels, with padding that keeps the size at stride 1.
    fn conv(&mut self, x: &str, channels: [usize; 2], [kernel, stride, groups]: [usize; 3]) -> String {
        self.dilated(x, channels, [kernel, stride, groups], 1)
    }

    fn dilated(&mut self, x: &str, [from, to]: [usize; 2], how: [usize; 3], dilation: usize) -> String {
        let [kernel, stride, groups] = how;
        let fan = kernel * kernel * from / groups;
        let weight = self.weight(&[to, from / groups, kernel, kernel], (2.0 / fan as f64).sqrt(), 0.0);
        let bias = self.weight(&[to], 0.1, 0.0);
        let [pad, stride, dilation] = [kernel / 2 * dilation, stride, dilation].map(|n| n as i64);
        self.add("Conv", &[x, &weight, &bias], |node| {
            let node = node.ints("strides", &[stride; 2]).ints("pads", &[pad; 4]);
            node.ints("dilations", &[dilation; 2]).int("group", groups as i64)
        })
    }

    fn relu_conv(&mut self, x: &str, channels: [usize; 2], how: [usize; 3]) -> String {
        let y = self.conv(x, channels, how);
        self.plain("Relu", &[&y])
    }

    fn pool(&mut self, op: &str, x: &str, [kernel, stride, pad]: [i64; 3]) -> String {
        let windows = |node: Node| node.ints("kernel_shape", &[kernel; 2]).ints("strides", &[stride; 2]);
        self.add(op, &[x], |node| windows(node).ints("pads", &[pad; 4]))
    }

    fn concat(&mut self, parts: &[&str]) -> String {
        self.add("Concat", parts, |node| node.int("axis", 1))
    }

    fn transpose(&mut self, x: &str, perm: &[i64]) -> String {
        self.add("Transpose", &[x], |node| node.ints("perm", perm))
    }

    fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let name = format!("shape{}", self.shapes.len());
        self.shapes.push((name.clone(), shape.to_vec()));
        self.plain("Reshape", &[x, &name])
    }

    /// A linear layer over the last axis.
    fn linear(&mut self, x: &str, [from, to]: [usize; 2]) -> String {
        let (weight, bias) = (self.weight(&[from, to], (1.0 / from as f64).sqrt(), 0.0), self.weight(&[to], 0.1, 0.0));
        let product = self.plain("MatMul", &[x, &weight]);
        self.plain("Add", &[&product, &bias])
    }

    /// Squeeze-and-excitation, with a gate that is hard or smooth.
    fn excite(&mut self, x: &str, channels: usize, gate: &str) -> String {
        let mean = self.plain("GlobalAveragePool", &[x]);
        let squeezed = self.relu_conv(&mean, [channels, 6], [1, 1, 1]);
        let scores = self.conv(&squeezed, [6, channels], [1, 1, 1]);
        let gate = self.plain(gate, &[&scores]);
        self.plain("Mul", &[x, &gate])
    }

    /// Ten scores from the mean of every channel.
    fn file(mut self, x: &str, channels: usize) -> Vec<u8> {
        let mean = self.plain("GlobalAveragePool", &[x]);
        let flat = self.plain("Flatten", &[&mean]);
        let scores = self.linear(&flat, [channels, 10]);
        let graph = self.nodes.into_iter().fold(Graph::new(&self.input), Graph::node);
        let graph = self.weights.iter().fold(graph, |graph, (name, dims, values)| graph.floats(name, dims, values));
        self.shapes.iter().fold(graph, |graph, (name, shape)| graph.ints(name, shape)).file(&scores, 20)
    }
}

/// A first layer with the pool after it, large enough for bands; batch norms, identities and a projection.
fn residual() -> Vec<u8> {
    let mut n = Net::new([160, 144]);
    let x = n.conv("x", [3, 32], [7, 2, 1]);
    let x = n.plain("Relu", &[&x]);
    let mut x = n.pool("MaxPool", &x, [3, 2, 1]);
    for [from, to, stride] in [[32, 32, 1], [32, 52, 2], [52, 52, 1]] {
        let mut branch = x.clone();
        for (from, stride, is_last) in [(from, stride, false), (to, 1, true)] {
            branch = n.conv(&branch, [from, to], [3, stride, 1]);
            let about = [(0.1, 1.0), (0.1, 0.0), (0.1, 0.0), (0.02, 1.0)];
            let [scale, shift, mean, var] = about.map(|(scale, offset)| n.weight(&[to], scale, offset));
            branch = n.plain("BatchNormalization", &[&branch, &scale, &shift, &mean, &var]);
            branch = if is_last { branch } else { n.plain("Relu", &[&branch]) };
        }
        let short = if from == to { x } else { n.conv(&x, [from, to], [1, stride, 1]) };
        let sum = n.plain("Add", &[&branch, &short]);
        x = n.plain("Relu", &[&sum]);
    }
    n.file(&x, 52)
}

/// Inverted residuals with squeeze-and-excitation: SiLU with 3 x 3, hard swish with 5 x 5 depthwise kernels. The first expansion is
/// large enough to be fused with the depthwise layer.
fn inverted() -> Vec<u8> {
    let mut n = Net::new([150, 150]);
    let x = n.conv("x", [3, 16], [3, 2, 1]);
    let mut x = n.plain("HardSwish", &[&x]);
    for ([from, wide, to], [kernel, stride], is_hard) in [
        ([16, 96, 20], [3, 2], false),
        ([20, 68, 20], [3, 1], false),
        ([20, 70, 36], [5, 2], true),
        ([36, 108, 36], [5, 1], true),
    ] {
        let activate = |n: &mut Net, x: String| {
            if is_hard {
                return n.plain("HardSwish", &[&x]);
            }
            let gate = n.plain("Sigmoid", &[&x]);
            n.plain("Mul", &[&x, &gate])
        };
        let y = n.conv(&x, [from, wide], [1, 1, 1]);
        let y = activate(&mut n, y);
        let y = n.conv(&y, [wide, wide], [kernel, stride, wide]);
        let y = activate(&mut n, y);
        let y = n.excite(&y, wide, if is_hard { "HardSigmoid" } else { "Sigmoid" });
        let y = n.conv(&y, [wide, to], [1, 1, 1]);
        x = if from == to { n.plain("Add", &[&x, &y]) } else { y };
    }
    n.file(&x, 36)
}

/// Patches, 7 x 7 depthwise kernels, layer norms over channels, GELU between linear layers, layer scales.
fn convnext() -> Vec<u8> {
    let mut n = Net::new([108, 92]);
    let patches = n.weight(&[30, 3, 4, 4], 0.2, 0.0);
    let mut x = n.add("Conv", &["x", &patches], |node| node.ints("strides", &[4; 2]));
    for (channels, next) in [(30, Some(44)), (44, None)] {
        let y = n.conv(&x, [channels, channels], [7, 1, channels]);
        let y = n.transpose(&y, &[0, 2, 3, 1]);
        let (scale, shift) = (n.weight(&[channels], 0.1, 1.0), n.weight(&[channels], 0.1, 0.0));
        let y = n.add("LayerNormalization", &[&y, &scale, &shift], |node| node.int("axis", -1).float("epsilon", 1e-6));
        let y = n.linear(&y, [channels, 4 * channels]);
        let y = n.plain("Gelu", &[&y]);
        let y = n.linear(&y, [4 * channels, channels]);
        let factors = n.weight(&[channels], 0.3, 0.5);
        let y = n.plain("Mul", &[&y, &factors]);
        let y = n.transpose(&y, &[0, 3, 1, 2]);
        x = n.plain("Add", &[&x, &y]);
        if let Some(next) = next {
            let halves = n.weight(&[next, channels, 2, 2], 0.1, 0.0);
            x = n.add("Conv", &[&x, &halves], |node| node.ints("strides", &[2; 2]));
        }
    }
    n.file(&x, 44)
}

/// Branches of 1 x 1, 3 x 3, 5 x 5 and an average pool side by side, then layers that each read all before them.
fn inception() -> Vec<u8> {
    let mut n = Net::new([82, 78]);
    let x = n.relu_conv("x", [3, 24], [3, 2, 1]);
    let x = n.pool("MaxPool", &x, [3, 2, 0]);
    let a = n.relu_conv(&x, [24, 13], [1, 1, 1]);
    let b = n.relu_conv(&x, [24, 10], [1, 1, 1]);
    let b = n.relu_conv(&b, [10, 21], [3, 1, 1]);
    let c = n.relu_conv(&x, [24, 5], [1, 1, 1]);
    let c = n.relu_conv(&c, [5, 9], [5, 1, 1]);
    let d = n.pool("AveragePool", &x, [3, 1, 1]);
    let d = n.relu_conv(&d, [24, 7], [1, 1, 1]);
    let mut x = n.concat(&[&a, &b, &c, &d]);
    for channels in [50, 62] {
        let y = n.relu_conv(&x, [channels, 16], [1, 1, 1]);
        let y = n.relu_conv(&y, [16, 12], [3, 1, 1]);
        x = n.concat(&[&x, &y]);
    }
    let x = n.relu_conv(&x, [74, 40], [1, 1, 1]);
    let x = n.pool("AveragePool", &x, [2, 2, 0]);
    n.file(&x, 40)
}

/// Groups whose channels are shuffled in between, dilated and transposed convolutions, leaky rectifiers.
fn grouped() -> Vec<u8> {
    let mut n = Net::new([74, 66]);
    let leaky = |n: &mut Net, x: String| n.add("LeakyRelu", &[&x], |node| node.float("alpha", 0.1));
    let x = n.conv("x", [3, 24], [3, 2, 1]);
    let x = leaky(&mut n, x);
    let y = n.conv(&x, [24, 24], [3, 1, 3]);
    let y = leaky(&mut n, y);
    let y = n.reshape(&y, &[-1, 3, 8, 37, 33]);
    let y = n.transpose(&y, &[0, 2, 1, 3, 4]);
    let y = n.reshape(&y, &[-1, 24, 37, 33]);
    let y = n.conv(&y, [24, 48], [1, 1, 3]);
    let y = n.conv(&y, [48, 48], [3, 2, 6]);
    let y = leaky(&mut n, y);
    let y = n.dilated(&y, [48, 20], [3, 1, 2], 2);
    let y = leaky(&mut n, y);
    // 19 x 17 to 37 x 33.
    let transposed = n.weight(&[20, 14, 3, 3], 0.1, 0.0);
    let y = n.add("ConvTranspose", &[&y, &transposed], |node| node.ints("strides", &[2; 2]).ints("pads", &[1; 4]));
    let x = n.concat(&[&x, &y]);
    let x = n.conv(&x, [38, 35], [3, 1, 1]);
    let x = n.plain("Relu", &[&x]);
    n.file(&x, 35)
}
