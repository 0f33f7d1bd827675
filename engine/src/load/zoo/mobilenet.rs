//! MobileNetV2 (Sandler et al. 2018): inverted residuals with linear bottlenecks; V3 (Howard et al. 2019): hard swish, squeeze
//! and excitation.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary, Window};

/// Expansion, channels, blocks, stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// torchvision's `mobilenet_v2`.
pub fn mobilenet_v2(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    let input = net.input("features.0.0", size)?;
    let mut x = net.plain_conv("features.0.0", input, 32, Window::square(3, 2, 1))?;
    x = norm_relu6(net, "features.0", x)?;
    let mut at = 1;
    for (expansion, out, blocks, stride) in STAGES {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            x = inverted_residual(net, &format!("features.{at}"), x, expansion, out, stride)?;
            at += 1;
        }
    }
    x = net.plain_conv("features.18.0", x, 1280, Window::square(1, 1, 0))?;
    x = norm_relu6(net, "features.18", x)?;
    x = net.global_pool("avgpool", x)?;
    x = net.flatten("flatten", x)?;
    net.head("classifier", &["classifier.1"], x)
}

fn inverted_residual(
    net: &mut Net,
    name: &str,
    input: NodeId,
    expansion: usize,
    out: usize,
    stride: usize,
) -> Result<NodeId> {
    let inputs = net.channels(input);
    let (mut x, mut at) = (input, 0);
    if expansion != 1 {
        x = net.plain_conv(&format!("{name}.conv.0.0"), x, inputs * expansion, Window::square(1, 1, 0))?;
        x = norm_relu6(net, &format!("{name}.conv.0"), x)?;
        at = 1;
    }
    x = net.depthwise(&format!("{name}.conv.{at}.0"), x, Window::square(3, stride, 1))?;
    x = norm_relu6(net, &format!("{name}.conv.{at}"), x)?;
    x = net.plain_conv(&format!("{name}.conv.{}", at + 1), x, out, Window::square(1, 1, 0))?;
    x = net.batch_norm(&format!("{name}.conv.{}", at + 2), x)?;
    if stride == 1 && inputs == out { net.binary(&format!("{name}.add"), Binary::Add, x, input) } else { Ok(x) }
}

fn norm_relu6(net: &mut Net, name: &str, x: NodeId) -> Result<NodeId> {
    let y = net.batch_norm(&format!("{name}.1"), x)?;
    net.activation(&format!("{name}.2"), y, Activation::RELU6)
}

/// Blocks of MobileNetV3: stride, whether hard swish follows (else ReLU), channels.
pub type V3 = &'static [(usize, bool, usize)];

/// The large one.
pub const LARGE: V3 = &[
    (1, false, 16),
    (2, false, 24),
    (1, false, 24),
    (2, false, 40),
    (1, false, 40),
    (1, false, 40),
    (2, true, 80),
    (1, true, 80),
    (1, true, 80),
    (1, true, 80),
    (1, true, 112),
    (1, true, 112),
    (2, true, 160),
    (1, true, 160),
    (1, true, 160),
];
/// The small one.
pub const SMALL: V3 = &[
    (2, false, 16),
    (2, false, 24),
    (1, false, 24),
    (2, true, 40),
    (1, true, 40),
    (1, true, 40),
    (1, true, 48),
    (1, true, 48),
    (2, true, 96),
    (1, true, 96),
    (1, true, 96),
];

/// torchvision's `mobilenet_v3_large` and `mobilenet_v3_small`. Expansions, kernels and squeezes are the file's.
pub fn mobilenet_v3(net: &mut Net, size: [usize; 2], blocks: V3) -> Result<NodeId> {
    net.eps = 1e-3;
    let mut x = net.input("features.0.0", size)?;
    x = net.conv_as("features.0.0", x, 2)?;
    x = net.norm("features.0.1", x, Some(("features.0.2", Activation::HardSwish)))?;
    for (i, (stride, hard, width)) in blocks.iter().enumerate() {
        let f = if *hard { Activation::HardSwish } else { Activation::Relu };
        x = v3_block(net, &format!("features.{}.block", i + 1), x, *stride, f)?;
        net.expect_width(&format!("features.{}", i + 1), x, *width);
    }
    let last = format!("features.{}", blocks.len() + 1);
    x = net.conv_as(&format!("{last}.0"), x, 1)?;
    x = net.norm(&format!("{last}.1"), x, Some((&format!("{last}.2"), Activation::HardSwish)))?;
    x = net.pooled("avgpool", x)?;
    net.own_between = Activation::HardSwish;
    net.head("classifier", &["classifier.0", "classifier.3"], x)
}

fn v3_block(net: &mut Net, name: &str, input: NodeId, stride: usize, f: Activation) -> Result<NodeId> {
    let (mut x, mut at) = (input, 0);
    // Without an expansion the first convolution is the depthwise one.
    if net.needed(&format!("{name}.0.0.weight"))?[2..] == [1, 1] {
        x = net.conv_as(&format!("{name}.0.0"), x, 1)?;
        x = net.norm(&format!("{name}.0.1"), x, Some((&format!("{name}.0.2"), f)))?;
        at = 1;
    }
    x = net.conv_as(&format!("{name}.{at}.0"), x, stride)?;
    x = net.norm(&format!("{name}.{at}.1"), x, Some((&format!("{name}.{at}.2"), f)))?;
    if net.has(&format!("{name}.{}.fc1.weight", at + 1)) {
        at += 1;
        let gate = Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };
        x = net.squeeze(&format!("{name}.{at}"), ["fc1", "fc2"], x, Activation::Relu, gate)?;
    }
    x = net.conv_as(&format!("{name}.{}.0", at + 1), x, 1)?;
    x = net.norm(&format!("{name}.{}.1", at + 1), x, None)?;
    let same = stride == 1 && net.channels(x) == net.channels(input);
    if same { net.binary(&format!("{name}.add"), Binary::Add, x, input) } else { Ok(x) }
}
