//! ResNet (He et al. 2016), with the stride in a bottleneck's 3 x 3 convolution as torchvision has it.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Binary, Window};

/// torchvision's `resnet18` and `resnet34`: blocks of two 3 x 3 convolutions, `blocks` in each of the four stages.
pub fn basic(net: &mut Net, size: [usize; 2], blocks: [usize; 4]) -> Result<NodeId> {
    resnet(net, size, blocks, 1, |net, name, x, width, stride| {
        let y = net.plain_conv(&format!("{name}.conv1"), x, width, Window::square(3, stride, 1))?;
        let y = norm_relu(net, name, 1, y)?;
        let y = net.plain_conv(&format!("{name}.conv2"), y, width, Window::square(3, 1, 1))?;
        net.batch_norm(&format!("{name}.bn2"), y)
    })
}

/// torchvision's `resnet50` to `resnet152`: bottleneck blocks, `blocks` in each of the four stages.
pub fn bottleneck(net: &mut Net, size: [usize; 2], blocks: [usize; 4]) -> Result<NodeId> {
    resnet(net, size, blocks, 4, |net, name, x, width, stride| {
        let y = net.plain_conv(&format!("{name}.conv1"), x, width, Window::square(1, 1, 0))?;
        let y = norm_relu(net, name, 1, y)?;
        let y = net.plain_conv(&format!("{name}.conv2"), y, width, Window::square(3, stride, 1))?;
        let y = norm_relu(net, name, 2, y)?;
        let y = net.plain_conv(&format!("{name}.conv3"), y, width * 4, Window::square(1, 1, 0))?;
        net.batch_norm(&format!("{name}.bn3"), y)
    })
}

fn norm_relu(net: &mut Net, name: &str, number: usize, x: NodeId) -> Result<NodeId> {
    let y = net.batch_norm(&format!("{name}.bn{number}"), x)?;
    net.relu(&format!("{name}.relu"), y)
}

/// The parts that all share; `branch` writes a block's residual branch of a width and stride.
fn resnet(
    net: &mut Net,
    size: [usize; 2],
    blocks: [usize; 4],
    expansion: usize,
    branch: fn(&mut Net, &str, NodeId, usize, usize) -> Result<NodeId>,
) -> Result<NodeId> {
    let input = net.input("conv1", size)?;
    let mut x = net.plain_conv("conv1", input, 64, Window::square(7, 2, 3))?;
    x = net.batch_norm("bn1", x)?;
    x = net.relu("relu", x)?;
    x = net.max_pool("maxpool", x, Window::square(3, 2, 1), false)?;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        let width = 64 << stage;
        for block in 0..blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let y = branch(net, &name, x, width, stride)?;
            if block == 0 && (stride > 1 || net.channels(x) != width * expansion) {
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
