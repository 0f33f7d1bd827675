//! EfficientNet (Tan and Le 2019): inverted residuals scaled together in depth, width and resolution.

use super::net::Net;
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

/// torchvision's `efficientnet_b0`: SiLU, squeeze and excitation.
pub fn efficientnet_b0(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    let input = net.input("features.0.0", size)?;
    let mut x = net.plain_conv("features.0.0", input, 32, Window::square(3, 2, 1))?;
    x = norm_silu(net, "features.0", x)?;
    for (s, (blocks, kernel, stride, expansion, out)) in STAGES.into_iter().enumerate() {
        for b in 0..blocks {
            let stride = if b == 0 { stride } else { 1 };
            x = mb_conv(net, &format!("features.{}.{b}", s + 1), x, kernel, stride, expansion, out)?;
        }
    }
    x = net.plain_conv("features.8.0", x, 1280, Window::square(1, 1, 0))?;
    x = norm_silu(net, "features.8", x)?;
    x = net.global_pool("avgpool", x)?;
    x = net.flatten("flatten", x)?;
    net.head("classifier", &["classifier.1"], x)
}

fn norm_silu(net: &mut Net, name: &str, x: NodeId) -> Result<NodeId> {
    let y = net.batch_norm(&format!("{name}.1"), x)?;
    net.activation(&format!("{name}.2"), y, Activation::Silu)
}

fn mb_conv(
    net: &mut Net,
    name: &str,
    input: NodeId,
    kernel: usize,
    stride: usize,
    expansion: usize,
    out: usize,
) -> Result<NodeId> {
    let inputs = net.channels(input);
    let (mut x, mut at) = (input, 0);
    if expansion != 1 {
        x = net.plain_conv(&format!("{name}.block.0.0"), x, inputs * expansion, Window::square(1, 1, 0))?;
        x = norm_silu(net, &format!("{name}.block.0"), x)?;
        at = 1;
    }
    x = net.depthwise(&format!("{name}.block.{at}.0"), x, Window::square(kernel, stride, kernel / 2))?;
    x = norm_silu(net, &format!("{name}.block.{at}"), x)?;
    x = squeeze_excitation(net, &format!("{name}.block.{}", at + 1), x, (inputs / 4).max(1))?;
    x = net.plain_conv(&format!("{name}.block.{}.0", at + 2), x, out, Window::square(1, 1, 0))?;
    x = net.batch_norm(&format!("{name}.block.{}.1", at + 2), x)?;
    if stride == 1 && inputs == out { net.binary(&format!("{name}.add"), Binary::Add, x, input) } else { Ok(x) }
}

/// Channels weighed by what they hold on the whole (Hu et al. 2018).
fn squeeze_excitation(net: &mut Net, name: &str, x: NodeId, squeeze: usize) -> Result<NodeId> {
    let channels = net.channels(x);
    let mut s = net.global_pool(&format!("{name}.avgpool"), x)?;
    s = net.conv(&format!("{name}.fc1"), s, squeeze, Window::square(1, 1, 0))?;
    s = net.activation(&format!("{name}.activation"), s, Activation::Silu)?;
    s = net.conv(&format!("{name}.fc2"), s, channels, Window::square(1, 1, 0))?;
    s = net.activation(&format!("{name}.scale_activation"), s, Activation::Sigmoid)?;
    net.binary(&format!("{name}.mul"), Binary::Mul, s, x)
}

/// EfficientNet-Lite0 under the names of its PyTorch port: ReLU6, no squeeze and excitation, TensorFlow's "same" padding,
/// batch normalisation with epsilon 0.001.
pub fn lite0(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
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
