//! GoogLeNet (Szegedy et al. 2015) as torchvision has it: batch normalisation, and 3 x 3 kernels where the paper has 5 x 5.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::Window;

/// Channels of an inception module: 1 x 1; reduction and 3 x 3; reduction and second 3 x 3; after the pool.
type Widths = [usize; 6];

/// A module: its name, its widths and, behind some, a max pool's number and kernel.
type Module = (&'static str, Widths, Option<(usize, usize)>);

const MODULES: [Module; 9] = [
    ("inception3a", [64, 96, 128, 16, 32, 32], None),
    ("inception3b", [128, 128, 192, 32, 96, 64], Some((3, 3))),
    ("inception4a", [192, 96, 208, 16, 48, 64], None),
    ("inception4b", [160, 112, 224, 24, 64, 64], None),
    ("inception4c", [128, 128, 256, 24, 64, 64], None),
    ("inception4d", [112, 144, 288, 32, 64, 64], None),
    ("inception4e", [256, 160, 320, 32, 128, 128], Some((4, 2))),
    ("inception5a", [256, 160, 320, 32, 128, 128], None),
    ("inception5b", [384, 192, 384, 48, 128, 128], None),
];

/// torchvision's `googlenet`, without its auxiliary heads. The published weights expect x_c * (std_c / 0.5) +
/// (mean_c - 0.5) / 0.5 of the usual input, which is the layer `transform_input`.
pub fn googlenet(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    net.eps = 1e-3;
    let mut x = net.input("conv1.conv", size)?;
    if net.transform_input && net.channels(x) == 3 {
        let (mean, std) = ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225]);
        x = net.affine("transform_input", x, &std.map(|s| s / 0.5), &mean.map(|m| (m - 0.5) / 0.5))?;
    }
    x = conv(net, "conv1", x, 64, Window::square(7, 2, 3))?;
    x = net.max_pool("maxpool1", x, Window::square(3, 2, 0), true)?;
    x = conv(net, "conv2", x, 64, Window::square(1, 1, 0))?;
    x = conv(net, "conv3", x, 192, Window::square(3, 1, 1))?;
    x = net.max_pool("maxpool2", x, Window::square(3, 2, 0), true)?;
    for (name, widths, pool) in MODULES {
        x = inception(net, name, x, widths)?;
        if let Some((number, kernel)) = pool {
            x = net.max_pool(&format!("maxpool{number}"), x, Window::square(kernel, 2, 0), true)?;
        }
    }
    x = net.global_pool("avgpool", x)?;
    x = net.flatten("flatten", x)?;
    net.head("fc", &["fc"], x)
}

fn inception(net: &mut Net, name: &str, x: NodeId, [one, reduce, three, shrink, five, pool]: Widths) -> Result<NodeId> {
    let (point, window) = (Window::square(1, 1, 0), Window::square(3, 1, 1));
    let a = conv(net, &format!("{name}.branch1"), x, one, point)?;
    let b = conv(net, &format!("{name}.branch2.0"), x, reduce, point)?;
    let b = conv(net, &format!("{name}.branch2.1"), b, three, window)?;
    let c = conv(net, &format!("{name}.branch3.0"), x, shrink, point)?;
    let c = conv(net, &format!("{name}.branch3.1"), c, five, window)?;
    let d = net.max_pool(&format!("{name}.branch4.0"), x, window, true)?;
    let d = conv(net, &format!("{name}.branch4.1"), d, pool, point)?;
    net.concat(&format!("{name}.cat"), &[a, b, c, d])
}

fn conv(net: &mut Net, name: &str, x: NodeId, out: usize, window: Window) -> Result<NodeId> {
    let y = net.plain_conv(&format!("{name}.conv"), x, out, window)?;
    let y = net.batch_norm(&format!("{name}.bn"), y)?;
    net.relu(&format!("{name}.relu"), y)
}
