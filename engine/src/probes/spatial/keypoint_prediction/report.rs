//! The report of predicted points: a table and a plot by method, a table by point, and some objects with their points.

use super::{CroppedObject, Judged, KeypointPrediction, Kind, Known, Method, miss};
use crate::error::Result;
use crate::model::Model;
use crate::probes::spatial::Misses;
use crate::show::{Artifact, Boxes, Cell, Framed, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, wilson};
use crate::tensor::tensor;

/// What was found.
pub struct Findings<'a> {
    pub model: &'a Model,
    pub known: &'a Known,
    pub kinds: &'a [Kind],
    /// For each kind and object of it, where the prior expects the point.
    pub priors: &'a [(f64, f64)],
    pub methods: &'a [Method],
    /// Of the methods, in order; fewer where the work ended early.
    pub judged: Vec<Judged>,
}

/// Objects that are drawn.
const DRAWN_OBJECTS: usize = 3;

impl Findings<'_> {
    /// Each point that is asked for: its kind, its object and where it is.
    fn points(&self) -> impl Iterator<Item = (usize, &CroppedObject, (f64, f64))> {
        let of = |(k, kind): (usize, &'_ Kind)| {
            let at = |o: &usize| {
                let object = &self.known.objects[*o];
                (k, object, object.point(&kind.name).unwrap_or((f64::NAN, f64::NAN)))
            };
            kind.objects.iter().map(at).collect::<Vec<_>>()
        };
        self.kinds.iter().enumerate().flat_map(of)
    }

    /// The misses of a method without or with the prior, of the kinds that `fit`.
    fn misses(&self, judged: &Judged, prior: usize, fit: impl Fn(usize) -> bool) -> Misses {
        let mut misses = Misses::default();
        for ((k, object, truth), found) in self.points().zip(&judged.found).filter(|((k, ..), _)| fit(*k)) {
            let _ = k;
            if let Some(found) = found {
                miss(&mut misses, object, found[prior], truth);
            }
        }
        misses
    }

    /// The misses of the prior's mean alone.
    fn by_prior(&self, fit: impl Fn(usize) -> bool) -> Misses {
        let mut misses = Misses::default();
        for ((_, object, truth), at) in self.points().zip(self.priors).filter(|((k, ..), _)| fit(*k)) {
            miss(&mut misses, object, *at, truth);
        }
        misses
    }

    /// The method that finds most, by its PCK with the prior.
    fn best(&self, alpha: f64) -> Option<usize> {
        let hits: Vec<usize> = self.judged.iter().map(|j| self.misses(j, 1, |_| true).hits(alpha)).collect();
        (0..hits.len()).reduce(|b, m| if hits[m] > hits[b] { m } else { b })
    }
}

