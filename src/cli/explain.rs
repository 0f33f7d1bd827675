//! `convscope explain`: a script that asks the usual questions of a net and an image, run as any other; the report shows
//! it, so that one can go on from there.

use super::run::Script;
use super::source::Source;
use super::{Work, out_folder};
use clap::Args;
use convscope_dsl::Place;
use convscope_engine::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Explain what a net sees in an image, without a script.
#[derive(Args)]
pub struct Explain {
    /// A known net's name or a file.
    net: String,
    /// The image.
    image: PathBuf,
    /// The class to explain, by name or index; the most probable one unless said otherwise.
    #[arg(long, short)]
    class: Option<String>,
    /// The folder for the report [default: convscope-out/explain-IMAGE].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Print the manifest as JSON instead of the results.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    work: Work,
}

impl Explain {
    /// Writes the script and runs it.
    pub fn main(self) -> Result<u8> {
        let image = self.image.to_str().ok_or_else(|| Error::value("the image's path is not valid Unicode"))?;
        let stem = self.image.file_stem().map_or_else(|| "image".into(), |s| s.to_string_lossy().into_owned());
        let class = match &self.class {
            None => "net.class(top[0].index)".to_string(),
            Some(index) if index.parse::<u32>().is_ok() => format!("net.class({index})"),
            Some(name) => format!("net.class({})", quoted(name)?),
        };
        let source = format!(
            "let net = load_model({});\n\
             let image = load_image({});\n\
             let top = net.predict(image);\n\
             let class = {class};\n\n\
             show(image);\n\
             show(top);\n\
             show(gradient().run(class, image));\n\
             show(guided_backprop().run(class, image));\n\
             show(grad_cam().run(class, image));\n\
             show(occlusion().run(class, image));\n",
            quoted(&self.net)?,
            quoted(image)?,
        );
        let script = Script {
            title: format!("what {} sees in {stem}", self.net),
            source: Source::of("explain", "explain.rhai", source, PathBuf::new())?,
            place: Place { inputs: PathBuf::new(), outputs: out_folder(self.out.as_ref(), &format!("explain-{stem}")) },
            params: BTreeMap::new(),
            arrays: false,
        };
        script.run(&self.work, self.json, None)
    }
}

/// The text as a script's literal.
fn quoted(text: &str) -> Result<String> {
    serde_json::to_string(text).map_err(|e| Error::internal(e.to_string()))
}
