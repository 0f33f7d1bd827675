//! `convscope run` and `convscope eval`: a script with its report, figures and manifest; a line.

use super::terminal::{Mode, Terminal, complain, say, style, text};
use super::{FAILED, INTERRUPTED, Params, Work, out_folder};
use clap::Args;
use convscope_dsl::{CellResult, Place, Session, Shown};
use convscope_engine::manifest::{self, Digested, Manifest};
use convscope_engine::show::{Part, Report, Section, png, to_html};
use convscope_engine::{Artifact, Context, Error, Job, Result, atomic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Run a script; its report, figures and manifest go to a folder.
#[derive(Args)]
pub struct Run {
    /// The script; `-` reads it from stdin.
    script: PathBuf,
    /// The folder for report.html, figures/, run.json and what the script saves [default: convscope-out/SCRIPT].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Print the manifest as JSON instead of what the script shows.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    work: Work,
}

/// Run a line of script and print what it is worth.
#[derive(Args)]
pub struct Eval {
    /// The code.
    code: String,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    work: Work,
}

impl Run {
    /// Runs the script.
    pub fn main(self) -> Result<u8> {
        let (name, source, inputs) = if self.script == Path::new("-") {
            let source = std::io::read_to_string(std::io::stdin()).map_err(|e| Error::io("stdin", &e))?;
            ("stdin".to_string(), source, PathBuf::new())
        } else {
            let source = read(&self.script)?;
            let name = self.script.file_stem().map_or_else(|| "script".into(), |s| s.to_string_lossy().into_owned());
            (name, source, self.script.parent().unwrap_or(Path::new("")).to_path_buf())
        };
        let out = out_folder(self.out.as_ref(), &name);
        let script = Script {
            title: name,
            file: self.script.display().to_string(),
            source,
            place: Place { inputs, outputs: out },
            params: self.params.map(),
        };
        script.run(&self.work, self.json)
    }
}

/// A script's text.
fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, &e))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Error::format(format!("`{}` is not a text file", path.display())))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_string))
}

impl Eval {
    /// Runs the line.
    pub fn main(self) -> Result<u8> {
        let mode = if self.work.quiet { Mode::Quiet } else { Mode::Plain };
        let terminal = Arc::new(Terminal::new(mode, !self.work.quiet));
        let mut session = Session::new(self.work.job()?, terminal.clone());
        session.set_params(self.params.map());
        let result = session.run("eval", &self.code);
        terminal.finish();
        if let Some(value) = &result.value {
            say(&text(value, &style()));
        }
        Ok(ended(&result))
    }
}

/// A script to run, and where its files lie.
pub struct Script {
    /// The report's title.
    pub title: String,
    /// What messages call it.
    pub file: String,
    /// Its text.
    pub source: String,
    /// Where inputs and outputs lie.
    pub place: Place,
    /// What `param` gives.
    pub params: BTreeMap<String, String>,
}

