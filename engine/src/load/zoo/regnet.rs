//! RegNet (Radosavovic et al. 2020): bottlenecks of grouped convolutions whose widths follow a line; Y has squeeze and
//! excitation.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary};

const RELU: Activation = Activation::Relu;

/// `regnet_x_400mf` to `regnet_y_128gf` by torchvision's names, `regnetx_004` to `regnety_1280` by timm's: blocks and channels
/// by stage. Groups and squeezes are the file's.
pub fn regnet(net: &mut Net, size: [usize; 2], blocks: [usize; 4], widths: [usize; 4]) -> Result<NodeId> {
    let timm = net.has("stem.conv.weight");
    let stem = if timm { ["stem.conv", "stem.bn"] } else { ["stem.0", "stem.1"] };
    let mut x = net.input(stem[0], size)?;
    x = net.conv_as(stem[0], x, 2)?;
    x = net.norm(stem[1], x, Some(("stem.relu", RELU)))?;
    for (stage, (blocks, width)) in blocks.into_iter().zip(widths).enumerate() {
        let at = stage + 1;
        for b in 0..blocks {
            let name = match timm {
                true => format!("s{at}.b{}", b + 1),
                false => format!("trunk_output.block{at}.block{at}-{b}"),
            };
            x = block(net, &name, timm, x, if b == 0 { 2 } else { 1 })?;
        }
        net.expect_width(&format!("stage {at}"), x, width);
    }
    x = net.pooled("avgpool", x)?;
    let head = if timm { "head.fc" } else { "fc" };
    net.head(head, &[head], x)
}

fn block(net: &mut Net, name: &str, timm: bool, x: NodeId, stride: usize) -> Result<NodeId> {
    let pair = |parts: [&str; 2]| parts.map(|part| format!("{name}.{part}"));
    let [first, second, third, skip] = match timm {
        true => [
            ["conv1.conv", "conv1.bn"],
            ["conv2.conv", "conv2.bn"],
            ["conv3.conv", "conv3.bn"],
            ["downsample.conv", "downsample.bn"],
        ],
        false => [["f.a.0", "f.a.1"], ["f.b.0", "f.b.1"], ["f.c.0", "f.c.1"], ["proj.0", "proj.1"]],
    }
    .map(pair);
    let se = format!("{name}.{}", if timm { "se" } else { "f.se" });
    let mut y = net.conv_as(&first[0], x, 1)?;
    y = net.norm(&first[1], y, Some((&format!("{name}.relu"), RELU)))?;
    y = net.conv_as(&second[0], y, stride)?;
    y = net.norm(&second[1], y, Some((&format!("{name}.relu"), RELU)))?;
    if net.has(&format!("{se}.fc1.weight")) {
        y = net.squeeze(&se, ["fc1", "fc2"], y, RELU, Activation::Sigmoid)?;
    }
    y = net.conv_as(&third[0], y, 1)?;
    y = net.norm(&third[1], y, None)?;
    let mut skipped = x;
    if net.has(&format!("{}.weight", skip[0])) {
        skipped = net.conv_as(&skip[0], x, stride)?;
        skipped = net.norm(&skip[1], skipped, None)?;
    }
    y = net.binary(&format!("{name}.add"), Binary::Add, skipped, y)?;
    net.activation(&format!("{name}.relu"), y, RELU)
}
