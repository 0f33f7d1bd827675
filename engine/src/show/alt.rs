//! Alternative texts: a figure described in sentences from its data, for readers who cannot see it. Reports and notebooks carry
//! them with pictures, saved files as their description.

use super::artifact::{
    Artifact, Boxes, ClassMap, Cloud, Grid, Map, Mark, Matrix, Mosaic, Part, Pictures, Plot, Series, Style,
};
use super::field::ValueGrid;
use super::headline::headline;
use super::part::{is_said, part_title};
use super::table::short;
use crate::error::Result;
use crate::tensor::to_f32;

/// The length of an alternative text, characters, at which it is cut; screen readers read it without a pause.
const MAX_CHARACTERS: usize = 700;
/// How many names are listed.
const MAX_NAMES: usize = 6;

/// The artifact's figure in sentences.
pub fn alt(artifact: &Artifact) -> String {
    let mut sentences = Vec::new();
    if !artifact.title.is_empty() {
        sentences.push(headline(&artifact.title, true));
    }
    for part in artifact.parts.iter().filter(|p| !matches!(p, Part::Table(..) | Part::Text(_))) {
        sentences.push(match part {
            Part::Figure(inner, _) => inner.iter().filter(|a| a.is_drawn()).map(alt).collect::<Vec<_>>().join(" "),
            part => of_part(part, &artifact.title),
        });
    }
    joined(&sentences)
}

/// A part in sentences, with its title where the artifact's title does not contain it.
pub fn of_part(part: &Part, above: &str) -> String {
    let own = part_title(part);
    let title = if own.is_empty() || is_said(above, own) { String::new() } else { headline(own, true) };
    joined(&[title, said(part).unwrap_or_else(|e| e.message)])
}

/// Sentences in sequence, each with a full stop, cut at [`MAX_CHARACTERS`] characters.
fn joined(sentences: &[String]) -> String {
    let ended = |s: &String| {
        let s = s.trim();
        if s.is_empty() || s.ends_with(['.', '!', '?']) { s.to_string() } else { format!("{s}.") }
    };
    let all = sentences.iter().map(ended).filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ");
    match all.char_indices().nth(MAX_CHARACTERS) {
        None => all,
        Some((end, _)) => {
            let cut = all[..end].rfind(' ').unwrap_or(end);
            format!("{} …", &all[..cut])
        }
    }
}

fn said(part: &Part) -> Result<String> {
    match part {
        Part::Map(m) => map(m),
        Part::ClassMap(m) => classes(m),
        Part::Boxes(b) => Ok(boxes(b)),
        Part::SignalMap(m) => m.words().map(|words| format!("Line of a {words}")),
        Part::VolumeMap(m) => m.words().map(|words| format!("Three planes of a {words}")),
        Part::Grid(g) => grid(g),
        Part::Matrix(m) => matrix(m),
        Part::Pictures(p) => Ok(pictures(p)),
        Part::Plot(p) => Ok(plot(p)),
        Part::Cloud(c) => Ok(cloud(c)),
        Part::Mosaic(m) => Ok(mosaic(m)),
        Part::Table(_, t) => Ok(format!("Table of {}", counted(t.len(), "row", "rows"))),
        Part::Text(_) => Ok(String::new()),
        Part::Figure(inner, _) => Ok(counted(inner.len(), "result", "results")),
    }
}

fn map(map: &Map) -> Result<String> {
    if map.style == Style::Photo {
        return Ok("The photo".into());
    }
    let field = ValueGrid::of(&map.values)?;
    let of = if map.label.is_empty() { String::new() } else { format!(" of {}", map.label) };
    let over = if map.photo.is_some() && map.style == Style::Overlay { ", also laid over the photo" } else { "" };
    let mut out = format!("Heat map{of}, {} by {} values{}{over}", field.rows, field.columns, range(&field.values));
    if let Some((row, column)) = field.peak().filter(|_| field.rows > 1 && field.columns > 1) {
        let place = place([row as f64 / (field.rows - 1) as f64, column as f64 / (field.columns - 1) as f64]);
        out += &format!("; the largest lies {place}, at row {row}, column {column}");
    }
    Ok(out)
}

/// The position on a picture in words; from shares of its height and width.
fn place([down, across]: [f64; 2]) -> &'static str {
    let third = |v: f64| ((v * 3.0) as usize).min(2);
    [
        ["at the top left", "at the top", "at the top right"],
        ["at the left", "in the middle", "at the right"],
        ["at the bottom left", "at the bottom", "at the bottom right"],
    ][third(down)][third(across)]
}

fn classes(map: &ClassMap) -> Result<String> {
    let values = to_f32(&map.values)?;
    let share =
        |number: usize| values.iter().filter(|v| **v == number as f32).count() as f64 / values.len().max(1) as f64;
    let each = map.names.iter().map(|(i, name)| format!("{name} at {}", percent(share(*i))));
    Ok(format!("Map of {}: {} of the positions", counted(map.names.len(), "class", "classes"), list(each)))
}

fn boxes(boxes: &Boxes) -> String {
    let each = boxes.boxes.iter().map(|b| b.caption.clone());
    let found = counted(boxes.boxes.len(), "box", "boxes");
    if boxes.boxes.is_empty() {
        "A photo without boxes".into()
    } else {
        format!("A photo with {found}: {}", list(each))
    }
}

