//! Retrieval: the images whose codes are nearest, and the accuracy of their majority vote.
//!
//! Krizhevsky, Sutskever, Hinton 2012, section 6.1 (figure 4, right): images near in the last hidden layer's code.

use crate::data::Dataset;
use crate::embed::knn::{Metric, nearest};
use crate::embed::quality::{purity, votes};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::probe::Probe;
use crate::probes::retrieval::codes::finish;
use crate::probes::retrieval::coding::{Codes, Coding, Images, Pooling};
use crate::probes::retrieval::max_activating::numbers;
use crate::show::{Artifact, Cell, Part, Pictures, Table};
use crate::stats::{Z95, wilson};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use candle_core::Tensor;

/// The queries: images, or codes.
#[derive(Clone, Debug)]
pub enum Queries {
    /// Images.
    Images(Images),
    /// Codes, M x D, or one of D values.
    Codes(Tensor),
}

impl Param for Queries {
    fn form() -> Form {
        Form::words("an image, a list of images, a data set, or codes")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Tensor(t) => Ok(Queries::Codes(t.clone())),
            other => Images::read(other).map(Queries::Images).map_err(|_| wrong_kind::<Self>(value)),
        }
    }
    fn write(&self) -> Value {
        match self {
            Queries::Images(images) => images.write(),
            Queries::Codes(t) => Value::Tensor(t.clone()),
        }
    }
}

crate::params! {
    /// The `k` images whose codes are nearest to those of the images (or codes) in `of`. Without `of`, each image's neighbours
    /// among the others, and how often their majority has the image's class (leave-one-out).
    ///
    /// Arrays: `neighbours` (image numbers) and `distances`, one row a query; with labels `accuracy`, `purity` and their
    /// Wilson 95 % interval.
    #[probe(
        family = Images,
        source = "Krizhevsky, Sutskever, Hinton 2012, section 6.1",
        subjects = "a layer, or a net (the input of its classifier)",
        input = Any,
        example = "nearest(#{ k: 3, of: image }).run(net, data)"
    )]
    pub struct Nearest as "nearest" {
        /// Neighbours.
        k: usize = 7, in 1..=1000;
        /// The queries.
        of: Option<Queries> = None;
        /// The distance between codes.
        metric: Metric = Metric::Cosine;
        /// Queries shown, evenly spaced.
        show: usize = 6, in 0..=100;
        /// The images of the input, where the input is codes.
        data: Option<Dataset> = None;
        /// How a layer's positions are pooled.
        pool: Pooling = Pooling::Mean;
        /// Whether the code is taken after the rectifier that follows the layer.
        relu: bool = true;
        /// Whether codes of image files are cached on disk.
        cache: bool = true;
    }
}

