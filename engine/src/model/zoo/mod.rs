//! Named architectures: code that writes a net's graph down and takes its parameters from a weight file.
//!
//! Layers are called by their module path in torchvision (`features.0`, `layer1.0.conv1`); a module that runs twice, and
//! what is no module, by the path of the block it runs in (`layer1.0.relu_1`, `layer1.0.add`). Widths are those of the
//! architecture, the number of classes and of input channels that of the file.

mod efficientnet;
mod net;
mod squeezenet;

use crate::data::edit::Interpolation;
use crate::data::preprocess::Preprocess;
use crate::error::{Error, Result, did_you_mean};
use crate::graph::{Graph, NodeId};
use crate::model::Weights;
use crate::model::tensors::Tensors;
use net::Net;

/// Writes an architecture down for an input of height and width, and gives the node of the raw output.
type Write = fn(&mut Net, [usize; 2]) -> Result<NodeId>;

/// How photos become inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recipe {
    /// torchvision's default for classification: short side to 256, crop of 224, ImageNet's mean and deviation.
    Torchvision(Interpolation),
    /// Caffe's: BGR, 0 to 255, ImageNet's mean; 227 px.
    Caffe,
    /// (pixel - 127) / 128; 224 px.
    Lite,
}

/// An architecture that weight files can be loaded into.
#[derive(Clone, Copy)]
pub struct Architecture {
    /// The name by which it is asked for.
    pub name: &'static str,
    /// The paper.
    pub paper: &'static str,
    write: Write,
    recipe: Recipe,
    /// Fronts of tensor names that the file may hold although nothing uses them.
    ignored: &'static [&'static str],
}

const fn torchvision(name: &'static str, paper: &'static str, write: Write) -> Architecture {
    Architecture { name, paper, write, recipe: Recipe::Torchvision(Interpolation::Bilinear), ignored: &[] }
}

/// All architectures.
pub const ARCHITECTURES: &[Architecture] = &[
    torchvision("squeezenet1_0", "Iandola et al. 2016", squeezenet::squeezenet1_0),
    torchvision("squeezenet1_1", "Iandola et al. 2016", squeezenet::squeezenet1_1),
    Architecture {
        name: "efficientnet_b0",
        paper: "Tan and Le 2019",
        write: efficientnet::efficientnet_b0,
        recipe: Recipe::Torchvision(Interpolation::Bicubic),
        ignored: &[],
    },
    Architecture {
        name: "efficientnet_lite0",
        paper: "Tan and Le 2019",
        write: efficientnet::lite0,
        recipe: Recipe::Lite,
        ignored: &[],
    },
    Architecture {
        name: "squeezenet1_1_caffe",
        paper: "Iandola et al. 2016",
        write: squeezenet::caffe,
        recipe: Recipe::Caffe,
        ignored: &[],
    },
];

/// The architecture of that name.
///
/// # Errors
/// Where there is none; the hint names the closest, or all.
pub fn architecture(name: &str) -> Result<&'static Architecture> {
    ARCHITECTURES.iter().find(|a| a.name == name).ok_or_else(|| {
        let all: Vec<&str> = ARCHITECTURES.iter().map(|a| a.name).collect();
        let known = format!("known are {}", all.join(", "));
        Error::not_found(format!("no architecture `{name}`")).hint(match did_you_mean(name, all) {
            Some(close) => format!("{close} {known}"),
            None => known,
        })
    })
}

impl Architecture {
    /// The graph and weights of a file, for an input of height and width `size`.
    ///
    /// # Errors
    /// Where tensors are missing, left over, or of other shapes (all are listed, up to eight); where the input is too small.
    pub fn build(&self, tensors: &Tensors, size: [usize; 2]) -> Result<(Graph, Weights)> {
        let mut net = Net::new(tensors, self.ignored);
        let output = (self.write)(&mut net, size)?;
        net.finish(output, self.name)
    }

    /// How photos become inputs of the published weights.
    pub fn preprocess(&self) -> Result<Preprocess> {
        let (mean, std) = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
        Ok(match self.recipe {
            Recipe::Torchvision(interpolation) => Preprocess { interpolation, mean, std, ..Preprocess::new(224, 3)? },
            Recipe::Caffe => Preprocess {
                order: crate::data::preprocess::Order::Bgr,
                scale: 1.0,
                mean: vec![103.939, 116.779, 123.68],
                ..Preprocess::new(227, 3)?
            },
            Recipe::Lite => {
                Preprocess { scale: 1.0, mean: vec![127.0; 3], std: vec![128.0; 3], ..Preprocess::new(224, 3)? }
            }
        })
    }
}
