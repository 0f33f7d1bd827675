//! Feature visualisation: an image made so that a unit, channel, class or direction responds most strongly.
//!
//! Olah, Mordvintsev, Schubert, "Feature Visualization", Distill 2017.

use crate::ascent::{
    Adam, Ascent, Diversity, Fourier, Objective, Parametrisation, Pixels, Score, Space, Transforms, Weighted,
    with_gradient,
};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::synthesis::{array, batch, colours, no_input, pictures};
use crate::show::{Artifact, Table};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::choice! {
    /// How parameters become an image.
    pub enum Basis {
        /// A spectrum with decorrelated colours.
        Fourier = "fourier",
        /// The pixels.
        Pixels = "pixels",
    }
}

crate::params! {
    /// An image to which a subject responds as strongly as possible: ascent with Adam over a Fourier-parametrised,
    /// colour-decorrelated image, under random shifts, scalings and rotations. A layer gives a tile for each of its first channels.
    #[probe(
        family = Dream,
        source = "Olah, Mordvintsev, Schubert 2017, \"Feature Visualization\"; directions: Szegedy et al. 2013, section 3",
        subjects = "a channel, unit, direction, class or sum; a layer means its first channels",
        input = Nothing,
        example = "maximize(#{ steps: 4, channels: 2 }).run(net.layer(\"conv2\"))"
    )]
    pub struct Maximize as "maximize" {
        /// Steps of ascent.
        steps: usize = 256, in 1..=100_000;
        /// The learning rate of Adam.
        rate: f64 = 0.05, in 1e-6..=100.0;
        /// The channels shown of a layer.
        channels: usize = 9, in 1..=4096;
        /// The first channel shown of a layer.
        first: usize = 0, in 0..=1_000_000;
        /// Images made of one subject, different from each other.
        images: usize = 1, in 1..=64;
        /// The weight of the images' diversity against the response, where several images are made.
        diversity: f64 = 1.0, in 0.0..=1000.0;
        /// How parameters become the image.
        basis: Basis = Basis::Fourier;
        /// The exponent with which the spectrum falls with frequency; 1 as for photos.
        decay: f64 = 1.0, in 0.0..=4.0;
        /// The largest random shift, px of the net's input.
        jitter: usize = 8, in 0..=512;
        /// The largest random scaling, as a relative change of size.
        scale: f64 = 0.1, in 0.0..=0.9;
        /// The largest random rotation, degrees.
        rotate: f64 = 10.0, in 0.0..=180.0;
    }
}

impl Probe for Maximize {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        no_input(input)?;
        let model = on.model()?;
        let space = Space::of_any(model)?;
        let subjects = self.subjects(on)?;
        let tiled = subjects.len() > 1;
        let (mut images, mut values, mut done) = (Vec::new(), Vec::new(), 0);
        let together = if tiled { batch(model, job) } else { subjects.len() };
        let total = subjects.len().div_ceil(together) * self.steps;
        for (chunk, group) in subjects.chunks(together).enumerate() {
            if job.stopped() && chunk > 0 {
                break;
            }
            let made = self.ascend(model, &space, group, job, chunk)?;
            images.extend(made.images);
            values.extend(made.values);
            done += made.done;
        }
        let shown: Vec<(Vec<f64>, String)> = images
            .chunks(space.frame.len())
            .zip(&values)
            .enumerate()
            .map(|(i, (x, value))| (x.to_vec(), format!("{}: {}", subjects[if tiled { i } else { 0 }], short(*value))))
            .collect();
        let mut table = Table::new(["subject", "response"]);
        for (i, value) in values.iter().enumerate() {
            table.push([subjects[if tiled { i } else { 0 }].to_string().into(), (*value).into()]);
        }
        let count = values.len();
        let mut artifact = Artifact::new(format!("what {on} in {} responds to", model.card().name))
            .part(pictures(model, &space, "", &shown)?)
            .part(crate::show::Part::Table("responses without random transforms".into(), table))
            .array("images", array(&space, &images)?)
            .array("responses", tensor(values, &[count])?);
        if self.basis == Basis::Fourier && space.frame.channels == 3 {
            artifact = artifact.note("colours are decorrelated as of ImageNet's photos");
        }
        Ok(artifact.reached(done, total))
    }
}

