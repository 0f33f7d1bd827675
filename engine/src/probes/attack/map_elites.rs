//! Fooling images for all classes at once: every offspring is judged for every class, and each class keeps its best.
//!
//! Nguyen, Yosinski, Clune 2014, section 2.2; the algorithm is MAP-Elites (Mouret and Clune 2015) with classes as its cells.

use crate::ascent::Space;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::attack::fooling_image::cppn::Genome;
use crate::probes::attack::fooling_image::mutated_pixels;
use crate::probes::attack::transfer_matrix::{prediction, same_class};
use crate::probes::measure::nets;
use crate::probes::synthesis::{array, batch, no_input, seen_in_png};
use crate::random::Stream;
use crate::show::{Artifact, Cell, Mark, Part, Pictures, Plot, Series, Table};
use crate::stats::{median, quantile};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use std::sync::Arc;

crate::choice! {
    /// How evolution represents an image.
    pub enum Encoding {
        /// Its pixels.
        Direct = "direct",
        /// A network of functions that draws it (CPPN): regular, symmetric patterns.
        Cppn = "cppn",
    }
}

crate::params! {
    /// For every class of a net an image that means nothing to people, all evolved together: an offspring of a random class's
    /// best image replaces the best image of every class for which the net has more confidence in it.
    ///
    /// With a second net in the list, the predictions of that net for the images are given, too. Arrays: `confidence` (one
    /// value a class, judged on the 8-bit picture read from a PNG), `history` (the median over classes after each generation),
    /// `images` (those shown) and `classes` (their numbers).
    #[probe(
        family = Fool,
        source = "Nguyen, Yosinski, Clune 2014, section 2.2",
        subjects = "a net, or a list of two: the second judges the images",
        input = Nothing,
        example = "map_elites(#{ generations: 4 }).run(net)"
    )]
    pub struct MapElites as "map_elites" {
        /// How images are represented.
        encoding: Encoding = Encoding::Cppn;
        /// Generations.
        generations: usize = 200, in 1..=10_000_000;
        /// Offspring in a generation.
        offspring: usize = 16, in 1..=10_000;
        /// The probability that a pixel or a gene changes; halved every thousand generations for pixels.
        mutation: f64 = 0.1, in 1e-6..=1.0;
        /// Classes whose images are shown, those with the highest confidence first.
        show: usize = 24, in 1..=1000;
    }
}

/// A representation of an image.
#[derive(Clone)]
enum Genes {
    Pixels(Vec<u8>),
    Pattern(Genome),
}

/// The best of each class: the net's confidence in it and its genes.
type Archive = Vec<Option<(f64, Arc<Genes>)>>;

impl Probe for MapElites {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        no_input(input)?;
        let nets = nets(on)?;
        let (model, judge) = match &nets[..] {
            [one] => (one, None),
            [one, two] => (one, Some(two)),
            more => {
                return Err(Error::subject(format!("{} nets: one is fooled, a second may judge", more.len()))
                    .hint("`map_elites().run([net, judge])`"));
            }
        };
        model.classes_readout()?;
        let space = Space::of(model)?;
        let (archive, history) = self.evolve(model, &space, job)?;
        self.report(model, judge, &space, &archive, history)
    }
}

impl MapElites {
    fn evolve(&self, model: &Model, space: &Space, job: &Job) -> Result<(Archive, Vec<f64>)> {
        let mut archive: Archive = vec![None; model.classes_len()];
        let mut history = Vec::new();
        let together = batch(model, job);
        for generation in job.steps("map_elites", self.generations) {
            // All of a generation descend from what the one before left.
            let parents: Vec<Arc<Genes>> = archive.iter().flatten().map(|(_, genes)| genes.clone()).collect();
            let born: Vec<Arc<Genes>> = (0..self.offspring)
                .map(|i| {
                    let mut rng = job.rng(&format!("map_elites/{generation}/{i}"));
                    Arc::new(match parents.len() {
                        0 => self.first(space, &mut rng),
                        n => {
                            let parent = rng.next_below(n as u64) as usize;
                            self.mutated(&parents[parent], generation, &mut rng)
                        }
                    })
                })
                .collect();
            for group in born.chunks(together) {
                let pixels: Vec<f64> = group.iter().flat_map(|genes| drawn(genes, space)).collect();
                let all = model.probabilities(&space.tensor(&space.to_net(&pixels))?)?;
                for (genes, sure) in group.iter().zip(all) {
                    for (best, p) in archive.iter_mut().zip(sure) {
                        if best.as_ref().is_none_or(|(b, _)| p > *b) {
                            *best = Some((p, genes.clone()));
                        }
                    }
                }
            }
            history.push(median(&archive.iter().flatten().map(|(p, _)| *p).collect::<Vec<_>>()));
        }
        Ok((archive, history))
    }

