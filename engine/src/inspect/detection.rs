//! Detectors: their boxes as a table and on the photo, and average precision over a data set.

use crate::data::Dataset;
use crate::detect::precision::{Placed, THRESHOLDS, average_precision};
use crate::detect::{Detector, Found};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::show::{Artifact, Boxes, Framed, Part, Table};
use crate::stream::StreamReport;
use crate::subject::{Input, Prepared};
use crate::tensor::tensor;

/// The smallest score of a box that average precision counts, as is usual.
const MIN_SCORE: f64 = 0.001;

/// Detectors.
pub trait Detect {
    /// The boxes of an input, best first: class, index, score, objectness, x, y (left and upper edge), w, h in the photo's
    /// pixels (the net input's where a tensor is given).
    ///
    /// # Errors
    /// Where the card does not say how boxes are decoded from the outputs, or the outputs do not fit.
    fn boxes(&self, input: &Input) -> Result<Table>;

    /// The boxes drawn on the photo, and their table. Array: `boxes`, one row each: x, y, w, h, score, class.
    ///
    /// # Errors
    /// As [`Detect::boxes`].
    fn detect(&self, input: &Input) -> Result<Artifact>;

    /// COCO's average precision over the images whose objects are known, at thresholds of intersection over union from .5 to
    /// .95 (`map`), at .5 and .75, and by class.
    ///
    /// # Errors
    /// Where no image has a box with a label, or a label is no class.
    fn average_precision(&self, data: &Dataset, job: &Job) -> Result<Artifact>;
}

impl Detect for Model {
    fn boxes(&self, input: &Input) -> Result<Table> {
        let prepared = input.prepared(self)?;
        let found = Detector::new(self)?.boxes(&prepared.x)?;
        Ok(table(self, &found, &prepared))
    }

    fn detect(&self, input: &Input) -> Result<Artifact> {
        let detector = Detector::new(self)?;
        let prepared = input.prepared(self)?;
        let found = detector.boxes(&prepared.x)?;
        let mut names: Vec<usize> = Vec::new();
        found.iter().for_each(|f| {
            if !names.contains(&f.class) {
                names.push(f.class)
            }
        });
        let framed = |(i, f): (usize, &Found)| Framed {
            corners: on_photo(f, &prepared),
            caption: format!("{i} {} {:.2}", self.card().class_name(f.class), f.score),
            group: names.iter().position(|c| *c == f.class).unwrap_or(0),
        };
        let photo = match &prepared.photo {
            Some(photo) => Some(photo.clone()),
            None => self.card().preprocess.as_ref().map(|p| p.undo(&prepared.x)).transpose()?,
        };
        let boxes: Vec<Framed> = found.iter().enumerate().map(framed).collect();
        let rows = found.iter().zip(&boxes).flat_map(|(f, b)| {
            let [l, t, r, b] = b.corners;
            [l, t, r - l, b - t, f.score, f.class as f64].map(|v| v as f32)
        });
        let mut artifact = Artifact::new(format!("what {} finds", self.card().name));
        if !found.is_empty() {
            artifact = artifact.array("boxes", tensor(rows.collect::<Vec<f32>>(), &[found.len(), 6])?);
        }
        let legend = names.iter().map(|c| self.card().class_name(*c)).collect();
        if let Some(photo) = photo {
            let title = if found.len() == 1 { "1 box".to_string() } else { format!("{} boxes", found.len()) };
            artifact = artifact.part(Part::Boxes(Boxes { title, photo, boxes, names: legend }));
        }
        let decoding = detector.decoding();
        Ok(artifact
            .part(Part::Table("boxes".into(), table(self, &found, &prepared)))
            .notes(decoding.evidence.as_ref().map(|e| format!("{e}; this is assumed, load_model(.., #{{ boxes: .. }}) says otherwise")))
            .note(format!(
                "boxes of a score from {}; of two of a class that overlap by more than {} (intersection over union) the better one",
                decoding.score, decoding.iou
            )))
    }