impl KeypointPrediction {
    pub(super) fn report(&self, found: &Findings<'_>) -> Result<Artifact> {
        let last = self.alphas[self.alphas.len() - 1];
        let alone = found.by_prior(|_| true);
        let (methods, points) = (found.judged.len(), found.priors.len());
        let mut heads: Vec<String> = ["features", "stride px", "window px", "points"].map(String::from).to_vec();
        for alpha in &self.alphas {
            heads.extend([format!("PCK@{alpha}"), format!("PCK@{alpha} with prior")]);
        }
        heads.extend(["median px", "median px with prior"].map(String::from));
        let mut table = Table::new(heads);
        let (mut pck, mut error) = (Vec::new(), Vec::new());
        let mut series = ["detectors alone", "with prior"].map(|name| Series {
            name: name.into(),
            x: (0..methods).map(|m| m as f64).collect(),
            y: Vec::new(),
            bars: Vec::new(),
            mark: Mark::Bar,
        });
        for (method, judged) in found.methods.iter().zip(&found.judged) {
            let both = [0, 1].map(|prior| found.misses(judged, prior, |_| true));
            let window = method.lattice.field[0] as f64 + 2.0 * method.around.0 as f64 * method.lattice.stride[0];
            let mut row: Vec<Cell> = vec![
                method.name.as_str().into(),
                method.lattice.stride[0].into(),
                window.into(),
                both[0].0.len().into(),
            ];
            row.extend(self.alphas.iter().flat_map(|a| both.iter().map(|m| Cell::from(m.pck(*a)))));
            row.extend(both.iter().map(|m| Cell::from(m.median())));
            table.push(row);
            for (misses, series) in both.iter().zip(&mut series) {
                pck.extend(self.alphas.iter().map(|a| misses.pck(*a)));
                error.push(misses.median());
                series.y.push(misses.pck(last));
                series.bars.push(wilson(misses.hits(last), misses.0.len(), Z95));
            }
        }
        let prior: Vec<f64> = self.alphas.iter().map(|a| alone.pck(*a)).collect();
        let line = Series {
            name: "prior alone".into(),
            x: (0..methods).map(|m| m as f64).collect(),
            y: vec![alone.pck(last); methods],
            bars: Vec::new(),
            mark: Mark::Line,
        };
        let plot = Plot {
            title: format!("points found within {last} of the box's longer side"),
            x_label: String::new(),
            y_label: format!("PCK@{last}, Wilson 95 %"),
            categories: found.methods.iter().take(methods).map(|m| m.name.clone()).collect(),
            series: series.into_iter().chain([line]).collect(),
        };
        let flat = |axis: fn((f64, f64)) -> f64| -> Vec<f32> {
            let of = |judged: &Judged, prior: usize| -> Vec<f32> {
                judged.found.iter().map(|f| f.map_or(f32::NAN, |f| axis(f[prior]) as f32)).collect()
            };
            found.judged.iter().flat_map(|j| [of(j, 0), of(j, 1)].concat()).collect()
        };
        let gap = found.judged.iter().map(|j| j.gap).fold(0.0, f64::max);
        let unseen: usize = found.judged.iter().map(|j| j.unseen).sum();
        let mut artifact = Artifact::new(format!("keypoint prediction by {}", found.model.card().name))
            .array("pck", tensor(pck, &[methods, 2, self.alphas.len()])?)
            .array("prior", tensor(prior, &[self.alphas.len()])?)
            .array("error", tensor(error, &[methods, 2])?)
            .array("x", tensor(flat(|p| p.0), &[methods, 2, points])?)
            .array("y", tensor(flat(|p| p.1), &[methods, 2, points])?)
            .part(Part::Plot(plot))
            .part(Part::Table("points found".into(), table));
        if let Some(best) = found.best(last) {
            artifact = artifact.part(Part::Table(
                format!("each point, by {}, PCK@{last}", found.methods[best].name),
                self.by_point(found, best, last),
            ));
            for part in drawn(found, best, last) {
                artifact = artifact.part(part);
            }
        }
        let eta = self.eta;
        let left = if unseen > 0 { format!("; {unseen} hard negatives were left out") } else { String::new() };
        Ok(artifact
            .note(format!(
                "{points} points of {} objects cut out by their boxes, {} folds; prior: share {eta}, PCK@{last} alone {:.1} %",
                found.known.objects.len(),
                self.folds,
                100.0 * alone.pck(last)
            ))
            .note(format!("the detectors' duality gap is at most {gap:.1e} of their objective{left}")))
    }

    fn by_point(&self, found: &Findings<'_>, method: usize, alpha: f64) -> Table {
        let mut table = Table::new(["point", "number", "detector", "with prior", "prior alone"]);
        for (k, kind) in found.kinds.iter().enumerate() {
            let only = |other: usize| other == k;
            let judged = &found.judged[method];
            let (alone, both) = (found.misses(judged, 0, only), found.misses(judged, 1, only));
            table.push([
                kind.caption().into(),
                kind.objects.len().into(),
                alone.pck(alpha).into(),
                both.pck(alpha).into(),
                found.by_prior(only).pck(alpha).into(),
            ]);
        }
        table
    }
}

/// The first objects, with squares within which a prediction is right and what the method found with the prior.
fn drawn(found: &Findings<'_>, method: usize, alpha: f64) -> Vec<Part> {
    let mut parts = Vec::new();
    for object in found.known.objects.iter().filter(|o| !o.points.is_empty()).take(DRAWN_OBJECTS) {
        let mut boxes = Vec::new();
        let [across, down] = object.scale;
        let about =
            |(x, y): (f64, f64), half: f64| [x - half / across, y - half / down, x + half / across, y + half / down];
        for ((k, other, truth), at) in found.points().zip(&found.judged[method].found) {
            let (true, Some(at)) = (std::ptr::eq(other, object), at) else { continue };
            let name = &found.kinds[k].name;
            boxes.push(Framed { corners: about(truth, alpha * object.extent), caption: name.clone(), group: 0 });
            boxes.push(Framed { corners: about(at[1], 0.02 * object.extent), caption: String::new(), group: 1 });
        }
        if !boxes.is_empty() {
            parts.push(Part::Boxes(Boxes {
                title: format!("{}: found by {} with prior", object.caption, found.methods[method].name),
                photo: object.image.clone(),
                boxes,
                names: vec![format!("within {alpha} of the annotated point"), "found".into()],
            }));
        }
    }
    parts
}
