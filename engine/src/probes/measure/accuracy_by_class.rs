//! The accuracy of each class, and of groups of classes that share a property.
//!
//! Russakovsky et al. 2014, "ImageNet Large Scale Visual Recognition Challenge", sections 6.2 and 6.3: an average over classes
//! rather than images, the easiest and hardest classes, the optimistic line (in each class the best entry), and accuracy by
//! properties of classes (real-world size, deformability, texture, natural or man-made) with bootstrap intervals.

mod by_class;

use super::accuracy_by_attribute::Cut;
use super::judged::{Ask, GroundTruth, Judged, Lookup};
use crate::data::measure::MEASURES;
use crate::data::{Attribute, Dataset};
use crate::error::{Error, Result, did_you_mean};
use crate::job::Job;
use crate::params::Params as _;
use crate::probe::Probe;
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, bootstrap, wilson};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use by_class::{ByClass, Groups};

crate::params! {
    /// The accuracy of each class of one or several classifiers, its mean over classes, and, of several, the optimistic line:
    /// in each class the accuracy of the best of them.
    ///
    /// With `by`, classes are grouped by a property: one that a table of classes gives
    /// (`load_images(.., #{ classes: "classes.csv" })`), or the mean of an attribute over the class's images, such as "scale".
    /// The accuracy of a group is the mean over its classes; intervals are bootstrapped over classes. Arrays, classes in the
    /// table's order (the hardest first), subjects in the order given and the optimistic line behind several: `accuracy`, `low`,
    /// `high` (subjects x classes, Wilson 95 %), `counts` (images a class), `mean`, `mean_low`, `mean_high` (a subject); with
    /// `by` also `groups`, `groups_low`, `groups_high` (subjects x groups) and `group_sizes` (classes a group).
    #[probe(
        family = Measure,
        source = "Russakovsky et al. 2014, sections 6.2 and 6.3",
        subjects = "a net or a list of nets, or predictions",
        input = Data,
        example = "accuracy_by_class(#{ by: \"scale\", bins: 3, rounds: 100 }).run([net, net.ablate(net.layer(\"conv3/relu\").channel(1))], data)"
    )]
    pub struct AccuracyByClass as "accuracy_by_class" {
        /// The property by which classes are grouped.
        by: Option<String> = None;
        /// Groups of a quantity; a quantity with few different values has a group for each value.
        bins: usize = 5, in 2..=50;
        /// How a quantity is cut into groups.
        cut: Cut = Cut::Quantiles;
        /// An answer counts as right if the label is among this many most probable classes.
        top: usize = 1, in 1..=100;
        /// Resamples of the bootstrap.
        rounds: usize = 1000, in 100..=100_000;
    }
}

/// The name of the line that takes the best of all in each class.
const OPTIMISTIC: &str = "best of each class";
/// Most classes whose names stand below the axis.
const MOST_NAMED_CLASSES: usize = 40;

impl Probe for AccuracyByClass {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let data = input.data()?;
        let judged = self.judged(on, &data, job)?;
        if judged.seen.is_empty() {
            return Err(Error::value(format!("no image of `{}` has a label and could be asked about", data.name))
                .hint("a folder's sub-folders are labels; a .csv table has a column `label`"));
        }
        let all = ByClass::of(&judged);
        let (done, total) = judged.reached;
        let left = (judged.without > 0).then(|| format!("{} images without a label are left out", judged.without));
        let artifact = self.report(&all, &data.name, job)?.notes(left).notes(judged.notes);
        Ok(artifact.note("intervals of a class are Wilson's, 95 %").reached(done, total))
    }
}

