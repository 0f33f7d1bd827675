//! Inception v3 (Szegedy et al. 2016) as torchvision and timm have it, without its auxiliary head.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Window};

/// Where a branch's convolutions read: one after the other, by name, each with its stride; `true` without padding.
type Chain = &'static [(&'static str, usize, bool)];

/// Modules: name, branches that chain convolutions, and what the last branch pools: an average, then a convolution; or a
/// maximum with stride 2.
const MODULES: [(&str, &[Chain], bool); 9] = [
    ("Mixed_5b", A, true),
    ("Mixed_5c", A, true),
    ("Mixed_5d", A, true),
    ("Mixed_6a", B, false),
    ("Mixed_6b", C, true),
    ("Mixed_6c", C, true),
    ("Mixed_6d", C, true),
    ("Mixed_6e", C, true),
    ("Mixed_7a", D, false),
];
const A: &[Chain] = &[
    &[("branch1x1", 1, false)],
    &[("branch5x5_1", 1, false), ("branch5x5_2", 1, false)],
    &[("branch3x3dbl_1", 1, false), ("branch3x3dbl_2", 1, false), ("branch3x3dbl_3", 1, false)],
];
const B: &[Chain] = &[
    &[("branch3x3", 2, true)],
    &[("branch3x3dbl_1", 1, false), ("branch3x3dbl_2", 1, false), ("branch3x3dbl_3", 2, true)],
];
const C: &[Chain] = &[
    &[("branch1x1", 1, false)],
    &[("branch7x7_1", 1, false), ("branch7x7_2", 1, false), ("branch7x7_3", 1, false)],
    &[
        ("branch7x7dbl_1", 1, false),
        ("branch7x7dbl_2", 1, false),
        ("branch7x7dbl_3", 1, false),
        ("branch7x7dbl_4", 1, false),
        ("branch7x7dbl_5", 1, false),
    ],
];
const D: &[Chain] = &[
    &[("branch3x3_1", 1, false), ("branch3x3_2", 2, true)],
    &[
        ("branch7x7x3_1", 1, false),
        ("branch7x7x3_2", 1, false),
        ("branch7x7x3_3", 1, false),
        ("branch7x7x3_4", 2, true),
    ],
];

/// `inception_v3`. torchvision's published weights expect another scale of the input, which is the layer `transform_input`.
pub fn inception_v3(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    net.eps = 1e-3;
    let mut x = net.input("Conv2d_1a_3x3.conv", size)?;
    if net.transform_input && net.channels(x) == 3 {
        let (mean, std) = ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225]);
        x = net.affine("transform_input", x, &std.map(|s| s / 0.5), &mean.map(|m| (m - 0.5) / 0.5))?;
    }
    x = conv(net, "Conv2d_1a_3x3", x, 2, true)?;
    x = conv(net, "Conv2d_2a_3x3", x, 1, true)?;
    x = conv(net, "Conv2d_2b_3x3", x, 1, false)?;
    x = net.max_pool("maxpool1", x, Window::square(3, 2, 0), false)?;
    x = conv(net, "Conv2d_3b_1x1", x, 1, true)?;
    x = conv(net, "Conv2d_4a_3x3", x, 1, true)?;
    x = net.max_pool("maxpool2", x, Window::square(3, 2, 0), false)?;
    for (name, chains, averages) in MODULES {
        let mut parts = Vec::new();
        for chain in chains {
            let mut y = x;
            for (part, stride, bare) in *chain {
                y = conv(net, &format!("{name}.{part}"), y, *stride, *bare)?;
            }
            parts.push(y);
        }
        parts.push(pooled(net, name, x, averages)?);
        x = net.concat(&format!("{name}.cat"), &parts)?;
    }
    for name in ["Mixed_7b", "Mixed_7c"] {
        x = forked(net, name, x)?;
    }
    x = net.pooled("avgpool", x)?;
    net.head("fc", &["fc"], x)
}

/// The modules whose branches end in two convolutions side by side.
fn forked(net: &mut Net, name: &str, x: NodeId) -> Result<NodeId> {
    let at = |part: &str| format!("{name}.{part}");
    let a = conv(net, &at("branch1x1"), x, 1, false)?;
    let b = conv(net, &at("branch3x3_1"), x, 1, false)?;
    let b = [conv(net, &at("branch3x3_2a"), b, 1, false)?, conv(net, &at("branch3x3_2b"), b, 1, false)?];
    let c = conv(net, &at("branch3x3dbl_1"), x, 1, false)?;
    let c = conv(net, &at("branch3x3dbl_2"), c, 1, false)?;
    let c = [conv(net, &at("branch3x3dbl_3a"), c, 1, false)?, conv(net, &at("branch3x3dbl_3b"), c, 1, false)?];
    let d = pooled(net, name, x, true)?;
    net.concat(&at("cat"), &[a, b[0], b[1], c[0], c[1], d])
}

fn pooled(net: &mut Net, name: &str, x: NodeId, averages: bool) -> Result<NodeId> {
    if !averages {
        return net.max_pool(&format!("{name}.pool"), x, Window::square(3, 2, 0), false);
    }
    let y = net.avg_pool(&format!("{name}.pool"), x, Window::square(3, 1, 1))?;
    conv(net, &format!("{name}.branch_pool"), y, 1, false)
}

fn conv(net: &mut Net, name: &str, x: NodeId, stride: usize, bare: bool) -> Result<NodeId> {
    let path = format!("{name}.conv");
    let y = if bare { net.conv_bare(&path, x, stride)? } else { net.conv_as(&path, x, stride)? };
    net.norm(&format!("{name}.bn"), y, Some((&format!("{name}.relu"), Activation::Relu)))
}
