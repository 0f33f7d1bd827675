//! MNASNet (Tan et al. 2019), the B1 variant.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary};

const RELU: Activation = Activation::Relu;

/// Blocks of a stack and the stride of its first.
const STACKS: [(usize, usize); 6] = [(3, 2), (3, 2), (3, 2), (2, 1), (4, 2), (1, 1)];

/// torchvision's `mnasnet0_5` to `mnasnet1_3`: channels behind the stem, the first block and the stacks.
pub fn mnasnet(net: &mut Net, size: [usize; 2], widths: [usize; 8]) -> Result<NodeId> {
    let mut x = net.input("layers.0", size)?;
    x = net.conv_as("layers.0", x, 2)?;
    x = net.norm("layers.1", x, Some(("layers.2", RELU)))?;
    net.expect_width("layers.0", x, widths[0]);
    x = net.conv_as("layers.3", x, 1)?;
    x = net.norm("layers.4", x, Some(("layers.5", RELU)))?;
    x = net.conv_as("layers.6", x, 1)?;
    x = net.norm("layers.7", x, None)?;
    net.expect_width("layers.6", x, widths[1]);
    for (s, (blocks, stride)) in STACKS.into_iter().enumerate() {
        for b in 0..blocks {
            x = block(net, &format!("layers.{}.{b}", s + 8), x, if b == 0 { stride } else { 1 }, b > 0)?;
        }
        net.expect_width(&format!("layers.{}", s + 8), x, widths[s + 2]);
    }
    x = net.conv_as("layers.14", x, 1)?;
    x = net.norm("layers.15", x, Some(("layers.16", RELU)))?;
    x = net.mean("avgpool", x, &[1, 2])?;
    net.head("classifier", &["classifier.1"], x)
}

fn block(net: &mut Net, name: &str, x: NodeId, stride: usize, skips: bool) -> Result<NodeId> {
    let layer = |i: usize| format!("{name}.layers.{i}");
    let mut y = net.conv_as(&layer(0), x, 1)?;
    y = net.norm(&layer(1), y, Some((&layer(2), RELU)))?;
    y = net.conv_as(&layer(3), y, stride)?;
    y = net.norm(&layer(4), y, Some((&layer(5), RELU)))?;
    y = net.conv_as(&layer(6), y, 1)?;
    y = net.norm(&layer(7), y, None)?;
    if skips { net.binary(&format!("{name}.add"), Binary::Add, y, x) } else { Ok(y) }
}
