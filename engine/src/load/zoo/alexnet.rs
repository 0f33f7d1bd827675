//! AlexNet in its one-tower form (Krizhevsky 2014) and VGG (Simonyan and Zisserman 2015).

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::Window;

/// torchvision's `alexnet`.
pub fn alexnet(net: &mut Net, size: [usize; 2]) -> Result<NodeId> {
    let mut x = net.input("features.0", size)?;
    let convolutions = [(0, 64, 11, 4, 2), (3, 192, 5, 1, 2), (6, 384, 3, 1, 1), (8, 256, 3, 1, 1), (10, 256, 3, 1, 1)];
    for (at, out, kernel, stride, padding) in convolutions {
        x = net.conv(&format!("features.{at}"), x, out, Window::square(kernel, stride, padding))?;
        x = net.relu(&format!("features.{}", at + 1), x)?;
        if [0, 3, 10].contains(&at) {
            x = net.max_pool(&format!("features.{}", at + 2), x, Window::square(3, 2, 0), false)?;
        }
    }
    x = net.adaptive_pool("avgpool", x, 6)?;
    classifier(net, x, ["classifier.1", "classifier.4", "classifier.6"])
}

/// Channels of VGG's convolutions by stage; a pool ends each.
pub type Stages = [&'static [usize]; 5];

/// 11 layers (configuration A).
pub const VGG11: Stages = [&[64], &[128], &[256, 256], &[512, 512], &[512, 512]];
/// 13 layers (B).
pub const VGG13: Stages = [&[64, 64], &[128, 128], &[256, 256], &[512, 512], &[512, 512]];
/// 16 layers (D).
pub const VGG16: Stages = [&[64, 64], &[128, 128], &[256; 3], &[512; 3], &[512; 3]];
/// 19 layers (E).
pub const VGG19: Stages = [&[64, 64], &[128, 128], &[256; 4], &[512; 4], &[512; 4]];

/// torchvision's `vgg11` to `vgg19`, with batch normalisation or without.
pub fn vgg(net: &mut Net, size: [usize; 2], stages: Stages, batch_norm: bool) -> Result<NodeId> {
    let mut x = net.input("features.0", size)?;
    let mut at = 0;
    let mut next = || {
        at += 1;
        format!("features.{}", at - 1)
    };
    for stage in stages {
        for out in stage {
            x = net.conv(&next(), x, *out, Window::square(3, 1, 1))?;
            if batch_norm {
                x = net.batch_norm(&next(), x)?;
            }
            x = net.relu(&next(), x)?;
        }
        x = net.max_pool(&next(), x, Window::square(2, 2, 0), false)?;
    }
    x = net.adaptive_pool("avgpool", x, 7)?;
    classifier(net, x, ["classifier.0", "classifier.3", "classifier.6"])
}

fn classifier(net: &mut Net, x: NodeId, own: [&str; 3]) -> Result<NodeId> {
    let x = net.flatten("flatten", x)?;
    net.head("classifier", &own, x)
}
