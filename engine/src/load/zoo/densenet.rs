//! DenseNet (Huang et al. 2017): every layer of a block sees all before it.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::Window;

/// torchvision's `densenet121` to `densenet201`: channels of the stem, channels that a layer adds, layers by block.
pub fn densenet(net: &mut Net, size: [usize; 2], stem: usize, growth: usize, blocks: [usize; 4]) -> Result<NodeId> {
    let input = net.input("features.conv0", size)?;
    let mut x = net.plain_conv("features.conv0", input, stem, Window::square(7, 2, 3))?;
    x = net.batch_norm("features.norm0", x)?;
    x = net.relu("features.relu0", x)?;
    x = net.max_pool("features.pool0", x, Window::square(3, 2, 1), false)?;
    for (b, layers) in blocks.into_iter().enumerate() {
        let block = format!("features.denseblock{}", b + 1);
        let mut all = vec![x];
        for l in 0..layers {
            let layer = format!("{block}.denselayer{}", l + 1);
            x = if l == 0 { x } else { net.concat(&format!("{layer}.cat"), &all)? };
            x = pre_activated(net, &layer, 1, x, 4 * growth, Window::square(1, 1, 0))?;
            x = pre_activated(net, &layer, 2, x, growth, Window::square(3, 1, 1))?;
            all.push(x);
        }
        x = net.concat(&format!("{block}.cat"), &all)?;
        if b < 3 {
            let transition = format!("features.transition{}", b + 1);
            x = net.batch_norm(&format!("{transition}.norm"), x)?;
            x = net.relu(&format!("{transition}.relu"), x)?;
            let half = net.channels(x) / 2;
            x = net.plain_conv(&format!("{transition}.conv"), x, half, Window::square(1, 1, 0))?;
            x = net.avg_pool(&format!("{transition}.pool"), x, Window::square(2, 2, 0))?;
        }
    }
    x = net.batch_norm("features.norm5", x)?;
    x = net.relu("relu", x)?;
    x = net.global_pool("avgpool", x)?;
    x = net.flatten("flatten", x)?;
    net.head("classifier", &["classifier"], x)
}

/// The name that a tensor of an older file has now: `norm.1` is `norm1`.
pub fn rename(name: &str) -> String {
    match name.split_once(".denselayer") {
        Some((front, back)) => {
            let now = ["norm", "relu", "conv"].iter().fold(back.to_string(), |s, part| {
                s.replace(&format!(".{part}.1."), &format!(".{part}1."))
                    .replace(&format!(".{part}.2."), &format!(".{part}2."))
            });
            format!("{front}.denselayer{now}")
        }
        None => name.to_string(),
    }
}

fn pre_activated(net: &mut Net, layer: &str, number: usize, x: NodeId, out: usize, window: Window) -> Result<NodeId> {
    let y = net.batch_norm(&format!("{layer}.norm{number}"), x)?;
    let y = net.relu(&format!("{layer}.relu{number}"), y)?;
    net.plain_conv(&format!("{layer}.conv{number}"), y, out, window)
}
