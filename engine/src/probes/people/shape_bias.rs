//! Shape against texture: which of the two decides where they disagree?
//!
//! Geirhos, Rubisch, Michaelis, Bethge, Wichmann, Brendel, "ImageNet-trained CNNs are biased towards texture; increasing
//! shape bias improves accuracy and robustness", 2018, sections 2 and 3.

use crate::data::{Attribute, Dataset, Item};
use crate::error::{Error, Result};
use crate::humans::classes::{ClassList, best, shares};
use crate::humans::trials::{Columns, TrialSource};
use crate::humans::{Classes, ImageIds, Trials};
use crate::inspect::Evaluate as _;
use crate::job::Job;
use crate::predictions::Predictions;
use crate::probe::Probe;
use crate::probes::people::compare_with_humans::{classes, nets};
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, wilson};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// On images whose shape is of one class and whose texture is of another: the share of decisions for the shape among those
    /// for either, of nets and of people, overall and by the shape's class, with Wilson 95 % intervals.
    ///
    /// An image's cues are its attributes `shape` (else its label) and `texture`, else the two words of a file name such as
    /// `cat3-elephant1.jpg`. Images with the same class in both cues are not counted. The array `bias` has each subject's shape
    /// bias, in the order of the table: people one by one, people together, nets.
    #[probe(
        family = Humans,
        source = "Geirhos et al. 2018, section 2",
        subjects = "a net or a list of nets, or predictions",
        input = Data,
        example = "shape_bias().run(net, data)"
    )]
    pub struct ShapeBias as "shape_bias" {
        /// People's decisions: a table of trials (.csv), the file of a session, or a list of maps #{ labeller, image, guesses }.
        labels: TrialSource = TrialSource::None;
        /// The classes to decide between: a map (or JSON file) from each name to the net's outputs of that class, whose mean
        /// probability decides, or names; the net's own classes unless given.
        classes: ClassList = ClassList::Own;
        /// The meaning of a table's columns, where its header does not tell.
        columns: Columns = Columns::default();
    }
}

impl Probe for ShapeBias {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (nets, said) = match on {
            Subject::Predictions(all) => (Vec::new(), all.clone()),
            other => (nets(other)?, Vec::new()),
        };
        let Input::Data(data) = input else {
            return Err(Error::subject(format!("expected a data set, got {}", input.kind()))
                .hint("images with a shape and a texture: load_images(\"cue-conflict/images\")"));
        };
        let classes = classes(&self.classes, &nets)?;
        let cues = cues(data, &classes)?;
        let (places, conflicts): (Vec<usize>, Vec<Cues>) = cues
            .into_iter()
            .enumerate()
            .filter_map(|(i, c)| Some((i, c?)))
            .filter(|(_, c)| Some(c.shape) != c.texture)
            .unzip();
        if conflicts.is_empty() {
            return Err(Error::value(format!("no image of `{}` has a shape and another texture", data.name)).hint(
                "images need the attributes `shape` and `texture` (columns of a .csv table), or names such as cat3-elephant1.jpg",
            ));
        }
        let mut tallies = Vec::new();
        if !matches!(self.labels, TrialSource::None) {
            tallies = self.people(&ImageIds::of(data), &places, &conflicts, &classes)?;
        }
        let seen = data.select(&places)?;
        let (mut done, mut note) = (0, None);
        for net in &nets {
            let outputs = classes.outputs(net.card(), net.scores_len())?;
            let mut tally = Tally::new(net.card().name.clone(), "net", classes.len());
            let (all, report) = net.probabilities_of(&seen, job)?;
            for (cue, p) in conflicts.iter().zip(&all) {
                if let Some(p) = p {
                    tally.count(cue, best(&shares(p, &outputs), 1).first().copied());
                }
                done += 1;
            }
            note = note.or(report.note());
            tallies.push(tally);
        }
        for told in &said {
            let (tally, missing) = predicted(told, data, &places, &conflicts, &classes)?;
            tallies.push(tally);
            note = note.or(missing);
        }
        let made = artifact(&tallies, &conflicts, &classes, &data.name)?;
        Ok(made.notes(note).reached(done, nets.len() * places.len()))
    }
}

