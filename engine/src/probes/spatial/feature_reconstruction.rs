//! An image rebuilt from patches of others: at each position the mean patch of the nearest features.
//!
//! Long, Zhang, Darrell 2014, section 2 (figures 1 and 2): what a layer represents of each position, and how finely.

use crate::data::Image;
use crate::embed::knn::{Metric, nearest};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::retrieval::coding::Images;
use crate::probes::spatial::{Seen, layer};
use crate::show::{Artifact, Part, Pictures, Table};
use crate::space::features::patch;
use crate::stats::pearson;
use crate::stream::readable;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// Each feature of an image replaced by the mean image patch of its nearest neighbours in a data set, once for each number
    /// of neighbours, beside the same with random neighbours.
    ///
    /// The image is `of`, or the data set's first image, rebuilt from the others. Arrays: `correlation` with the image's pixels
    /// (numbers of neighbours, then random), `neighbours` (positions x the largest number of neighbours, image numbers).
    #[probe(
        family = Space,
        source = "Long, Zhang, Darrell 2014, section 2",
        subjects = "a layer with positions, or a net (its last such layer)",
        input = Data,
        example = "feature_reconstruction(#{ images: 5 }).run(net.layer(\"conv2/relu\"), data)"
    )]
    pub struct FeatureReconstruction as "feature_reconstruction" {
        /// Numbers of neighbours.
        k: Vec<usize> = vec![1, 5];
        /// The image that is rebuilt.
        of: Option<Images> = None;
        /// Images that patches come from at most.
        images: usize = 50, in 1..=100_000;
        /// The side of a patch, px of the net's input; 0 is twice the layer's stride.
        patch: usize = 0, in 0..=1024;
        /// The distance between features.
        metric: Metric = Metric::Cosine;
    }
}

impl Probe for FeatureReconstruction {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (model, node) = layer(on)?;
        let (data, report) = readable(&input.data()?, self.images.saturating_add(1))?;
        if self.k.is_empty() || self.k.contains(&0) {
            return Err(Error::value(format!("option `k` takes numbers from 1, got {:?}", self.k)));
        }
        let (target, first) = match &self.of {
            Some(Images(images)) => (Seen::of(model, images, 0)?, 0),
            None => (Seen::of(model, &data, 0)?, 1),
        };
        let ft = target.features(model, node)?;
        let lattice = ft.lattice;
        let count = self.images.min(data.len().saturating_sub(first));
        let mut features = Vec::new();
        let mut others: Vec<Image> = Vec::new();
        for i in job.steps("feature_reconstruction", count) {
            let seen = Seen::of(model, &data, first + i)?;
            features.extend(seen.features(model, node)?.values);
            others.push(seen.image);
        }
        let done = others.len();
        if done == 0 {
            return Err(Error::value("there is no other image to take patches from"));
        }
        let n = lattice.len();
        let most = self.k.iter().copied().max().unwrap_or(1).min(done * n);
        let found = nearest(&features, ft.d, Some(&ft.values), most, self.metric);
        let side = match self.patch {
            0 => ((2.0 * lattice.stride[0]) as usize).max(4),
            side => side,
        };
        let take = |j: usize| {
            let (x, y) = lattice.centre(j % n);
            patch(&others[j / n], x, y, side)
        };
        let stream = job.rng("feature_reconstruction");
        let original: Vec<f64> = target.image.pixels().iter().map(|v| f64::from(*v)).collect();
        let mut table = Table::new(["patches", "correlation with the image"]);
        let mut images = vec![(target.image.clone(), format!("image: {}", target.caption))];
        let mut correlations = Vec::new();
        let mut add = |what: String, choose: &dyn Fn(usize) -> Vec<usize>| -> Result<()> {
            let rebuilt = paste(
                &target.image,
                side,
                n,
                |i| lattice.centre(i),
                |i| {
                    let chosen = choose(i);
                    let mut mean = vec![0f32; 3 * side * side];
                    for j in &chosen {
                        mean.iter_mut().zip(take(*j)).for_each(|(m, v)| *m += v / chosen.len() as f32);
                    }
                    mean
                },
            )?;
            let pixels: Vec<f64> = rebuilt.pixels().iter().map(|v| f64::from(*v)).collect();
            let r = pearson(&original, &pixels).unwrap_or(0.0);
            table.push([what.as_str().into(), r.into()]);
            correlations.push(r);
            images.push((rebuilt, format!("{what}: r = {r:.2}")));
            Ok(())
        };
        for k in &self.k {
            let what = if *k == 1 { "nearest patch".to_string() } else { format!("mean of {k} nearest") };
            add(what, &|i| found.of(i).iter().take(*k).map(|j| *j as usize).collect())?;
        }
        add("random patches".into(), &|i| vec![(stream.u64_at(i as u64) % (done * n) as u64) as usize])?;
        let numbers = found.indices.iter().map(|j| (first + *j as usize / n) as f32).collect();
        let columns = images.len().min(6);
        let name = &model.graph().node(node).name;
        Ok(Artifact::new(format!("an image rebuilt from {done} others at {name} in {}", model.card().name))
            .array("correlation", tensor(correlations.clone(), &[correlations.len()])?)
            .array("neighbours", tensor(numbers, &[n, found.k])?)
            .part(Part::Pictures(Pictures { title: String::new(), images, columns: Some(columns) }))
            .part(Part::Table("how much of the image comes back".into(), table))
            .note(format!("{}; patches of {side} x {side} px", lattice.words()))
            .notes(report.note())
            .reached(done, count))
    }
}

/// Patches put about their centres; where they overlap, they are averaged, weighing most at their middles.
fn paste(
    like: &Image,
    side: usize,
    count: usize,
    centre: impl Fn(usize) -> (f64, f64),
    patch: impl Fn(usize) -> Vec<f32>,
) -> Result<Image> {
    let (w, h) = (like.width(), like.height());
    let (mut sums, mut weights) = (vec![0f32; 3 * w * h], vec![0f32; w * h]);
    let tent = |i: usize| 1.0 - ((2 * i + 1) as f32 / side as f32 - 1.0).abs() + 1e-3;
    for i in 0..count {
        let (x, y) = centre(i);
        let from = |v: f64| (v - side as f64 / 2.0).round() as isize;
        let values = patch(i);
        for r in 0..side {
            for c in 0..side {
                let (px, py) = (from(x) + c as isize, from(y) + r as isize);
                if px < 0 || py < 0 || px >= w as isize || py >= h as isize {
                    continue;
                }
                let (at, weight) = (py as usize * w + px as usize, tent(r) * tent(c));
                weights[at] += weight;
                (0..3).for_each(|k| sums[3 * at + k] += weight * values[3 * (r * side + c) + k]);
            }
        }
    }
    let value = |(i, s): (usize, &f32)| match weights[i / 3] {
        w if w > 0.0 => (255.0 * s / w).round().clamp(0.0, 255.0) as u8,
        _ => 232,
    };
    Image::new(w, h, sums.iter().enumerate().map(value).collect())
}
