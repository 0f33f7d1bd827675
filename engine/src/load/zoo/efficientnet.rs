//! EfficientNet (Tan and Le 2019, 2021): inverted residuals scaled together in depth, width and resolution.

use super::net::Net;
use super::timm;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary, Window};

/// One stage: blocks, kernel, stride of its first block, expansion, channels.
type Stage = (usize, usize, usize, usize, usize);

const STAGES: [Stage; 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// Channels behind the stem, the seven stages and the end.
pub type Widths = [usize; 9];

/// `efficientnet_b0` to `efficientnet_b7` by torchvision's names, or by timm's, whose epsilon is 1e-5: blocks by stage,
/// channels behind the stem, each stage and the end. SiLU, squeeze and excitation; `eps` is batch normalisation's.
pub fn efficientnet(net: &mut Net, size: [usize; 2], blocks: [usize; 7], widths: Widths, eps: f64) -> Result<NodeId> {
    if net.has("conv_stem.weight") {
        let untold = timm::Untold { blocks: &blocks, widths: [widths[0], widths[8]], ..timm::SILU };
        return timm::inverted(net, size, &untold);
    }
    staged(net, size, &blocks, &[1, 2, 2, 2, 1, 2, 1], &widths, eps)
}

/// torchvision's `efficientnet_v2_s` to `efficientnet_v2_l`: first stages whose expansion is a 3 x 3 convolution.
pub fn efficientnet_v2(net: &mut Net, size: [usize; 2], blocks: &[usize], widths: &[usize]) -> Result<NodeId> {
    staged(net, size, blocks, &[1, 2, 2, 2, 1, 2, 1], widths, 1e-3)
}

fn staged(
    net: &mut Net,
    size: [usize; 2],
    blocks: &[usize],
    strides: &[usize],
    widths: &[usize],
    eps: f64,
) -> Result<NodeId> {
    net.eps = eps;
    let mut x = net.input("features.0.0", size)?;
    x = norm_silu(net, "features.0", x, 2)?;
    net.expect_width("features.0", x, widths[0]);
    for (s, (blocks, stride)) in blocks.iter().zip(strides).enumerate() {
        for b in 0..*blocks {
            let stride = if b == 0 { *stride } else { 1 };
            x = mb_conv(net, &format!("features.{}.{b}", s + 1), x, stride)?;
        }
        net.expect_width(&format!("features.{}", s + 1), x, widths[s + 1]);
    }
    let last = blocks.len() + 1;
    x = norm_silu(net, &format!("features.{last}"), x, 1)?;
    net.expect_width(&format!("features.{last}"), x, widths[last]);
    x = net.global_pool("avgpool", x)?;
    x = net.flatten("flatten", x)?;
    net.head("classifier", &["classifier.1"], x)
}

/// Convolution, norm and SiLU `NAME.0` to `NAME.2`.
fn norm_silu(net: &mut Net, name: &str, x: NodeId, stride: usize) -> Result<NodeId> {
    let y = net.conv_as(&format!("{name}.0"), x, stride)?;
    let y = net.batch_norm(&format!("{name}.1"), y)?;
    net.activation(&format!("{name}.2"), y, Activation::Silu)
}

/// A block, fused or not: its parts are those of the file, the first of which has the stride where it is no 1 x 1.
fn mb_conv(net: &mut Net, name: &str, input: NodeId, stride: usize) -> Result<NodeId> {
    let (mut x, mut at) = (input, 0);
    let inputs = net.channels(input);
    let part = |at: usize| format!("{name}.block.{at}");
    let kernel = |net: &Net, at: usize| net.needed(&format!("{}.0.weight", part(at))).map(|shape| shape[2]);
    let mut strides = stride;
    while net.has(&format!("{}.0.weight", part(at + 1))) || net.has(&format!("{}.fc1.weight", part(at + 1))) {
        if net.has(&format!("{}.fc1.weight", part(at))) {
            x = net.squeeze(&part(at), ["fc1", "fc2"], x, Activation::Silu, Activation::Sigmoid)?;
        } else {
            let own = if kernel(net, at)? > 1 { std::mem::replace(&mut strides, 1) } else { 1 };
            x = norm_silu(net, &part(at), x, own)?;
        }
        at += 1;
    }
    let own = if kernel(net, at)? > 1 { strides } else { 1 };
    x = net.conv_as(&format!("{}.0", part(at)), x, own)?;
    x = net.batch_norm(&format!("{}.1", part(at)), x)?;
    // The first stage of version 2 does not expand and has one convolution with its activation.
    if at == 0 {
        x = net.activation(&format!("{}.2", part(at)), x, Activation::Silu)?;
    }
    let same = stride == 1 && inputs == net.channels(x);
    if same { net.binary(&format!("{name}.add"), Binary::Add, x, input) } else { Ok(x) }
}

/// EfficientNet-Lite0 under the names of its PyTorch port: ReLU6, no squeeze and excitation, TensorFlow's "same" padding,
/// batch normalisation with epsilon 0.001. Under timm's names timm's net, which pads all around and has epsilon 1e-5.
pub fn lite0(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    if net.has("conv_stem.weight") {
        let untold = timm::Untold { blocks: &STAGES.map(|stage| stage.0), widths: [32, 1280], ..timm::RELU6 };
        return timm::inverted(net, size, &untold);
    }
    net.eps = 1e-3;
    let input = net.input("_conv_stem", size)?;
    let stem = same(net, input, 3, 2);
    let mut x = net.plain_conv("_conv_stem", input, 32, stem)?;
    x = norm_relu6(net, "_bn0", x)?;
    let mut at = 0;
    for (blocks, kernel, stride, expansion, out) in STAGES {
        for b in 0..blocks {
            let stride = if b == 0 { stride } else { 1 };
            x = lite_block(net, &format!("_blocks.{at}"), x, kernel, stride, expansion, out)?;
            at += 1;
        }
    }
    x = net.plain_conv("_conv_head", x, 1280, Window::square(1, 1, 0))?;
    x = norm_relu6(net, "_bn1", x)?;
    x = net.global_pool("_avg_pooling", x)?;
    x = net.flatten("flatten", x)?;
    net.head("_fc", &["_fc"], x)
}

fn same(net: &Net, x: NodeId, kernel: usize, stride: usize) -> Window {
    Window { padding: net.same_padding(x, kernel, stride), ..Window::square(kernel, stride, 0) }
}

fn norm_relu6(net: &mut Net, name: &str, x: NodeId) -> Result<NodeId> {
    let y = net.batch_norm(name, x)?;
    net.activation(&format!("{name}.relu6"), y, Activation::RELU6)
}

fn lite_block(
    net: &mut Net,
    name: &str,
    input: NodeId,
    kernel: usize,
    stride: usize,
    expansion: usize,
    out: usize,
) -> Result<NodeId> {
    let inputs = net.channels(input);
    let mut x = input;
    if expansion != 1 {
        x = net.plain_conv(&format!("{name}._expand_conv"), x, inputs * expansion, Window::square(1, 1, 0))?;
        x = norm_relu6(net, &format!("{name}._bn0"), x)?;
    }
    let window = same(net, x, kernel, stride);
    x = net.depthwise(&format!("{name}._depthwise_conv"), x, window)?;
    x = norm_relu6(net, &format!("{name}._bn1"), x)?;
    x = net.plain_conv(&format!("{name}._project_conv"), x, out, Window::square(1, 1, 0))?;
    x = net.batch_norm(&format!("{name}._bn2"), x)?;
    if stride == 1 && inputs == out { net.binary(&format!("{name}.add"), Binary::Add, x, input) } else { Ok(x) }
}