impl ShapeBias {
    /// Each person's decisions, and all together where there are several.
    fn people(&self, keys: &ImageIds, places: &[usize], conflicts: &[Cues], classes: &Classes) -> Result<Vec<Tally>> {
        let trials = Trials::of(&self.labels, &self.columns)?;
        let subjects = trials.subjects();
        let mut tallies: Vec<Tally> = subjects.iter().map(|s| Tally::new(s.clone(), "person", classes.len())).collect();
        let mut together = Tally::new("people together".into(), "people", classes.len());
        for trial in &trials.all {
            let Some(p) = keys.index(&trial.image).and_then(|i| places.binary_search(&i).ok()) else { continue };
            let decision = match trial.guesses.first() {
                Some(guess) => Some(
                    classes
                        .index(guess)
                        .map_err(|e| e.context(format!("an answer of {} to `{}`", trial.subject, trial.image)))?,
                ),
                None => None,
            };
            if let Some(tally) = tallies.iter_mut().find(|t| t.name == trial.subject) {
                tally.count(&conflicts[p], decision);
                together.count(&conflicts[p], decision);
            }
        }
        if together.trials() == 0 {
            return Err(Error::value("none of the answers is about an image whose cues disagree")
                .hint(format!("an answer is about `{}`", trials.all[0].image)));
        }
        if tallies.len() > 1 {
            tallies.push(together);
        }
        Ok(tallies)
    }
}

/// The decisions of a classifier of which only the predictions are known, and a note on images without one.
fn predicted(
    told: &Predictions,
    data: &Dataset,
    places: &[usize],
    conflicts: &[Cues],
    classes: &Classes,
) -> Result<(Tally, Option<String>)> {
    let (rows, note) = told.of(data)?;
    let mut tally = Tally::new(told.name.clone(), "net", classes.len());
    for (place, cue) in places.iter().zip(conflicts) {
        let Some(guess) = rows[*place].and_then(|row| row.guesses.first()) else { continue };
        let class = classes.index(guess).map_err(|e| e.context(format!("a prediction of `{}`", told.name)))?;
        tally.count(cue, Some(class));
    }
    Ok((tally, note))
}

/// The classes of an image's shape and texture.
struct Cues {
    shape: usize,
    /// None where the texture is none of the classes.
    texture: Option<usize>,
}

/// A subject's decisions.
struct Tally {
    name: String,
    kind: &'static str,
    /// For each class of shape: decisions for the shape, for the texture, for another class or none.
    by_shape: Vec<[usize; 3]>,
}

impl Tally {
    fn new(name: String, kind: &'static str, classes: usize) -> Self {
        Tally { name, kind, by_shape: vec![[0; 3]; classes] }
    }

    fn count(&mut self, cue: &Cues, decision: Option<usize>) {
        let which = match decision {
            Some(d) if d == cue.shape => 0,
            Some(d) if Some(d) == cue.texture => 1,
            _ => 2,
        };
        self.by_shape[cue.shape][which] += 1;
    }

    fn total(&self) -> [usize; 3] {
        self.by_shape.iter().fold([0; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]])
    }

    fn trials(&self) -> usize {
        self.total().iter().sum()
    }
}

/// The share of decisions for the shape among those for either cue, with its interval.
fn bias([shape, texture, _]: [usize; 3]) -> Option<(f64, (f64, f64))> {
    let n = shape + texture;
    (n > 0).then(|| (shape as f64 / n as f64, wilson(shape, n, Z95)))
}

