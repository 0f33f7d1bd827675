//! The figures and tables of a comparison.

use super::judges::{Judge, Panel};
use super::pairs::errors;
use crate::data::Dataset;
use crate::error::Result;
use crate::humans::taxonomy::KINDS;
use crate::humans::{Classes, ImageIds, Tag};
use crate::show::{Cell, Mark, Matrix, Part, Pictures, Plot, Scale, Series, Table};
use crate::stats::{Z95, quantile, wilson};
use crate::tensor::tensor;
use std::collections::{BTreeMap, BTreeSet};

/// Most classes of which a confusion matrix is drawn.
const MAX_MATRIX_CLASSES: usize = 64;
/// Most judges whose confusion matrices are drawn.
const MAX_MATRICES: usize = 12;

/// How well each judge does.
pub struct Subjects {
    /// A figure and a table.
    pub parts: Vec<Part>,
    /// The share of right first guesses.
    pub top1: Vec<f64>,
    /// The share of right answers among five guesses.
    pub top5: Vec<f64>,
}

pub fn subjects(panel: &Panel) -> Result<Subjects> {
    let mut table = Table::new([
        "subject",
        "kind",
        "images",
        "errors",
        "top1",
        "low",
        "high",
        "top5 errors",
        "top5",
        "low5",
        "high5",
    ]);
    let several = panel.several_guesses();
    let (mut shares, mut bars) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for judge in &panel.judges {
        let n = judge.said.iter().flatten().count();
        let mut cells: Vec<Cell> = vec![judge.name.as_str().into(), judge.kind().into(), n.into()];
        for (k, top) in [1, 5].into_iter().enumerate() {
            let wrong = errors(panel, judge, top);
            let interval = wilson(n - wrong, n, Z95);
            shares[k].push((n - wrong) as f64 / n.max(1) as f64);
            bars[k].push(interval);
            if top == 1 || several {
                let share = (n - wrong) as f64 / n.max(1) as f64;
                cells.extend([wrong.into(), share.into(), interval.0.into(), interval.1.into()]);
            }
        }
        table.push(cells);
    }
    let series = |k: usize, name: &str| Series {
        name: name.into(),
        x: (0..panel.judges.len()).map(|i| i as f64 + if several { [-0.12, 0.12][k] } else { 0.0 }).collect(),
        y: shares[k].clone(),
        bars: bars[k].clone(),
        mark: Mark::Point,
    };
    let plot = Plot {
        title: "right answers".into(),
        x_label: String::new(),
        y_label: "share of images, 95 % Wilson".into(),
        categories: panel.judges.iter().map(|j| j.name.clone()).collect(),
        series: if several { vec![series(0, "top-1"), series(1, "top-5")] } else { vec![series(0, "top-1")] },
    };
    let [top1, top5] = shares;
    Ok(Subjects { parts: vec![Part::Plot(plot), Part::Table("right and wrong".into(), table)], top1, top5 })
}

/// How often each kind of error was named, by whose error it is.
pub fn kinds(panel: &Panel, tags: &[Tag], keys: &ImageIds, top: usize) -> Vec<Part> {
    let places: BTreeMap<usize, usize> = panel.images.iter().enumerate().map(|(p, i)| (*i, p)).collect();
    let mut table = Table::new(["kind of error", "subject", "errors", "of", "share", "low", "high"]);
    let mut series = Vec::new();
    for judge in &panel.judges {
        let of = errors(panel, judge, top);
        // An error of several kinds counts for each; several reviewers of one error count once.
        let mut named: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for tag in tags.iter().filter(|t| t.subject == judge.name) {
            let Some(p) = keys.index(&tag.image).and_then(|i| places.get(&i)) else { continue };
            if judge.right(*p, panel.truth[*p], top) == Some(false) {
                for kind in &tag.kinds {
                    named.entry(kind).or_default().insert(*p);
                }
            }
        }
        if named.is_empty() {
            continue;
        }
        let counts: Vec<usize> = KINDS.iter().map(|k| named.get(k.name).map_or(0, BTreeSet::len)).collect();
        for (kind, n) in KINDS.iter().zip(&counts) {
            let (low, high) = wilson(*n, of, Z95);
            let share = *n as f64 / of.max(1) as f64;
            table.push([
                kind.name.into(),
                judge.name.as_str().into(),
                (*n).into(),
                of.into(),
                share.into(),
                low.into(),
                high.into(),
            ]);
        }
        series.push(Series {
            name: judge.name.clone(),
            x: (0..KINDS.len()).map(|k| k as f64).collect(),
            y: counts.iter().map(|n| *n as f64 / of.max(1) as f64).collect(),
            bars: Vec::new(),
            mark: Mark::Bar,
        });
    }
    if table.is_empty() {
        return Vec::new();
    }
    let plot = Plot {
        title: "kinds of errors".into(),
        x_label: String::new(),
        y_label: "share of the subject's errors".into(),
        categories: KINDS.iter().map(|k| k.name.to_string()).collect(),
        series,
    };
    vec![Part::Plot(plot), Part::Table("kinds of errors".into(), table)]
}

