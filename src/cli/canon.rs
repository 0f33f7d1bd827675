//! `convscope canon`: reproduces the figures and tables of the papers for a net and its images. Each paper's script lies in
//! scripts/canon/ and is part of the program; it is written beside its report, where users can change it and run it again.

mod index;

use super::net_flags::NetFlags;
use super::terminal::print_err;
use super::{FAILED, INTERRUPTED, RunArgs};
use clap::Args;
use convscope_dsl::run::explain::literal;
use convscope_engine::error::did_you_mean;
use convscope_engine::load::{LoadOptions, guess, load_model};
use convscope_engine::{Error, Result, atomic};
use index::{Paper, page};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The functions that the papers' scripts share.
const SHARED: &str = include_str!("../../scripts/canon/canon.rhai");

macro_rules! papers {
    ($($name:literal: $title:literal,)+) => {
        /// Each paper's name, title and script.
        const PAPERS: &[(&str, &str, &str)] =
            &[$(($name, $title, include_str!(concat!("../../scripts/canon/", $name, ".rhai")))),+];
    };
}

papers! {
    "zeiler": "Zeiler and Fergus 2013, Visualizing and Understanding Convolutional Networks",
    "simonyan": "Simonyan, Vedaldi, Zisserman 2013, Deep Inside Convolutional Networks",
    "szegedy": "Szegedy et al. 2013, Intriguing Properties of Neural Networks",
    "girshick": "Girshick et al. 2013, Rich Feature Hierarchies",
    "russakovsky": "Russakovsky et al. 2014, ImageNet Large Scale Visual Recognition Challenge",
    "mahendran": "Mahendran and Vedaldi 2014, Understanding Deep Image Representations by Inverting Them",
    "long": "Long, Zhang, Darrell 2014, Do Convnets Learn Correspondence?",
    "nguyen": "Nguyen, Yosinski, Clune 2014, Deep Neural Networks are Easily Fooled",
    "goodfellow": "Goodfellow, Shlens, Szegedy 2014, Explaining and Harnessing Adversarial Examples",
}

/// Reproduce the figures and tables of the papers, one report per paper, the published numbers beside ours.
#[derive(Args)]
pub struct Canon {
    /// A known net's name or a file.
    #[arg(long, default_value = "shapes")]
    net: String,
    #[command(flatten)]
    flags: NetFlags,
    /// One paper: zeiler, simonyan, szegedy, girshick, russakovsky, mahendran, long, nguyen, goodfellow [default: all].
    #[arg(long)]
    paper: Option<String>,
    /// A second net, for what is compared between two (transfer, shared mistakes, the best net of each class): another architecture,
    /// or the same trained on other images [default: the net without one of its channels].
    #[arg(long)]
    other: Option<String>,
    /// Weight files of one net during its training, in their order, separated by commas: for the figures over epochs.
    #[arg(long, value_delimiter = ',')]
    epochs: Vec<String>,
    /// A folder, table or pattern of labelled images [default: generated images for `shapes`, else the sample photos].
    #[arg(long)]
    data: Option<PathBuf>,
    /// A file with what else is known of the images of `--data`: `classes`, `attributes`, `truth`, `classes_by_number`, `answers`
    /// or `proposals` as load_images takes them, or `labels`, people's answers by `convscope label`. May be given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = known, requires = "data")]
    with: Vec<(String, PathBuf)>,
    /// The most images that are used.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(4..))]
    images: u32,
    /// Steps of gradient ascent and of inversions.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..))]
    steps: u32,
    /// The folder for index.html and a folder per paper.
    #[arg(long, short, default_value = "convscope-out/canon")]
    out: PathBuf,
    #[command(flatten)]
    work: RunArgs,
}

impl Canon {
    /// Runs the papers' scripts, each in a process of its own; the exit code.
    pub fn main(self) -> Result<u8> {
        let papers: Vec<_> = match &self.paper {
            None => PAPERS.to_vec(),
            Some(name) => vec![paper(name)?],
        };
        let options = self.options()?;
        let (mut made, mut code) = (Vec::new(), 0);
        for (name, title, script) in papers {
            print_err(&format!("{name}: {title}"));
            let ended = self.run((name, title, script), &options)?;
            if ended == INTERRUPTED {
                return Ok(INTERRUPTED);
            }
            if ended != 0 {
                print_err(&format!("{name} ended with code {ended}; the others go on"));
                code = FAILED;
            }
            made.push(Paper { name, title, ended: ended == 0 });
        }
        let index = self.out.join("index.html");
        atomic::write(&index, page(&self.net, &made, &self.out).as_bytes())?;
        print_err(&format!("reports: {}", index.display()));
        Ok(code)
    }

    /// The parameters that scripts may ask for.
    fn params(&self) -> Vec<(String, String)> {
        let data = self.data.as_deref().map(absolute).unwrap_or_default();
        let given = [
            ("net", net(&self.net)),
            ("data", data),
            ("n", self.images.to_string()),
            ("steps", self.steps.to_string()),
            ("other", self.other.as_deref().map(net).unwrap_or_default()),
            ("epochs", self.epochs.iter().map(|file| absolute(Path::new(file))).collect::<Vec<_>>().join(",")),
        ];
        let given = given.into_iter().map(|(name, value)| (name.to_string(), value));
        given.chain(self.with.iter().map(|(name, file)| (name.clone(), absolute(file)))).collect()
    }