impl AccuracyByClass {
    fn judged(&self, on: &Subject, data: &Dataset, job: &Job) -> Result<Judged> {
        let given = data.attribute_names();
        if let Some(name) = self.by.as_ref().filter(|by| !given.contains(by) && !MEASURES.iter().any(|(m, _)| m == by))
        {
            let known = given.iter().map(String::as_str).chain(MEASURES.iter().map(|m| m.0));
            let close = did_you_mean(name, known).map_or(String::new(), |c| c + " ");
            return Err(Error::not_found(format!("no property `{name}` of the images or classes of `{}`", data.name))
                .hint(format!(
                    "{close}a table of classes gives some: load_images(.., #{{ classes: \"classes.csv\" }})"
                )));
        }
        let known = |_: usize, label: Option<&str>, lookup: &Lookup<'_>| {
            let Some(label) = label else { return Ok(None) };
            let within = self.by.as_ref().map(|by| lookup(by)).transpose()?.flatten();
            Ok(Some(GroundTruth { value: Attribute::Text(label.into()), within, right: vec![vec![label.into()]] }))
        };
        let part = job.ledger().map(|ledger| ledger.part_of(data.len(), &data.name)).transpose()?;
        let classes = data.labels_in(part.unwrap_or(0..data.len()))?;
        let probe = (self.name(), self.settings());
        Ask { probe, top: self.top, lists: 1, classes, known: &known }.of(on, data, job)
    }

    fn report(&self, all: &ByClass, data: &str, job: &Job) -> Result<Artifact> {
        let (n, c) = (all.names.len(), all.classes.len());
        let grid = |of: &dyn Fn(usize, usize) -> f64| -> Result<_> {
            tensor((0..n).flat_map(|s| (0..c).map(move |k| (s, k))).map(|(s, k)| of(s, k)).collect(), &[n, c])
        };
        let interval = |s: usize, k: usize| wilson(all.right[s][k], all.counts[k], Z95);
        let mut means = Table::new(["subject", "classes", "mean over classes", "low", "high", "over images"]);
        let mut columns: [Vec<f64>; 3] = Default::default();
        for (s, name) in all.names.iter().enumerate() {
            let (mean, (low, high)) = self.mean(all, s, &(0..c).collect::<Vec<_>>(), "all", job);
            let images = all.counts.iter().sum::<usize>() as f64;
            let over_images = all.right[s].iter().sum::<usize>() as f64 / images;
            means.push([name.as_str().into(), c.into(), mean.into(), low.into(), high.into(), over_images.into()]);
            columns.iter_mut().zip([mean, low, high]).for_each(|(column, v)| column.push(v));
        }
        let [mean, low, high] = columns;
        let title = match &self.by {
            Some(by) => format!("accuracy of classes by {by} on {data}"),
            None => format!("accuracy of {c} classes on {data}"),
        };
        let mut artifact = Artifact::new(title)
            .array("accuracy", grid(&|s, k| all.share(s, k))?)
            .array("low", grid(&|s, k| interval(s, k).0)?)
            .array("high", grid(&|s, k| interval(s, k).1)?)
            .array("counts", tensor(all.counts.iter().map(|n| *n as f64).collect::<Vec<f64>>(), &[c])?)
            .array("mean", tensor(mean, &[n])?)
            .array("mean_low", tensor(low, &[n])?)
            .array("mean_high", tensor(high, &[n])?);
        match self.by.as_deref() {
            Some(by) => artifact = self.grouped(all, by, artifact, job)?,
            None => artifact = artifact.part(Part::Plot(self.curve(all))),
        }
        artifact = artifact
            .part(Part::Table("mean over classes".into(), means))
            .part(Part::Table("classes, the hardest first".into(), self.listed(all)));
        if all.several() {
            artifact = artifact.note(format!(
                "\"{OPTIMISTIC}\" takes the classifier that is best on these images, class by class: no single one reaches it"
            ));
        }
        Ok(artifact.note("intervals of means are bootstrapped over classes, 95 %"))
    }

    /// The mean accuracy of some classes, and its interval over resamples of them.
    fn mean(&self, all: &ByClass, s: usize, classes: &[usize], what: &str, job: &Job) -> (f64, (f64, f64)) {
        let of = |some: &mut dyn Iterator<Item = usize>| {
            let (sum, n) = some.fold((0.0, 0.0), |(sum, n), k| (sum + all.share(s, k), n + 1.0));
            sum / n
        };
        // All subjects are resampled alike, so that differences between them are not noise of the resampling.
        let mut stream = job.rng(&format!("accuracy_by_class {what}"));
        let interval =
            bootstrap(classes.len(), self.rounds, &mut stream, |sample| of(&mut sample.iter().map(|i| classes[*i])));
        (of(&mut classes.iter().copied()), interval)
    }

    /// Every class's accuracy, the hardest class first.
    fn curve(&self, all: &ByClass) -> Plot {
        let c = all.classes.len();
        let is_named = c <= MOST_NAMED_CLASSES;
        let line = |s: usize| Series {
            name: all.names[s].clone(),
            x: (0..c).map(|k| if is_named { k as f64 } else { k as f64 + 1.0 }).collect(),
            y: (0..c).map(|k| all.share(s, k)).collect(),
            bars: match all.names.len() {
                1 if is_named => (0..c).map(|k| wilson(all.right[s][k], all.counts[k], Z95)).collect(),
                _ => Vec::new(),
            },
            mark: if all.names.len() == 1 { Mark::Bar } else { Mark::Point },
        };
        Plot {
            title: "classes, the hardest first".into(),
            x_label: if is_named { String::new() } else { "class, by accuracy".into() },
            y_label: self.said(),
            categories: if is_named { all.classes.clone() } else { Vec::new() },
            series: (0..all.names.len()).map(line).collect(),
        }
    }

    fn said(&self) -> String {
        if self.top == 1 { "top-1 accuracy".into() } else { format!("top-{} accuracy", self.top) }
    }

    fn grouped(&self, all: &ByClass, by: &str, artifact: Artifact, job: &Job) -> Result<Artifact> {
        let groups = Groups::of(all, self.bins, self.cut);
        if groups.members.is_empty() {
            return Err(Error::value(format!("no class has the property `{by}`"))
                .hint("a table of classes needs a column of that name, filled for the classes of the images"));
        }
        let (n, g) = (all.names.len(), groups.members.len());
        let mut table = Table::new(["subject", by, "classes", "images", "accuracy", "low", "high"]);
        let (mut columns, mut series) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
        for (s, name) in all.names.iter().enumerate() {
            let (mut y, mut bars) = (Vec::new(), Vec::new());
            for (group, members) in groups.members.iter().enumerate() {
                let (mean, (low, high)) = self.mean(all, s, members, &format!("{by} {group}"), job);
                let images: usize = members.iter().map(|k| all.counts[*k]).sum();
                let name: Cell = name.as_str().into();
                let group = groups.bins.names[group].as_str();
                table.push([
                    name,
                    group.into(),
                    members.len().into(),
                    images.into(),
                    mean.into(),
                    low.into(),
                    high.into(),
                ]);
                columns.iter_mut().zip([mean, low, high]).for_each(|(column, v)| column.push(v));
                y.push(mean);
                bars.push((low, high));
            }
            // Subjects side by side do not cover each other's bars.
            let shift = (s as f64 - (n as f64 - 1.0) / 2.0) * 0.012 * groups.bins.span();
            let is_quantity = groups.bins.values.is_some();
            let x = groups.bins.centres.iter().map(|x| if is_quantity { x + shift } else { *x }).collect();
            series.push(Series {
                name: name.clone(),
                x,
                y,
                bars,
                mark: if is_quantity { Mark::Line } else { Mark::Bar },
            });
        }
        let plot = Plot {
            title: format!("accuracy of classes by {by}"),
            x_label: by.to_string(),
            y_label: format!("{}, mean over classes", self.said()),
            categories: if groups.bins.values.is_some() { Vec::new() } else { groups.bins.names.clone() },
            series,
        };
        let [mean, low, high] = columns;
        let sizes: Vec<f64> = groups.members.iter().map(|m| m.len() as f64).collect();
        Ok(artifact
            .array("groups", tensor(mean, &[n, g])?)
            .array("groups_low", tensor(low, &[n, g])?)
            .array("groups_high", tensor(high, &[n, g])?)
            .array("group_sizes", tensor(sizes, &[g])?)
            .part(Part::Plot(plot))
            .part(Part::Table(format!("classes by {by}"), table))
            .notes(groups.notes(all)))
    }

    /// Every class with its images, the accuracy of each subject, and, of several, which is the best.
    fn listed(&self, all: &ByClass) -> Table {
        let several = all.several();
        let subjects = all.names.len();
        let head = ["class", "images"].into_iter().chain(all.names.iter().map(String::as_str));
        let head = head.chain(several.then_some("best"));
        let own = (!several).then_some(["low", "high"]).into_iter().flatten();
        let mut table = Table::new(head.chain(own));
        for (k, class) in all.classes.iter().enumerate() {
            let mut row: Vec<Cell> = vec![class.as_str().into(), all.counts[k].into()];
            row.extend((0..subjects).map(|s| Cell::Float(all.share(s, k))));
            if several {
                row.push(all.names[all.best(k)].as_str().into());
            } else {
                let (low, high) = wilson(all.right[0][k], all.counts[k], Z95);
                row.extend([Cell::Float(low), Cell::Float(high)]);
            }
            table.push(row);
        }
        table
    }
}
