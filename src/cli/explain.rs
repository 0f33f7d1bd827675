//! `convscope explain`: writes a script that runs the usual probes of a net on an image, and runs it like any other; the
//! report shows the script, so that users can change it.

use super::net_flags::NetFlags;
use super::run::run_script;
use super::terminal::print_err;
use super::{RunArgs, out_folder};
use clap::Args;
use convscope_dsl::Place;
use convscope_dsl::run::explain::Question;
use convscope_dsl::run::{Recording, Run};
use convscope_engine::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Explain a net's decision about an image (or a signal or volume), without a script.
#[derive(Args)]
pub struct Explain {
    /// A known net's name or a file.
    net: String,
    #[command(flatten)]
    flags: NetFlags,
    /// The image; a signal (.wav, .npy), a volume (.nii, .nii.gz, .npy), or a .npy file of the input's numbers.
    image: PathBuf,
    /// The class to explain, by name or index [default: the most probable one].
    #[arg(long, short, allow_hyphen_values = true)]
    class: Option<String>,
    /// The output to explain, by name [default: the first, or one that ends in probabilities where nothing says what the first is].
    #[arg(long, value_name = "NAME")]
    head: Option<String>,
    /// What another input of the net is held at: an image, or a .npy file of one sample; may be repeated.
    #[arg(long, value_name = "NAME=FILE", value_parser = input_and_file)]
    given: Vec<(String, String)>,
    /// The folder for the report [default: convscope-out/explain-IMAGE].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Print the manifest as JSON instead of the results.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    work: RunArgs,
}

impl Explain {
    /// Writes the script and runs it.
    pub fn main(self) -> Result<u8> {
        let image = self.image.to_str().ok_or_else(|| Error::value("the image's path is not valid Unicode"))?;
        let stem = self.image.file_stem().map_or_else(|| "image".into(), |s| s.to_string_lossy().into_owned());
        let given = self.flags.given();
        let (class, head) = (self.class.as_deref(), self.head.as_deref());
        let question = Question { net: &self.net, given, image, class, head, held: &self.given };
        // The net is loaded before the script runs.
        self.work.bare_job()?;
        let (source, notes) = question.script(&print_err)?;
        notes.iter().for_each(|n| print_err(&format!("note: {n}")));
        let run = Run {
            title: format!("what {} sees in {stem}", net_name(&self.net)),
            source,
            place: Place { inputs: PathBuf::new(), outputs: out_folder(self.out.as_ref(), &format!("explain-{stem}")) },
            params: BTreeMap::new(),
        };
        run_script(&run, &self.work, self.json, Recording::default())
    }
}

/// Parses `--given`: an input's name and a file.
fn input_and_file(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_string(), file.to_string())),
        _ => Err("say NAME=FILE: an input's name, and an image or a .npy file".into()),
    }
}

/// The net's name in titles: of a path, the file's stem.
fn net_name(net: &str) -> String {
    let path = Path::new(net);
    match path.is_file() {
        true => path.file_stem().map_or_else(|| net.to_string(), |s| s.to_string_lossy().into_owned()),
        false => net.to_string(),
    }
}