/// People's times per image.
pub fn times(panel: &Panel) -> Vec<Part> {
    let mut table = Table::new([
        "person",
        "images",
        "median s",
        "quarter below",
        "quarter above",
        "median when right",
        "median when wrong",
    ]);
    for judge in panel.people() {
        let times = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
            let all = judge.said.iter().enumerate().filter(|(p, _)| keep(*p));
            let mut all: Vec<f64> = all.filter_map(|(_, s)| s.as_ref()?.time_s).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let all = times(&|_| true);
        if all.is_empty() {
            continue;
        }
        let right = |p: usize| judge.right(p, panel.truth[p], 5) == Some(true);
        let cell = |v: Option<f64>| v.map_or(Cell::Nothing, Cell::Float);
        table.push([
            judge.name.as_str().into(),
            all.len().into(),
            cell(quantile(&all, 0.5)),
            cell(quantile(&all, 0.25)),
            cell(quantile(&all, 0.75)),
            cell(quantile(&times(&right), 0.5)),
            cell(quantile(&times(&|p| !right(p)), 0.5)),
        ]);
    }
    if table.is_empty() { Vec::new() } else { vec![Part::Table("time per image".into(), table)] }
}

/// Images that both people and a net get wrong, only the net, only people.
pub fn galleries(panel: &Panel, data: &Dataset, classes: &Classes, top: usize, most: usize) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    if most == 0 || panel.people().next().is_none() {
        return Ok(parts);
    }
    for net in panel.nets() {
        let kinds =
            [("both wrong", true, true), ("only the net wrong", true, false), ("only people wrong", false, true)];
        for (title, net_errs, people_err) in kinds {
            let is = |p: &usize| {
                net.right(*p, panel.truth[*p], top) == Some(!net_errs) && panel.people_err(*p, top) == Some(people_err)
            };
            let found: Vec<usize> = (0..panel.images.len()).filter(is).collect();
            let images = found
                .iter()
                .take(most)
                .map(|p| Ok((data.get(panel.images[*p])?, caption(panel, net, classes, *p))))
                .collect::<Result<Vec<_>>>()?;
            if !images.is_empty() {
                let title = format!("{title}: {} of {} images ({})", found.len(), panel.images.len(), net.name);
                parts.push(Part::Pictures(Pictures { title, images, columns: None }));
            }
        }
    }
    Ok(parts)
}

/// What it is, what people say, what the net says.
fn caption(panel: &Panel, net: &Judge, classes: &Classes, p: usize) -> String {
    let first = |j: &Judge| j.said[p].as_ref().map(|s| s.guesses.first().map_or("-", |g| classes.name(*g)).to_string());
    let mut votes: BTreeMap<String, usize> = BTreeMap::new();
    for vote in panel.people().filter_map(first) {
        *votes.entry(vote).or_default() += 1;
    }
    let people = votes.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0))).map_or_else(|| "-".into(), |v| v.0);
    format!("{}; people: {people}; net: {}", classes.name(panel.truth[p]), first(net).unwrap_or_else(|| "-".into()))
}

/// Confusion matrices on one scale, and the most frequent confusions.
pub fn confusions(panel: &Panel, classes: &Classes) -> Result<Vec<Part>> {
    let mut present: Vec<usize> = panel.truth.clone();
    present.sort_unstable();
    present.dedup();
    let n = present.len();
    let mut table = Table::new(["subject", "label", "taken for", "images", "of"]);
    let mut matrices = Vec::new();
    for judge in &panel.judges {
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut totals: BTreeMap<usize, usize> = BTreeMap::new();
        for (p, said) in judge.said.iter().enumerate() {
            let Some(said) = said else { continue };
            *totals.entry(panel.truth[p]).or_default() += 1;
            if let Some(guess) = said.guesses.first() {
                *counts.entry((panel.truth[p], *guess)).or_default() += 1;
            }
        }
        let mut wrong: Vec<(&(usize, usize), &usize)> = counts.iter().filter(|((t, g), _)| t != g).collect();
        wrong.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        for ((t, g), count) in wrong.into_iter().take(10) {
            table.push([
                judge.name.as_str().into(),
                classes.name(*t).into(),
                classes.name(*g).into(),
                (*count).into(),
                totals[t].into(),
            ]);
        }
        if n <= MAX_MATRIX_CLASSES && matrices.len() < MAX_MATRICES {
            let mut values = vec![0.0f32; n * (n + 1)];
            for ((t, g), count) in &counts {
                let row = present.binary_search(t).unwrap_or(0);
                values[row * (n + 1) + present.binary_search(g).unwrap_or(n)] +=
                    *count as f32 / totals[t].max(1) as f32;
            }
            matrices.push((judge.name.clone(), tensor(values, &[n, n + 1])?));
        }
    }
    let mut parts = Vec::new();
    let rows: Vec<String> = present.iter().map(|c| classes.name(*c).to_string()).collect();
    let columns: Vec<String> = rows.iter().cloned().chain(["any other".to_string()]).collect();
    parts.extend(matrices.into_iter().map(|(name, values)| {
        Part::Matrix(Matrix {
            title: format!("{name}: right class (rows) against first guess (columns)"),
            values,
            rows: rows.clone(),
            columns: columns.clone(),
            label: "share of the row's images".into(),
            scale: Scale::Sequential { low: Some(0.0), high: Some(1.0) },
        })
    }));
    if !table.is_empty() {
        parts.push(Part::Table("confusions".into(), table));
    }
    Ok(parts)
}
