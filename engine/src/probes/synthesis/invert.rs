//! What a layer's code still contains of the image: images made to have the same code.
//!
//! Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them", 2014.

mod part;
mod strengths;

use crate::ascent::{Adam, Ascent, LbfgsOptimiser, MatchCode, Momentum, Optimiser, Pixels, Prior, Space};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::graph::field::ReceptiveField;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::synthesis::{array, pictures};
use crate::show::{Artifact, Mark, Part, Pictures, Plot, Series, Table};
use crate::stats::median;
use crate::stream::readable;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};

crate::choice! {
    /// The optimiser.
    pub enum InversionOptimiser {
        /// L-BFGS.
        Lbfgs = "lbfgs",
        /// Adam with a falling rate.
        Adam = "adam",
        /// Gradient descent with momentum .9 and a falling rate, as in the paper.
        Momentum = "momentum",
    }
}

crate::params! {
    /// An image whose code at a layer is that of the given image: min |phi(x) - phi0|^2 / |phi0|^2 plus an alpha-norm that
    /// keeps values in range and a total variation that keeps them smooth. With a net as the subject, a figure across layers;
    /// with a data set as the input, a table of medians.
    #[probe(
        family = Dream,
        source = "Mahendran and Vedaldi 2014, sections 2 and 4",
        subjects = "a layer, or a net for several layers",
        input = Any,
        example = "invert(#{ steps: 5 }).run(net.layer(\"conv2\"), image)"
    )]
    pub struct Invert as "invert" {
        /// The layers to invert where the subject is a net; a few from first to last unless given.
        layers: Option<Vec<LayerName>> = None;
        /// Steps of the optimiser.
        steps: usize = 200, in 1..=100_000;
        /// Random images to start from; the result with the smallest error is kept.
        restarts: usize = 1, in 1..=100;
        /// The exponent of the norm.
        alpha: f64 = 6.0, in 1.0..=20.0;
        /// The exponent of the total variation; 1 gives spikes.
        beta: f64 = 2.0, in 0.5..=4.0;
        /// The weight of the norm: at 1, the norm of a picture with all values at the ends of the range equals the error of a
        /// zero code.
        norm: f64 = 0.01, in 0.0..=1e6;
        /// The weight of the total variation, in units of a picture whose neighbours differ by half the range; grows with the
        /// layer's stride where absent.
        variation: Option<f64> = None;
        /// The optimiser.
        optimiser: InversionOptimiser = InversionOptimiser::Lbfgs;
        /// The learning rate of Adam and momentum, in units of half the range.
        rate: f64 = 0.05, in 1e-9..=1e6;
        /// Several strengths of both priors, each a factor of their weights, in one figure with a table of errors; a single
        /// strength of 1 unless given.
        strengths: Vec<f64> = Vec::new();
        /// Only these channels of the layer's code are matched: [from, to], `to` excluded.
        channels: Vec<usize> = Vec::new();
        /// Only these positions of the layer's code are matched: [top, left, height, width].
        positions: Vec<usize> = Vec::new();
        /// Images whose mean pairwise distance of codes is the paper's N; where the input is a data set, its images.
        data: Option<Dataset> = None;
    }
}

/// One image inverted from one layer.
struct Inverse {
    /// In net units.
    x: Vec<f64>,
    /// |phi(x) - phi0|^2 / |phi0|^2 of each start.
    errors: Vec<f64>,
    /// |phi(x) - phi0| of the best.
    distance: f64,
    done: usize,
}

impl Probe for Invert {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let nodes = self.nodes(on)?;
        if !self.strengths.is_empty() {
            return strengths::all(self, on, input, job);
        }
        match input {
            Input::Data(data) => {
                let (data, report) = readable(data, usize::MAX)?;
                Ok(self.table(model, &nodes, &data, job)?.notes(report.note()))
            }
            one => self.figure(on, model, &nodes, one, job),
        }
    }
}

impl Invert {
    fn nodes(&self, on: &Subject) -> Result<Vec<NodeId>> {
        match on {
            Subject::Layer { node, .. } => Ok(vec![*node]),
            Subject::Model(model) => match &self.layers {
                Some(layers) if layers.is_empty() => Err(Error::value("option `layers` is empty")),
                Some(layers) => layers.iter().map(|l| model.layer(&l.0)).collect(),
                None => {
                    let all: Vec<NodeId> = model.layers().collect();
                    let n = all.len().clamp(1, 5);
                    Ok((1..=n).map(|i| all[i * all.len() / n - 1]).collect())
                }
            },
            other => Err(Error::subject(format!("{other} is neither a layer nor a net"))
                .hint("`invert().run(net.layer(name), image)`")),
        }
    }

