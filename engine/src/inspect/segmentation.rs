//! Nets whose output is a map of classes: the map on the photo, the share of each class, accuracy against masks.

use crate::data::preprocess::Placement;
use crate::data::{Dataset, Image};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::{ClassMaps, Model};
use crate::show::{Artifact, Cell, ClassMap, Part, Table};
use crate::stream::StreamReport;
use crate::subject::{Input, Prepared, shares};
use crate::tensor::tensor;

/// The value of a mask of class numbers at places that are not counted, as in VOC.
const IGNORED: u8 = 255;

/// Nets whose output is a map of classes.
pub trait Segment {
    /// The predicted class at each place, drawn over the photo with a legend, and a table of the classes' shares. Arrays: `classes`
    /// (rows x columns), `probability` of the predicted class.
    ///
    /// # Errors
    /// Where the output is no map of classes, or the input none of the net's.
    fn segment(&self, input: &Input) -> Result<Artifact>;

    /// The `k` classes predicted at most places: class, index, share of the places, mean probability over all places.
    ///
    /// # Errors
    /// As [`Segment::segment`].
    fn pixel_shares(&self, input: &Input, k: usize) -> Result<Table>;

    /// The share of places of all images where the predicted class is the true one, and for each class the intersection over
    /// union of the places where it is predicted and where it is true. The truth is the image's mask. Where the image has no
    /// label, the mask's values are class numbers (255 is not counted); else inside is the label's class and outside the net's
    /// class 0. The mask is read at the centre of each place of the net's map.
    ///
    /// # Errors
    /// Where no image has a mask, or a label is no class.
    fn pixel_accuracy(&self, data: &Dataset, job: &Job) -> Result<Artifact>;
}

impl Segment for Model {
    fn segment(&self, input: &Input) -> Result<Artifact> {
        let maps = self.class_maps()?;
        let prepared = input.prepared(self)?;
        let scores = self.scores(&prepared.x)?.swap_remove(0);
        let winners = maps.winners(&scores);
        let [rows, columns] = maps.size();
        let [.., height, width] = *prepared.x.dims() else {
            return Err(Error::subject(format!("`{}` takes no image", self.card().name)));
        };
        let order = shares(&winners);
        let name = |c: usize| self.card().class_name(c);
        let as_f32 = |values: Vec<f64>| tensor(values.into_iter().map(|v| v as f32).collect(), &[rows, columns]);
        let best = winners.iter().enumerate().map(|(at, c)| maps.readout.probabilities(&maps.scores(&scores, at))[*c]);
        let probability = as_f32(best.collect())?;
        let classes = as_f32(winners.iter().map(|c| *c as f64).collect())?;
        let percent = |n: usize| 100.0 * n as f64 / winners.len() as f64;
        let map = ClassMap {
            title: "the class that wins at each place".into(),
            values: classes.clone(),
            names: order.iter().map(|(c, n)| (*c, format!("{} {:.1} %", name(*c), percent(*n)))).collect(),
            photo: prepared.photo.clone().filter(|_| maps.is_placed),
            placement: prepared.placement.filter(|_| maps.is_placed),
            extent: maps.part,
            input: [height, width],
        };
        Ok(Artifact::new(format!("what {} sees where", self.card().name))
            .part(Part::ClassMap(map))
            .part(Part::Table("shares".into(), table(self, &maps, &scores, usize::MAX)))
            .array("classes", classes)
            .array("probability", probability)
            .notes(maps.part_note())
            .notes(maps.readout.note()))
    }

    fn pixel_shares(&self, input: &Input, k: usize) -> Result<Table> {
        let maps = self.class_maps()?;
        let scores = self.scores(&input.prepared(self)?.x)?.swap_remove(0);
        Ok(table(self, &maps, &scores, k))
    }

