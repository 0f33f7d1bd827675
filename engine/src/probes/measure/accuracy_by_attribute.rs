//! The accuracy of nets as a function of known or measured attributes of the images.
//!
//! Russakovsky et al. 2014, "ImageNet Large Scale Visual Recognition Challenge", section 6.3: accuracy within bins of an
//! attribute, with confidence intervals, and at equal object scale where scale is a confound.

use crate::data::measure::{MEASURES, attribute, is_measured};
use crate::data::{Dataset, Item};
use crate::error::{Error, Result, did_you_mean};
use crate::job::Job;
use crate::model::Model;
use crate::params::Params as _;
use crate::predictions::{Predicted, Predictions};
use crate::probe::Probe;
use crate::probes::measure::{ClassPrediction, Interval, answers, batch, classes, names, nets, numbered};
use crate::show::{Artifact, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, bootstrap, homogeneity, p_value_text, trend, wilson};
use crate::stream::{StreamReport, fold, question, stream};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use std::ops::Range;

mod bins;
mod judged_images;

pub use bins::Bins;
pub use judged_images::{JudgedImage, JudgedImages};

crate::choice! {
    /// How a quantity is divided into bins.
    pub enum Cut {
        /// Bins of equal numbers of images.
        Quantiles = "quantiles",
        /// Bins of equal width.
        Widths = "widths",
    }
}

crate::params! {
    /// Accuracy of one or several nets within bins of an attribute, with Wilson and bootstrap intervals and a test: Wilcoxon's
    /// rank-sum test for a trend along a quantity, chi-square between categories.
    ///
    /// The attribute is the data set's own, else measured: size, aspect, scale, position, brightness, contrast,
    /// colourfulness, sharpness, clutter. Arrays: `accuracy`, `low`, `high` (nets x bins, the interval drawn), `wilson_low`,
    /// `wilson_high`, `bootstrap_low`, `bootstrap_high`, `counts`, `edges` (of a quantity's bins), `p` and `trend` (one value a
    /// net).
    #[probe(
        family = Measure,
        source = "Russakovsky et al. 2014, section 6.3; Wilson 1927; Wilcoxon 1945; van Elteren 1960",
        subjects = "a net or a list of nets, or predictions",
        input = Data,
        example = "accuracy_by_attribute(#{ by: \"clutter\", bins: 3 }).run(net, data)"
    )]
    pub struct AccuracyByAttribute as "accuracy_by_attribute" {
        /// The attribute.
        by: String = "scale".to_string();
        /// Bins of a quantity; a quantity with few different values has a bin for each value.
        bins: usize = 5, in 2..=50;
        /// How a quantity is cut into bins.
        cut: Cut = Cut::Quantiles;
        /// Compare at equal values of this attribute (a confound): accuracies are means over its bins, weighted by their numbers of
        /// images, and the trend is tested within them.
        within: Option<String> = None;
        /// An answer counts as right if the label is among this many most probable classes.
        top: usize = 1, in 1..=100;
        /// Which interval is drawn.
        interval: Interval = Interval::Wilson;
        /// Resamples of the bootstrap.
        rounds: usize = 1000, in 100..=100_000;
    }
}

/// Bins of the confound.
const STRATA: usize = 3;