    /// One image, from one or several layers.
    fn figure(&self, on: &Subject, model: &Model, nodes: &[NodeId], input: &Input, job: &Job) -> Result<Artifact> {
        let space = Space::of_any(model)?;
        let prepared = input.prepared(model)?;
        let x0 = to_f64(&prepared.x)?;
        let mut shown = vec![(x0.clone(), "the given image".to_string())];
        let mut table = Table::new(["layer", "values", "error", "distance", "distance / N"]);
        let (mut images, mut errors, mut done) = (Vec::new(), Vec::new(), 0);
        let (mut starts, mut distances, mut scaled) = (Vec::new(), Vec::new(), Vec::new());
        for node in nodes {
            if job.stopped() && !images.is_empty() {
                break;
            }
            let name = &model.graph().node(*node).name;
            let code = part::of(self, model, *node, code(model, *node, &x0)?)?;
            let inverse = self.invert(model, &space, *node, &code, name, job)?;
            let n = match &self.data {
                Some(data) => Some(spread(&self.codes(model, *node, data, job)?)),
                None => None,
            };
            let error = least(&inverse.errors).1;
            let over = n.filter(|n| *n > 0.0).map(|n| inverse.distance / n);
            table.push([
                name.as_str().into(),
                code.iter().filter(|c| !c.is_nan()).count().into(),
                error.into(),
                inverse.distance.into(),
                over.map_or(crate::show::Cell::Nothing, Into::into),
            ]);
            shown.push((inverse.x.clone(), format!("{name}: error {}", crate::show::table::short(error))));
            images.extend(inverse.x);
            errors.push(error);
            distances.push(inverse.distance);
            scaled.extend(over);
            starts.extend(inverse.errors);
            done += inverse.done;
        }
        let (n, reached) = (errors.len(), starts.len());
        let mut artifact = Artifact::new(format!("inversion of {on} in {}", model.card().name))
            .part(pictures(model, &space, "", &shown)?)
            .part(Part::Table("errors".into(), table))
            .array("images", array(&space, &images)?)
            .array("error", tensor(errors, &[n])?)
            .array("distance", tensor(distances, &[n])?)
            .array("errors_of_starts", tensor(starts, &[reached])?)
            .note("error: |phi(x) - phi0|² / |phi0|²; N: the mean distance between the codes of two images");
        artifact = match scaled.len() {
            0 => artifact.note("N needs other images: option `data`"),
            k => artifact.array("normalised", tensor(scaled, &[k])?),
        };
        Ok(artifact.reached(done, nodes.len() * self.restarts * self.steps))
    }

    /// A data set: medians a layer, and the pictures of the first images.
    fn table(&self, model: &Model, nodes: &[NodeId], data: &Dataset, job: &Job) -> Result<Artifact> {
        const SHOWN_IMAGES: usize = 6;
        let space = Space::of_any(model)?;
        let mut table = Table::new(["layer", "images", "median error", "lowest", "highest", "median distance / N"]);
        let (mut rows, mut all, mut reached) = (Vec::new(), Vec::new(), 0);
        let preprocess = model.card().preprocess()?;
        let first = (0..data.len().min(SHOWN_IMAGES))
            .map(|i| preprocess.fit(&data.seen(i, preprocess)?))
            .collect::<Result<Vec<_>>>()?;
        rows.extend(
            first.into_iter().enumerate().map(|(i, p)| (p, if i == 0 { "given".into() } else { String::new() })),
        );
        let mut images = Vec::new();
        for node in nodes {
            let name = &model.graph().node(*node).name;
            let codes = self.codes(model, *node, self.data.as_ref().unwrap_or(data), job)?;
            let n = spread(&codes);
            let (mut errors, mut scaled) = (Vec::new(), Vec::new());
            for i in 0..data.len() {
                if job.stopped() {
                    break;
                }
                let x0 = to_f64(&preprocess.apply(&data.seen(i, preprocess)?)?)?;
                let code = part::of(self, model, *node, code(model, *node, &x0)?)?;
                let inverse = self.invert(model, &space, *node, &code, name, job)?;
                let error = least(&inverse.errors).1;
                if i < SHOWN_IMAGES {
                    let caption = if i == 0 {
                        format!("{name}: {}", crate::show::table::short(error))
                    } else {
                        crate::show::table::short(error)
                    };
                    rows.push((space.picture(model, &inverse.x)?, caption));
                }
                images.extend(inverse.x);
                errors.push(error);
                scaled.push(inverse.distance / n.max(f64::MIN_POSITIVE));
                reached += usize::from(inverse.done > 0);
            }
            if errors.is_empty() {
                break;
            }
            all.extend(errors.iter().copied());
            let sorted = sorted(&errors);
            table.push([
                name.as_str().into(),
                errors.len().into(),
                median(&errors).into(),
                sorted[0].into(),
                sorted[sorted.len() - 1].into(),
                median(&scaled).into(),
            ]);
        }
        let plot = Plot {
            title: "error of inversion".into(),
            x_label: String::new(),
            y_label: "median |phi(x) - phi0|² / |phi0|²".into(),
            categories: table.rows().iter().map(|r| r[0].text()).collect(),
            series: vec![Series {
                name: "median".into(),
                x: (0..table.len()).map(|i| i as f64).collect(),
                y: table.rows().iter().filter_map(|r| r[2].number()).collect(),
                bars: table.rows().iter().filter_map(|r| Some((r[3].number()?, r[4].number()?))).collect(),
                mark: Mark::Bar,
            }],
        };
        let columns = Some(data.len().clamp(1, SHOWN_IMAGES));
        let count = all.len();
        Ok(Artifact::new(format!("inversion of {} from {} images", model.card().name, data.len()))
            .part(Part::Pictures(Pictures {
                title: "the given images, then each layer's inverses".into(),
                images: rows,
                columns,
            }))
            .part(Part::Plot(plot))
            .part(Part::Table("errors".into(), table))
            .array("errors", tensor(all, &[count])?)
            .array("images", array(&space, &images)?)
            .note("bars: least and greatest error; N: the mean distance between the codes of two images")
            .reached(reached, nodes.len() * data.len()))
    }