    /// The functions `options()` and `other_options()` of the scripts: what `load_model` gets for the net and for a second one, which
    /// has the first one's options if it is a file. Options are completed where the net's file does not say how it takes photos.
    ///
    /// # Errors
    /// Where the net cannot be loaded, takes no photos, or has no score for each class.
    fn options(&self) -> Result<String> {
        let mut all = self.flags.given().clone();
        for file in ["labels", "weights"] {
            if let Some(Value::String(path)) = all.get_mut(file) {
                *path = absolute(Path::new(path.as_str()));
            }
        }
        self.work.bare_job()?;
        let path = Path::new(&self.net);
        let mut options = LoadOptions::from_json(&all)?;
        if let Some((size, note)) = guess::size(path, &options)? {
            all.insert("size".into(), json!([size.height, size.width]));
            options.size = Some(size);
            print_err(&format!("note: {note}"));
        }
        let loaded = load_model(&self.net, &options, Path::new(""), &print_err)?;
        let guess = guess::complete(&loaded, path, &options)?;
        loaded.labels_readout().map_err(|e| e.context("the canon asks about classes"))?;
        guess.notes.iter().for_each(|note| print_err(&format!("note: {note}")));
        all.extend(guess.options);
        let options = literal(&Value::Object(all))?;
        let is_file = self.other.as_ref().is_some_and(|other| Path::new(other).is_file());
        let other = if is_file { "options()" } else { "#{}" };
        Ok(format!("/// How the net takes photos.\nfn options() {{ {options} }}\nfn other_options() {{ {other} }}\n"))
    }

    fn run(&self, (name, title, script): (&str, &str, &str), options: &str) -> Result<u8> {
        let folder = self.out.join(name);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        let file = folder.join(format!("{name}.rhai"));
        let front = format!("// /// convscope\n// title = \"{title}\"\n// ///\n");
        atomic::write(&file, format!("{front}{script}\n{SHARED}\n{options}").as_bytes())?;
        let program = std::env::current_exe().map_err(|e| Error::io(Path::new("convscope"), &e))?;
        let mut command = Command::new(program);
        command.arg("run").arg("--out").arg(&folder);
        for (param, value) in self.params() {
            let asked = format!("param(\"{param}\"");
            let by_shared = SHARED.contains(&asked) && (param != "other" || script.contains("another("));
            if !value.is_empty() && (script.contains(&asked) || by_shared) {
                command.arg("--param").arg(format!("{param}={value}"));
            }
        }
        for (flag, value) in [
            ("--seed", self.work.seed.map(|v| v.to_string())),
            ("--threads", self.work.threads.map(|v| v.to_string())),
            ("--memory", self.work.memory.map(|v| v.to_string())),
        ] {
            if let Some(value) = value {
                command.arg(flag).arg(value);
            }
        }
        if self.work.quiet {
            command.arg("--quiet");
        }
        let ended = command.arg(&file).status().map_err(|e| Error::io(&file, &e))?;
        Ok(ended.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(INTERRUPTED))
    }
}

/// The files that `--with` takes.
const KNOWN: [&str; 7] = ["classes", "attributes", "truth", "classes_by_number", "answers", "proposals", "labels"];

/// The name and the file of a `--with`.
fn known(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let Some((name, file)) = text.split_once('=') else {
        return Err("write NAME=FILE, such as classes=attributes.csv".into());
    };
    if !KNOWN.contains(&name) {
        let close = did_you_mean(name, KNOWN).map_or(String::new(), |c| c + " ");
        return Err(format!("no file `{name}` is known; {close}there are {}", KNOWN.join(", ")));
    }
    if !Path::new(file).is_file() {
        return Err(format!("there is no file `{file}`"));
    }
    Ok((name.to_string(), PathBuf::from(file)))
}

/// The paper called `name`.
fn paper(name: &str) -> Result<(&'static str, &'static str, &'static str)> {
    let names = || PAPERS.iter().map(|p| p.0);
    PAPERS.iter().find(|p| p.0 == name).copied().ok_or_else(|| {
        let close = did_you_mean(name, names()).map_or(String::new(), |c| c + " ");
        let list = names().collect::<Vec<_>>().join(", ");
        Error::not_found(format!("no paper `{name}` in the canon")).hint(format!("{close}there are {list}"))
    })
}

/// The absolute path where the file exists, since a script's paths are relative to its own folder; other texts unchanged.
fn absolute(path: &Path) -> String {
    let there = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    there.to_string_lossy().into_owned()
}

/// A net's file from the root on; a name as it is, even where a folder is called so.
fn net(spec: &str) -> String {
    if Path::new(spec).is_file() { absolute(Path::new(spec)) } else { spec.to_string() }
}
