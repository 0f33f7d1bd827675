//! Results as MIME bundles, from which a front end chooses a representation.

use convscope_dsl::Shown;
use convscope_engine::show::mime::{Representation, forms};
use serde_json::{Map, Value, json};

/// Metadata and data, each a map from MIME types.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// A representation for each MIME type.
    pub data: Value,
    /// For pictures: width and height, px, and the alternative text.
    pub metadata: Value,
}

impl From<Vec<Representation>> for Bundle {
    fn from(forms: Vec<Representation>) -> Self {
        let (mut data, mut metadata) = (Map::new(), Map::new());
        for form in forms {
            if let Some((width, height)) = form.size {
                let mut about = json!({ "width": width, "height": height });
                // nbconvert and Quarto read the alternative text.
                if !form.alt.is_empty() {
                    about["alt"] = form.alt.into();
                }
                metadata.insert(form.mime.into(), about);
            }
            data.insert(form.mime.into(), form.content.into());
        }
        Bundle { data: data.into(), metadata: metadata.into() }
    }
}

/// The MIME bundle of a shown value.
pub fn bundle(shown: &Shown) -> Bundle {
    match shown {
        Shown::Text(text) => vec![Representation::text("text/plain", text)].into(),
        Shown::Artifact(artifact) => forms(artifact).into(),
    }
}
