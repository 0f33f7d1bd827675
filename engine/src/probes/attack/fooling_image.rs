//! Fooling images: pictures that mean nothing to people and that a net classifies with high confidence.
//!
//! Nguyen, Yosinski, Clune, "Deep Neural Networks are Easily Fooled", 2014.

pub(super) mod cppn;

use self::cppn::Genome;
use crate::ascent::{Aim, CrossEntropy, Space, measure};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::attack::Norm;
use crate::probes::synthesis::{array, batch, no_input, pictures, seen_in_png, top};
use crate::random::Stream;
use crate::show::{Artifact, Mark, Part, Plot, Series};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::choice! {
    /// How the image is found.
    pub enum Method {
        /// Steps along the gradient, from noise.
        Gradient = "gradient",
        /// Evolution of the pixels.
        Direct = "direct",
        /// Evolution of a network that draws the picture (CPPN): regular, symmetric patterns.
        Cppn = "cppn",
    }
}

crate::params! {
    /// An image made from noise that a net assigns to a class with more than a given confidence, found by the gradient or by
    /// evolution of pixels or of a pattern-producing network.
    #[probe(
        family = Fool,
        source = "Nguyen, Yosinski, Clune 2014, sections 2 and 3 (one class at a time, an elite instead of MAP-Elites)",
        subjects = "a class",
        input = Nothing,
        example = "fooling_image(#{ steps: 5, method: \"cppn\" }).run(net.class(2))"
    )]
    pub struct FoolingImage as "fooling_image" {
        /// How the image is found.
        method: Method = Method::Gradient;
        /// The probability, judged on the 8-bit picture, at which it stops.
        confidence: f64 = 0.99, in 0.0..=0.999_999;
        /// Steps or generations at most.
        steps: usize = 500, in 1..=1_000_000;
        /// Images in a generation of evolution.
        population: usize = 16, in 2..=10_000;
        /// The length of a gradient step, pixel values (root mean square).
        rate: f64 = 1.0, in 1e-3..=255.0;
        /// The probability that evolution changes a pixel or a gene; halved every thousand generations for pixels.
        mutation: f64 = 0.1, in 1e-6..=1.0;
        /// Standard deviation of the noise that the gradient starts from, pixel values around mid grey.
        noise: f64 = 32.0, in 0.0..=255.0;
    }
}

/// How a search went.
struct Found {
    /// Pixel values.
    pixels: Vec<f64>,
    /// The confidence after each step.
    history: Vec<f64>,
}

impl Probe for FoolingImage {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        no_input(input)?;
        let Subject::Class { model, index } = on else {
            return Err(Error::subject(format!("{on} is no class")).hint("`fooling_image().run(net.class(name))`"));
        };
        let space = Space::of(model)?;
        let found = match self.method {
            Method::Gradient => self.climb(model, &space, *index, job)?,
            Method::Direct => self.evolve_pixels(model, &space, *index, job)?,
            Method::Cppn => self.evolve_patterns(model, &space, *index, job)?,
        };
        let picture = space.picture(model, &space.to_net(&found.pixels))?;
        let seen = seen_in_png(model, &space, &picture)?;
        let steps = found.history.len();
        let stopped = seen[*index] < self.confidence && steps < self.steps && job.stopped();
        let plot = Plot {
            title: "confidence".into(),
            x_label: if self.method == Method::Gradient { "step" } else { "generation" }.into(),
            y_label: format!("probability of {on}"),
            categories: Vec::new(),
            series: vec![Series {
                name: String::new(),
                x: (0..steps).map(|i| i as f64).collect(),
                y: found.history.clone(),
                bars: Vec::new(),
                mark: Mark::Line,
            }],
        };
        let x = space.to_net(&space.read(model, &picture)?);
        let caption = format!("{on}: {:.2} %", 100.0 * seen[*index]);
        let mut artifact = Artifact::new(format!("an image that {} takes for {on}", model.card().name))
            .part(pictures(model, &space, "", &[(x.clone(), caption)])?)
            .part(Part::Table("what the net sees in the 8-bit picture, read from a PNG".into(), top(model, &seen, 5)))
            .part(Part::Plot(plot))
            .array("fooling_image", array(&space, &x)?)
            .array("confidence", tensor(vec![seen[*index]], &[1])?)
            .array("history", tensor(found.history, &[steps])?);
        if seen[*index] < self.confidence && !stopped {
            artifact = artifact.note(format!("{} steps did not reach a confidence of {}", self.steps, self.confidence));
        }
        Ok(if stopped { artifact.reached(steps, self.steps) } else { artifact })
    }
}