impl Maximize {
    /// The images that maximise `objective`, which the figure calls `name`.
    ///
    /// # Errors
    /// As the passes and the objective.
    pub fn of(&self, model: &Model, name: &str, objective: &dyn Objective, job: &Job) -> Result<Artifact> {
        let space = Space::of_any(model)?;
        let made = self.climb(model, &space, objective, self.images, job, 0)?;
        let caption = |value: &f64| format!("{name}: {}", short(*value));
        let shown: Vec<(Vec<f64>, String)> =
            made.images.chunks(space.frame.len()).zip(&made.values).map(|(x, v)| (x.to_vec(), caption(v))).collect();
        let artifact = Artifact::new(format!("what {name} in {} is largest on", model.card().name))
            .part(pictures(model, &space, "", &shown)?)
            .array("images", array(&space, &made.images)?)
            .array("values", tensor(made.values, &[self.images])?);
        Ok(artifact.reached(made.done, self.steps))
    }

    fn subjects(&self, on: &Subject) -> Result<Vec<Subject>> {
        match on {
            Subject::Layer { model, node } => {
                let n = model.graph().node(*node).shape.first().copied().unwrap_or(0);
                if self.first >= n {
                    return Err(Error::value(format!(
                        "{on} has {n} channels, the first shown is to be {}",
                        self.first
                    )));
                }
                (self.first..n.min(self.first + self.channels)).map(|i| on.channel(i)).collect()
            }
            Subject::Model(_) | Subject::Models(_) | Subject::Predictions(_) => {
                Err(Error::subject(format!("{on} is no part of a net"))
                    .hint("`net.layer(name)` for its first channels, `.channel(i)`, or `net.class(name)`"))
            }
            one => Ok(vec![one.clone()]),
        }
    }

    fn ascend(
        &self,
        model: &Model,
        space: &Space,
        group: &[Subject],
        job: &Job,
        chunk: usize,
    ) -> Result<crate::ascent::Made> {
        let n = if group.len() == 1 { self.images } else { group.len() };
        let score = Score(if group.len() == 1 { vec![group[0].clone()] } else { group.to_vec() });
        let objective: Box<dyn Objective> = if n > 1 && group.len() == 1 && self.diversity > 0.0 {
            let node = maps(&group[0])?;
            Box::new(Weighted(vec![(1.0, Box::new(score)), (self.diversity, Box::new(Diversity { node }))]))
        } else {
            Box::new(score)
        };
        self.climb(model, space, objective.as_ref(), n, job, chunk)
    }

    /// The ascent of `n` images.
    fn climb(
        &self,
        model: &Model,
        space: &Space,
        objective: &dyn Objective,
        n: usize,
        job: &Job,
        chunk: usize,
    ) -> Result<crate::ascent::Made> {
        let rng = job.rng(&format!("maximize/start/{chunk}"));
        let fourier = Fourier::new(space, &colours(model), self.decay);
        let pixels = Pixels::new(space, 64.0).bounded(space);
        let (parametrisation, start): (&dyn Parametrisation, Vec<f64>) = match self.basis {
            Basis::Fourier => (&fourier, fourier.start(n, &rng)),
            Basis::Pixels => {
                let grey: Vec<f64> = space.to_net(&vec![127.5; n * space.frame.len()]);
                let mut start = pixels.params(&grey);
                start.iter_mut().enumerate().for_each(|(i, v)| *v += 0.05 * rng.normal_at(i as u64));
                (&pixels, start)
            }
        };
        let transforms = Transforms::robust(space, self.jitter, self.scale, self.rotate);
        let ascent = Ascent {
            transforms: &transforms,
            steps: self.steps,
            label: "maximize",
            ..Ascent::plain(model, space, objective, parametrisation)
        };
        let start = with_gradient(model, objective, parametrisation, start, space.frame.len())?;
        ascent.run(start, &mut Adam::new(self.rate), job)
    }
}

/// The layer whose channels' correlations tell images of a subject apart: its own where it has maps, otherwise the last
/// one with (not too many) maps before it.
fn maps(subject: &Subject) -> Result<crate::graph::NodeId> {
    let graph = subject.model()?.graph();
    let last = subject.last_node()?;
    let before = graph.ancestors(last);
    let spatial = |id: &crate::graph::NodeId| {
        matches!(graph.node(*id).shape[..], [c, h, w] if h * w > 1 && c <= 512)
            && *id != graph.input()
            && (before[id.0] || *id == last)
    };
    graph.ids().rfind(spatial).ok_or_else(|| Error::subject(format!("no layer with maps lies before {subject}")))
}

fn short(value: f64) -> String {
    crate::show::table::short(value)
}
