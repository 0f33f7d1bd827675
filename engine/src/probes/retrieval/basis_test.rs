//! Do single units mean more than random directions of their space?
//!
//! Szegedy et al. 2013, "Intriguing properties of neural networks", section 3: the images that excite a random direction most
//! look as similar as those that excite a unit. The measure of similarity here is how often two of the `top` images have the
//! same label.

use crate::data::{Dataset, Image};
use crate::error::{Error, Result};
use crate::inspect::Evaluate as _;
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::retrieval::top_activations::{Query, Thinning, TopActivations};
use crate::show::{Artifact, Mark, Part, Pictures, Plot, Series, Table};
use crate::stats::{bootstrap, trend};
use crate::stream::stream_tensors;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// Units against random directions: the share of pairs among the `top` images that have one label, for every channel of a
    /// layer and for as many random directions, with Wilcoxon's rank-sum test and the bootstrap interval of the difference.
    ///
    /// Images without labels are given the net's most probable classes. Arrays: `units`, `directions` (the shares), `chance`
    /// (two random images), `difference`, `low`, `high`, `p`.
    #[probe(
        family = Images,
        source = "Szegedy et al. 2013, section 3",
        subjects = "a layer",
        input = Data,
        example = "basis_test(#{ top: 4 }).run(net.layer(\"conv4/relu\"), data)"
    )]
    pub struct BasisTest as "basis_test" {
        /// Images for each unit or direction: those with the largest activation.
        top: usize = 8, in 2..=1000;
        /// Random directions; 0 means as many as there are channels.
        directions: usize = 0, in 0..=100_000;
        /// Units and directions shown: those around the median.
        show: usize = 2, in 0..=50;
        /// Resamples of the bootstrap.
        rounds: usize = 1000, in 100..=100_000;
    }
}

impl Probe for BasisTest {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (model, node) = on.as_layer()?;
        let data = input.data()?;
        let shape = &model.graph().node(node).shape;
        let channels = shape.first().copied().unwrap_or(1);
        let random = if self.directions == 0 { channels } else { self.directions };
        // The unit vectors first, then random ones of length 1.
        let mut vectors = vec![0f32; channels * channels];
        (0..channels).for_each(|c| vectors[c * channels + c] = 1.0);
        let stream = job.rng("basis_test");
        for r in 0..random {
            let row: Vec<f64> = (0..channels).map(|c| stream.normal_at((r * channels + c) as u64)).collect();
            let length = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            vectors.extend(row.iter().map(|v| (v / length) as f32));
        }
        let name = &model.graph().node(node).name;
        let names = (0..channels)
            .map(|c| format!("{name}[{c}]"))
            .chain((0..random).map(|r| format!("random direction {r}")))
            .collect();
        let query = Query::directions(model, node, vectors, names)?;
        let top = self.top.min(data.len());
        if top < 2 {
            return Err(Error::value(format!("`basis_test` needs at least 2 images, got {}", data.len())));
        }
        let mut maxima = TopActivations::new(query.names.len(), top, 0);
        let thinning = Thinning { per_image: 1, overlap: 0.0, field: query.field() };
        let tap = query.tap()?;
        let report =
            stream_tensors(model, &data, std::slice::from_ref(&(0..data.len())), (job, "basis_test"), |numbers, x| {
                let answers = query.answers(&model.forward(x, &tap)?)?;
                let each = answers.len() / numbers.len();
                numbers.iter().zip(answers.chunks(each)).for_each(|(i, a)| maxima.add(*i, a, query.map[1], &thinning));
                Ok(())
            })?;
        let kinds = kinds(model, &data, report.reached, job)?;
        let mut artifact = self.report(&query, &maxima, &kinds, channels, job)?;
        artifact = artifact.note(kinds.note);
        for q in self.middling(&maxima, &kinds.of, channels) {
            artifact = artifact.part(Part::Pictures(row(&query, &maxima, q, &data)?));
        }
        if let Some(note) = report.note() {
            artifact = artifact.note(note);
        }
        Ok(artifact.reached(report.reached, data.len()))
    }
}

/// What each image is, and where that is known from.
struct Kinds {
    of: Vec<usize>,
    note: String,
}

fn kinds(model: &Model, data: &Dataset, reached: usize, job: &Job) -> Result<Kinds> {
    let labels = data.labels();
    let known: Option<Vec<usize>> =
        data.items().take(reached).map(|i| labels.binary_search(i.label.as_ref()?).ok()).collect();
    if let Some(of) = known {
        return Ok(Kinds { of, note: "images are alike where they have one label".into() });
    }
    let (all, _) = model.probabilities_of(data, job)?;
    // A broken image is among no question's strongest; its kind is never asked for.
    let of = all.iter().map(|p| p.as_ref().map_or(usize::MAX, |p| crate::subject::argmax(p))).collect();
    Ok(Kinds {
        of,
        note: "not all images have labels: they are alike where the net's most probable class is one".into(),
    })
}

/// The share of pairs of a question's images that are of one kind.
fn alike(maxima: &TopActivations, q: usize, kinds: &[usize]) -> f64 {
    let of: Vec<usize> = maxima.tops[q].peaks().iter().filter_map(|p| kinds.get(p.image).copied()).collect();
    let pairs = of.len() * of.len().saturating_sub(1) / 2;
    let same = (0..of.len()).map(|i| of[..i].iter().filter(|k| **k == of[i]).count()).sum::<usize>();
    same as f64 / pairs.max(1) as f64
}

