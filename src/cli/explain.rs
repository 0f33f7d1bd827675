//! `convscope explain`: a script that asks the usual questions of a net and an image, run as any other; the report shows
//! it, so that one can go on from there.

use super::net_flags::NetFlags;
use super::run::Script;
use super::source::Source;
use super::terminal::complain;
use super::{Work, out_folder};
use clap::Args;
use convscope_dsl::Place;
use convscope_engine::load::{guess, load_model};
use convscope_engine::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Explain what a net sees in an image, without a script.
#[derive(Args)]
pub struct Explain {
    /// A known net's name or a file.
    net: String,
    #[command(flatten)]
    flags: NetFlags,
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
        let (options, notes) = self.options()?;
        let source = format!(
            "{notes}let net = load_model({}{options});\n\
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
            last: false,
        };
        script.run(&self.work, self.json, None)
    }
}

impl Explain {
    /// The options as `load_model` takes them in a script, completed where the net says nothing of photos, and the lines that
    /// say what was read beside the net or is assumed.
    fn options(&self) -> Result<(String, String)> {
        let options = self.flags.options()?;
        let net = load_model(&self.net, &options, Path::new(""), &complain)?;
        let guess = guess::complete(&net, Path::new(&self.net), &options)?;
        let mut all = self.flags.given().clone();
        all.extend(guess.options);
        let mut notes: Vec<String> = net.card().notes.iter().filter(|n| n.contains("assumed")).cloned().collect();
        notes.extend(guess.notes);
        notes.iter().for_each(|n| complain(&format!("note: {n}")));
        let notes: String = notes.iter().map(|n| format!("- {n}\n")).collect();
        let said = match notes.is_empty() {
            true => String::new(),
            false => format!("show(markdown({}));\n", quoted(&format!("What is assumed of the net:\n\n{notes}"))?),
        };
        let given = match all.is_empty() {
            true => String::new(),
            false => format!(", {}", literal(&all.into())?),
        };
        Ok((given, said))
    }
}

/// JSON as a script's literal.
fn literal(value: &serde_json::Value) -> Result<String> {
    Ok(match value {
        serde_json::Value::Object(map) => {
            let entries = map.iter().map(|(k, v)| Ok(format!("{k}: {}", literal(v)?))).collect::<Result<Vec<_>>>()?;
            format!("#{{ {} }}", entries.join(", "))
        }
        serde_json::Value::Array(list) => {
            format!("[{}]", list.iter().map(literal).collect::<Result<Vec<_>>>()?.join(", "))
        }
        serde_json::Value::String(text) => quoted(text)?,
        other => other.to_string(),
    })
}

/// The text as a script's literal.
fn quoted(text: &str) -> Result<String> {
    serde_json::to_string(text).map_err(|e| Error::internal(e.to_string()))
}
