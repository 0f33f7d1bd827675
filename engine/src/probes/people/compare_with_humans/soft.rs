//! Soft labels: the distribution of people's answers over the classes, and whether nets are uncertain where people are.

use super::judges::Panel;
use crate::data::Dataset;
use crate::error::{Context, Error, Result};
use crate::humans::{Classes, ImageIds};
use crate::params::{Form, Param, Value, wrong_kind};
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stats::{entropy, pearson, spearman};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::path::{Path, PathBuf};

/// How often people chose each class for each image.
#[derive(Clone, Debug, Default)]
pub enum ChoiceCounts {
    /// Counted from the labels.
    #[default]
    None,
    /// A table: a column `image`, and one a class.
    File(PathBuf),
    /// Images of the data set x classes.
    Tensor(Tensor),
}

impl Param for ChoiceCounts {
    const FILE: bool = true;

    fn form() -> Form {
        Form::words("the path of a .csv or .npy file, or a tensor")
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Nothing => Ok(ChoiceCounts::None),
            Value::Text(path) => Ok(ChoiceCounts::File(path.into())),
            Value::Tensor(t) => Ok(ChoiceCounts::Tensor(t.clone())),
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self {
            ChoiceCounts::None => Value::Nothing,
            ChoiceCounts::File(path) => Value::Text(path.to_string_lossy().into_owned()),
            ChoiceCounts::Tensor(t) => Value::Tensor(t.clone()),
        }
    }
}

/// Adds the nets' cross-entropy with people's answers, and the correlation of their uncertainties.
pub fn compare(
    given: &ChoiceCounts,
    panel: &Panel,
    data: &Dataset,
    keys: &ImageIds,
    classes: &Classes,
    artifact: Artifact,
) -> Result<Artifact> {
    let soft = match given {
        ChoiceCounts::None => from_answers(panel, classes.len()),
        ChoiceCounts::Tensor(t) => from_tensor(t, panel, data.len(), classes.len())?,
        ChoiceCounts::File(path) if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) => {
            from_tensor(&crate::data::load_tensor(path)?, panel, data.len(), classes.len())
                .context(|| format!("`{}`", path.display()))?
        }
        ChoiceCounts::File(path) => {
            from_table(path, panel, keys, classes).context(|| format!("`{}`", path.display()))?
        }
    };
    if soft.is_empty() {
        return Ok(artifact);
    }
    let unsure: Vec<f64> = soft.iter().map(|(_, s)| entropy(s)).collect();
    let own = unsure.iter().sum::<f64>() / unsure.len() as f64;
    let mut table = Table::new(["net", "images", "cross-entropy", "people's own entropy", "spearman", "pearson"]);
    let (mut series, mut values) = (Vec::new(), Vec::new());
    for net in panel.nets().filter(|n| !n.shares.is_empty()) {
        let seen: Vec<usize> =
            (0..soft.len()).filter(|k| net.shares.get(soft[*k].0).is_some_and(|s| !s.is_empty())).collect();
        let shares = |k: &usize| &net.shares[soft[*k].0];
        let loss =
            |k: &usize| -> f64 { soft[*k].1.iter().zip(shares(k)).map(|(q, p)| -q * libm::log(p.max(1e-12))).sum() };
        let cross = seen.iter().map(loss).sum::<f64>() / seen.len().max(1) as f64;
        let (x, y): (Vec<f64>, Vec<f64>) = seen.iter().map(|k| (unsure[*k], entropy(shares(k)))).unzip();
        let cell = |v: Option<f64>| v.map_or(Cell::Nothing, Cell::Float);
        table.push([
            net.name.as_str().into(),
            seen.len().into(),
            cross.into(),
            own.into(),
            cell(spearman(&x, &y)),
            cell(pearson(&x, &y)),
        ]);
        values.push(cross);
        series.push(Series { name: net.name.clone(), x, y, bars: Vec::new(), mark: Mark::Point });
    }
    if series.is_empty() {
        return Ok(artifact);
    }
    let plot = Plot {
        title: "are nets unsure where people are?".into(),
        x_label: "entropy of people's answers, nats".into(),
        y_label: "entropy of the net's probabilities, nats".into(),
        categories: Vec::new(),
        series,
    };
    let n = values.len();
    Ok(artifact
        .part(Part::Plot(plot))
        .part(Part::Table("soft labels".into(), table))
        .array("cross_entropy", tensor(values, &[n])?))
}