fn grid(grid: &Grid) -> Result<String> {
    let mut all = Vec::new();
    let mut strongest: Option<(f32, &str)> = None;
    for tile in &grid.tiles {
        let values = to_f32(&tile.values)?;
        let most = values.iter().filter(|v| v.is_finite()).fold(0.0f32, |m, v| m.max(v.abs()));
        if strongest.is_none_or(|(m, _)| most > m) && !tile.caption.is_empty() {
            strongest = Some((most, &tile.caption));
        }
        all.extend(values);
    }
    let of = if grid.label.is_empty() { String::new() } else { format!(" of {}", grid.label) };
    let mut out = format!("{}{of}{}", counted(grid.tiles.len(), "tile", "tiles"), range(&all));
    if let Some((_, caption)) = strongest.filter(|(m, _)| *m > 0.0 && grid.tiles.len() > 1) {
        out += &format!("; the strongest is {caption}");
    }
    Ok(out)
}

fn matrix(matrix: &Matrix) -> Result<String> {
    let field = ValueGrid::of(&matrix.values)?;
    let mut out = format!("{} by {} values of {}{}", field.rows, field.columns, matrix.label, range(&field.values));
    if let Some((row, column)) = field.peak()
        && let (Some(of), Some(by)) = (matrix.rows.get(row), matrix.columns.get(column))
    {
        out += &format!("; the largest is in row {of}, column {by}");
    }
    Ok(out)
}

fn pictures(pictures: &Pictures) -> String {
    let captions = pictures.images.iter().map(|(_, c)| c.clone()).filter(|c| !c.is_empty());
    let count = counted(pictures.images.len(), "picture", "pictures");
    match list(captions) {
        none if none.is_empty() => match &pictures.images[..] {
            [(image, _)] => format!("A picture of {} by {} pixels", image.width(), image.height()),
            _ => count,
        },
        all => format!("{count}: {all}"),
    }
}

fn plot(plot: &Plot) -> String {
    let kind = match plot.series.first().map(|s| s.mark) {
        Some(Mark::Bar) => "Bar chart",
        Some(Mark::Point) => "Points",
        _ => "Line plot",
    };
    let by = if plot.x_label.is_empty() { String::new() } else { format!(" by {}", plot.x_label) };
    let several = plot.series.len() > 1;
    let each = plot.series.iter().map(|s| {
        let name = if several && !s.name.is_empty() { format!("{} ", s.name) } else { String::new() };
        format!("{name}{}", course(s, plot))
    });
    format!("{kind} of {}{by}: {}", plot.y_label, each.take(MAX_NAMES).collect::<Vec<_>>().join("; "))
}

/// The course of a series in words.
fn course(series: &Series, plot: &Plot) -> String {
    let known: Vec<(f64, f64)> =
        series.x.iter().copied().zip(series.y.iter().copied()).filter(|(_, y)| y.is_finite()).collect();
    let at = |x: f64| match plot.categories.get(x as usize).filter(|_| x >= 0.0 && x.fract() == 0.0) {
        Some(name) => name.clone(),
        None => short(x),
    };
    let most = known.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let least = known.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    match (&known[..], least, most) {
        ([], ..) => "no values".into(),
        ([(x, y)], ..) => format!("{} at {}", short(*y), at(*x)),
        (few, ..) if few.len() <= 3 => list(few.iter().map(|(x, y)| format!("{} at {}", short(*y), at(*x)))),
        (_, Some(low), Some(high)) => {
            format!("from {} at {} to {} at {}", short(low.1), at(low.0), short(high.1), at(high.0))
        }
        _ => String::new(),
    }
}

fn cloud(cloud: &Cloud) -> String {
    let drawn = if cloud.thumbnails.is_empty() { "points" } else { "points drawn as their images" };
    let mut out = format!("{} {drawn}", cloud.points.len());
    if cloud.names.len() > 1 {
        out += &format!(" in {} groups: {}", cloud.names.len(), list(cloud.names.iter().cloned()));
    }
    match &cloud.axes {
        Some([x, y]) => format!("{out}. Across: {x}; upwards: {y}"),
        None => out,
    }
}

fn mosaic(mosaic: &Mosaic) -> String {
    let of = if mosaic.names.len() > 1 { format!(" of {}", list(mosaic.names.iter().cloned())) } else { String::new() };
    format!("{}{of}, {} a row", counted(mosaic.images.len(), "picture", "pictures"), mosaic.columns)
}

fn counted(n: usize, one: &str, several: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { several })
}

fn percent(share: f64) -> String {
    format!("{} %", short((share * 1000.0).round() / 10.0))
}

/// The first names, and how many are left out.
fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let mut shown = names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MAX_NAMES {
        shown += &format!(" and {} more", names.len() - MAX_NAMES);
    }
    shown
}

fn range(values: &[f32]) -> String {
    let known = || values.iter().copied().filter(|v| v.is_finite()).map(f64::from);
    let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    match low {
        _ if !values.is_empty() && values.iter().all(|v| v.is_nan()) => ", all NaN".to_string(),
        _ if low > high => String::new(),
        _ if low == high => format!(", all {}", short(low)),
        _ => format!(" from {} to {}", short(low), short(high)),
    }
}