impl BasisTest {
    fn report(
        &self,
        query: &Query,
        maxima: &TopActivations,
        kinds: &Kinds,
        channels: usize,
        job: &Job,
    ) -> Result<Artifact> {
        let all: Vec<f64> = (0..query.names.len()).map(|q| alike(maxima, q, &kinds.of)).collect();
        let (units, directions) = all.split_at(channels);
        let is_unit: Vec<bool> = (0..all.len()).map(|q| q < channels).collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
        let difference = mean(units) - mean(directions);
        let (low, high) = bootstrap(all.len(), self.rounds, &mut job.rng("basis_test bootstrap"), |sample| {
            let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
            for i in sample {
                let side = usize::from(!is_unit[*i]);
                sums[side] += all[*i];
                counts[side] += 1.0;
            }
            sums[0] / counts[0] - sums[1] / counts[1]
        });
        let test = trend(&all, &is_unit, &[]);
        let p = test.map_or(1.0, |t| t.p);
        let mut counts = std::collections::BTreeMap::<usize, f64>::new();
        kinds.of.iter().for_each(|k| *counts.entry(*k).or_default() += 1.0);
        let n = kinds.of.len() as f64;
        let chance = counts.values().map(|c| c * (c - 1.0)).sum::<f64>() / (n * (n - 1.0)).max(1.0);
        let sorted = |v: &[f64]| {
            let mut v = v.to_vec();
            v.sort_by(f64::total_cmp);
            v
        };
        let curve = |name: &str, v: &[f64]| Series {
            name: name.into(),
            x: (0..v.len()).map(|i| (i as f64 + 0.5) / v.len() as f64).collect(),
            y: sorted(v),
            bars: Vec::new(),
            mark: Mark::Line,
        };
        let level = Series {
            name: "two random images".into(),
            x: vec![0.0, 1.0],
            y: vec![chance; 2],
            bars: Vec::new(),
            mark: Mark::Line,
        };
        let layer = query.names[0].split('[').next().unwrap_or_default().to_string();
        let title = format!("units against random directions at {layer}");
        let plot = Plot {
            title: format!("how alike are the {} images that excite one most", maxima.tops[0].peaks().len()),
            x_label: "share of units or directions below".into(),
            y_label: "share of pairs with one label".into(),
            categories: Vec::new(),
            series: vec![curve("units", units), curve("random directions", directions), level],
        };
        let mut table = Table::new(["of", "number", "mean share", "lowest", "median", "highest"]);
        for (name, v) in [("units", units), ("random directions", directions)] {
            let s = sorted(v);
            let row = [mean(v), s[0], s[s.len() / 2], s[s.len() - 1]].map(Into::into);
            table.push([name.into(), v.len().into()].into_iter().chain(row));
        }
        let verdict = match p < 0.05 {
            true if difference > 0.0 => "units gather more alike images than random directions do",
            true => "random directions gather more alike images than units do",
            false => "no difference between units and random directions is found",
        };
        Ok(Artifact::new(title)
            .array("units", tensor(units.to_vec(), &[units.len()])?)
            .array("directions", tensor(directions.to_vec(), &[directions.len()])?)
            .array("chance", tensor(vec![chance], &[1])?)
            .array("difference", tensor(vec![difference], &[1])?)
            .array("low", tensor(vec![low], &[1])?)
            .array("high", tensor(vec![high], &[1])?)
            .array("p", tensor(vec![p], &[1])?)
            .part(Part::Plot(plot))
            .part(Part::Table("shares of alike pairs".into(), table))
            .note(format!(
                "{verdict}: {difference:+.3} ({low:+.3} to {high:+.3}, bootstrap 95 %), rank-sum p {}",
                crate::stats::p_value_text(p)
            )))
    }

    /// The units and directions whose images are as alike as the median's.
    fn middling(&self, maxima: &TopActivations, kinds: &[usize], channels: usize) -> Vec<usize> {
        let middle = |from: usize, to: usize| {
            let mut order: Vec<usize> = (from..to).collect();
            order.sort_by(|a, b| alike(maxima, *a, kinds).total_cmp(&alike(maxima, *b, kinds)).then(a.cmp(b)));
            let start = (order.len() / 2).saturating_sub(self.show / 2);
            order.into_iter().skip(start).take(self.show).collect::<Vec<_>>()
        };
        let (units, random) = (middle(0, channels), middle(channels, maxima.tops.len()));
        units.into_iter().chain(random).collect()
    }
}

fn row(query: &Query, maxima: &TopActivations, q: usize, data: &Dataset) -> Result<Pictures> {
    let picture = |p: &crate::accumulators::Peak| -> Result<(Image, String)> {
        let image = data.get(p.image)?;
        let label = image.label().map_or_else(|| format!("{}", p.image), str::to_string);
        Ok((crate::probes::retrieval::coding::thumbnail(&image, 160)?, label))
    };
    let peaks = maxima.tops[q].peaks();
    let images = peaks.iter().take(10).map(picture).collect::<Result<Vec<_>>>()?;
    let columns = Some(images.len().max(1));
    Ok(Pictures { title: format!("the images that excite {} most", query.names[q]), images, columns })
}
