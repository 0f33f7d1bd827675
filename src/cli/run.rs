//! `convscope run` and `convscope eval`: a script with its report, figures and manifest; a line.

use super::record::Record;
use super::source::Source;
use super::terminal::{Mode, Terminal, complain, say, style, text};
use super::values;
use super::{FAILED, INTERRUPTED, Params, USAGE, Work, out_folder};
use clap::Args;
use convscope_dsl::{CellResult, Output, Place, Session, Shown};
use convscope_engine::digest::Digested;
use convscope_engine::lock::content::KEPT;
use convscope_engine::manifest::{self, Manifest};
use convscope_engine::show::report::drawn as drawn_section;
use convscope_engine::show::{Part, Report, Section, png, to_html};
use convscope_engine::{Artifact, Context, Error, Job, Result, atomic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of inputs that are read once more after a run, so that its report can be verified.
const LARGE: u64 = 1 << 30;

/// Run a script; its report, figures and manifest go to a folder.
#[derive(Args)]
pub struct Run {
    /// The script, or a notebook; `-` reads a script from stdin.
    script: PathBuf,
    /// The folder for report.html, figures/, run.json and what the script saves [default: convscope-out/SCRIPT].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Print the manifest as JSON instead of what the script shows.
    #[arg(long)]
    json: bool,
    /// Write the numbers behind what is shown, too: arrays.safetensors, and shown.json with tables and texts.
    #[arg(long)]
    arrays: bool,
    /// Show what the last expression is worth, too, as a notebook's cell does; its report then cannot be verified, for a
    /// script's last expression is not shown.
    #[arg(long)]
    last: bool,
    /// A folder for what another process makes a lock of.
    #[arg(long, hide = true)]
    record: Option<PathBuf>,
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
        let mut source = Source::read(&self.script)?;
        if self.record.is_some() {
            // Who asks for a record has checked what must hold, and stands in the folder of the inputs.
            source.file = source.digested().path;
            source.folder = PathBuf::new();
        } else {
            source.check()?;
        }
        let params = match source.front.params(&self.params.map()) {
            Ok(params) => params,
            Err(error) => {
                complain(&convscope_dsl::Diagnostic::of(error).to_string());
                return Ok(USAGE);
            }
        };
        let place = Place { inputs: source.folder.clone(), outputs: out_folder(self.out.as_ref(), &source.name) };
        let script = Script { title: source.name.clone(), source, place, params, arrays: self.arrays, last: self.last };
        script.run(&self.work, self.json, self.record.as_deref())
    }
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
    /// The script.
    pub source: Source,
    /// Where inputs and outputs lie.
    pub place: Place,
    /// What `param` gives.
    pub params: BTreeMap<String, String>,
    /// Whether the numbers behind what it shows are written, too.
    pub arrays: bool,
    /// Whether what its last expression is worth is shown, too.
    pub last: bool,
}

impl Script {
    /// Runs the script and writes its folder; the exit code. `record` is a folder for what another process makes a lock of.
    pub fn run(&self, work: &Work, json: bool, record: Option<&Path>) -> Result<u8> {
        let begun = Instant::now();
        let work = work.with(&self.source.front);
        let mode = match (record.is_some(), json, work.quiet) {
            (true, ..) => Mode::Record,
            (_, true, _) => Mode::Json,
            (_, _, true) => Mode::Quiet,
            _ => Mode::Plain,
        };
        let terminal = Arc::new(Terminal::new(mode, !work.quiet));
        let job = work.job()?;
        let late = self.limit(&job);
        let mut session = Session::new(job.clone(), terminal.clone());
        session.set_place(self.place.clone());
        session.set_params(self.params.clone());
        let declared = self.source.front.params.iter().map(|(name, param)| (name.clone(), param.default.clone()));
        session.context().declare(declared.collect());
        if record.is_some() {
            session.context().seal();
        }
        let result = match self.last {
            true => session.run(&self.source.file, self.source.code()),
            false => session.run_script(&self.source.file, self.source.code()),
        };
        terminal.finish();
        if let Some(value) = &result.value {
            terminal.show(value);
        }
        if result.error.is_none() && self.source.front.params.is_empty() {
            for name in session.context().unused_params() {
                complain(&format!("note: the script never asks for the parameter `{name}`"));
            }
        }
        let shown = terminal.take();
        let (mut manifest, sections) = self.figures(&session, &job, &result, &shown)?;
        match record {
            Some(folder) if ended_well(&result) => {
                let mut kept = Record::of(&self.source, &session, &job, terminal.printed())?;
                kept.keep_shown(&shown, &manifest, sections)?;
                kept.write(folder)?;
            }
            Some(_) => {}
            None => {
                let lock = self.lock(&session, &job, &result, &terminal, (&shown[..], &manifest))?;
                manifest.seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
                self.write(&manifest, sections, lock)?;
                if self.arrays {
                    values::write(&self.place.outputs, &shown, &manifest)?;
                }
                if json {
                    let text = serde_json::to_string_pretty(&manifest).map_err(|e| Error::internal(e.to_string()))?;
                    say(&(text + "\n"));
                } else if !work.quiet {
                    complain(&format!("report: {}", self.place.outputs.join("report.html").display()));
                }
            }
        }
        if late.load(Ordering::SeqCst) {
            let seconds = self.source.front.seconds.unwrap_or_default();
            complain(&format!("error: the script ran over its limit of {seconds} s\n  hint: its front matter sets it"));
            return Ok(FAILED);
        }
        Ok(ended(&result))
    }

