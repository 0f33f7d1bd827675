//! `convscope diff`: two runs side by side, array by array on one scale, with what lies between them.

use super::opened::{Opened, Refusal};
use super::record::by_name;
use super::rerun::Ended;
use super::source::Source;
use super::terminal::{Mode, say, style};
use super::verify::refused;
use super::{INTERRUPTED, out_folder};
use clap::Args;
use convscope_engine::lock::{Array, Content};
use convscope_engine::show::{
    Cell, Grid, Mark, Part, Pictures, Plot, Report, Scale, Section, Series, Table, Tile, png, to_html, to_text,
};
use convscope_engine::{Artifact, Device, Error, Result, Tensor, atomic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Draw two runs side by side on one scale.
#[derive(Args)]
pub struct Diff {
    /// A lock, a bundle, a report, a run's folder, or a script (which is run).
    a: PathBuf,
    /// Another.
    b: PathBuf,
    /// The folder for diff.html and its figures [default: convscope-out/diff].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Report no progress and print nothing.
    #[arg(long, short)]
    quiet: bool,
}

type Outputs = BTreeMap<String, Content>;

impl Diff {
    /// Draws; the exit code.
    pub fn main(self) -> Result<u8> {
        let _ = ctrlc::set_handler(|| {});
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
        let out = out_folder(self.out.as_ref(), "diff");
        std::fs::create_dir_all(out.join("figures")).map_err(|e| Error::io(&out, &e))?;
        let mut sections = Vec::new();
        for (i, artifact) in parts.iter().enumerate() {
            if artifact.parts.iter().any(|p| !matches!(p, Part::Table(..) | Part::Text(_))) {
                atomic::write(out.join(format!("figures/{:02}.png", i + 1)), &png(artifact)?)?;
            }
            sections.push(Section::Artifact(to_html(artifact)?));
        }
        let title = format!("{} and {}", names[0], names[1]);
        let page = Report { title, sections, ..Report::default() }.html()?;
        atomic::write(out.join("diff.html"), page.as_bytes())?;
        if self.mode() == Mode::Plain {
            parts.iter().for_each(|artifact| say(&to_text(artifact, &style())));
            super::terminal::complain(&format!("report: {}", out.join("diff.html").display()));
        }
        Ok(0)
    }

    fn mode(&self) -> Mode {
        if self.quiet { Mode::Quiet } else { Mode::Plain }
    }

    /// The outputs with all their values: those that a bundle holds, else those of a new run.
    fn outputs(&self, what: &Path) -> Result<Option<Outputs>, Refusal> {
        let script = matches!(what.extension().and_then(|e| e.to_str()), Some("rhai" | "ipynb"));
        let rerun = if script {
            let source = Source::read(what)?;
            source.check()?;
            super::rerun::Rerun {
                script: what.to_path_buf(),
                base: source.folder.clone(),
                seed: source.front.seed.unwrap_or(0),
                memory: source.front.memory.unwrap_or(1024),
                params: source.front.params(&BTreeMap::new())?,
                threads: None,
                progress: !self.quiet,
            }
        } else {
            let opened = Opened::at(what, None)?;
            if !opened.whole.is_empty() {
                return Ok(Some(opened.whole));
            }
            let rerun = opened.rerun(None, !self.quiet);
            return Ok(self.ran(what, &rerun)?);
        };
        Ok(self.ran(what, &rerun)?)
    }

    fn ran(&self, what: &Path, rerun: &super::rerun::Rerun) -> Result<Option<Outputs>> {
        match rerun.run()? {
            Ended::Done(finished) => Ok(Some(by_name(finished.outputs.clone()))),
            Ended::Interrupted => Ok(None),
            Ended::Failed(said) => {
                Err(Error::value(format!("`{}` ended with an error\n{}", what.display(), said.trim_end())))
            }
        }
    }
}

/// A summary, then an artifact for each output that differs and can be drawn.
fn compared(a: &Outputs, b: &Outputs, names: &[String; 2]) -> Result<Vec<Artifact>> {
    let mut table = Table::new(["output", "form", "values that differ", "largest difference", "largest ulp"]);
    let mut drawn = Vec::new();
    for (name, left) in a {
        let Some(right) = b.get(name) else {
            table.push([
                name.as_str().into(),
                format!("only in {}", names[0]).into(),
                Cell::Nothing,
                Cell::Nothing,
                Cell::Nothing,
            ]);
            continue;
        };
        match (left, right) {
            (Content::Array(x), Content::Array(y)) if x.shape == y.shape => {
                let differ = x.values.iter().zip(&y.values).filter(|(p, q)| p.to_bits() != q.to_bits()).count();
                let largest = x.values.iter().zip(&y.values).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max);
                let ulp = x.values.iter().zip(&y.values).map(|(p, q)| x.steps(*p, *q)).max().unwrap_or(0);
                let form = format!("{} {:?}", x.dtype, x.shape);
                let count = format!("{differ} of {}", x.values.len());
                table.push([name.as_str().into(), form.into(), count.into(), largest.into(), Cell::Int(ulp as i64)]);
                if differ > 0 {
                    drawn.push(side_by_side(name, x, y, names)?);
                }
            }
            (Content::Array(x), Content::Array(y)) => {
                let form = format!("{:?} and {:?}", x.shape, y.shape);
                table.push([name.as_str().into(), form.into(), "other shapes".into(), Cell::Nothing, Cell::Nothing]);
            }
            (Content::Image(x), Content::Image(y)) => {
                let same = x == y;
                let word = if same { "the same" } else { "differs" };
                table.push([name.as_str().into(), "picture".into(), word.into(), Cell::Nothing, Cell::Nothing]);
                if !same {
                    let images = vec![(x.clone(), names[0].clone()), (y.clone(), names[1].clone())];
                    let part = Pictures { title: String::new(), images, columns: Some(2) };
                    drawn.push(Artifact::new(name.clone()).part(Part::Pictures(part)));
                }
            }
            (Content::Text(x), Content::Text(y)) => {
                let differ = x.lines().zip(y.lines()).filter(|(p, q)| p != q).count()
                    + x.lines().count().abs_diff(y.lines().count());
                let count = format!("{differ} of {} lines", x.lines().count().max(y.lines().count()));
                table.push([name.as_str().into(), "text".into(), count.into(), Cell::Nothing, Cell::Nothing]);
                if differ > 0 {
                    drawn.push(lines(name, x, y, names));
                }
            }
            _ => table.push([name.as_str().into(), "file".into(), Cell::Nothing, Cell::Nothing, Cell::Nothing]),
        }
    }
    for name in b.keys().filter(|name| !a.contains_key(*name)) {
        table.push([
            name.as_str().into(),
            format!("only in {}", names[1]).into(),
            Cell::Nothing,
            Cell::Nothing,
            Cell::Nothing,
        ]);
    }
    let summary = Artifact::new(format!("{} beside {}", names[0], names[1])).part(Part::Table(String::new(), table));
    Ok(std::iter::once(summary).chain(drawn).collect())
}