impl Probe for AccuracyByAttribute {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let data = input.data()?;
        let given = data.attribute_names();
        for name in std::iter::once(&self.by).chain(&self.within) {
            if !given.contains(name) && !MEASURES.iter().any(|(m, _)| m == name) {
                return Err(unknown(name, &given, &data.name));
            }
        }
        if let Subject::Predictions(all) = on {
            return self.told(all, &data, job);
        }
        let nets = nets(on)?;
        let classes = classes(&nets, &data, job)?;
        let preprocess = nets.iter().map(|n| n.card().preprocess()).collect::<Result<Vec<_>>>()?;
        let prepare = |i: usize| {
            let image = data.get(i)?;
            let known = attribute(&image, &self.by, &given);
            let within = self.within.as_ref().map(|w| attribute(&image, w, &given));
            let rows = data.inputs(i, &image, &preprocess)?;
            Ok((rows, image.label().map(str::to_string), known, within))
        };
        let over = |ranges: &[Range<usize>], state: &mut JudgedImages, job: &Job| {
            stream(ranges, batch(&nets, job), (job, "accuracy_by_attribute"), prepare, |items| {
                let mut all: Vec<Vec<ClassPrediction>> = Vec::new();
                for (n, net) in nets.iter().enumerate() {
                    let rows: Vec<_> = items.iter().map(|(_, (rows, ..))| rows[n].clone()).collect();
                    let label = |l: &Option<String>| l.as_ref().and_then(|l| classes[n].get(l).copied());
                    let labels: Vec<_> = items.iter().map(|(_, (_, l, ..))| label(l)).collect();
                    all.push(answers(net, &rows, &labels)?);
                }
                for (k, (i, (_, label, known, within))) in items.into_iter().enumerate() {
                    match (label, known, within) {
                        (Some(_), Some(value), None) => {
                            state.push(i, JudgedImage { value, within: None, hits: hits(&all, k, self.top) })
                        }
                        (Some(_), Some(value), Some(Some(w))) => {
                            state.push(i, JudgedImage { value, within: Some(w), hits: hits(&all, k, self.top) });
                        }
                        _ => state.without += 1,
                    }
                }
                Ok(())
            })
        };
        let ask = || {
            let asked: Vec<&Model> = nets.iter().collect();
            question((self.name(), on.to_string()), self.settings(), &asked, &data, job)
        };
        let folded = fold((job, "accuracy_by_attribute"), &data, ask, || JudgedImages::new(nets.len()), over)?;
        let (JudgedImages { seen, without, .. }, report) = (folded.state, folded.report);
        if seen.is_empty() {
            return Err(Error::value(format!("no labelled image of `{}` has the attribute `{}`", data.name, self.by)));
        }
        let mut artifact = self.report(&names(&nets), &seen, &data.name, job)?;
        if without > 0 {
            artifact = artifact.note(format!("{without} images without a label or the attribute are left out"));
        }
        if let Some(note) = report.note() {
            artifact = artifact.note(note);
        }
        Ok(artifact.reached(report.reached, folded.total))
    }
}

fn hits(all: &[Vec<ClassPrediction>], k: usize, top: usize) -> Vec<bool> {
    all.iter().map(|net| net[k].hit(top)).collect()
}

fn unknown(name: &str, given: &[String], data: &str) -> Error {
    let known: Vec<&str> = given.iter().map(String::as_str).chain(MEASURES.iter().map(|m| m.0)).collect();
    let close = did_you_mean(name, known.iter().copied()).map_or(String::new(), |c| c + " ");
    let own = if given.is_empty() { "none".to_string() } else { given.join(", ") };
    let measured: Vec<&str> = MEASURES.iter().map(|m| m.0).collect();
    Error::not_found(format!("no attribute `{name}` in `{data}`"))
        .hint(format!("{close}it has {own}; measured are {}", measured.join(", ")))
}

/// The accuracy in one bin with both intervals.
#[derive(Clone, Copy)]
struct Share {
    share: f64,
    wilson: (f64, f64),
    bootstrap: (f64, f64),
    right: usize,
    count: usize,
}

impl AccuracyByAttribute {
    /// For predictions without a net: an image is decoded only where an attribute has to be measured.
    fn told(&self, all: &[Predictions], data: &Dataset, job: &Job) -> Result<Artifact> {
        if let Some(few) = all.iter().find(|p| p.most() < self.top) {
            return Err(Error::value(format!(
                "`{}` has at most {} guesses an image, `top` is {}",
                few.name,
                few.most(),
                self.top
            )));
        }
        let joined = all.iter().map(|p| p.of(data)).collect::<Result<Vec<_>>>()?;
        let (mut seen, mut without, mut told, mut done) = (Vec::new(), 0usize, StreamReport::default(), 0);
        let given = data.attribute_names();
        let measured = |item: &Item, name: &str| match item.attributes.get(name) {
            Some(known) => Ok(Some(known.clone())),
            None if is_measured(name, &given) => Ok(attribute(&item.image()?, name, &given)),
            None => Ok::<_, Error>(None),
        };
        for i in job.steps("accuracy_by_attribute", data.len()) {
            done = i + 1;
            let item = data.item(i)?;
            let rows: Option<Vec<_>> = joined.iter().map(|(rows, _)| rows[i]).collect();
            let truth =
                |rows: &Vec<&Predicted>| rows.iter().find_map(|r| r.truth.clone()).or_else(|| item.label.clone());
            let Some((rows, truth)) = rows.and_then(|rows| Some((truth(&rows)?, rows))).map(|(t, r)| (r, t)) else {
                without += 1;
                continue;
            };
            let own = measured(&item, &self.by).and_then(|value| {
                let within = self.within.as_ref().map(|w| measured(&item, w)).transpose()?;
                Ok((value, within))
            });
            match told.take(i, own)? {
                Some((Some(value), None)) => {
                    seen.push(JudgedImage {
                        value,
                        within: None,
                        hits: rows.iter().map(|r| r.hit(&truth, self.top)).collect(),
                    });
                }
                Some((Some(value), Some(Some(w)))) => {
                    let hits = rows.iter().map(|r| r.hit(&truth, self.top)).collect();
                    seen.push(JudgedImage { value, within: Some(w), hits });
                }
                Some(_) => without += 1,
                None => {}
            }
        }
        told.check()?;
        if seen.is_empty() {
            return Err(Error::value(format!(
                "no image of `{}` has a prediction, a label and the attribute `{}`",
                data.name, self.by
            )));
        }
        let names = numbered(&all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>());
        let left = (without > 0)
            .then(|| format!("{without} images without a prediction, a label or the attribute are left out"));
        let made = self.report(&names, &seen, &data.name, job)?.notes(left).notes(told.note());
        Ok(made.notes(joined.into_iter().filter_map(|(_, note)| note)).reached(done, data.len()))
    }

