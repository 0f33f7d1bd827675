//! Named architectures: code that builds a net's graph and takes its parameters from a weight file.
//!
//! Layers are called by their module path in torchvision (`features.0`, `layer1.0.conv1`); a module that runs twice, and
//! what is no module, by the path of the block it runs in (`layer1.0.relu_1`, `layer1.0.add`). Widths are those of the
//! architecture, the number of classes and of input channels that of the file.

mod alexnet;
mod built;
mod convnext;
mod densenet;
mod efficientnet;
mod googlenet;
mod head;
mod inception;
mod mnasnet;
mod mobilenet;
mod names;
mod net;
mod recognise;
mod regnet;
mod resnet;
mod shaped;
mod shufflenet;
mod squeezenet;
mod swin;
mod timm;
mod timm_names;
mod torchvision;
mod values;
mod vit;

use std::sync::LazyLock;

use crate::data::Interpolation;
use crate::data::preprocess::{Order, Preprocess, Resize};
use crate::error::{Error, Result, did_you_mean};
use crate::graph::NodeId;
use crate::load::tensors::Tensors;
pub use built::{Built, HeadActivation, How};
use net::Net;
pub use recognise::{Recognised, recognised};

/// Builds an architecture for an input of height and width, and returns the node of the raw output.
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
    /// A crop of `size` from photos whose short side is `short`; ImageNet's mean and deviation, or 1/2 each.
    Cropped { size: usize, short: usize, interpolation: Interpolation, half: bool },
}

/// An architecture that weight files can be loaded into.
#[derive(Clone, Copy)]
pub struct Architecture {
    /// The name by which users choose it.
    pub name: &'static str,
    /// The paper.
    pub paper: &'static str,
    write: Write,
    recipe: Recipe,
    /// The recipe of timm's weights, where timm calls another net so.
    of_timm: Option<Recipe>,
}

impl Architecture {
    const fn new(name: &'static str, paper: &'static str, write: Write) -> Self {
        Architecture { name, paper, write, recipe: Recipe::Torchvision(Interpolation::Bilinear), of_timm: None }
    }

    const fn with(self, recipe: Recipe) -> Self {
        Architecture { recipe, ..self }
    }

    const fn or_timm(self, recipe: Recipe) -> Self {
        Architecture { of_timm: Some(recipe), ..self }
    }
}

const RESNET: &str = "He et al. 2016";
const EFFICIENTNET: &str = "Tan and Le 2019";
const EFFICIENTNET2: &str = "Tan and Le 2021";
const MNASNET: &str = "Tan et al. 2019";
const MOBILENET2: &str = "Sandler et al. 2018";
const MOBILENET3: &str = "Howard et al. 2019";
const REGNET: &str = "Radosavovic et al. 2020";
const VIT: &str = "Dosovitskiy et al. 2021";
const DEIT: &str = "Touvron et al. 2021";
const SWIN: &str = "Liu et al. 2021";

/// All architectures: those that torchvision names, then those that timm alone does.
pub static ARCHITECTURES: LazyLock<Vec<Architecture>> =
    LazyLock::new(|| torchvision::TORCHVISION.iter().chain(timm_names::TIMM).copied().collect());

/// The architecture of that name.
///
/// # Errors
/// Where there is none; the hint names the closest, or all.
pub fn architecture(name: &str) -> Result<&'static Architecture> {
    ARCHITECTURES.iter().find(|a| a.name == name).ok_or_else(|| {
        let all: Vec<&str> = ARCHITECTURES.iter().map(|a| a.name).collect();
        let known = format!("`convscope models` lists the {} that are known", all.len());
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
            return Err(Error::value(format!(
                "`transform_input` is an option of `googlenet` and `inception_v3`, not of `{}`",
                self.name
            )));
        }
        let renamed;
        let tensors = if self.name.starts_with("densenet") {
            renamed = tensors.clone().renamed(densenet::rename);
            &renamed
        } else {
            tensors
        };
        let unwrapped = names::unwrapped(tensors);
        let (tensors, front) = unwrapped.as_ref().map_or((tensors, None), |(t, note)| (t, Some(note.clone())));
        let mut net = Net::new(tensors, how);
        net.notes.extend(front);
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
        matches!(self.name, "googlenet" | "inception_v3")
    }

    /// How photos become inputs of the published weights.
    ///
    /// # Errors
    /// None that can occur; checked all the same.
    pub fn preprocess(&self) -> Result<Preprocess> {
        self.recipe.preprocess()
    }

    /// How photos become inputs of the published weights whose names are the file's.
    ///
    /// # Errors
    /// None that can occur; checked all the same.
    pub fn preprocess_of(&self, tensors: &Tensors) -> Result<Preprocess> {
        match self.of_timm {
            Some(recipe) if recognise::has_stem_of_timm(tensors) => recipe.preprocess(),
            _ => self.recipe.preprocess(),
        }
    }
}

impl Recipe {
    fn preprocess(self) -> Result<Preprocess> {
        let (mean, std) = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
        Ok(match self {
            Recipe::Torchvision(interpolation) => Preprocess { interpolation, mean, std, ..Preprocess::new(224, 3)? },
            Recipe::Caffe => Preprocess {
                order: Order::Bgr,
                scale: 1.0,
                mean: vec![103.939, 116.779, 123.68],
                ..Preprocess::new(227, 3)?
            },
            Recipe::Cropped { size, short, interpolation, half } => {
                let (mean, std) = if half { (vec![0.5; 3], vec![0.5; 3]) } else { (mean, std) };
                Preprocess { interpolation, mean, std, resize: Resize::Short(short), ..Preprocess::new(size, 3)? }
            }
            Recipe::Lite => {
                Preprocess { scale: 1.0, mean: vec![127.0; 3], std: vec![128.0; 3], ..Preprocess::new(224, 3)? }
            }
        })
    }
}