    /// Stops the script when it has run as long as its front matter allows; says whether that happened.
    fn limit(&self, job: &Job) -> Arc<AtomicBool> {
        let late = Arc::new(AtomicBool::new(false));
        if let Some(seconds) = self.source.front.seconds {
            let (signal, flag) = (job.signal.clone(), late.clone());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs_f64(seconds.min(1e9)));
                flag.store(true, Ordering::SeqCst);
                signal.stop();
            });
        }
        late
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
            script: Some(Digested { path: self.source.file.clone(), ..self.source.digested() }),
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
            digest: String::new(),
        }
    }

    /// Writes the figures; the manifest with all that was shown, and the report's sections.
    fn figures(
        &self,
        session: &Session,
        job: &Job,
        result: &CellResult,
        shown: &[Shown],
    ) -> Result<(Manifest, Vec<Section>)> {
        let out = &self.place.outputs;
        std::fs::create_dir_all(out).map_err(|e| Error::io(out, &e))?;
        let mut manifest = self.manifest(session, job, result);
        let mut sections = Vec::new();
        let mut figures = 0;
        for shown in shown {
            match shown {
                Shown::Text(text) => sections.push(Section::Text(text.clone())),
                Shown::Artifact(artifact) if prose(artifact).is_some() => {
                    sections.push(Section::Markdown(prose(artifact).unwrap_or_default()));
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
                    sections.push(Section::Artifact(to_html(artifact)?));
                }
            }
        }
        manifest.digest = manifest.run_digest()?;
        Ok((manifest, sections))
    }

    /// The lock of this one run, for its report; none where the run did not end well, its inputs are too large to be read
    /// again in passing, or something was shown that another run would not show.
    fn lock(
        &self,
        session: &Session,
        job: &Job,
        result: &CellResult,
        terminal: &Terminal,
        (shown, manifest): (&[Shown], &Manifest),
    ) -> Result<Option<String>> {
        let read = session.context().read();
        let bytes: u64 = read.values().filter_map(|path| path.metadata().ok()).map(|about| about.len()).sum();
        if !ended_well(result) || bytes > LARGE || result.value.is_some() {
            return Ok(None);
        }
        let mut record = Record::of(&self.source, session, job, terminal.printed())?;
        record.keep_shown(shown, manifest, Vec::new())?;
        let outputs = record.outputs(&self.place.outputs)?;
        record.lock(&self.source, &outputs, vec![record.threads], KEPT).text().map(Some)
    }

    /// Writes run.json and report.html.
    fn write(&self, manifest: &Manifest, sections: Vec<Section>, lock: Option<String>) -> Result<()> {
        let out = &self.place.outputs;
        let text = serde_json::to_string_pretty(manifest).map_err(|e| Error::internal(e.to_string()))?;
        atomic::write(out.join("run.json"), (text + "\n").as_bytes())?;
        let report = Report {
            title: self.title.clone(),
            script: Some(self.source.text.clone()),
            sections,
            manifest: serde_json::to_value(manifest).map_err(|e| Error::internal(e.to_string()))?,
            lock,
        };
        atomic::write(out.join("report.html"), report.html()?.as_bytes())
    }
}

impl Record {
    /// Adds what was shown, the figures that were drawn of it, and the report's sections.
    fn keep_shown(&mut self, shown: &[Shown], manifest: &Manifest, sections: Vec<Section>) -> Result<()> {
        for (i, shown) in shown.iter().enumerate() {
            let title = match shown {
                Shown::Artifact(artifact) if !artifact.title.is_empty() => slug(&artifact.title),
                Shown::Artifact(_) => "untitled".into(),
                Shown::Text(_) => "text".into(),
            };
            self.show(&format!("show/{:02}-{title}", i + 1), shown)?;
        }
        self.files.extend(manifest.shown.iter().filter_map(|s| s.figure.clone()));
        self.sections = sections.iter().map(drawn_section).collect::<Result<_>>()?;
        Ok(())
    }
}

fn ended_well(result: &CellResult) -> bool {
    result.error.is_none() && !result.interrupted
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

/// Copies a folder's files into another, which may hold others.
///
/// # Errors
/// Where one cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(|e| Error::io(to, &e))?;
    for entry in std::fs::read_dir(from).map_err(|e| Error::io(from, &e))? {
        let path = entry.map_err(|e| Error::io(from, &e))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, &e))?;
            atomic::write(&target, &bytes)?;
        }
    }
    Ok(())
}

/// The text of an artifact that is nothing but text.
pub fn prose(artifact: &Artifact) -> Option<String> {
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
