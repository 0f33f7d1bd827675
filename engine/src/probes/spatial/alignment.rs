//! Images of one kind aligned with one of them by a layer's features.
//!
//! Long, Zhang, Darrell 2014, section 3.1: intraclass alignment.

mod dense;

use crate::data::Image;
use crate::embed::knn::Metric;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::spatial::correspondence::{displacements, warped};
use crate::probes::spatial::{LeftOut, Misses, Seen, layer};
use crate::show::{Artifact, Cell, Part, Pictures, Table};
use crate::space::matching::smooth;
use crate::stream::readable;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use dense::{Dense, moved_points};

crate::params! {
    /// The other images warped onto the first by smooth matches of a layer's features, with their mean before and after; where
    /// named points are known, also the share of points within `alpha` times the object's size of their counterparts (PCK).
    ///
    /// Arrays: `dx`, `dy` (images x rows x columns, px of the net's input); with points `pck` (after), `pck_before`, `error`
    /// and `error_before` (median, px); with `baselines` also `pck_hog`, `pck_sift`, `error_hog` and `error_sift`.
    #[probe(
        family = Space,
        source = "Long, Zhang, Darrell 2014, section 3.1",
        subjects = "a layer with positions, or a net (its last such layer)",
        input = Data,
        example = "alignment(#{ images: 3 }).run(net.layer(\"conv3/relu\"), data)"
    )]
    pub struct Alignment as "alignment" {
        /// The penalty for neighbours whose matches move apart by one position, in units of the mean feature distance.
        smooth: f64 = 0.02, in 0.0..=1000.0;
        /// The distance between features.
        metric: Metric = Metric::Cosine;
        /// Images used at most, the first among them.
        images: usize = 8, in 2..=1000;
        /// PCK's alpha, as a share of the longer side of the object's box.
        alpha: f64 = 0.1, in 0.001..=1.0;
        /// Whether the images are also aligned by dense HOG and by dense SIFT, on a grid of 24 positions along the longer side, under the
        /// same smoothness: as SIFT flow does, without a net.
        baselines: bool = false;
    }
}

impl Probe for Alignment {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (model, node) = layer(on)?;
        let (data, report) = readable(&input.data()?, self.images)?;
        let n = self.images.min(data.len());
        if n < 2 {
            return Err(Error::value("`alignment` needs at least two images"));
        }
        let target = Seen::of(model, &data, 0)?;
        let mut left_out = LeftOut::default();
        left_out.add(&target.caption, &target.outside);
        let ft = target.features(model, node)?;
        let lattice = ft.lattice;
        let mut rows = vec![(target.image.clone(), format!("target: {}", target.caption))];
        let mut warps = Vec::new();
        let (mut before, mut after) = (Misses::default(), Misses::default());
        let mut baselines = if self.baselines { Dense::of(&target.image) } else { Vec::new() };
        let (mut all_dx, mut all_dy, mut done) = (Vec::new(), Vec::new(), 0);
        for i in job.steps("alignment", n - 1) {
            let source = Seen::of(model, &data, i + 1)?;
            left_out.add(&source.caption, &source.outside);
            let fs = source.features(model, node)?;
            let matches = smooth(&ft, &fs, self.metric, self.smooth)?;
            let (dx, dy) = displacements(&lattice, &matches);
            let aligned = warped(&source.image, &lattice, &dx, &dy, &target.image)?;
            for (name, place) in &target.keypoints {
                let Some((_, truth)) = source.keypoints.iter().find(|(k, _)| k == name) else { continue };
                before.add(*place, *truth, source.extent);
            }
            moved_points(&lattice, &dx, &dy, &target, &source, &mut after);
            baselines.iter_mut().try_for_each(|b| b.add(&target, &source, self.metric, self.smooth))?;
            rows.push((source.image.clone(), source.caption.clone()));
            warps.push((aligned, "aligned".to_string()));
            all_dx.extend(dx);
            all_dy.extend(dy);
            done = i + 1;
        }
        let originals: Vec<Image> = rows.iter().map(|r| r.0.clone()).collect();
        let moved: Vec<Image> =
            std::iter::once(target.image.clone()).chain(warps.iter().map(|w| w.0.clone())).collect();
        let shown = done.min(7);
        let mut pictures: Vec<(Image, String)> = rows[..shown + 1].to_vec();
        pictures.push((mean(&originals)?, "mean before".into()));
        pictures.push((target.image.clone(), "target".into()));
        pictures.extend(warps[..shown].iter().cloned());
        pictures.push((mean(&moved)?, "mean aligned".into()));
        let shape = [done, lattice.size[0], lattice.size[1]];
        let name = &model.graph().node(node).name;
        let mut artifact =
            Artifact::new(format!("{done} images aligned with the first at {name} in {}", model.card().name))
                .array("dx", tensor(all_dx, &shape)?)
                .array("dy", tensor(all_dy, &shape)?)
                .part(Part::Pictures(Pictures { title: String::new(), images: pictures, columns: Some(shown + 2) }))
                .note(lattice.words());
        if !baselines.is_empty() {
            artifact = artifact.part(dense::part(&baselines, &target.image, shown)?);
        }
        if !after.0.is_empty() {
            let mut table = Table::new(["points", "number", "PCK", "median error px", "median in receptive fields"]);
            let field = lattice.field[0].max(lattice.field[1]) as f64;
            for (what, m) in [("as they lie", &before), ("aligned", &after)] {
                table.push([
                    what.into(),
                    m.0.len().into(),
                    m.pck(self.alpha).into(),
                    m.median().into(),
                    (m.median() / field).into(),
                ]);
            }
            for (name, value) in [
                ("pck", after.pck(self.alpha)),
                ("pck_before", before.pck(self.alpha)),
                ("error", after.median()),
                ("error_before", before.median()),
            ] {
                artifact = artifact.array(name, tensor(vec![value], &[1])?);
            }
            for baseline in &baselines {
                let (m, what) = (&baseline.misses, baseline.name.to_lowercase());
                table.push([
                    format!("aligned by {}", baseline.name).into(),
                    m.0.len().into(),
                    m.pck(self.alpha).into(),
                    m.median().into(),
                    Cell::Nothing,
                ]);
                artifact = artifact
                    .array(&format!("pck_{what}"), tensor(vec![m.pck(self.alpha)], &[1])?)
                    .array(&format!("error_{what}"), tensor(vec![m.median()], &[1])?);
            }
            artifact = artifact.part(Part::Table(
                format!("named points, PCK within {} of the object's longer side", self.alpha),
                table,
            ));
        }
        Ok(artifact.notes(report.note()).notes(left_out.note()).reached(done, n - 1))
    }
}

/// The mean of images of one size.
fn mean(images: &[Image]) -> Result<Image> {
    let (w, h) = images.first().map_or((1, 1), |i| (i.width(), i.height()));
    let mut sums = vec![0u32; 3 * w * h];
    images.iter().for_each(|i| sums.iter_mut().zip(i.pixels()).for_each(|(s, p)| *s += u32::from(*p)));
    Image::new(w, h, sums.iter().map(|s| (s / images.len().max(1) as u32) as u8).collect())
}