    fn average_precision(&self, data: &Dataset, job: &Job) -> Result<Artifact> {
        let mut card = self.card().clone();
        if let Some(boxes) = &mut card.boxes {
            boxes.score = boxes.score.min(MIN_SCORE);
        }
        let detector = Detector::new(&self.with_card(card))?;
        let (mut truth, mut found) = (Vec::new(), Vec::new());
        let (mut report, mut without) = (StreamReport::default(), 0);
        for i in job.steps("average precision", data.len()) {
            let Some(image) = report.take(i, data.get(i))? else { continue };
            let mut known: Vec<(String, [f64; 4])> =
                data.item(i)?.annotation.as_ref().map_or_else(Vec::new, |a| a.objects.clone());
            if known.is_empty()
                && let (Some(label), Some(b)) = (image.label(), image.bounding_box())
            {
                let [x, y, w, h] = [b.left, b.top, b.width, b.height].map(|v| v as f64);
                known.push((label.to_string(), [x, y, w, h]));
            }
            if known.is_empty() {
                without += 1;
                continue;
            }
            for (label, [x, y, w, h]) in known {
                let class =
                    self.card().class_index(&label).map_err(|e| e.context(format!("the labels of `{}`", data.name)))?;
                truth.push(Placed { image: i, class, corners: [x, y, x + w, y + h], score: 1.0 });
            }
            let prepared = Input::Image(image).prepared(self)?;
            for f in detector.boxes(&prepared.x)? {
                found.push(Placed { image: i, class: f.class, corners: on_photo(&f, &prepared), score: f.score });
            }
        }
        report.check()?;
        if truth.is_empty() && report.good() > 0 {
            return Err(Error::value(format!("no image of `{}` has a box with a label", data.name))
                .hint("COCO's and VOC's annotations have; a .csv table has the columns `label` and `box`"));
        }
        let mut classes: Vec<usize> = truth.iter().map(|t| t.class).collect();
        classes.sort_unstable();
        classes.dedup();
        let at = |class: usize, threshold: f64| average_precision(&truth, &found, class, threshold).unwrap_or(0.0);
        let over = |class: usize| THRESHOLDS.iter().map(|t| at(class, *t)).sum::<f64>() / THRESHOLDS.len() as f64;
        let mean =
            |of: &dyn Fn(usize) -> f64| classes.iter().map(|c| of(*c)).sum::<f64>() / classes.len().max(1) as f64;
        let measures = [("map", mean(&over)), ("map50", mean(&|c| at(c, 0.5))), ("map75", mean(&|c| at(c, 0.75)))];
        let mut overall = Table::new(["measure", "value"]);
        let mut artifact = Artifact::new(format!("average precision of {} on {}", self.card().name, data.name));
        for (name, value) in measures {
            overall.push([name.into(), value.into()]);
            artifact = artifact.array(name, tensor(vec![value], &[1])?);
        }
        let mut by_class = Table::new(["class", "ap", "ap50", "ap75", "objects"]);
        for c in &classes {
            let objects = truth.iter().filter(|t| t.class == *c).count();
            by_class.push([
                self.card().class_name(*c).into(),
                over(*c).into(),
                at(*c, 0.5).into(),
                at(*c, 0.75).into(),
                objects.into(),
            ]);
        }
        if without > 0 {
            artifact = artifact.note(format!("{without} images without a known object are left out"));
        }
        Ok(artifact
            .part(Part::Table("average precision".into(), overall))
            .part(Part::Table("by class".into(), by_class))
            .note("as COCO's: 101 recalls, thresholds of intersection over union .5 to .95 for map")
            .notes(report.note())
            .reached(report.reached, data.len()))
    }
}

/// A box's corners on the photo; those of the net's input where there is no photo.
fn on_photo(found: &Found, input: &Prepared) -> [f64; 4] {
    let [l, t, r, b] = found.corners;
    let to = |x, y| input.placement.map_or((x, y), |p| p.to_photo(x, y));
    let ((l, t), (r, b)) = (to(l, t), to(r, b));
    [l, t, r, b]
}

fn table(model: &Model, found: &[Found], input: &Prepared) -> Table {
    let mut table = Table::new(["class", "index", "score", "objectness", "x", "y", "w", "h"]);
    for f in found {
        let [l, t, r, b] = on_photo(f, input);
        table.push([
            model.card().class_name(f.class).into(),
            f.class.into(),
            f.score.into(),
            f.objectness.into(),
            l.into(),
            t.into(),
            (r - l).into(),
            (b - t).into(),
        ]);
    }
    table
}
