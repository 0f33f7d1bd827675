//! People together: an image counts as right where any of those who answered it is right. It is the optimistic accuracy of people
//! who could confer (Russakovsky et al. 2014, section 6.4).

use super::judges::{Judge, Panel};
use crate::show::{Cell, Part, Table};
use crate::stats::{Z95, wilson};

/// Right answers among the images that at least two people answered.
pub struct Together {
    /// Shares of images on which anybody's first guess, and anybody's first five guesses, are right.
    pub shares: [f64; 2],
    /// The table: people together, the same people one by one, and nets, on the same images.
    pub part: Part,
}

/// People together, where any image was answered by two of them.
pub fn of(panel: &Panel) -> Option<Together> {
    let said = |judge: &Judge, p: usize| judge.said[p].is_some();
    let shared: Vec<usize> =
        (0..panel.images.len()).filter(|p| panel.people().filter(|j| said(j, *p)).count() > 1).collect();
    if shared.is_empty() {
        return None;
    }
    let people = panel.people().filter(|j| shared.iter().any(|p| said(j, *p))).count();
    let any = |p: usize, top: usize| panel.people().any(|j| j.right(p, panel.truth[p], top) == Some(true));
    let several = panel.several_guesses();
    let mut columns = vec!["subject", "images", "top1", "low", "high"];
    if several {
        columns.extend(["top5", "low5", "high5"]);
    }
    let mut table = Table::new(columns);
    let mut row = |name: String, right: [usize; 2], n: usize| {
        let mut cells: Vec<Cell> = vec![name.into(), n.into()];
        for right in right.into_iter().take(if several { 2 } else { 1 }) {
            let (low, high) = wilson(right, n, Z95);
            cells.extend([(right as f64 / n as f64).into(), low.into(), high.into()]);
        }
        table.push(cells);
    };
    let right = [1, 5].map(|top| shared.iter().filter(|p| any(**p, top)).count());
    row(format!("any of {people} people"), right, shared.len());
    for judge in &panel.judges {
        let own: Vec<usize> = shared.iter().copied().filter(|p| said(judge, *p)).collect();
        if own.is_empty() {
            continue;
        }
        let is_right = |p: &&usize, top: usize| judge.right(**p, panel.truth[**p], top) == Some(true);
        row(judge.name.clone(), [1, 5].map(|top| own.iter().filter(|p| is_right(p, top)).count()), own.len());
    }
    let shares = right.map(|right| right as f64 / shared.len() as f64);
    let title = "people together: right where any of them is, on images that at least two answered".to_string();
    Some(Together { shares, part: Part::Table(title, table) })
}
