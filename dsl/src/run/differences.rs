//! Two runs side by side, array by array on one scale, with their differences.

use convscope_engine::run::{Array, Content};
use convscope_engine::show::{Cell, Grid, Mark, Part, Pictures, Plot, Scale, Series, Table, Tile};
use convscope_engine::{Artifact, Device, Result, Tensor};
use std::collections::BTreeMap;

/// Outputs with all values, by name.
pub type Outputs = BTreeMap<String, Content>;

/// A summary, then an artifact for each output that differs and can be drawn.
///
/// # Errors
/// Where an array has no form as a map.
pub fn compared(a: &Outputs, b: &Outputs, names: &[String; 2]) -> Result<Vec<Artifact>> {
    let mut table = Table::new(["output", "form", "values that differ", "largest difference", "largest ulp"]);
    let mut drawn = Vec::new();
    for (name, left) in a {
        let Some(right) = b.get(name) else {
            table.push([
                name.as_str().into(),
                format!("only in {}", names[0]).into(),
                Cell::Nothing,
                Cell::Nothing,
                Cell::Nothing,
            ]);
            continue;
        };
        match (left, right) {
            (Content::Array(x), Content::Array(y)) if x.shape == y.shape => {
                let differ = x.values.iter().zip(&y.values).filter(|(p, q)| p.to_bits() != q.to_bits()).count();
                let largest = x.values.iter().zip(&y.values).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max);
                let ulp = x.values.iter().zip(&y.values).map(|(p, q)| x.steps(*p, *q)).max().unwrap_or(0);
                let form = format!("{} {:?}", x.dtype, x.shape);
                let count = format!("{differ} of {}", x.values.len());
                table.push([name.as_str().into(), form.into(), count.into(), largest.into(), Cell::Int(ulp as i64)]);
                if differ > 0 {
                    drawn.push(side_by_side(name, x, y, names)?);
                }
            }
            (Content::Array(x), Content::Array(y)) => {
                let form = format!("{:?} and {:?}", x.shape, y.shape);
                table.push([name.as_str().into(), form.into(), "other shapes".into(), Cell::Nothing, Cell::Nothing]);
            }
            (Content::Image(x), Content::Image(y)) => {
                let same = x == y;
                let word = if same { "the same" } else { "differs" };
                table.push([name.as_str().into(), "picture".into(), word.into(), Cell::Nothing, Cell::Nothing]);
                if !same {
                    let images = vec![(x.clone(), names[0].clone()), (y.clone(), names[1].clone())];
                    let part = Pictures { title: String::new(), images, columns: Some(2) };
                    drawn.push(Artifact::new(name.clone()).part(Part::Pictures(part)));
                }
            }
            (Content::Text(x), Content::Text(y)) => {
                let differ = x.lines().zip(y.lines()).filter(|(p, q)| p != q).count()
                    + x.lines().count().abs_diff(y.lines().count());
                let count = format!("{differ} of {} lines", x.lines().count().max(y.lines().count()));
                table.push([name.as_str().into(), "text".into(), count.into(), Cell::Nothing, Cell::Nothing]);
                if differ > 0 {
                    drawn.push(lines(name, x, y, names));
                }
            }
            _ => table.push([name.as_str().into(), "file".into(), Cell::Nothing, Cell::Nothing, Cell::Nothing]),
        }
    }
    for name in b.keys().filter(|name| !a.contains_key(*name)) {
        table.push([
            name.as_str().into(),
            format!("only in {}", names[1]).into(),
            Cell::Nothing,
            Cell::Nothing,
            Cell::Nothing,
        ]);
    }
    let summary = Artifact::new(format!("{} beside {}", names[0], names[1])).part(Part::Table(String::new(), table));
    Ok(std::iter::once(summary).chain(drawn).collect())
}

/// Two arrays of one shape on a common scale, and their difference on its own scale.
fn side_by_side(name: &str, x: &Array, y: &Array, names: &[String; 2]) -> Result<Artifact> {
    let difference: Vec<f64> = x.values.iter().zip(&y.values).map(|(p, q)| q - p).collect();
    let artifact = Artifact::new(name);
    let sides = [(names[0].as_str(), x.values.clone()), (names[1].as_str(), y.values.clone())];
    let Some((rows, columns)) = plane(&x.shape) else {
        let series = |(name, y): (&str, Vec<f64>)| Series {
            name: name.into(),
            x: (0..y.len()).map(|i| i as f64).collect(),
            y,
            bars: Vec::new(),
            mark: if x.values.len() > 40 { Mark::Line } else { Mark::Point },
        };
        let part = Plot {
            title: String::new(),
            x_label: "index".into(),
            y_label: "value".into(),
            categories: Vec::new(),
            series: sides.into_iter().map(series).collect(),
        };
        return Ok(artifact.part(Part::Plot(part)));
    };
    let channels = x.values.len() / (rows * columns).max(1);
    // Of several channels, the value of largest magnitude is drawn at each place.
    let flat = |values: &[f64]| -> Vec<f32> {
        (0..rows * columns)
            .map(|i| {
                let along = (0..channels).map(|c| values[c * rows * columns + i]);
                along.fold(0.0, |best: f64, v| if v.abs() > best.abs() { v } else { best }) as f32
            })
            .collect()
    };
    let tile = |caption: &str, values: &[f64]| -> Result<Tile> {
        let values = Tensor::from_vec(flat(values), (rows, columns), &Device::Cpu)?;
        Ok(Tile { caption: caption.into(), values })
    };
    let signed = x.values.iter().chain(&y.values).any(|v| *v < 0.0);
    let scale = if signed { Scale::Diverging { bound: None } } else { Scale::Sequential { low: None, high: None } };
    let tiles = sides.iter().map(|(name, values)| tile(name, values)).collect::<Result<_>>()?;
    let grid = |title: &str, tiles, scale| {
        Part::Grid(Grid { title: title.into(), tiles, columns: Some(2), label: "value".into(), scale })
    };
    let between = vec![tile(&format!("{} - {}", names[1], names[0]), &difference)?];
    let artifact = artifact.part(grid("both on one scale", tiles, scale)).part(grid(
        "the difference, on its own scale",
        between,
        Scale::Diverging { bound: None },
    ));
    Ok(match channels {
        1 => artifact,
        _ => artifact.note(format!("of {channels} channels the value of the largest magnitude is drawn at each place")),
    })
}

/// The sizes of the last two axes, where both are above 1.
fn plane(shape: &[usize]) -> Option<(usize, usize)> {
    match shape {
        [.., rows, columns] if *rows > 1 && *columns > 1 => Some((*rows, *columns)),
        _ => None,
    }
}

/// The lines that differ, side by side.
fn lines(name: &str, x: &str, y: &str, names: &[String; 2]) -> Artifact {
    const MAX_DIFFERING_LINES: usize = 20;
    let mut table = Table::new(["line".to_string(), names[0].clone(), names[1].clone()]);
    let (x, y): (Vec<&str>, Vec<&str>) = (x.lines().collect(), y.lines().collect());
    let at = |lines: &[&str], i: usize| lines.get(i).map_or(Cell::Nothing, |l| Cell::Text(l.trim().to_string()));
    let differ = (0..x.len().max(y.len())).filter(|i| x.get(*i) != y.get(*i));
    for i in differ.take(MAX_DIFFERING_LINES) {
        table.push([Cell::Int(i as i64 + 1), at(&x, i), at(&y, i)]);
    }
    Artifact::new(name).part(Part::Table(String::new(), table))
}