    fn invert(
        &self,
        model: &Model,
        space: &Space,
        node: NodeId,
        code: &[f64],
        name: &str,
        job: &Job,
    ) -> Result<Inverse> {
        if code.iter().all(|c| *c == 0.0 || c.is_nan()) {
            return Err(Error::subject(format!(
                "the code of `{name}` is zero for this image: there is nothing to invert"
            )));
        }
        let objective = MatchCode { node, code: code.to_vec() };
        let pixels = Pixels::new(space, 128.0);
        let unit = pixels.unit.clone();
        let variation = self.variation.unwrap_or_else(|| default_variation(model, node));
        let priors = [
            Prior::Norm { lambda: self.norm, alpha: self.alpha, unit: unit.clone() },
            Prior::TotalVariation { lambda: variation, beta: self.beta, unit },
        ];
        let label = format!("invert {name}");
        let ascent = Ascent {
            priors: &priors,
            steps: self.steps,
            label: &label,
            ..Ascent::plain(model, space, &objective, &pixels)
        };
        let mut best: Option<Inverse> = None;
        let (mut errors, mut done) = (Vec::new(), 0);
        for start in 0..self.restarts {
            if job.stopped() && start > 0 {
                break;
            }
            let rng = job.rng(&format!("invert/start/{start}"));
            let params = (0..space.frame.len()).map(|i| 0.05 * rng.normal_at(i as u64)).collect();
            let mut optimiser: Box<dyn Optimiser> = match self.optimiser {
                InversionOptimiser::Lbfgs => Box::new(LbfgsOptimiser::new(10, 0.05)),
                InversionOptimiser::Adam => Box::new(Adam::new(self.rate).falling_to(0.05, self.steps)),
                InversionOptimiser::Momentum => Box::new(Momentum::new(self.rate, 0.9).falling_to(0.01, self.steps)),
            };
            let made = ascent.run(params, optimiser.as_mut(), job)?;
            let error = -made.values[0];
            done += made.done;
            errors.push(error);
            if error <= least(&errors).1 {
                let norm = code.iter().filter(|c| !c.is_nan()).map(|c| c * c).sum::<f64>().sqrt();
                let distance = error.max(0.0).sqrt() * norm;
                best = Some(Inverse { x: made.images, errors: Vec::new(), distance, done: 0 });
            }
        }
        let best = best.ok_or_else(|| Error::internal("an inversion without a start"))?;
        Ok(Inverse { errors, done, ..best })
    }

    /// The codes of a data set's images, what is matched of them.
    fn codes(&self, model: &Model, node: NodeId, data: &Dataset, job: &Job) -> Result<Vec<Vec<f64>>> {
        let preprocess = model.card().preprocess()?;
        let (data, _) = readable(data, usize::MAX)?;
        let each = |i: usize| {
            let whole = code(model, node, &to_f64(&preprocess.apply(&data.seen(i, preprocess)?)?)?)?;
            Ok(part::of(self, model, node, whole)?.into_iter().filter(|c| !c.is_nan()).collect())
        };
        job.steps("codes", data.len()).map(each).collect()
    }
}

/// The weight of total variation grows with the layer's stride, since the code then determines less of the image.
fn default_variation(model: &Model, node: NodeId) -> f64 {
    let stride = match model.graph().field(node) {
        ReceptiveField::Local { stride, .. } => ((stride[0] * stride[1]) as f64).sqrt(),
        _ => 32.0,
    };
    2e-3 * stride
}

/// A layer's code for one image in net units.
fn code(model: &Model, node: NodeId, x: &[f64]) -> Result<Vec<f64>> {
    let shape = model.input_shape();
    let x = tensor(x.to_vec(), &[&[1], shape].concat())?;
    to_f64(model.forward(&x, &Tap::Only(vec![node]))?.get(node)?)
}

/// The mean distance between two of the codes (Mahendran and Vedaldi 2014, section 4).
fn spread(codes: &[Vec<f64>]) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0);
    for (i, a) in codes.iter().enumerate() {
        for b in &codes[..i] {
            sum += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
            pairs += 1;
        }
    }
    sum / f64::from(pairs.max(1))
}

fn least(errors: &[f64]) -> (usize, f64) {
    errors.iter().enumerate().fold((0, f64::INFINITY), |best, (i, e)| if *e < best.1 { (i, *e) } else { best })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}
