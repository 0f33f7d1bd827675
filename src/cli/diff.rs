//! `convscope diff`: two runs side by side, array by array on one scale, with their differences.

use super::sealed::SealArgs;
use super::terminal::{Mode, Terminal, print_err, print_out, style};
use super::verify::refused;
use super::{INTERRUPTED, own_out_folder};
use clap::Args;
use convscope_dsl::run::differences::{Outputs, compared};
use convscope_dsl::run::{Ended, LockedRun, Refusal, Rerun, Sealing, Source};
use convscope_engine::limits::set_memory;
use convscope_engine::seal::quoted;
use convscope_engine::show::{Report, Section, draw, html_within, to_html, to_text, viewer};
use convscope_engine::{Error, Result, atomic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Draw two runs side by side on one scale.
#[derive(Args)]
pub struct Diff {
    /// A lock, a bundle, a report, a run's folder, or a script (which is run).
    a: PathBuf,
    /// The second run, given in the same way.
    b: PathBuf,
    /// The folder for diff.html and its figures [default: convscope-out/diff].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// The memory for reading what is given, MB; its run has the memory that the lock says.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=1 << 20), value_name = "MB")]
    memory: u64,
    #[command(flatten)]
    sealing: SealArgs,
    /// Report no progress and print nothing.
    #[arg(long, short)]
    quiet: bool,
}

impl Diff {
    /// Draws the comparison; returns the exit code.
    pub fn main(self) -> Result<u8> {
        super::pass_signals_on();
        set_memory(self.memory << 20);
        let mut both = Vec::new();
        for what in [&self.a, &self.b] {
            match self.outputs(what) {
                Ok(Some(outputs)) => both.push(outputs),
                Ok(None) => return Ok(INTERRUPTED),
                Err(refusal) => return refused(refusal),
            }
        }
        let names = [&self.a, &self.b].map(|p| p.display().to_string());
        let parts = compared(&both[0], &both[1], &names)?;
        let out = own_out_folder(self.out.as_ref(), "diff")?;
        std::fs::create_dir_all(out.join("figures")).map_err(|e| Error::io(&out, &e))?;
        let (mut sections, mut room) = (Vec::new(), viewer::MAX_PAGE_BYTES);
        for (i, artifact) in parts.iter().enumerate() {
            if !artifact.is_drawn() {
                sections.push(Section::Artifact(to_html(artifact)?));
                continue;
            }
            let drawn = draw(artifact)?;
            atomic::write(out.join(format!("figures/{:02}.png", i + 1)), &drawn.png()?)?;
            sections.push(Section::Artifact(html_within(artifact, &drawn, &mut room)?));
        }
        let title = format!("{} and {}", names[0], names[1]);
        let page = Report { title, sections, ..Report::default() }.html()?;
        atomic::write(out.join("diff.html"), page.as_bytes())?;
        if !self.quiet {
            parts.iter().for_each(|artifact| print_out(&to_text(artifact, &style())));
            print_err(&format!("report: {}", out.join("diff.html").display()));
        }
        Ok(0)
    }

    /// The outputs with all values: a bundle's, else those of a new run; none where the user stopped it.
    fn outputs(&self, what: &Path) -> Result<Option<Outputs>, Refusal> {
        let terminal = Terminal::new(Mode::Record, !self.quiet);
        let both = format!("diff {}", quoted(&self.a.display().to_string()));
        let allowed = self.sealing.allowed(&both, &self.b);
        if matches!(what.extension().and_then(|e| e.to_str()), Some("rhai" | "ipynb")) {
            let source = Source::read(what)?;
            let sealing = Sealing::of_folder(&source.folder, &allowed);
            source.check(Some(&sealing))?;
            let rerun = Rerun {
                script: what.to_path_buf(),
                base: source.folder.clone(),
                seed: source.front.seed.unwrap_or(0),
                memory: source.front.memory.unwrap_or(1024),
                params: source.front.params(&BTreeMap::new())?,
                progress: !self.quiet,
                sealing: Some(sealing),
                ..Rerun::default()
            };
            return Ok(ran(what, &rerun, &terminal)?);
        }
        let locked = LockedRun::at(what, None, &allowed)?;
        if !locked.whole.is_empty() {
            return Ok(Some(locked.whole));
        }
        Ok(ran(what, &locked.rerun(None, !self.quiet), &terminal)?)
    }
}

fn ran(what: &Path, rerun: &Rerun, terminal: &Terminal) -> Result<Option<Outputs>> {
    match rerun.run(terminal)? {
        Ended::Done(left) => left.contents().map(Some),
        Ended::Interrupted => Ok(None),
        Ended::Failed(failure) => {
            Err(Error::value(format!("`{}` ended with an error\n{}", what.display(), failure.said.trim_end())))
        }
    }
}
