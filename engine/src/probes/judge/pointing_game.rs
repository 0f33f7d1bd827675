//! The pointing game: is a map's maximum on the object?
//!
//! Zhang, Lin, Brandt, Shen, Sclaroff, "Top-down Neural Attention by Excitation Backprop", 2016, section 4.1.

use crate::data::blur::blur;
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::judge::{ProbeList, pixels};
use crate::show::{Artifact, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, wilson};
use crate::stream::StreamReport;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// The share of images on which a map's maximum is inside the object's mask or box, with 95 % Wilson intervals, beside the
    /// centre point and a random point.
    #[probe(
        family = Judge,
        source = "Zhang et al. 2016, section 4.1",
        subjects = "a net (each image's own class) or one class",
        input = Data,
        example = "pointing_game(gradient()).run(net, data)"
    )]
    pub struct PointingGame as "pointing_game" {
        /// The probes whose maps are judged.
        probes: ProbeList = ProbeList::default();
        /// Distance from the object at which a point still hits, px of the photo.
        tolerance: f64 = 0.0, in 0.0..=1000.0;
        /// Standard deviation of the Gaussian blur applied before the maximum is taken, as a share of the input's shorter side;
        /// 0 for none.
        blur: f64 = 0.05, in 0.0..=0.5;
    }
}

impl Probe for PointingGame {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let data = input.data()?;
        let probes = &self.probes.0;
        let mut hits = vec![0usize; probes.len() + 2];
        let (mut played, mut without) = (0usize, 0usize);
        let mut report = StreamReport::default();
        let rng = job.rng("pointing_game");
        for i in job.steps("pointing_game", data.len()) {
            let Some(image) = report.take(i, data.get(i))? else { continue };
            let Some(object) = Object::of(&image) else {
                without += 1;
                continue;
            };
            let prepared = Input::Image(image.clone()).prepared(model)?;
            let target = class_of(on, model, &image)?.asked(&prepared)?;
            let [.., height, width] = *prepared.x.dims() else {
                return Err(Error::subject("the pointing game is played on images"));
            };
            let placement = model.card().preprocess()?.place(&image);
            let mut hit = |player: usize, x: f64, y: f64| {
                let (px, py) = placement.to_photo(x, y);
                hits[player] += usize::from(object.hit(px, py, self.tolerance));
            };
            for (player, probe) in probes.iter().enumerate() {
                let mut map = pixels(probe.0.as_ref(), &target, &prepared.x, job)?;
                if self.blur > 0.0 {
                    blur(&mut map, [height, width], self.blur * height.min(width) as f64);
                }
                let top = crate::subject::argmax(&map);
                hit(player, (top % width) as f64 + 0.5, (top / width) as f64 + 0.5);
            }
            hit(probes.len(), width as f64 / 2.0, height as f64 / 2.0);
            let draw = |k: u64| rng.uniform_at(2 * i as u64 + k);
            hit(probes.len() + 1, draw(0) * width as f64, draw(1) * height as f64);
            played += 1;
        }
        report.check()?;
        if played == 0 && report.reached > 0 {
            return Err(
                Error::subject("no image of the data set has a mask or a box").hint("`shapes(#{ n: 100 })` has both")
            );
        }
        let made = self.artifact(&hits, played, without)?;
        Ok(made.notes(report.note()).reached(report.reached, data.len()))
    }
}

impl PointingGame {
    fn artifact(&self, hits: &[usize], played: usize, without: usize) -> Result<Artifact> {
        let names: Vec<String> = self
            .probes
            .0
            .iter()
            .map(|p| p.0.name().to_string())
            .chain(["centre point".into(), "random point".into()])
            .collect();
        let mut table = Table::new(["probe", "hits", "of", "share", "low", "high"]);
        let shares: Vec<f64> = hits.iter().map(|h| *h as f64 / played.max(1) as f64).collect();
        let bars: Vec<(f64, f64)> = hits.iter().map(|h| wilson(*h, played, Z95)).collect();
        for (i, name) in names.iter().enumerate() {
            table.push([
                name.as_str().into(),
                hits[i].into(),
                played.into(),
                shares[i].into(),
                bars[i].0.into(),
                bars[i].1.into(),
            ]);
        }
        let plot = Plot {
            title: "pointing game".into(),
            x_label: String::new(),
            y_label: "share of hits, 95 % Wilson".into(),
            categories: names,
            series: vec![Series {
                name: "hits".into(),
                x: (0..shares.len()).map(|i| i as f64).collect(),
                y: shares.clone(),
                bars,
                mark: Mark::Bar,
            }],
        };
        let mut artifact = Artifact::new(format!("pointing game over {played} images"))
            .part(Part::Plot(plot))
            .part(Part::Table("hits".into(), table))
            .array("shares", tensor(shares, &[hits.len()])?);
        if without > 0 {
            artifact = artifact.note(format!("{without} images without mask or box were left out"));
        }
        Ok(artifact)
    }
}

/// The subject for one image: its own class where the subject is a net.
fn class_of(on: &Subject, model: &Model, image: &Image) -> Result<Subject> {
    match (on, image.label()) {
        (Subject::Model(_), Some(label)) => Subject::class(model, label),
        (other, _) => Ok(other.clone()),
    }
}

/// Where the object is on a photo.
enum Object {
    Mask(std::sync::Arc<crate::data::image::Mask>),
    Box([f64; 4]),
}

impl Object {
    fn of(image: &Image) -> Option<Self> {
        let boxed = image
            .bounding_box()
            .map(|b| Object::Box([b.left as f64, b.top as f64, (b.left + b.width) as f64, (b.top + b.height) as f64]));
        image.mask().map(|m| Object::Mask(m.clone())).or(boxed)
    }

    fn hit(&self, x: f64, y: f64, tolerance: f64) -> bool {
        match self {
            Object::Box([left, top, right, bottom]) => {
                let inside = (*left..*right).contains(&x) && (*top..*bottom).contains(&y);
                let (dx, dy) = ((left - x).max(x - right).max(0.0), (top - y).max(y - bottom).max(0.0));
                inside || (tolerance > 0.0 && (dx * dx + dy * dy).sqrt() <= tolerance)
            }
            Object::Mask(mask) => {
                let (w, h) = (mask.width as isize, mask.height as isize);
                let reach = tolerance.ceil() as isize;
                let (cx, cy) = (x.floor() as isize, y.floor() as isize);
                (-reach..=reach).any(|dy| {
                    (-reach..=reach).any(|dx| {
                        let (px, py) = (cx + dx, cy + dy);
                        let near = ((dx * dx + dy * dy) as f64).sqrt() <= tolerance;
                        near && (0..w).contains(&px) && (0..h).contains(&py) && mask.values[(py * w + px) as usize] != 0
                    })
                })
            }
        }
    }
}