type Soft = Vec<(usize, Vec<f64>)>;

fn normalised(counts: Vec<f64>) -> Option<Vec<f64>> {
    let total: f64 = counts.iter().sum();
    (total > 0.0).then(|| counts.iter().map(|c| c / total).collect())
}

/// The first guesses, of images that two or more people answered; nothing where there are fewer than three such images.
fn from_answers(panel: &Panel, classes: usize) -> Soft {
    let count = |p: usize| {
        let mut counts = vec![0.0; classes];
        for guess in panel.people().filter_map(|j| j.said[p].as_ref()?.guesses.first().copied()) {
            counts[guess] += 1.0;
        }
        if counts.iter().sum::<f64>() < 2.0 { None } else { normalised(counts).map(|s| (p, s)) }
    };
    let soft: Soft = (0..panel.images.len()).filter_map(count).collect();
    if soft.len() < 3 { Vec::new() } else { soft }
}

fn from_tensor(counts: &Tensor, panel: &Panel, images: usize, classes: usize) -> Result<Soft> {
    if counts.dims() != [images, classes] {
        return Err(Error::shape(format!(
            "counts of shape {:?} for {images} images and {classes} classes",
            counts.dims()
        )));
    }
    let all = to_f64(counts)?;
    check(&all)?;
    let row = |(p, i): (usize, &usize)| normalised(all[i * classes..(i + 1) * classes].to_vec()).map(|s| (p, s));
    Ok(panel.images.iter().enumerate().filter_map(row).collect())
}

fn check(counts: &[f64]) -> Result<()> {
    match counts.iter().find(|c| !c.is_finite() || **c < 0.0) {
        Some(wrong) => Err(Error::value(format!("{wrong} is no count of answers"))),
        None => Ok(()),
    }
}

fn from_table(path: &Path, panel: &Panel, keys: &ImageIds, classes: &Classes) -> Result<Soft> {
    let damaged = |e: csv::Error| Error::format(e.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(damaged)?;
    let header: Vec<String> = reader.headers().map_err(damaged)?.iter().map(str::to_string).collect();
    let image = header
        .iter()
        .position(|h| h.eq_ignore_ascii_case("image"))
        .ok_or_else(|| Error::format(format!("no column `image` among `{}`", header.join("`, `"))))?;
    let columns: Vec<(usize, usize)> = header
        .iter()
        .enumerate()
        .filter(|(c, _)| *c != image)
        .map(|(c, name)| Ok((c, classes.index(name).map_err(|e| e.context(format!("column `{name}`")))?)))
        .collect::<Result<_>>()?;
    let places: std::collections::BTreeMap<usize, usize> =
        panel.images.iter().enumerate().map(|(p, i)| (*i, p)).collect();
    let mut soft = Soft::new();
    for row in reader.records() {
        let row = row.map_err(damaged)?;
        let Some(p) = keys.index(&row[image]).and_then(|i| places.get(&i)) else { continue };
        let mut counts = vec![0.0; classes.len()];
        for (column, class) in &columns {
            let text = &row[*column];
            counts[*class] += if text.is_empty() {
                0.0
            } else {
                text.parse().map_err(|_| Error::value(format!("`{text}` is no count of answers")))?
            };
        }
        check(&counts)?;
        soft.extend(normalised(counts).map(|s| (*p, s)));
    }
    soft.sort_by_key(|(p, _)| *p);
    Ok(soft)
}
