//! ResNet (He et al. 2016), with the stride in a bottleneck's 3 x 3 convolution as torchvision has it, and its variants:
//! grouped convolutions (ResNeXt), wider blocks, timm's stems and shortcuts, squeeze and excitation.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary, Window};

/// torchvision's `resnet18` and `resnet34`: blocks of two 3 x 3 convolutions, `blocks` in each of the four stages.
pub fn basic(net: &mut Net, size: [usize; 2], blocks: [usize; 4]) -> Result<NodeId> {
    resnet(net, size, blocks, 1, |net, name, x, width, stride| {
        let y = net.plain_conv(&format!("{name}.conv1"), x, width, Window::square(3, stride, 1))?;
        let y = norm_relu(net, name, 1, y)?;
        let y = net.plain_conv(&format!("{name}.conv2"), y, width, Window::square(3, 1, 1))?;
        net.batch_norm(&format!("{name}.bn2"), y)
    })
}

/// torchvision's `resnet50` to `resnet152`, ResNeXt (Xie et al. 2017) and wide ResNet (Zagoruyko and Komodakis 2016):
/// bottleneck blocks, `blocks` in each of the four stages; `groups` of the 3 x 3 convolutions, each of `base` channels at a
/// width of 64.
pub fn bottleneck(net: &mut Net, size: [usize; 2], blocks: [usize; 4], groups: usize, base: usize) -> Result<NodeId> {
    resnet(net, size, blocks, 4, move |net, name, x, width, stride| {
        let inner = width * base / 64 * groups;
        let y = net.plain_conv(&format!("{name}.conv1"), x, inner, Window::square(1, 1, 0))?;
        let y = norm_relu(net, name, 1, y)?;
        let window = Window::square(3, stride, 1);
        let y = net.conv_in_groups(&format!("{name}.conv2"), y, inner, window, groups, false)?;
        let y = norm_relu(net, name, 2, y)?;
        let y = net.plain_conv(&format!("{name}.conv3"), y, width * 4, Window::square(1, 1, 0))?;
        net.batch_norm(&format!("{name}.bn3"), y)
    })
}

fn norm_relu(net: &mut Net, name: &str, number: usize, x: NodeId) -> Result<NodeId> {
    let y = net.batch_norm(&format!("{name}.bn{number}"), x)?;
    net.relu(&format!("{name}.relu"), y)
}

/// The stem: one 7 x 7 convolution, or timm's three of 3 x 3 ("d").
fn stem(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    if !net.has("conv1.0.weight") {
        let input = net.input("conv1", size)?;
        return net.plain_conv("conv1", input, 64, Window::square(7, 2, 3));
    }
    let mut x = net.input("conv1.0", size)?;
    x = net.conv_as("conv1.0", x, 2)?;
    x = net.norm("conv1.1", x, Some(("conv1.2", Activation::Relu)))?;
    x = net.conv_as("conv1.3", x, 1)?;
    x = net.norm("conv1.4", x, Some(("conv1.5", Activation::Relu)))?;
    net.conv_as("conv1.6", x, 1)
}

/// timm's shortcut that averages before its 1 x 1 convolution ("d").
fn averaged(net: &mut Net, name: &str, x: NodeId, stride: usize) -> Result<NodeId> {
    let part = |i: usize| format!("{name}.downsample.{i}");
    let mut y = x;
    if stride > 1 {
        y = net.avg_pool_within(&part(0), y, Window::square(2, stride, 0))?;
    }
    y = net.conv_as(&part(1), y, 1)?;
    net.norm(&part(2), y, None)
}

/// The parts that all share; `branch` writes a block's residual branch of a width and stride.
fn resnet(
    net: &mut Net,
    size: [usize; 2],
    blocks: [usize; 4],
    expansion: usize,
    branch: impl Fn(&mut Net, &str, NodeId, usize, usize) -> Result<NodeId>,
) -> Result<NodeId> {
    let mut x = stem(net, size)?;
    x = net.batch_norm("bn1", x)?;
    x = net.relu("relu", x)?;
    x = net.max_pool("maxpool", x, Window::square(3, 2, 1), false)?;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        let width = 64 << stage;
        for block in 0..blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let mut y = branch(net, &name, x, width, stride)?;
            if net.has(&format!("{name}.se.fc1.weight")) {
                y = net.squeeze(&format!("{name}.se"), ["fc1", "fc2"], y, Activation::Relu, Activation::Sigmoid)?;
            }
            if net.shape(&format!("{name}.downsample.1.weight")).is_some_and(|shape| shape.len() == 4) {
                x = averaged(net, &name, x, stride)?;
            } else if block == 0 && (stride > 1 || net.channels(x) != width * expansion) {
                let window = Window::square(1, stride, 0);
                x = net.plain_conv(&format!("{name}.downsample.0"), x, width * expansion, window)?;
                x = net.batch_norm(&format!("{name}.downsample.1"), x)?;
            }
            x = net.binary(&format!("{name}.add"), Binary::Add, y, x)?;
            x = net.relu(&format!("{name}.relu"), x)?;
        }
    }
    x = net.global_pool("avgpool", x)?;
    x = net.flatten("flatten", x)?;
    net.head("fc", &["fc"], x)
}