    fn pixel_accuracy(&self, data: &Dataset, job: &Job) -> Result<Artifact> {
        let maps = self.class_maps()?;
        if !maps.is_placed {
            return Err(Error::subject(format!(
                "where the map of classes of `{}` lies on the input is not known, so no mask can be compared with it",
                self.card().name
            ))
            .hint("the net moves places in a way that is not followed"));
        }
        let n = winning(&maps);
        // Places by true class (rows) and winner (columns).
        let mut counts = vec![0u64; n * n];
        let (mut report, mut without, mut ignored) = (StreamReport::default(), 0, 0u64);
        for i in job.steps("accuracy", data.len()) {
            let Some(image) = report.take(i, data.get(i))? else { continue };
            let Some(truth) = Truth::of(self, &image, n)? else {
                without += 1;
                continue;
            };
            let prepared = Input::Image(image).prepared(self)?;
            let winners = maps.winners(&self.scores(&prepared.x)?[0]);
            for (at, winner) in winners.iter().enumerate() {
                match truth.at(at, &maps, &prepared) {
                    Some(class) if class < n => counts[class * n + winner] += 1,
                    Some(class) => {
                        return Err(Error::value(format!("class {class} in the mask of image {i}")).hint(format!(
                            "`{}` has the classes 0 to {}; 255 is not counted",
                            self.card().name,
                            n - 1
                        )));
                    }
                    None => ignored += 1,
                }
            }
        }
        report.check()?;
        if report.good() > 0 && without == report.good() {
            return Err(Error::value(format!("no image of `{}` has a mask", data.name)).hint(
                "a .csv table has a column `mask` (a file); COCO's annotations have outlines; `shapes` knows its masks",
            ));
        }
        let all: u64 = counts.iter().sum();
        let right: u64 = (0..n).map(|c| counts[c * n + c]).sum();
        let mut classes = Table::new(["class", "iou", "places", "found", "right"]);
        let (mut sum, mut present) = (0.0, 0);
        for c in 0..n {
            let truth: u64 = counts[c * n..(c + 1) * n].iter().sum();
            let found: u64 = (0..n).map(|t| counts[t * n + c]).sum();
            let both = counts[c * n + c];
            if truth + found == 0 {
                continue;
            }
            let iou = both as f64 / (truth + found - both) as f64;
            (sum, present) = (sum + iou, present + 1);
            let cell = |n: u64| Cell::Int(n as i64);
            classes.push([self.card().class_name(c).into(), iou.into(), cell(truth), cell(found), cell(both)]);
        }
        let (accuracy, mean) = (right as f64 / all.max(1) as f64, sum / present.max(1) as f64);
        let mut overall = Table::new(["measure", "share"]);
        overall.push(["pixel accuracy".into(), accuracy.into()]);
        overall.push(["mean iou".into(), mean.into()]);
        let scalar = |v: f64| tensor(vec![v], &[1]);
        let as_f32: Vec<f32> = counts.iter().map(|c| *c as f32).collect();
        let mut artifact = Artifact::new(format!("accuracy of {} on {}", self.card().name, data.name))
            .part(Part::Table("accuracy".into(), overall))
            .part(Part::Table("by class".into(), classes))
            .array("pixel_accuracy", scalar(accuracy)?)
            .array("mean_iou", scalar(mean)?)
            .array("counts", tensor(as_f32, &[n, n])?)
            .note("the mean is over the classes that are there or are found")
            .notes(report.note())
            .notes(maps.part_note())
            .notes(maps.readout.note());
        if without > 0 {
            artifact = artifact.note(format!("{without} images without a mask are left out"));
        }
        if ignored > 0 {
            artifact =
                artifact.note(format!("{ignored} places are not counted: 255 in the mask, or outside the photo"));
        }
        Ok(artifact.reached(report.reached, data.len()))
    }
}

/// Classes that can be predicted: those with a map, or the only one and its complement.
fn winning(maps: &ClassMaps) -> usize {
    if maps.readout.is_binary() { 2 } else { maps.classes() }
}

/// The true classes by place, from a mask.
struct Truth {
    mask: std::sync::Arc<crate::data::image::Mask>,
    /// The classes inside and outside, where the mask does not hold class numbers.
    label: Option<[usize; 2]>,
}

impl Truth {
    fn of(model: &Model, image: &Image, classes: usize) -> Result<Option<Self>> {
        let Some(mask) = image.mask().cloned() else { return Ok(None) };
        let label = match image.label() {
            Some(label) => {
                let inside = model.card().label_index(label).map_err(|e| e.context("the label of an image"))?;
                Some([inside, usize::from(classes == 2 && inside == 0)])
            }
            None => None,
        };
        Ok(Some(Truth { mask, label }))
    }

    /// The true class at a place; none where it is not counted.
    fn at(&self, at: usize, maps: &ClassMaps, input: &Prepared) -> Option<usize> {
        let [.., height, width] = *input.x.dims() else { return None };
        let (x, y) = maps.position(at, [0.5, 0.5], [height, width]);
        let (x, y) = input.placement.as_ref().map_or((x, y), |p: &Placement| p.to_photo(x, y));
        let inside = x >= 0.0 && y >= 0.0 && x < self.mask.width as f64 && y < self.mask.height as f64;
        let value = inside.then(|| self.mask.values[y as usize * self.mask.width + x as usize])?;
        match self.label {
            Some([within, outside]) => Some(if value > 0 { within } else { outside }),
            None => (value != IGNORED).then_some(usize::from(value)),
        }
    }
}

/// A row for each class: class, index, share of the places where it is predicted, mean probability.
fn table(model: &Model, maps: &ClassMaps, scores: &[f64], k: usize) -> Table {
    let winners = maps.winners(scores);
    let n = winners.len() as f64;
    let mut mean = vec![0.0; winning(maps)];
    for at in 0..winners.len() {
        let probabilities = maps.readout.probabilities(&maps.scores(scores, at));
        mean.iter_mut().zip(probabilities).for_each(|(m, p)| *m += p / n);
    }
    let mut table = Table::new(["class", "index", "share", "mean probability"]);
    for (class, count) in shares(&winners).into_iter().take(k) {
        table.push([
            model.card().class_name(class).into(),
            if class < maps.classes() { class.into() } else { Cell::Nothing },
            (count as f64 / n).into(),
            mean[class].into(),
        ]);
    }
    table
}
