//! Images, signals, volumes, preprocessing and data sets.

pub mod annotation;
pub mod answers;
pub mod berkeley;
pub mod blur;
pub mod coco;
pub mod dataset;
pub mod extensions;
pub mod files;
pub mod ids;
pub mod ilsvrc;
pub mod join;
pub mod json_list;
pub mod measure;
mod nifti;
pub mod npy;
pub mod pattern;
mod proposals;
pub mod records;
pub mod resampling;
pub mod runs;
mod seen;
pub mod signal;
pub mod voc;
pub mod volume;

pub use self::image::{Attribute, Image, Mask, PixelBox};
pub use convscope_nn::image::{self, decode, edit, preprocess, resample};
pub use dataset::{Dataset, Generator, Item, Source};

pub use files::load_images;
pub use npy::load_tensor;
pub use preprocess::{Crop, Order, Placement, Preprocess, Resize, Rounding, Size};
pub use resample::Interpolation;
pub use signal::Signal;
pub use volume::{Orientation, Volume};