/// Two arrays of one shape on one scale, and their difference on its own.
fn side_by_side(name: &str, x: &Array, y: &Array, names: &[String; 2]) -> Result<Artifact> {
    let difference: Vec<f64> = x.values.iter().zip(&y.values).map(|(p, q)| q - p).collect();
    let artifact = Artifact::new(name);
    let sides = [(names[0].as_str(), x.values.clone()), (names[1].as_str(), y.values.clone())];
    let Some((rows, columns)) = plane(&x.shape) else {
        let series = |(name, y): (&str, Vec<f64>)| Series {
            name: name.into(),
            x: (0..y.len()).map(|i| i as f64).collect(),
            y,
            bars: Vec::new(),
            mark: if x.values.len() > 40 { Mark::Line } else { Mark::Point },
        };
        let part = Plot {
            title: String::new(),
            x_label: "index".into(),
            y_label: "value".into(),
            categories: Vec::new(),
            series: sides.into_iter().map(series).collect(),
        };
        return Ok(artifact.part(Part::Plot(part)));
    };
    let channels = x.values.len() / (rows * columns).max(1);
    // Of several channels the value of the largest magnitude is drawn at each place.
    let flat = |values: &[f64]| -> Vec<f32> {
        (0..rows * columns)
            .map(|i| {
                let along = (0..channels).map(|c| values[c * rows * columns + i]);
                along.fold(0.0, |best: f64, v| if v.abs() > best.abs() { v } else { best }) as f32
            })
            .collect()
    };
    let tile = |caption: &str, values: &[f64]| -> Result<Tile> {
        let values = Tensor::from_vec(flat(values), (rows, columns), &Device::Cpu)?;
        Ok(Tile { caption: caption.into(), values })
    };
    let signed = x.values.iter().chain(&y.values).any(|v| *v < 0.0);
    let scale = if signed { Scale::Diverging { bound: None } } else { Scale::Sequential { low: None, high: None } };
    let tiles = sides.iter().map(|(name, values)| tile(name, values)).collect::<Result<_>>()?;
    let grid = |title: &str, tiles, scale| {
        Part::Grid(Grid { title: title.into(), tiles, columns: Some(2), label: "value".into(), scale })
    };
    let between = vec![tile(&format!("{} - {}", names[1], names[0]), &difference)?];
    let artifact = artifact.part(grid("both on one scale", tiles, scale)).part(grid(
        "the difference, on its own scale",
        between,
        Scale::Diverging { bound: None },
    ));
    Ok(match channels {
        1 => artifact,
        _ => artifact.note(format!("of {channels} channels the value of the largest magnitude is drawn at each place")),
    })
}

/// The last two axes, where both are more than a line.
fn plane(shape: &[usize]) -> Option<(usize, usize)> {
    match shape {
        [.., rows, columns] if *rows > 1 && *columns > 1 => Some((*rows, *columns)),
        _ => None,
    }
}

/// Lines that differ, beside each other.
fn lines(name: &str, x: &str, y: &str, names: &[String; 2]) -> Artifact {
    const MOST: usize = 20;
    let mut table = Table::new(["line".to_string(), names[0].clone(), names[1].clone()]);
    let (x, y): (Vec<&str>, Vec<&str>) = (x.lines().collect(), y.lines().collect());
    let at = |lines: &[&str], i: usize| lines.get(i).map_or(Cell::Nothing, |l| Cell::Text(l.trim().to_string()));
    let differ = (0..x.len().max(y.len())).filter(|i| x.get(*i) != y.get(*i));
    for i in differ.take(MOST) {
        table.push([Cell::Int(i as i64 + 1), at(&x, i), at(&y, i)]);
    }
    Artifact::new(name).part(Part::Table(String::new(), table))
}
