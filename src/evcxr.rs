//! How evcxr notebooks show values: figures as PNG, tables as HTML, and text for all.
//!
//! evcxr calls `evcxr_display` on the value that a cell ends with and reads what it prints between two marks.

use convscope_engine::data::Image;
use convscope_engine::inspect::Summarise as _;
use convscope_engine::show::mime::{Representation, forms};
use convscope_engine::show::{Table, of_image, of_table, of_tensor};
use convscope_engine::{Artifact, Model, Subject, Tensor};
use std::io::Write;

/// Shows a value under the cell of an evcxr notebook that ends with it. The prelude brings it into scope.
pub trait EvcxrDisplay {
    /// The forms that the notebook chooses from.
    fn forms(&self) -> Vec<Representation>;

    /// Prints the forms as evcxr reads them.
    fn evcxr_display(&self) {
        let mut out = std::io::stdout().lock();
        for form in self.forms() {
            // A notebook that has closed reads no more.
            let _ = write!(out, "EVCXR_BEGIN_CONTENT {}\n{}\nEVCXR_END_CONTENT\n", form.mime, form.content);
        }
        let _ = out.flush();
    }
}

impl EvcxrDisplay for Artifact {
    fn forms(&self) -> Vec<Representation> {
        forms(self)
    }
}

impl EvcxrDisplay for Image {
    fn forms(&self) -> Vec<Representation> {
        forms(&of_image(self))
    }
}

impl EvcxrDisplay for Table {
    fn forms(&self) -> Vec<Representation> {
        forms(&of_table(self))
    }
}

impl EvcxrDisplay for Tensor {
    fn forms(&self) -> Vec<Representation> {
        match of_tensor(self) {
            Ok(artifact) => forms(&artifact),
            Err(error) => vec![Representation::text("text/plain", error.to_string())],
        }
    }
}

impl EvcxrDisplay for Model {
    fn forms(&self) -> Vec<Representation> {
        forms(&self.summary())
    }
}

/// A layer, or a part or sum of layers, as one line of text.
impl EvcxrDisplay for Subject {
    fn forms(&self) -> Vec<Representation> {
        vec![Representation::text("text/plain", self.to_string())]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::prelude::{Filters, Input, Job, Probe, load};

    #[test]
    fn every_kind_of_value_has_a_form() {
        let net = load("shapes").unwrap();
        let layer = Subject::layer(&net, "conv1").unwrap();
        let image = Image::filled(9, 9, [3; 3]).unwrap();
        let filters = Filters::new().run(&layer, &Input::None, &Job::new()).unwrap();
        let tensor = filters.value().unwrap().clone();
        let all: [(&dyn EvcxrDisplay, &str); 5] = [
            (&net, "text/html"),
            (&layer, "text/plain"),
            (&image, "image/png"),
            (&tensor, "image/png"),
            (&Table::new(["a"]), "text/html"),
        ];
        for (value, mime) in all {
            let forms = value.forms();
            assert_eq!(forms[0].mime, mime);
            assert_eq!(forms.last().unwrap().mime, "text/plain");
        }
    }
}
