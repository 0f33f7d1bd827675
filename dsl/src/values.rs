//! The kinds of value that scripts work with, one file each.

pub mod artifact;
pub mod data;
pub mod image;
pub mod json;
pub mod net;
pub mod predictions;
pub mod probe;
pub mod random;
pub mod recordings;
pub mod subject;
pub mod table;
pub mod tensor;

use crate::context::Context;
use crate::library::Library;

/// Binds all kinds.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    net::bind(library, context);
    subject::bind(library);
    tensor::bind(library);
    image::bind(library);
    data::bind(library);
    predictions::bind(library);
    recordings::bind(library);
    table::bind(library);
    artifact::bind(library);
    random::bind(library, context);
    json::bind(library);
}