impl Probe for Nearest {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let coding = Coding { pool: self.pool, relu: self.relu, predictions: false, cache: self.cache };
        let codes = Codes::of(on, input, self.data.as_ref(), coding, job)?;
        if codes.len() < 2 {
            return Err(Error::value(format!("neighbours are sought among at least 2 codes, got {}", codes.len())));
        }
        let queries = match &self.of {
            None => None,
            Some(Queries::Images(Images(data))) => Some(Codes::of(on, &Input::Data(data.clone()), None, coding, job)?),
            Some(Queries::Codes(t)) => {
                let rows = if t.rank() == 1 { t.unsqueeze(0)? } else { t.clone() };
                Some(Codes::of(on, &Input::Tensor(rows), None, coding, job)?)
            }
        };
        if let Some(q) = queries.as_ref().filter(|q| q.d != codes.d) {
            return Err(Error::shape(format!("codes of {} values are sought among codes of {}", q.d, codes.d)));
        }
        let found = nearest(&codes.values, codes.d, queries.as_ref().map(|q| &q.values[..]), self.k, self.metric);
        let asked = queries.as_ref().unwrap_or(&codes);
        let (n, k) = (asked.len(), found.k);
        let images: Vec<f64> = found.indices.iter().map(|r| codes.rows[*r as usize] as f64).collect();
        let title = match &queries {
            None => format!("the {k} nearest of {n} images{}", codes.place()),
            Some(_) if n == 1 => format!("the {k} images nearest to the query{}", codes.place()),
            Some(_) => format!("the {k} images nearest to each of {n} queries{}", codes.place()),
        };
        let mut artifact = Artifact::new(title)
            .array("neighbours", numbers(images, codes.total, &[n, k])?)
            .array("distances", tensor(found.distances.clone(), &[n, k])?);
        let (names, labels) = codes.labels();
        let voted = votes(&found, self.k, &labels);
        let truth: Vec<Option<usize>> = match &queries {
            None => labels.clone(),
            Some(q) => {
                let (own, numbers) = q.labels();
                numbers.iter().map(|l| l.and_then(|l| names.iter().position(|n| *n == own[l]))).collect()
            }
        };
        let known: Vec<(usize, Option<usize>)> =
            truth.iter().zip(&voted).filter_map(|(t, v)| t.map(|t| (t, *v))).collect();
        if !known.is_empty() && !names.is_empty() {
            let hits = known.iter().filter(|(t, v)| Some(*t) == *v).count();
            let (low, high) = wilson(hits, known.len(), Z95);
            let accuracy = hits as f64 / known.len() as f64;
            for (name, value) in [("accuracy", accuracy), ("accuracy_low", low), ("accuracy_high", high)] {
                artifact = artifact.array(name, tensor(vec![value], &[1])?);
            }
            let share = if queries.is_none() { purity(&found, k, &labels) } else { None };
            if let Some(share) = share {
                artifact = artifact.array("purity", tensor(vec![share], &[1])?);
            }
            artifact = artifact.part(Part::Table("class by vote".into(), by_class(&names, &known)));
            artifact = artifact.note(format!(
                "the majority of {k} neighbours is right for {hits} of {} images: {:.1} % ({:.1} to {:.1} %, Wilson 95 %)",
                known.len(),
                100.0 * accuracy,
                100.0 * low,
                100.0 * high
            ));
        }
        let shown = Pictures {
            title: String::new(),
            images: self.pictures(asked, &codes, &found)?,
            columns: Some(found.k.min(9) + 1),
        };
        if !shown.images.is_empty() {
            artifact.parts.insert(0, Part::Pictures(shown));
        }
        let mut table = Table::new(["query", "rank", "image", "name", "label", "distance"]);
        for q in 0..n {
            for (rank, (r, distance)) in found.of(q).iter().zip(found.distances_of(q)).enumerate() {
                let label = labels[*r as usize].map_or(Cell::Nothing, |l| names[l].as_str().into());
                table.push([
                    asked.caption(q).into(),
                    (rank + 1).into(),
                    codes.rows[*r as usize].into(),
                    codes.caption(*r as usize).into(),
                    label,
                    (*distance).into(),
                ]);
            }
        }
        Ok(finish(artifact.part(Part::Table("neighbours".into(), table)), &codes))
    }
}

impl Nearest {
    /// Rows of a query and its neighbours.
    fn pictures(
        &self,
        asked: &Codes,
        codes: &Codes,
        found: &crate::embed::Neighbours,
    ) -> Result<Vec<(crate::data::Image, String)>> {
        let (Some(own), Some(data)) = (&asked.data, &codes.data) else { return Ok(Vec::new()) };
        let shown = self.show.min(asked.len());
        let mut out = Vec::new();
        for q in (0..shown).map(|i| i * asked.len() / shown.max(1)) {
            let image = crate::probes::retrieval::coding::thumbnail(&own.get(asked.rows[q])?, 192)?;
            let label = image.label().map_or_else(|| asked.caption(q), str::to_string);
            out.push((image, format!("query: {label}")));
            for (r, distance) in found.of(q).iter().zip(found.distances_of(q)).take(9) {
                let image = crate::probes::retrieval::coding::thumbnail(&data.get(codes.rows[*r as usize])?, 192)?;
                let label = image.label().map_or_else(|| codes.caption(*r as usize), str::to_string);
                out.push((image, format!("{label}, distance {distance:.3}")));
            }
        }
        Ok(out)
    }
}

/// Votes by class, with intervals.
fn by_class(names: &[String], known: &[(usize, Option<usize>)]) -> Table {
    let mut table = Table::new(["class", "right", "low", "high", "images"]);
    let mut push = |name: &str, those: Vec<&(usize, Option<usize>)>| {
        let hits = those.iter().filter(|(t, v)| Some(*t) == *v).count();
        let (low, high) = wilson(hits, those.len(), Z95);
        let share = hits as f64 / those.len() as f64;
        table.push([name.into(), share.into(), low.into(), high.into(), those.len().into()]);
    };
    push("all", known.iter().collect());
    for (c, name) in names.iter().enumerate() {
        let those: Vec<_> = known.iter().filter(|(t, _)| *t == c).collect();
        if !those.is_empty() {
            push(name, those);
        }
    }
    table
}
