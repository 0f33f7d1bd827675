//! Which factors make a classifier err more than it does on average?
//!
//! Idrissi et al. 2022, "ImageNet-X: Understanding Model Mistakes with Factor of Variation Annotations", section 3: of each of sixteen
//! factors (pose, background, darker, ..), the error on images that have it over the error on all images.

use super::judged::{Ask, GroundTruth, Judged, Lookup};
use crate::data::measure::MEASURES;
use crate::data::{Attribute, Dataset};
use crate::error::{Error, Result, did_you_mean};
use crate::job::Job;
use crate::params::{Form, Param, Params as _, Value, wrong_kind};
use crate::probe::Probe;
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, wilson};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use std::collections::BTreeMap;

crate::params! {
    /// The error ratio of each factor: the error on images that have it, as a multiple of the error on all images. Above 1 the
    /// factor is harder than the average image.
    ///
    /// A factor is an attribute that is 0 or 1, such as those of ImageNet-X's annotations
    /// (`load_images(.., #{ attributes: "imagenet_x_val_multi_factor.jsonl" })`), or a quantity above a limit. Images of which no
    /// factor is known are left out.
    /// Arrays, factors in the table's order (the first subject's hardest first): `ratio`, `ratio_low`, `ratio_high` and `error`
    /// (subjects x factors), `counts` (images with the factor), `overall` (the error of each subject on all images).
    #[probe(
        family = Measure,
        source = "Idrissi et al. 2022, section 3",
        subjects = "a net or a list of nets, or predictions",
        input = Data,
        example = "accuracy_by_factor(#{ factors: #{ clutter: 0.5, brightness: 0.5 } }).run(net, data)"
    )]
    pub struct AccuracyByFactor as "accuracy_by_factor" {
        /// The factors: attributes that are 0 or 1, all unless given; or a map from quantities, given or measured, to limits: an
        /// image has the factor where the quantity is larger.
        factors: Factors = Factors::All;
        /// An answer counts as right if the label is among this many most probable classes.
        top: usize = 1, in 1..=100;
    }
}

/// Which factors are asked about.
#[derive(Clone, Debug, PartialEq)]
pub enum Factors {
    /// All attributes that are 0 or 1.
    All,
    /// These of them.
    Names(Vec<String>),
    /// Quantities above limits.
    Above(BTreeMap<String, f64>),
}

impl Param for Factors {
    fn form() -> Form {
        Form::words("a list of attributes' names, or a map from names to limits")
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Nothing => Ok(Factors::All),
            Value::List(_) => Vec::<String>::read(value)
                .map(|names| if names.is_empty() { Factors::All } else { Factors::Names(names) }),
            Value::Map(limits) => Ok(Factors::Above(
                limits.iter().map(|(name, v)| Ok((name.clone(), f64::read(v)?))).collect::<Result<_>>()?,
            )),
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Factors::All => Value::Nothing,
            Factors::Names(names) => names.write(),
            Factors::Above(limits) => Value::Map(limits.iter().map(|(name, v)| (name.clone(), v.write())).collect()),
        }
    }
}

impl Probe for AccuracyByFactor {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let data = input.data()?;
        let factors = self.chosen(&data)?;
        let judged = self.judged(&factors, on, &data, job)?;
        if judged.seen.is_empty() {
            return Err(Error::value(format!("no image of `{}` has a label and a factor", data.name)));
        }
        let (done, total) = judged.reached;
        let left = (judged.without > 0)
            .then(|| format!("{} images without a label or without any factor are left out", judged.without));
        let artifact = self.report(&judged, &factors, &data.name)?;
        Ok(artifact.notes(left).notes(judged.notes).reached(done, total))
    }
}

impl AccuracyByFactor {
    /// The factors that are asked for, or all that the data set has, with their limits.
    fn chosen(&self, data: &Dataset) -> Result<Vec<(String, f64)>> {
        let found = binary(data);
        let of = |names: &[String]| names.iter().map(|name| (name.clone(), 0.5)).collect();
        let missing = |name: &str, what: &str, known: &[String]| {
            let close = did_you_mean(name, known.iter().map(String::as_str)).map_or(String::new(), |c| c + " ");
            let all = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            Error::not_found(format!("no factor `{name}` in `{}`: {what}", data.name))
                .hint(format!("{close}it has {all}"))
        };
        match &self.factors {
            Factors::All if found.is_empty() => {
                Err(Error::value(format!("`{}` has no factor: no attribute that is 0 or 1", data.name)).hint(
                    "ImageNet-X's annotations are some: load_images(.., #{ attributes: \"imagenet_x_val_multi_factor.jsonl\" })",
                ))
            }
            Factors::All => Ok(of(&found)),
            Factors::Names(names) => match names.iter().find(|name| !found.contains(name)) {
                Some(name) => Err(missing(name, "no attribute that is 0 or 1", &found)),
                None => Ok(of(names)),
            },
            Factors::Above(limits) => {
                let known: Vec<String> =
                    data.attribute_names().into_iter().chain(MEASURES.iter().map(|m| m.0.to_string())).collect();
                match limits.keys().find(|name| !known.contains(name)) {
                    Some(name) => Err(missing(name, "neither an attribute nor measured", &known)),
                    None => Ok(limits.iter().map(|(name, limit)| (name.clone(), *limit)).collect()),
                }
            }
        }
    }

