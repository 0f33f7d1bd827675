//! ShuffleNetV2 (Ma et al. 2018): half of the channels pass by, the halves are shuffled.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Window};

const RELU: Activation = Activation::Relu;

/// torchvision's `shufflenet_v2_x0_5` to `shufflenet_v2_x2_0`: channels behind the stem, the three stages and the end.
pub fn shufflenet_v2(net: &mut Net, size: [usize; 2], widths: [usize; 5]) -> Result<NodeId> {
    let mut x = net.input("conv1.0", size)?;
    x = net.conv_as("conv1.0", x, 2)?;
    x = net.norm("conv1.1", x, Some(("conv1.2", RELU)))?;
    net.expect_width("conv1", x, widths[0]);
    x = net.max_pool("maxpool", x, Window::square(3, 2, 1), false)?;
    for (stage, blocks) in [4, 8, 4].into_iter().enumerate() {
        for b in 0..blocks {
            x = unit(net, &format!("stage{}.{b}", stage + 2), x, b == 0)?;
        }
        net.expect_width(&format!("stage{}", stage + 2), x, widths[stage + 1]);
    }
    x = net.conv_as("conv5.0", x, 1)?;
    x = net.norm("conv5.1", x, Some(("conv5.2", RELU)))?;
    net.expect_width("conv5", x, widths[4]);
    x = net.pooled("avgpool", x)?;
    net.head("fc", &["fc"], x)
}

fn unit(net: &mut Net, name: &str, x: NodeId, strided: bool) -> Result<NodeId> {
    let (left, right) = if strided {
        let mut left = net.conv_as(&format!("{name}.branch1.0"), x, 2)?;
        left = net.norm(&format!("{name}.branch1.1"), left, None)?;
        left = net.conv_as(&format!("{name}.branch1.2"), left, 1)?;
        left = net.norm(&format!("{name}.branch1.3"), left, Some((&format!("{name}.branch1.4"), RELU)))?;
        (left, x)
    } else {
        let half = net.channels(x) / 2;
        let left = net.select(&format!("{name}.left"), x, 0, (0..half).collect())?;
        (left, net.select(&format!("{name}.right"), x, 0, (half..2 * half).collect())?)
    };
    let branch = |leaf: usize| format!("{name}.branch2.{leaf}");
    let mut right = net.conv_as(&branch(0), right, 1)?;
    right = net.norm(&branch(1), right, Some((&branch(2), RELU)))?;
    right = net.conv_as(&branch(3), right, if strided { 2 } else { 1 })?;
    right = net.norm(&branch(4), right, None)?;
    right = net.conv_as(&branch(5), right, 1)?;
    right = net.norm(&branch(6), right, Some((&branch(7), RELU)))?;
    let all = net.concat(&format!("{name}.cat"), &[left, right])?;
    let half = net.channels(all) / 2;
    net.select(&format!("{name}.shuffle"), all, 0, (0..2 * half).map(|i| i / 2 + i % 2 * half).collect())
}