    fn report(&self, names: &[String], seen: &[JudgedImage], data: &str, job: &Job) -> Result<Artifact> {
        let bins = Bins::of(seen.iter().map(|s| &s.value), self.bins, self.cut);
        let strata = match seen.iter().map(|s| s.within.as_ref()).collect::<Option<Vec<_>>>() {
            Some(values) => Bins::of(values.into_iter(), STRATA, Cut::Quantiles).places,
            None => vec![0; seen.len()],
        };
        let (n, b) = (names.len(), bins.names.len());
        let mut shares: Vec<Share> = Vec::new();
        let mut table = Table::new([
            "net",
            self.by.as_str(),
            "images",
            "right",
            "accuracy",
            "wilson low",
            "wilson high",
            "bootstrap low",
            "bootstrap high",
        ]);
        let mut tests = Table::new(["net", "test", "statistic", "p", "right ones lie higher"]);
        let (mut ps, mut trends, mut series) = (Vec::new(), Vec::new(), Vec::new());
        for (m, name) in names.iter().enumerate() {
            let mut stream = job.rng(&format!("accuracy_by_attribute {m}"));
            let own: Vec<Share> =
                (0..b).map(|bin| self.share(seen, &bins.places, &strata, bin, m, &mut stream)).collect();
            for (share, bin) in own.iter().zip(&bins.names) {
                table.push([
                    name.as_str().into(),
                    bin.as_str().into(),
                    share.count.into(),
                    share.right.into(),
                    share.share.into(),
                    share.wilson.0.into(),
                    share.wilson.1.into(),
                    share.bootstrap.0.into(),
                    share.bootstrap.1.into(),
                ]);
            }
            let right: Vec<bool> = seen.iter().map(|s| s.hits[m]).collect();
            let (mut p, mut above) = (f64::NAN, f64::NAN);
            if let Some(values) = &bins.values {
                if let Some(t) = trend(values, &right, &strata) {
                    (p, above) = (t.p, t.above);
                    tests.push([
                        name.as_str().into(),
                        "rank sum (trend)".into(),
                        t.z.into(),
                        t.p.into(),
                        t.above.into(),
                    ]);
                }
            } else {
                let groups: Vec<(usize, usize)> = own.iter().map(|s| (s.right, s.count)).collect();
                if let Some((statistic, degrees, q)) = homogeneity(&groups) {
                    p = q;
                    let test = format!("chi-square, {degrees} degrees of freedom");
                    tests.push([
                        name.as_str().into(),
                        test.into(),
                        statistic.into(),
                        q.into(),
                        crate::show::Cell::Nothing,
                    ]);
                }
            }
            ps.push(p);
            trends.push(above);
            let drawn = |s: &Share| if self.interval == Interval::Wilson { s.wilson } else { s.bootstrap };
            let said = if p.is_finite() { format!("{name} (p {})", p_value_text(p)) } else { name.clone() };
            // Nets side by side do not cover each other's bars.
            let shift = (m as f64 - (n as f64 - 1.0) / 2.0) * 0.012 * bins.span();
            series.push(Series {
                name: said,
                x: bins.centres.iter().map(|x| if bins.values.is_some() { x + shift } else { *x }).collect(),
                y: own.iter().map(|s| s.share).collect(),
                bars: own.iter().map(drawn).collect(),
                mark: if bins.values.is_some() { Mark::Line } else { Mark::Bar },
            });
            shares.extend(own);
        }
        let interval = if self.interval == Interval::Wilson { "Wilson" } else { "bootstrap" };
        let at = self.within.as_ref().map_or(String::new(), |w| format!(" at equal {w}"));
        let title = format!("accuracy by {}{at} on {data}", self.by);
        let plot = Plot {
            title: title.clone(),
            x_label: self.axis(),
            y_label: format!(
                "{} accuracy, {interval} 95 %",
                if self.top == 1 { "top-1".into() } else { format!("top-{}", self.top) }
            ),
            categories: if bins.values.is_some() { Vec::new() } else { bins.names.clone() },
            series,
        };
        let grid = |f: &dyn Fn(&Share) -> f64| tensor(shares.iter().map(f).collect::<Vec<f64>>(), &[n, b]);
        let drawn = |s: &Share| if self.interval == Interval::Wilson { s.wilson } else { s.bootstrap };
        let mut artifact = Artifact::new(title)
            .array("accuracy", grid(&|s| s.share)?)
            .array("low", grid(&|s| drawn(s).0)?)
            .array("high", grid(&|s| drawn(s).1)?)
            .array("wilson_low", grid(&|s| s.wilson.0)?)
            .array("wilson_high", grid(&|s| s.wilson.1)?)
            .array("bootstrap_low", grid(&|s| s.bootstrap.0)?)
            .array("bootstrap_high", grid(&|s| s.bootstrap.1)?)
            .array("counts", tensor(shares[..b].iter().map(|s| s.count as f64).collect(), &[b])?)
            .array("p", tensor(ps, &[n])?)
            .array("trend", tensor(trends, &[n])?)
            .part(Part::Plot(plot))
            .part(Part::Table("accuracy".into(), table));
        if let Some(edges) = &bins.edges {
            artifact = artifact.array("edges", tensor(edges.clone(), &[edges.len()])?);
        }
        if !tests.is_empty() {
            artifact = artifact.part(Part::Table("tests".into(), tests));
        }
        if self.within.is_some() {
            artifact = artifact.note(
                "accuracies are means over the confound's bins, weighed by all images in them; the Wilson interval is then that of as many images with this share",
            );
        }
        Ok(artifact.note(format!("bars are {interval} 95 % intervals; {} images", seen.len())))
    }