    fn judged(&self, factors: &[(String, f64)], on: &Subject, data: &Dataset, job: &Job) -> Result<Judged> {
        let known = |_: usize, label: Option<&str>, lookup: &Lookup<'_>| {
            let Some(label) = label else { return Ok(None) };
            let values = factors.iter().map(|(name, _)| lookup(name)).collect::<Result<Vec<_>>>()?;
            if values.iter().all(Option::is_none) {
                return Ok(None);
            }
            let has = |value: &Option<Attribute>, limit: f64| matches!(value, Some(Attribute::Number(x)) if *x > limit);
            let flags =
                values.iter().zip(factors).map(|(value, (_, limit))| if has(value, *limit) { '1' } else { '0' });
            let value = Attribute::Text(flags.collect());
            Ok(Some(GroundTruth { value, within: None, right: vec![vec![label.into()]] }))
        };
        let part = job.ledger().map(|ledger| ledger.part_of(data.len(), &data.name)).transpose()?;
        let classes = data.labels_in(part.unwrap_or(0..data.len()))?;
        let probe = (self.name(), self.settings());
        Ask { probe, top: self.top, lists: 1, classes, known: &known }.of(on, data, job)
    }

    fn report(&self, judged: &Judged, factors: &[(String, f64)], data: &str) -> Result<Artifact> {
        let (n, images) = (judged.names.len(), judged.seen.len());
        let with = |factor: usize| judged.seen.iter().filter(move |seen| has(&seen.value, factor));
        let counts: Vec<usize> = (0..factors.len()).map(|f| with(f).count()).collect();
        let wrong = |s: usize, factor: usize| with(factor).filter(|seen| !seen.hits[s]).count();
        let overall: Vec<f64> =
            (0..n).map(|s| judged.seen.iter().filter(|seen| !seen.hits[s]).count() as f64 / images as f64).collect();
        let errors: Vec<Vec<usize>> = (0..n).map(|s| (0..factors.len()).map(|f| wrong(s, f)).collect()).collect();
        let error = |s: usize, f: usize| errors[s][f] as f64 / counts[f] as f64;
        let mut order: Vec<usize> = (0..factors.len()).filter(|f| counts[*f] > 0).collect();
        order.sort_by(|a, b| error(0, *b).total_cmp(&error(0, *a)).then(a.cmp(b)));
        let mut table = Table::new(["subject", "factor", "images", "errors", "error", "ratio", "low", "high"]);
        let (mut columns, mut series): ([Vec<f64>; 4], Vec<Series>) = Default::default();
        for (s, name) in judged.names.iter().enumerate() {
            let shift = (s as f64 - (n as f64 - 1.0) / 2.0) * 0.2;
            let mut one = Series {
                name: format!("{name} (error {:.3})", overall[s]),
                x: (0..order.len()).map(|k| k as f64 + shift).collect(),
                y: Vec::new(),
                bars: Vec::new(),
                mark: Mark::Point,
            };
            for f in &order {
                let (low, high) = wilson(errors[s][*f], counts[*f], Z95);
                let own = error(s, *f);
                let [ratio, low, high] = [own, low, high].map(|e| e / overall[s]);
                columns.iter_mut().zip([ratio, low, high, own]).for_each(|(column, v)| column.push(v));
                let row: [Cell; 8] = [
                    name.as_str().into(),
                    factors[*f].0.as_str().into(),
                    counts[*f].into(),
                    errors[s][*f].into(),
                    own.into(),
                    ratio.into(),
                    low.into(),
                    high.into(),
                ];
                table.push(row);
                one.y.push(ratio);
                one.bars.push((low, high));
            }
            series.push(one);
        }
        let plot = Plot {
            title: format!("error ratio of factors on {data}"),
            x_label: String::new(),
            y_label: "error with the factor over error on all images".into(),
            categories: order.iter().map(|f| factors[*f].0.clone()).collect(),
            series,
        };
        let unseen: Vec<&str> = (0..factors.len()).filter(|f| counts[*f] == 0).map(|f| factors[f].0.as_str()).collect();
        let none = (!unseen.is_empty()).then(|| format!("no image that was asked about has {}", unseen.join(", ")));
        let perfect = overall.contains(&0.0).then(|| "without an error there is no ratio".to_string());
        let [ratio, low, high, error] = columns;
        let dims = [n, order.len()];
        Ok(Artifact::new(format!("error ratio of {} factors on {data}", order.len()))
            .array("ratio", tensor(ratio, &dims)?)
            .array("ratio_low", tensor(low, &dims)?)
            .array("ratio_high", tensor(high, &dims)?)
            .array("error", tensor(error, &dims)?)
            .array("counts", tensor(order.iter().map(|f| counts[*f] as f64).collect::<Vec<f64>>(), &[order.len()])?)
            .array("overall", tensor(overall, &[n])?)
            .part(Part::Plot(plot))
            .part(Part::Table("error ratios".into(), table))
            .note(format!("{images} images; an image may have several factors; 1 is the error on all of them"))
            .note("intervals are those of the factor's error (Wilson, 95 %) over the error on all images")
            .notes(none)
            .notes(perfect))
    }
}

/// Whether an image's kept flags say that it has a factor.
fn has(value: &Attribute, factor: usize) -> bool {
    matches!(value, Attribute::Text(flags) if flags.as_bytes().get(factor) == Some(&b'1'))
}

/// The attributes of which every value is 0 or 1, and some are 1, sorted.
fn binary(data: &Dataset) -> Vec<String> {
    let mut known: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for item in data.items() {
        for (name, value) in &item.attributes {
            let (fits, some) = known.entry(name.clone()).or_insert((true, false));
            *fits &= matches!(value, Attribute::Number(x) if *x == 0.0 || *x == 1.0);
            *some |= *value == Attribute::Number(1.0);
        }
    }
    known.into_iter().filter(|(_, (fits, some))| *fits && *some).map(|(name, _)| name).collect()
}
