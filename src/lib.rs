//! convscope: look inside a trained ConvNet. Rust programs and evcxr notebooks import this crate.
//!
//! Everything is `probe.run(subject, input, job)`: a probe is made by its type's `new`, its options are set by methods
//! of the same names as in scripts, and `run` returns an [`Artifact`].
//!
//! Where does a net look?
//!
//! ```
//! use convscope::prelude::*;
//!
//! # fn main() -> Result<()> {
//! let net = load("shapes")?;
//! let image = shapes(&Shapes::new().n(1usize).seed(3u64))?.get(0)?;
//! let class = Subject::class(&net, image.label().unwrap_or("star"))?;
//! let map = Occlusion::new().patch(16usize).stride(8usize).run(&class, &Input::Image(image), &Job::new())?;
//! assert_eq!(map.value()?.dims(), [7, 7]);
//! # Ok(())
//! # }
//! ```
//!
//! What is inside?
//!
//! ```
//! # use convscope::prelude::*;
//! # fn main() -> Result<()> {
//! let net = load("shapes")?;
//! let filters = Filters::new().run(&Subject::layer(&net, "conv1")?, &Input::None, &Job::new())?;
//! assert_eq!(filters.value()?.dims(), [16, 3, 7, 7]);
//! # Ok(())
//! # }
//! ```
//!
//! How good is a map?
//!
//! ```
//! # use convscope::prelude::*;
//! # use std::sync::Arc;
//! # fn main() -> Result<()> {
//! # let net = load("shapes")?;
//! # let image = shapes(&Shapes::new().n(1usize).seed(3u64))?.get(0)?;
//! let maps = ProbeList(vec![ProbeArg(Arc::new(GradCam::new()))]);
//! let judged = InsertionDeletion::new().probes(maps).steps(8usize).run(&Subject::Model(net), &Input::Image(image), &Job::new())?;
//! assert!(judged.is_drawn());
//! # Ok(())
//! # }
//! ```
//!
//! A rule of one's own, or any other loop over nodes, is Rust: see `examples/custom_rule.rs`.
//!
//! In an evcxr notebook `:dep convscope = { path = "..", default-features = false }` leaves the command line, the script
//! language and the kernel out; values are shown by [`evcxr::EvcxrDisplay`].

pub mod evcxr;
#[cfg(feature = "cli")]
pub mod threads;

pub use convscope_engine::*;

/// The names that most programs need.
pub mod prelude {
    pub use crate::evcxr::EvcxrDisplay;
    pub use convscope_engine::ascent::{Measured, Objective};
    pub use convscope_engine::data::{Dataset, Image, load_images, load_tensor};
    pub use convscope_engine::graph::NodeId;
    pub use convscope_engine::inspect::{Ablate, Evaluate, Summarise};
    pub use convscope_engine::load::LoadOptions;
    pub use convscope_engine::load::load_model;
    pub use convscope_engine::params::Params;
    pub use convscope_engine::pass::Trace;
    pub use convscope_engine::probe::{Probe, ProbeArg};
    pub use convscope_engine::probes::all::*;
    pub use convscope_engine::probes::judge::ProbeList;
    pub use convscope_engine::rules::{On, Rule, Rules, Site};
    pub use convscope_engine::shapes::{Shapes, shapes};
    pub use convscope_engine::show::{Saved, Table, save};
    pub use convscope_engine::{Artifact, Error, Input, Job, Model, Result, Subject, Tensor};

    /// What a rule returns: one signal for each input of a node; `vec![signal].into()` makes it.
    pub type Parts = smallvec::SmallVec<[Tensor; 2]>;

    /// Loads a net by name or path with its card's options; see [`load_model`].
    ///
    /// # Errors
    /// As [`load_model`].
    pub fn load(name: &str) -> Result<Model> {
        load_model(name, &LoadOptions::default(), std::path::Path::new(""), &|_| {})
    }
}