fn artifact(tallies: &[Tally], conflicts: &[Cues], classes: &Classes, data: &str) -> Result<Artifact> {
    let mut table =
        Table::new(["subject", "kind", "shape bias", "low", "high", "shape", "texture", "other", "decided for a cue"]);
    for tally in tallies {
        let [shape, texture, other] = tally.total();
        let mut cells: Vec<Cell> = vec![tally.name.as_str().into(), tally.kind.into()];
        match bias([shape, texture, other]) {
            Some((share, (low, high))) => cells.extend([share.into(), low.into(), high.into()]),
            None => cells.extend([Cell::Nothing, Cell::Nothing, Cell::Nothing]),
        }
        let cue = (shape + texture) as f64 / tally.trials().max(1) as f64;
        cells.extend([shape.into(), texture.into(), other.into(), cue.into()]);
        table.push(cells);
    }
    let mut present: Vec<usize> = conflicts.iter().map(|c| c.shape).collect();
    present.sort_unstable();
    present.dedup();
    let drawn: Vec<&Tally> = tallies.iter().filter(|t| t.kind != "person" || tallies.len() < 8).collect();
    let mut by_class =
        Table::new(["class of the shape", "subject", "shape bias", "low", "high", "shape", "texture", "other"]);
    let mut series = Vec::new();
    for (k, tally) in drawn.iter().enumerate() {
        let shift = (k as f64 - (drawn.len() - 1) as f64 / 2.0) * 0.16;
        let mut one =
            Series { name: tally.name.clone(), x: Vec::new(), y: Vec::new(), bars: Vec::new(), mark: Mark::Point };
        for (place, class) in present.iter().enumerate() {
            let counts = tally.by_shape[*class];
            let mut cells: Vec<Cell> = vec![classes.name(*class).into(), tally.name.as_str().into()];
            if let Some((share, interval)) = bias(counts) {
                one.x.push(place as f64 + shift);
                one.y.push(share);
                one.bars.push(interval);
                cells.extend([share.into(), interval.0.into(), interval.1.into()]);
            } else {
                cells.extend([Cell::Nothing, Cell::Nothing, Cell::Nothing]);
            }
            cells.extend(counts.map(Cell::from));
            by_class.push(cells);
        }
        series.push(one);
    }
    let plot = Plot {
        title: "shape bias by the shape's class".into(),
        x_label: String::new(),
        y_label: "decisions for the shape, of those for either cue".into(),
        categories: present.iter().map(|c| classes.name(*c).to_string()).collect(),
        series,
    };
    let overall = Plot {
        title: "shape bias".into(),
        x_label: String::new(),
        y_label: "decisions for the shape, 95 % Wilson".into(),
        categories: tallies.iter().map(|t| t.name.clone()).collect(),
        series: vec![Series {
            name: "shape bias".into(),
            x: (0..tallies.len()).filter(|i| bias(tallies[*i].total()).is_some()).map(|i| i as f64).collect(),
            y: tallies.iter().filter_map(|t| bias(t.total())).map(|b| b.0).collect(),
            bars: tallies.iter().filter_map(|t| bias(t.total())).map(|b| b.1).collect(),
            mark: Mark::Point,
        }],
    };
    let values = tallies.iter().map(|t| bias(t.total()).map_or(f64::NAN, |b| b.0)).collect::<Vec<_>>();
    let mut artifact = Artifact::new(format!("shape against texture on {} images of {data}", conflicts.len()))
        .part(Part::Plot(plot))
        .part(Part::Table("shape bias".into(), table))
        .part(Part::Plot(overall))
        .part(Part::Table("by the shape's class".into(), by_class))
        .array("bias", tensor(values, &[tallies.len()])?)
        .note("shape bias: decisions for the shape's class as a share of those for the shape's or the texture's");
    if conflicts.iter().all(|c| c.texture.is_none()) {
        artifact = artifact.note("no texture is one of the classes, so none could be decided for");
    }
    Ok(artifact)
}

/// The cues of each image, where it has them.
fn cues(data: &Dataset, classes: &Classes) -> Result<Vec<Option<Cues>>> {
    data.items()
        .map(|item| {
            let Some((shape, texture)) = words(&item) else { return Ok(None) };
            let shape = classes.index(&shape).map_err(|e| e.context("the shape of an image"))?;
            Ok(Some(Cues { shape, texture: classes.index(&texture).ok() }))
        })
        .collect()
}

/// The names of shape and texture: attributes, else the words of the file's name.
fn words(item: &Item) -> Option<(String, String)> {
    let text = |name: &str| match item.attributes.get(name) {
        Some(Attribute::Text(t)) => Some(t.clone()),
        _ => None,
    };
    if let (Some(shape), Some(texture)) = (text("shape").or_else(|| item.label.clone()), text("texture")) {
        return Some((shape, texture));
    }
    let stem = item.path()?.file_stem()?.to_string_lossy().into_owned();
    let (shape, texture) = stem.split_once('-')?;
    let word = |part: &str| part.trim_end_matches(|c: char| c.is_ascii_digit()).to_string();
    Some((word(shape), word(texture))).filter(|(s, t)| !s.is_empty() && !t.is_empty())
}