    /// The axis's name with what is measured.
    fn axis(&self) -> String {
        MEASURES.iter().find(|(m, _)| *m == self.by).map_or_else(|| self.by.clone(), |(m, _)| (*m).to_string())
    }

    /// The accuracy of net `m` in a bin, the strata weighed by their images over all bins.
    fn share(
        &self,
        seen: &[JudgedImage],
        places: &[usize],
        strata: &[usize],
        bin: usize,
        m: usize,
        stream: &mut crate::random::Stream,
    ) -> Share {
        let those: Vec<usize> = (0..seen.len()).filter(|i| places[*i] == bin).collect();
        let right = those.iter().filter(|i| seen[**i].hits[m]).count();
        let count = those.len();
        let levels = strata.iter().max().map_or(1, |s| s + 1);
        let weights: Vec<f64> = (0..levels).map(|l| strata.iter().filter(|s| **s == l).count() as f64).collect();
        let mut tally = vec![(0usize, 0usize); levels];
        let mut mean = |sample: &mut dyn Iterator<Item = usize>| {
            tally.fill((0, 0));
            for i in sample {
                tally[strata[i]].0 += usize::from(seen[i].hits[m]);
                tally[strata[i]].1 += 1;
            }
            let there = tally.iter().zip(&weights).filter(|(t, _)| t.1 > 0);
            let (sum, all) = there.fold((0.0, 0.0), |a, (t, w)| (a.0 + w * t.0 as f64 / t.1 as f64, a.1 + w));
            sum / all
        };
        let share = mean(&mut those.iter().copied());
        let boot = bootstrap(count, self.rounds, stream, |sample| mean(&mut sample.iter().map(|s| those[*s])));
        let wilson = wilson((share * count as f64).round() as usize, count, Z95);
        Share { share, wilson, bootstrap: boot, right, count }
    }
}
