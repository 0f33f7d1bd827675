//! Named architectures: code that writes a net's graph down and takes its parameters from a weight file.
//!
//! Layers are called by their module path in torchvision (`features.0`, `layer1.0.conv1`); a module that runs twice, and
//! what is no module, by the path of the block it runs in (`layer1.0.relu_1`, `layer1.0.add`). Widths are those of the
//! architecture, the number of classes and of input channels that of the file.

mod alexnet;
mod densenet;
mod efficientnet;
mod googlenet;
mod head;
mod mobilenet;
mod names;
mod net;
mod resnet;
mod squeezenet;

use crate::data::Interpolation;
use crate::data::preprocess::{Order, Preprocess};
use crate::error::{Error, Result, did_you_mean};
use crate::graph::Weights;
use crate::graph::{Graph, NodeId};
use crate::load::tensors::Tensors;
pub use head::HeadActivation;
use net::Net;

/// Writes an architecture down for an input of height and width, and gives the node of the raw output.
type Write = fn(&mut Net, [usize; 2]) -> Result<NodeId>;

/// What is said of a file that it does not say itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// GoogLeNet's option (true as torchvision runs its published weights), and an error elsewhere.
    pub transform_input: Option<bool>,
    /// What is between the linear layers of a classifier of the user's.
    pub head: Option<HeadActivation>,
}

/// A net from a file.
pub struct Built {
    /// Its graph.
    pub graph: Graph,
    /// Its parameters.
    pub weights: Weights,
    /// What a reader should know of how the file was read.
    pub notes: Vec<String>,
    /// Whether the file has no classifier, so that the outputs are features.
    pub headless: bool,
}

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
}

impl Architecture {
    const fn new(name: &'static str, paper: &'static str, write: Write) -> Self {
        Architecture { name, paper, write, recipe: Recipe::Torchvision(Interpolation::Bilinear) }
    }

    const fn with(self, recipe: Recipe) -> Self {
        Architecture { recipe, ..self }
    }
}

const VGG: &str = "Simonyan and Zisserman 2015";
const RESNET: &str = "He et al. 2016";
const DENSENET: &str = "Huang et al. 2017";
const SQUEEZENET: &str = "Iandola et al. 2016";
const EFFICIENTNET: &str = "Tan and Le 2019";

/// All architectures.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture::new("alexnet", "Krizhevsky 2014", alexnet::alexnet),
    Architecture::new("vgg11", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG11, false)),
    Architecture::new("vgg11_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG11, true)),
    Architecture::new("vgg13", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG13, false)),
    Architecture::new("vgg13_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG13, true)),
    Architecture::new("vgg16", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG16, false)),
    Architecture::new("vgg16_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG16, true)),
    Architecture::new("vgg19", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG19, false)),
    Architecture::new("vgg19_bn", VGG, |n, s| alexnet::vgg(n, s, alexnet::VGG19, true)),
    Architecture::new("squeezenet1_0", SQUEEZENET, squeezenet::squeezenet1_0),
    Architecture::new("squeezenet1_1", SQUEEZENET, squeezenet::squeezenet1_1),
    Architecture::new("squeezenet1_1_caffe", SQUEEZENET, squeezenet::caffe).with(Recipe::Caffe),
    Architecture::new("resnet18", RESNET, |n, s| resnet::basic(n, s, [2, 2, 2, 2])),
    Architecture::new("resnet34", RESNET, |n, s| resnet::basic(n, s, [3, 4, 6, 3])),
    Architecture::new("resnet50", RESNET, |n, s| resnet::bottleneck(n, s, [3, 4, 6, 3])),
    Architecture::new("resnet101", RESNET, |n, s| resnet::bottleneck(n, s, [3, 4, 23, 3])),
    Architecture::new("resnet152", RESNET, |n, s| resnet::bottleneck(n, s, [3, 8, 36, 3])),
    Architecture::new("googlenet", "Szegedy et al. 2015", googlenet::googlenet),
    Architecture::new("densenet121", DENSENET, |n, s| densenet::densenet(n, s, 64, 32, [6, 12, 24, 16])),
    Architecture::new("densenet161", DENSENET, |n, s| densenet::densenet(n, s, 96, 48, [6, 12, 36, 24])),
    Architecture::new("densenet169", DENSENET, |n, s| densenet::densenet(n, s, 64, 32, [6, 12, 32, 32])),
    Architecture::new("densenet201", DENSENET, |n, s| densenet::densenet(n, s, 64, 32, [6, 12, 48, 32])),
    Architecture::new("mobilenet_v2", "Sandler et al. 2018", mobilenet::mobilenet_v2),
    Architecture::new("efficientnet_b0", EFFICIENTNET, efficientnet::efficientnet_b0)
        .with(Recipe::Torchvision(Interpolation::Bicubic)),
    Architecture::new("efficientnet_lite0", EFFICIENTNET, efficientnet::lite0).with(Recipe::Lite),
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
    /// The graph and weights of a file, for an input of height and width `size`. Where the file's names do not fit, what
    /// training put before them is taken off (`names`).
    ///
    /// # Errors
    /// Where tensors are missing, left over, or of other shapes (all are listed, up to eight); where the input is too small.
    pub fn build(&self, tensors: &Tensors, size: [usize; 2], how: How) -> Result<Built> {
        if how.transform_input.is_some() && !self.transforms_input() {
            return Err(Error::value(format!("`transform_input` is an option of `googlenet`, not of `{}`", self.name)));
        }
        let renamed;
        let tensors = if self.name.starts_with("densenet") {
            renamed = tensors.clone().renamed(densenet::rename);
            &renamed
        } else {
            tensors
        };
        let mut net = Net::new(tensors, how);
        let output = (self.write)(&mut net, size)?;
        if net.fits() {
            return net.finish(output, self.name);
        }
        let Some((tensors, notes)) = names::fitted(tensors, net.expected()) else {
            return net.finish(output, self.name);
        };
        let mut net = Net::new(&tensors, how);
        net.notes = notes;
        let output = (self.write)(&mut net, size)?;
        net.finish(output, self.name)
    }

    /// Whether the net has torchvision's option `transform_input`.
    pub fn transforms_input(&self) -> bool {
        self.name == "googlenet"
    }

    /// How photos become inputs of the published weights.
    ///
    /// # Errors
    /// None that can occur; checked all the same.
    pub fn preprocess(&self) -> Result<Preprocess> {
        let (mean, std) = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
        Ok(match self.recipe {
            Recipe::Torchvision(interpolation) => Preprocess { interpolation, mean, std, ..Preprocess::new(224, 3)? },
            Recipe::Caffe => Preprocess {
                order: Order::Bgr,
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