impl FoolingImage {
    fn climb(&self, model: &Model, space: &Space, class: usize, job: &Job) -> Result<Found> {
        let rng = job.rng("fooling_image/noise");
        let len = space.frame.len();
        let mut pixels: Vec<f64> =
            (0..len).map(|i| (127.5 + self.noise * rng.normal_at(i as u64)).clamp(0.0, 255.0)).collect();
        let loss = CrossEntropy::new(model, vec![Aim::Be(class)]);
        let mut found = Found { pixels: pixels.iter().map(|p| p.round()).collect(), history: Vec::new() };
        let mut best = confidence(model, space, class, &found.pixels)?[0];
        for _ in job.steps("fooling_image", self.steps) {
            found.history.push(best);
            if best > self.confidence {
                break;
            }
            let (_, gradient) = measure(model, &loss, &space.to_net(&pixels))?;
            let gradient = space.pull(&gradient);
            // A step of `rate` in the root mean square over pixels.
            Norm::step_along(&mut pixels, &gradient, self.rate * (len as f64).sqrt());
            pixels.iter_mut().for_each(|p| *p = p.clamp(0.0, 255.0));
            let rounded: Vec<f64> = pixels.iter().map(|p| p.round()).collect();
            let now = confidence(model, space, class, &rounded)?[0];
            if now > best {
                (best, found.pixels) = (now, rounded);
            }
        }
        Ok(found)
    }

    /// Direct encoding: the elite's pixels, a share of them redrawn or moved (polynomial mutation).
    fn evolve_pixels(&self, model: &Model, space: &Space, class: usize, job: &Job) -> Result<Found> {
        let len = space.frame.len();
        let first = |rng: &mut Stream| (0..len).map(|_| (256.0 * rng.next_uniform()).floor()).collect::<Vec<f64>>();
        let mutate = |elite: &Vec<f64>, generation: usize, rng: &mut Stream| {
            mutated_pixels(elite, self.mutation, generation, rng)
        };
        self.evolve(model, space, class, job, first, mutate, |pixels| pixels.clone())
    }

    /// Indirect encoding: the elite's network of functions, some of its genes changed.
    fn evolve_patterns(&self, model: &Model, space: &Space, class: usize, job: &Job) -> Result<Found> {
        let frame = space.frame;
        let first = |rng: &mut Stream| Genome::random(frame.channels, rng);
        let mutate = |elite: &Genome, _: usize, rng: &mut Stream| elite.mutated(self.mutation, rng);
        self.evolve(model, space, class, job, first, mutate, |genome| genome.draw(frame))
    }

    /// An elite and its mutated offspring, generation by generation.
    #[allow(clippy::too_many_arguments)]
    fn evolve<G: Clone>(
        &self,
        model: &Model,
        space: &Space,
        class: usize,
        job: &Job,
        first: impl Fn(&mut Stream) -> G,
        mutate: impl Fn(&G, usize, &mut Stream) -> G,
        draw: impl Fn(&G) -> Vec<f64>,
    ) -> Result<Found> {
        let mut elite: Option<(f64, G)> = None;
        let mut history = Vec::new();
        let together = batch(model, job);
        for generation in job.steps("fooling_image", self.steps) {
            let offspring: Vec<G> = (0..self.population)
                .map(|i| {
                    let mut rng = job.rng(&format!("fooling_image/{generation}/{i}"));
                    match &elite {
                        Some((_, genes)) => mutate(genes, generation, &mut rng),
                        None => first(&mut rng),
                    }
                })
                .collect();
            for group in offspring.chunks(together) {
                let pixels: Vec<f64> = group.iter().flat_map(&draw).collect();
                for (genes, p) in group.iter().zip(confidence(model, space, class, &pixels)?) {
                    if elite.as_ref().is_none_or(|(best, _)| p > *best) {
                        elite = Some((p, genes.clone()));
                    }
                }
            }
            let best = elite.as_ref().map_or(0.0, |(p, _)| *p);
            history.push(best);
            if best > self.confidence {
                break;
            }
        }
        let Some((_, genes)) = elite else {
            return Ok(Found { pixels: vec![128.0; space.frame.len()], history });
        };
        Ok(Found { pixels: draw(&genes), history })
    }
}

/// The probability of a class for each of some images of whole pixel values.
fn confidence(model: &Model, space: &Space, class: usize, pixels: &[f64]) -> Result<Vec<f64>> {
    Ok(model.probabilities(&space.tensor(&space.to_net(pixels))?)?.iter().map(|p| p[class]).collect())
}

/// Whole pixel values, a share of them moved (polynomial mutation); the share is halved every thousand generations.
pub(super) fn mutated_pixels(elite: &[f64], mutation: f64, generation: usize, rng: &mut Stream) -> Vec<f64> {
    let chance = mutation * libm::pow(0.5, (generation / 1000) as f64);
    elite
        .iter()
        .map(|p| match rng.next_uniform() < chance {
            true => (p + 255.0 * polynomial(rng.next_uniform(), 15.0)).round().clamp(0.0, 255.0),
            false => *p,
        })
        .collect()
}

/// Deb's polynomial mutation: a step in -1 to 1 from an even draw, the smaller the larger `eta`.
fn polynomial(u: f64, eta: f64) -> f64 {
    match u < 0.5 {
        true => libm::pow(2.0 * u, 1.0 / (eta + 1.0)) - 1.0,
        false => 1.0 - libm::pow(2.0 * (1.0 - u), 1.0 / (eta + 1.0)),
    }
}
