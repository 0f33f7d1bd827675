//! The artifacts of right and wrong predictions, of a net or of a table: shares with their intervals, confusions.

use crate::error::Result;
use crate::show::{Artifact, Matrix, Part, Scale, Table};
use crate::stats::{Z95, wilson};
use candle_core::{Device, Tensor};

/// Of each class, by its name: images, right first guesses, right ones among five guesses.
pub(super) type ClassHits = Vec<(String, [usize; 3])>;

/// The artifact of how often a label is the first guess (`top1`) and, where `five` were made, among five (`top5`), over all and
/// by label.
pub(super) fn accuracy(title: String, counts: ClassHits, five: bool) -> Result<Artifact> {
    let [n, top1, top5] = counts.iter().fold([0; 3], |a, (_, h)| [a[0] + h[0], a[1] + h[1], a[2] + h[2]]);
    let mut overall = Table::new(["measure", "share", "low", "high", "right", "images"]);
    let mut artifact = Artifact::new(title);
    for (name, hit) in [("top1", top1), ("top5", top5)].into_iter().take(if five { 2 } else { 1 }) {
        let (share, (low, high)) = (hit as f64 / n.max(1) as f64, wilson(hit, n, Z95));
        overall.push([name.into(), share.into(), low.into(), high.into(), hit.into(), n.into()]);
        artifact = artifact.array(name, scalar(share)?);
        artifact = artifact.array(&format!("{name}_low"), scalar(low)?);
        artifact = artifact.array(&format!("{name}_high"), scalar(high)?);
    }
    let columns = ["label", "top1", "low", "high"].into_iter().chain(five.then_some("top5")).chain(["images"]);
    let mut by_label = Table::new(columns);
    for (name, [n, top1, top5]) in counts.into_iter().filter(|(_, h)| h[0] > 0) {
        let (low, high) = wilson(top1, n, Z95);
        let share = |hit: usize| hit as f64 / n as f64;
        let row = [name.into(), share(top1).into(), low.into(), high.into()];
        by_label.push(row.into_iter().chain(five.then(|| share(top5).into())).chain([n.into()]));
    }
    Ok(artifact
        .array("images", scalar(n as f64)?)
        .part(Part::Table("accuracy".into(), overall))
        .part(Part::Table("by label".into(), by_label)))
}

/// The artifact of how often each class is predicted for each label: `counts` of (label, class), by their indices in `names`; the
/// labels that the data have are `present`, ascending.
pub(super) fn confusion(
    title: String,
    counts: impl Iterator<Item = ((usize, usize), usize)>,
    present: &[usize],
    name: impl Fn(usize) -> String,
) -> Result<Artifact> {
    let pairs: Vec<((usize, usize), usize)> = counts.collect();
    let n = present.len();
    let mut cells = vec![0usize; n * (n + 1)];
    for ((label, class), count) in &pairs {
        let row = present.binary_search(label).unwrap_or(0);
        cells[row * (n + 1) + present.binary_search(class).unwrap_or(n)] += *count;
    }
    let mut wrong: Vec<((usize, usize), usize)> = pairs.into_iter().filter(|((l, c), _)| l != c).collect();
    wrong.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut table = Table::new(["label", "taken for", "images"]);
    for ((label, class), count) in wrong {
        table.push([name(label).into(), name(class).into(), count.into()]);
    }
    let values = Tensor::from_vec(cells.iter().map(|c| *c as f32).collect::<Vec<_>>(), (n, n + 1), &Device::Cpu)?;
    let names: Vec<String> = present.iter().map(|c| name(*c)).collect();
    let matrix = Matrix {
        title: "label (rows) against most probable class (columns)".into(),
        values: values.clone(),
        columns: names.iter().cloned().chain(["any other".to_string()]).collect(),
        rows: names,
        label: "images".into(),
        scale: Scale::Sequential { low: Some(0.0), high: None },
    };
    Ok(Artifact::new(title)
        .array("counts", values)
        .part(Part::Matrix(matrix))
        .part(Part::Table("confusions".into(), table)))
}

fn scalar(x: f64) -> Result<Tensor> {
    Ok(Tensor::new(&[x], &Device::Cpu)?)
}
