//! SqueezeNet (Iandola et al. 2016): fire modules, no fully connected layer.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::Window;

/// Widths of a fire module: squeeze, expand (each of the two branches).
type Fire = (usize, usize);

const FIRES: [Fire; 8] = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)];

/// SqueezeNet 1.1 under the names of its authors' Caffe file: `fire2/squeeze1x1`, ReLUs `NAME/relu`, joins
/// `fire2/concat`; raw class scores as output.
pub fn caffe(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    let input = net.input("conv1", size)?;
    let mut x = relu_conv(net, "conv1", input, 64, Window::square(3, 2, 0))?;
    x = net.max_pool("pool1", x, Window::square(3, 2, 0), true)?;
    for (i, (squeeze, expand)) in FIRES.into_iter().enumerate() {
        let fire = format!("fire{}", i + 2);
        let s = relu_conv(net, &format!("{fire}/squeeze1x1"), x, squeeze, Window::square(1, 1, 0))?;
        let a = relu_conv(net, &format!("{fire}/expand1x1"), s, expand, Window::square(1, 1, 0))?;
        let b = relu_conv(net, &format!("{fire}/expand3x3"), s, expand, Window::square(3, 1, 1))?;
        x = net.concat(&format!("{fire}/concat"), &[a, b])?;
        if i == 1 || i == 3 {
            x = net.max_pool(&format!("pool{}", i + 2), x, Window::square(3, 2, 0), true)?;
        }
    }
    net.classifier("conv10");
    let classes = net.outputs("conv10");
    x = net.conv("conv10", x, classes, Window::square(1, 1, 0))?;
    x = net.global_pool("pool10", x)?;
    net.flatten("scores", x)
}

fn relu_conv(net: &mut Net, name: &str, x: NodeId, out: usize, window: Window) -> Result<NodeId> {
    let y = net.conv(name, x, out, window)?;
    net.relu(&format!("{name}/relu"), y)
}

/// torchvision's `squeezenet1_0`: a 7 x 7 stem, pools after modules 3, 6 and 11.
pub fn squeezenet1_0(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    torchvision(net, size, (96, 7), &[2, 6, 11])
}

/// torchvision's `squeezenet1_1`: a 3 x 3 stem, pools earlier.
pub fn squeezenet1_1(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    torchvision(net, size, (64, 3), &[2, 5, 8])
}

fn torchvision(net: &mut Net, size: [usize; 2], (out, kernel): (usize, usize), pools: &[usize]) -> Result<NodeId> {
    let input = net.input("features.0", size)?;
    let mut x = net.conv("features.0", input, out, Window::square(kernel, 2, 0))?;
    x = net.relu("features.1", x)?;
    let mut at = 2;
    for (squeeze, expand) in FIRES {
        while pools.contains(&at) {
            x = net.max_pool(&format!("features.{at}"), x, Window::square(3, 2, 0), true)?;
            at += 1;
        }
        let fire = format!("features.{at}");
        x = net.conv(&format!("{fire}.squeeze"), x, squeeze, Window::square(1, 1, 0))?;
        let s = net.relu(&format!("{fire}.squeeze_activation"), x)?;
        let mut branch = |name: &str, window: Window| {
            let y = net.conv(&format!("{fire}.{name}"), s, expand, window)?;
            net.relu(&format!("{fire}.{name}_activation"), y)
        };
        let (a, b) = (branch("expand1x1", Window::square(1, 1, 0))?, branch("expand3x3", Window::square(3, 1, 1))?);
        x = net.concat(&format!("{fire}.cat"), &[a, b])?;
        at += 1;
    }
    if !net.names().any(|n| n.starts_with("classifier.")) {
        x = net.global_pool("classifier.3", x)?;
        x = net.flatten("flatten", x)?;
        return net.head("classifier", &["classifier.1"], x);
    }
    net.classifier("classifier");
    let classes = net.outputs("classifier.1");
    x = net.conv("classifier.1", x, classes, Window::square(1, 1, 0))?;
    x = net.relu("classifier.2", x)?;
    x = net.global_pool("classifier.3", x)?;
    net.flatten("flatten", x)
}