impl Script {
    /// Runs the script and writes its folder; the exit code.
    pub fn run(&self, work: &Work, json: bool) -> Result<u8> {
        let begun = Instant::now();
        let mode = match (json, work.quiet) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Quiet,
            (false, false) => Mode::Plain,
        };
        let terminal = Arc::new(Terminal::new(mode, !work.quiet));
        let job = work.job()?;
        let mut session = Session::new(job.clone(), terminal.clone());
        session.set_place(self.place.clone());
        session.set_params(self.params.clone());
        let result = session.run_script(&self.file, &self.source);
        terminal.finish();
        if result.error.is_none() {
            for name in session.context().unused_params() {
                complain(&format!("note: the script never asks for the parameter `{name}`"));
            }
        }
        let manifest = self.manifest(&session, &job, &result);
        let manifest = self.write(manifest, &terminal.take(), begun)?;
        if json {
            let text = serde_json::to_string_pretty(&manifest).map_err(|e| Error::internal(e.to_string()))?;
            say(&(text + "\n"));
        } else if !work.quiet {
            complain(&format!("report: {}", self.place.outputs.join("report.html").display()));
        }
        Ok(ended(&result))
    }

    fn manifest(&self, session: &Session, job: &Job, result: &CellResult) -> Manifest {
        let context = session.context();
        let digest = |(name, path): (String, PathBuf)| Digested::read(&name, &path).ok();
        let relative = |path: PathBuf| {
            let name = path.strip_prefix(&self.place.outputs).unwrap_or(&path).display().to_string();
            (name, path)
        };
        Manifest {
            convscope: env!("CARGO_PKG_VERSION").into(),
            machine: manifest::machine(),
            script: Some(Digested {
                path: self.file.clone(),
                blake3: manifest::digest(self.source.as_bytes()),
                bytes: self.source.len() as u64,
            }),
            seed: job.seed,
            threads: rayon::current_num_threads(),
            memory_mb: job.memory >> 20,
            params: context.used_params(),
            nets: context.nets(),
            inputs: context.read().into_iter().filter_map(digest).collect(),
            shown: Vec::new(),
            outputs: context.written().into_iter().map(relative).filter_map(digest).collect(),
            complete: result.error.is_none() && !result.interrupted,
            error: result.error.as_ref().map(|e| e.message.clone()),
            seconds: 0.0,
        }
    }

    /// Writes figures, run.json and report.html.
    fn write(&self, mut manifest: Manifest, shown: &[Shown], begun: Instant) -> Result<Manifest> {
        let out = &self.place.outputs;
        std::fs::create_dir_all(out).map_err(|e| Error::io(out, &e))?;
        let mut report = Report { title: self.title.clone(), script: Some(self.source.clone()), ..Report::default() };
        let mut figures = 0;
        for shown in shown {
            match shown {
                Shown::Text(text) => report.sections.push(Section::Text(text.clone())),
                Shown::Artifact(artifact) if prose(artifact).is_some() => {
                    report.sections.push(Section::Markdown(prose(artifact).unwrap_or_default()));
                }
                Shown::Artifact(artifact) => {
                    let mut entry = manifest::Shown::of(artifact)?;
                    if artifact.parts.iter().any(drawn) {
                        figures += 1;
                        let name = format!("figures/{figures:02}-{}.png", slug(&artifact.title));
                        let path = out.join(&name);
                        std::fs::create_dir_all(out.join("figures")).map_err(|e| Error::io(out, &e))?;
                        atomic::write(&path, &png(artifact).context(|| format!("`{name}`"))?)?;
                        entry.figure = Some(name);
                    }
                    manifest.shown.push(entry);
                    report.sections.push(Section::Artifact(to_html(artifact)?));
                }
            }
        }
        manifest.seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let text = serde_json::to_string_pretty(&manifest).map_err(|e| Error::internal(e.to_string()))?;
        atomic::write(out.join("run.json"), (text + "\n").as_bytes())?;
        report.manifest = serde_json::to_value(&manifest).map_err(|e| Error::internal(e.to_string()))?;
        atomic::write(out.join("report.html"), report.html()?.as_bytes())?;
        Ok(manifest)
    }
}

/// Says what went wrong, if something did; the exit code.
fn ended(result: &CellResult) -> u8 {
    if result.interrupted {
        return INTERRUPTED;
    }
    match &result.error {
        Some(error) => {
            complain(&error.to_string());
            FAILED
        }
        None => 0,
    }
}

/// The text of an artifact that is nothing but text.
fn prose(artifact: &Artifact) -> Option<String> {
    match &artifact.parts[..] {
        [Part::Text(text)] if artifact.title.is_empty() && artifact.notes.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// Whether a part is a picture: tables and texts are in the report.
fn drawn(part: &Part) -> bool {
    match part {
        Part::Table(..) | Part::Text(_) => false,
        Part::Figure(inner, _) => inner.iter().any(|a| a.parts.iter().any(drawn)),
        Part::Map(_) | Part::ClassMap(_) | Part::Grid(_) | Part::Pictures(_) | Part::Plot(_) => true,
        Part::Cloud(_) | Part::Mosaic(_) => true,
    }
}

/// A title as part of a file name: small letters, digits and hyphens, 40 at most.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
        if slug.len() >= 40 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "figure".into() } else { slug.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_file_names() {
        assert_eq!(slug("gradient of tabby, tabby cat in squeezenet1_1"), "gradient-of-tabby-tabby-cat-in-squeezene");
        assert_eq!(slug("../..//Ä"), "figure");
    }
}
