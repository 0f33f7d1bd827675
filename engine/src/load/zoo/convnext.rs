//! ConvNeXt (Liu et al. 2022): depthwise 7 x 7 convolutions, layer normalisation over channels, GELU.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary};

/// Epsilon of its normalisations.
const EPS: f64 = 1e-6;

/// How the parts are called: the stem's convolution and norm, a stage's downsampling, a block and its parts, the end.
struct Names {
    stem: [&'static str; 2],
    down: fn(usize) -> [String; 2],
    block: fn(usize, usize) -> String,
    parts: [&'static str; 5],
    norm: &'static str,
    head: &'static str,
}

const TORCHVISION: Names = Names {
    stem: ["features.0.0", "features.0.1"],
    down: |stage| [0, 1].map(|i| format!("features.{}.{i}", 2 * stage)),
    block: |stage, block| format!("features.{}.{block}", 2 * stage + 1),
    parts: ["block.0", "block.2", "block.3", "block.5", "layer_scale"],
    norm: "classifier.0",
    head: "classifier.2",
};

const TIMM: Names = Names {
    stem: ["stem.0", "stem.1"],
    down: |stage| [0, 1].map(|i| format!("stages.{stage}.downsample.{i}")),
    block: |stage, block| format!("stages.{stage}.blocks.{block}"),
    parts: ["conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"],
    norm: "head.norm",
    head: "head.fc",
};

/// `convnext_tiny` to `convnext_large` by torchvision's names or timm's: blocks and channels by stage.
pub fn convnext(net: &mut Net, size: [usize; 2], blocks: [usize; 4], widths: [usize; 4]) -> Result<NodeId> {
    let names = if net.has("stem.0.weight") { TIMM } else { TORCHVISION };
    let mut x = net.input(names.stem[0], size)?;
    x = net.conv_bare(names.stem[0], x, 4)?;
    x = net.layer_norm_of_maps(names.stem[1], x, EPS)?;
    for (stage, (blocks, width)) in blocks.into_iter().zip(widths).enumerate() {
        if stage > 0 {
            let [norm, conv] = (names.down)(stage);
            x = net.layer_norm_of_maps(&norm, x, EPS)?;
            x = net.conv_bare(&conv, x, 2)?;
        }
        net.expect_width(&(names.block)(stage, 0), x, width);
        for b in 0..blocks {
            x = block(net, &(names.block)(stage, b), names.parts, x)?;
        }
    }
    x = net.global_pool("avgpool", x)?;
    x = net.layer_norm_of_maps(names.norm, x, EPS)?;
    x = net.flatten("flatten", x)?;
    net.head(names.head, &[names.head], x)
}

fn block(net: &mut Net, name: &str, parts: [&str; 5], x: NodeId) -> Result<NodeId> {
    let [depthwise, norm, first, second, scale] = parts.map(|part| format!("{name}.{part}"));
    let mut y = net.conv_as(&depthwise, x, 1)?;
    y = net.permute(&format!("{name}.last"), y, &[1, 2, 0])?;
    y = net.layer_norm(&norm, y, EPS)?;
    y = net.linear_as(&first, y)?;
    y = net.activation(&format!("{name}.gelu"), y, Activation::Gelu { tanh: false })?;
    y = net.linear_as(&second, y)?;
    y = net.scaled_by(&scale, y)?;
    y = net.permute(&format!("{name}.first"), y, &[2, 0, 1])?;
    net.binary(&format!("{name}.add"), Binary::Add, x, y)
}
