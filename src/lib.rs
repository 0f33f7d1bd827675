//! convscope: look inside a trained ConvNet. This crate is the face that Rust programs and evcxr notebooks import.
//!
//! ```no_run
//! use convscope::prelude::*;
//!
//! # fn main() -> Result<()> {
//! let net = load("shapes")?;
//! let image = Image::open("shape.png")?;
//! let class = Subject::class(&net, "star")?;
//! let map = Gradient::new().run(&class, &Input::Image(image), &Job::new())?;
//! save(&Saved::Artifact(&map), "gradient.png".as_ref())?;
//! # Ok(())
//! # }
//! ```

pub use convscope_engine::*;

/// What most programs need, in one line.
pub mod prelude {
    pub use convscope_engine::data::{Dataset, Image, load_images, load_tensor};
    pub use convscope_engine::model::{LoadOptions, load_model};
    pub use convscope_engine::params::Params;
    pub use convscope_engine::probes::activations::Activations;
    pub use convscope_engine::probes::cam::{GradCam, GradCamPlusPlus, GuidedGradCam, LayerCam, ScoreCam};
    pub use convscope_engine::probes::deep_lift::DeepLift;
    pub use convscope_engine::probes::filters::Filters;
    pub use convscope_engine::probes::gradient::{Deconvnet, Gradient, GuidedBackprop};
    pub use convscope_engine::probes::gradient_x_input::GradientXInput;
    pub use convscope_engine::probes::integrated_gradients::IntegratedGradients;
    pub use convscope_engine::probes::lrp::Lrp;
    pub use convscope_engine::probes::occlusion::Occlusion;
    pub use convscope_engine::probes::rise::Rise;
    pub use convscope_engine::probes::smooth_grad::SmoothGrad;
    pub use convscope_engine::probes::sparsity::Sparsity;
    pub use convscope_engine::probes::{Probe, ProbeArg};
    pub use convscope_engine::show::{Saved, save};
    pub use convscope_engine::{Artifact, Error, Input, Job, Model, Result, Subject, Tensor};

    /// The net of that name or path with the options its card gives; see [`load_model`].
    ///
    /// # Errors
    /// As [`load_model`].
    pub fn load(name: &str) -> Result<Model> {
        load_model(name, &LoadOptions::default(), std::path::Path::new(""), &|_| {})
    }
}