    fn first(&self, space: &Space, rng: &mut Stream) -> Genes {
        match self.encoding {
            Encoding::Direct => Genes::Pixels((0..space.frame.len()).map(|_| rng.next_below(256) as u8).collect()),
            Encoding::Cppn => Genes::Pattern(Genome::random(space.frame.channels, rng)),
        }
    }

    fn mutated(&self, parent: &Genes, generation: usize, rng: &mut Stream) -> Genes {
        match parent {
            Genes::Pattern(genome) => Genes::Pattern(genome.mutated(self.mutation, rng)),
            Genes::Pixels(pixels) => {
                let old: Vec<f64> = pixels.iter().map(|p| f64::from(*p)).collect();
                let new = mutated_pixels(&old, self.mutation, generation, rng);
                Genes::Pixels(new.into_iter().map(|p| p as u8).collect())
            }
        }
    }

    fn report(
        &self,
        model: &Model,
        judge: Option<&Model>,
        space: &Space,
        archive: &Archive,
        history: Vec<f64>,
    ) -> Result<Artifact> {
        let card = model.card();
        let mut confidence = vec![f64::NAN; archive.len()];
        let mut table = Table::new(["class", "confidence", "the other takes it for", "the same"]);
        let mut all = Vec::new();
        let (mut same, mut judged) = (0usize, 0usize);
        for (class, best) in archive.iter().enumerate() {
            let Some((_, genes)) = best else { continue };
            let picture = space.picture(model, &space.to_net(&drawn(genes, space)))?;
            confidence[class] = seen_in_png(model, space, &picture)?[class];
            let name = card.class_name(class);
            let mut row: Vec<Cell> = vec![name.as_str().into(), confidence[class].into()];
            match judge {
                None => row.extend([Cell::Nothing, Cell::Nothing]),
                Some(other) => {
                    let said = prediction(other, &picture)?;
                    let agrees = same_class(model, other, class, &name).map(|own| own == said);
                    judged += usize::from(agrees.is_some());
                    same += usize::from(agrees == Some(true));
                    row.extend([other.card().class_name(said).into(), agrees.map_or(Cell::Nothing, Cell::from)]);
                }
            }
            table.push(row);
            all.push((class, picture, format!("{name}: {:.1} %", 100.0 * confidence[class])));
        }
        all.sort_by(|a, b| confidence[b.0].total_cmp(&confidence[a.0]).then(a.0.cmp(&b.0)));
        all.truncate(self.show);
        let shown: Vec<usize> = all.iter().map(|(class, ..)| *class).collect();
        let mut values = Vec::new();
        for (_, picture, _) in &all {
            values.extend(space.to_net(&space.read(model, picture)?));
        }
        let found: Vec<f64> = confidence.iter().copied().filter(|p| !p.is_nan()).collect();
        let generations = history.len();
        let plot = Plot {
            title: "median confidence over classes".into(),
            x_label: "generation".into(),
            y_label: "probability of the class".into(),
            categories: Vec::new(),
            series: vec![Series {
                name: String::new(),
                x: (0..generations).map(|i| i as f64).collect(),
                y: history.clone(),
                bars: Vec::new(),
                mark: Mark::Line,
            }],
        };
        let distinct = {
            let mut known: Vec<*const Genes> = archive.iter().flatten().map(|(_, g)| Arc::as_ptr(g)).collect();
            known.sort_unstable();
            known.dedup();
            known.len()
        };
        let middle = |q: f64| 100.0 * quantile(&sorted(&found), q).unwrap_or(f64::NAN);
        let images = all.into_iter().map(|(_, picture, caption)| (picture, caption)).collect();
        let classes = archive.len();
        let mut artifact = Artifact::new(format!("images that {} takes for its {classes} classes", card.name))
            .part(Part::Pictures(Pictures { title: "the surest".into(), images, columns: Some(6) }))
            .part(Part::Plot(plot))
            .part(Part::Table("every class".into(), table.sorted("confidence", true)?))
            .array("confidence", tensor(confidence, &[classes])?)
            .array("history", tensor(history, &[generations])?)
            .array("images", array(space, &values)?)
            .array("classes", tensor(shown.iter().map(|c| *c as f64).collect::<Vec<f64>>(), &[shown.len()])?)
            .note(format!(
                "confidence on 8-bit pictures read from a PNG: median {:.2} %, quartiles {:.2} and {:.2} %; {distinct} different images serve {classes} classes",
                middle(0.5),
                middle(0.25),
                middle(0.75)
            ));
        if let Some(other) = judge {
            artifact = artifact.note(format!("{} takes {same} of {judged} for the same class", other.card().name));
        }
        Ok(artifact.reached(generations, self.generations))
    }
}

fn drawn(genes: &Genes, space: &Space) -> Vec<f64> {
    match genes {
        Genes::Pixels(pixels) => pixels.iter().map(|p| f64::from(*p)).collect(),
        Genes::Pattern(genome) => genome.draw(space.frame),
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}
