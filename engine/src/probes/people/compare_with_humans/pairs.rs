//! Each pair of judges on the images that both judged.

use super::judges::{Judge, Panel};
use crate::job::Job;
use crate::show::{Cell, Part, Table};
use crate::stats::agreement::{Paired, cohen_kappa, difference, z_test};
use crate::stats::quantile;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;

/// Two judges; the first is the one that errs more often.
pub struct JudgePair {
    /// Their places in the panel.
    pub judges: [usize; 2],
    /// How often they are right and wrong.
    pub counts: Paired,
    /// z and the one-sided p value that the first errs more often.
    pub z: Option<(f64, f64)>,
    /// Cohen's kappa over the classes of the first guesses.
    pub kappa: Option<f64>,
    /// The 95 % bootstrap interval of the error consistency.
    pub interval: Option<(f64, f64)>,
}

/// All pairs with images in common: people with nets first, then nets, then people among themselves.
pub fn of(panel: &Panel, top: usize, job: &Job) -> Vec<JudgePair> {
    let n = panel.judges.len();
    let mut all: Vec<(usize, usize)> = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect();
    all.sort_by_key(|(a, b)| match (panel.judges[*a].person, panel.judges[*b].person) {
        (true, true) => 2,
        (false, false) => 1,
        _ => 0,
    });
    all.into_iter().filter_map(|(a, b)| pair(panel, a, b, top, job)).collect()
}

fn pair(panel: &Panel, a: usize, b: usize, top: usize, job: &Job) -> Option<JudgePair> {
    let right = |j: usize, p: usize| panel.judges[j].right(p, panel.truth[p], top);
    let both = |a: usize, b: usize| -> Vec<(bool, bool)> {
        (0..panel.images.len()).filter_map(|p| Some((right(a, p)?, right(b, p)?))).collect()
    };
    let [a, b] = match Paired::of(both(a, b)).errors() {
        [x, y] if x < y => [b, a],
        _ => [a, b],
    };
    let pairs = both(a, b);
    let counts = Paired::of(pairs.iter().copied());
    if counts.n() == 0 {
        return None;
    }
    let first = |j: usize, p: usize| panel.judges[j].said[p].as_ref().and_then(|s| s.guesses.first().copied());
    let named: Vec<(usize, usize)> =
        (0..panel.images.len()).filter_map(|p| Some((first(a, p)?, first(b, p)?))).collect();
    let rng = job.rng(&format!("compare_with_humans {} {}", panel.judges[a].name, panel.judges[b].name));
    let mut kappas: Vec<f64> = (0..RESAMPLES)
        .filter_map(|r| {
            let draw = |k: usize| (rng.uniform_at((r * pairs.len() + k) as u64) * pairs.len() as f64) as usize;
            Paired::of((0..pairs.len()).map(|k| pairs[draw(k).min(pairs.len() - 1)])).error_consistency()
        })
        .collect();
    kappas.sort_by(f64::total_cmp);
    let interval = counts.error_consistency().and(quantile(&kappas, 0.025).zip(quantile(&kappas, 0.975)));
    Some(JudgePair {
        judges: [a, b],
        z: z_test(counts.errors(), [counts.n(); 2]),
        kappa: cohen_kappa(&named),
        counts,
        interval,
    })
}

/// The tables.
pub fn parts(panel: &Panel, pairs: &[JudgePair], top: usize) -> Vec<Part> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let name = |j: usize| panel.judges[j].name.as_str();
    let cell = |v: Option<f64>| v.map_or(Cell::Nothing, Cell::Float);
    let mut errors = Table::new([
        "errs more",
        "errs less",
        "images",
        "errors",
        "other's",
        "more by",
        "low",
        "high",
        "z",
        "p (one-sided)",
        "McNemar's p",
    ]);
    let mut together = Table::new([
        "first",
        "second",
        "both wrong",
        "only first",
        "only second",
        "overlap",
        "consistency",
        "low",
        "high",
        "kappa",
    ]);
    for pair in pairs {
        let [a, b] = pair.judges;
        let (c, [first, second]) = (&pair.counts, pair.counts.errors());
        let n = c.n();
        let (low, high) = difference([first, second], [n, n]);
        let (_, exact) = c.mcnemar();
        errors.push([
            name(a).into(),
            name(b).into(),
            n.into(),
            first.into(),
            second.into(),
            ((first - second) as f64 / n as f64).into(),
            low.into(),
            high.into(),
            cell(pair.z.map(|z| z.0)),
            cell(pair.z.map(|z| z.1)),
            exact.into(),
        ]);
        together.push([
            name(a).into(),
            name(b).into(),
            c.both_wrong.into(),
            c.first_wrong.into(),
            c.second_wrong.into(),
            cell(c.overlap()),
            cell(c.error_consistency()),
            cell(pair.interval.map(|i| i.0)),
            cell(pair.interval.map(|i| i.1)),
            cell(pair.kappa),
        ]);
    }
    let mut parts = vec![
        Part::Table(format!("who errs more (top-{top})"), errors),
        Part::Table(format!("do they err on the same images (top-{top})"), together),
    ];
    if pairs.len() > 3 {
        parts.push(Part::Table("mean error consistency".into(), means(panel, pairs)));
    }
    parts
}

/// The mean error consistency among people, among nets, and between the two.
fn means(panel: &Panel, pairs: &[JudgePair]) -> Table {
    let mut table = Table::new(["between", "pairs", "mean", "lowest", "highest"]);
    let person = |j: usize| panel.judges[j].person;
    for (between, people) in [("people", 2), ("people and nets", 1), ("nets", 0)] {
        let chosen = pairs.iter().filter(|p| p.judges.iter().filter(|j| person(**j)).count() == people);
        let mut all: Vec<f64> = chosen.filter_map(|p| p.counts.error_consistency()).collect();
        all.sort_by(f64::total_cmp);
        if let (Some(low), Some(high)) = (all.first(), all.last()) {
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            table.push([between.into(), all.len().into(), mean.into(), (*low).into(), (*high).into()]);
        }
    }
    table
}

/// The errors of a judge among the images of the panel, by whether the answer is right among `top` guesses.
pub fn errors(panel: &Panel, judge: &Judge, top: usize) -> usize {
    (0..panel.images.len()).filter(|p| judge.right(*p, panel.truth[*p], top) == Some(false)).count()
}
