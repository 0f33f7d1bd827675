//! MobileNetV2 (Sandler et al. 2018): inverted residuals with linear bottlenecks.

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
