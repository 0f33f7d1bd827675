//! Writes a value to a file in the format of the file's extension.

use super::alt::alt;
use super::artifact::{Artifact, Part, Plot};
use super::report::{Report, Section};
use super::single::{of_image, of_table, of_tensor};
use super::table::{Cell, Table};
use super::{figure, html, parquet, viewer};
use crate::atomic;
use crate::data::{Image, npy};
use crate::error::{Context, Error, Result};
use crate::tensor::to_f32;
use candle_core::Tensor;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use std::path::Path;

/// A value that can be saved.
#[derive(Clone, Debug)]
pub enum Saved<'a> {
    /// A probe's result: every format.
    Artifact(&'a Artifact),
    /// A tensor: every format.
    Tensor(&'a Tensor),
    /// An image: .png with its own pixels, .svg, .pdf and .html.
    Image(&'a Image),
    /// A table: every format except arrays.
    Table(&'a Table),
}

const KNOWN: &str = ".png, .svg, .pdf, .html, .npy, .csv, .json, .parquet and .safetensors";

/// Writes `what` to `path`, whole or not at all; missing folders are created. The extension selects the format:
/// - .png, .svg and .pdf: the figure in its look (of an image, its own pixels), with its description;
/// - .html: a page that loads nothing;
/// - .npy: the primary array, f32, as computed, without a batch axis;
/// - .csv: the first table, or a primary array of one or two axes, or the first plot;
/// - .json: title, notes, arrays as nested lists with their shapes, tables;
/// - .parquet: a row for each entry of the primary array's first axis; the columns are the arrays and the first table with as
///   many rows, or those of the first table alone;
/// - .safetensors: all arrays.
///
/// # Errors
/// Where the extension is unknown, the value has no such form, or the file cannot be written.
pub fn save(what: &Saved<'_>, path: &Path) -> Result<()> {
    let encoded = encode(what, path)?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    }
    atomic::write(path, &encoded.bytes)
}

/// A value in a file format.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The pixels of a .png.
    pub picture: Option<Image>,
}

/// Encodes what [`save`] writes to `path`.
///
/// # Errors
/// As [`save`], except for errors of writing.
pub fn encode(what: &Saved<'_>, path: &Path) -> Result<Encoded> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let mut picture = None;
    let bytes = match extension.as_str() {
        "png" => match what {
            Saved::Image(image) => picture.insert((*image).clone()).encode_png(),
            _ => artifact(what).and_then(|a| {
                let drawn = figure::draw(&a)?;
                picture = Some(drawn.page.clone());
                drawn.png()
            }),
        },
        "svg" => figure::svg(&artifact(what)?).map(String::into_bytes),
        "pdf" => figure::pdf(&artifact(what)?),
        "html" => page(&artifact(what)?).map(String::into_bytes),
        "npy" => array(what).and_then(|t| npy::write(&t)),
        "csv" => rows(what)?.csv().map(String::into_bytes),
        "json" => document(what).map(|d| (d.to_string() + "\n").into_bytes()),
        "parquet" => match what {
            Saved::Artifact(a) => parquet::of_artifact(a),
            Saved::Table(t) => parquet::of_table(t),
            other => array(other).and_then(|t| parquet::of_tensor("values", &t)),
        },
        "safetensors" => tensors(what),
        "" => return Err(unknown(format!("`{}` has no extension", path.display()))),
        other => return Err(unknown(format!("no format is known by the extension `.{other}`"))),
    };
    Ok(Encoded { bytes: bytes.context(|| format!("`{}`", path.display()))?, picture })
}

fn unknown(message: String) -> Error {
    Error::value(message).hint(format!("{KNOWN} are known"))
}

fn artifact(what: &Saved<'_>) -> Result<Artifact> {
    match what {
        Saved::Artifact(a) => Ok((*a).clone()),
        Saved::Tensor(t) => of_tensor(t),
        Saved::Image(i) => Ok(of_image(i)),
        Saved::Table(t) => Ok(of_table(t)),
    }
}

fn page(artifact: &Artifact) -> Result<String> {
    let title = if artifact.title.is_empty() { "result".to_string() } else { artifact.title.clone() };
    let untitled = Artifact { title: String::new(), ..artifact.clone() };
    let mut room = viewer::MAX_PAGE_BYTES;
    let section = match untitled.is_drawn() {
        true => html::html_within(&untitled, &figure::draw(&untitled)?, &mut room)?,
        false => html::html(&untitled)?,
    };
    let sections = vec![Section::Artifact(section)];
    Report { title, sections, manifest: artifact.manifest.clone(), ..Report::default() }.html()
}

/// The primary array of `what`.
fn array(what: &Saved<'_>) -> Result<Tensor> {
    match what {
        Saved::Tensor(t) => Ok((*t).clone()),
        Saved::Artifact(a) => {
            let value = a.value().map_err(|e| e.hint(possible(a)))?;
            Ok(if value.rank() == 4 && value.dim(0)? == 1 { value.squeeze(0)? } else { value.clone() })
        }
        Saved::Image(_) => Err(Error::unsupported("an image is no array of numbers")
            .hint("save it as .png, or save `net.preprocess(image)`")),
        Saved::Table(_) => {
            Err(Error::unsupported("a table is no array of numbers").hint("save it as .csv, .json, .html or .png"))
        }
    }
}

fn rows(what: &Saved<'_>) -> Result<Table> {
    match what {
        Saved::Table(t) => Ok((*t).clone()),
        Saved::Tensor(t) => flat(t).ok_or_else(|| {
            let message = format!("a tensor of {:?} does not fit into rows and columns", t.dims());
            Error::unsupported(message).hint("save it as .npy, or take a slice of it")
        }),
        Saved::Artifact(a) => {
            let plot = || a.parts.iter().find_map(|p| if let Part::Plot(p) = p { Some(points(p)) } else { None });
            let table = a.table().cloned().or_else(|| a.value().ok().and_then(flat)).or_else(plot);
            table.ok_or_else(|| {
                let message = format!("\"{}\" holds neither a table nor an array of one or two axes", a.title);
                Error::unsupported(message).hint(possible(a))
            })
        }
        Saved::Image(_) => Err(Error::unsupported("an image is no table").hint("save it as .png")),
    }
}

fn possible(artifact: &Artifact) -> String {
    let mut kinds = vec![".png", ".svg", ".pdf", ".html", ".json"];
    if !artifact.data.is_empty() {
        kinds.extend([".npy", ".safetensors", ".parquet"]);
    }
    if artifact.table().is_some() {
        if artifact.data.is_empty() {
            kinds.push(".parquet");
        }
        kinds.push(".csv");
    }
    format!("{} can hold it", kinds.join(", "))
}

/// A tensor of one or two axes as a table; columns are named by their index.
fn flat(tensor: &Tensor) -> Option<Table> {
    let values = to_f32(tensor).ok()?;
    let cell = |v: &f32| Cell::Float(full(*v));
    match tensor.dims() {
        [_] => {
            let mut table = Table::new(["value"]);
            values.iter().for_each(|v| table.push([cell(v)]));
            Some(table)
        }
        [_, w] if *w > 0 => {
            let mut table = Table::new((0..*w).map(|c| c.to_string()));
            values.chunks(*w).for_each(|row| table.push(row.iter().map(cell)));
            Some(table)
        }
        _ => None,
    }
}

/// A plot's points, one row each.
fn points(plot: &Plot) -> Table {
    let mut table = Table::new(["series", "x", "y", "low", "high"]);
    for series in &plot.series {
        for (i, (x, y)) in series.x.iter().zip(&series.y).enumerate() {
            let name = (x.fract() == 0.0 && *x >= 0.0).then(|| plot.categories.get(*x as usize)).flatten();
            let place = name.map_or(Cell::Float(*x), |n| n.as_str().into());
            let end = |pick: fn(&(f64, f64)) -> f64| series.bars.get(i).map_or(Cell::Nothing, |b| pick(b).into());
            table.push([series.name.as_str().into(), place, (*y).into(), end(|b| b.0), end(|b| b.1)]);
        }
    }
    table
}

fn document(what: &Saved<'_>) -> Result<Value> {
    Ok(match what {
        Saved::Tensor(t) => listed(t)?,
        Saved::Table(t) => table_json("", t),
        Saved::Image(i) => {
            return Err(Error::unsupported(format!("an image of {} x {} has no JSON form", i.width(), i.height()))
                .hint("save it as .png"));
        }
        Saved::Artifact(a) => {
            let mut data = serde_json::Map::new();
            for (name, tensor) in &a.data {
                data.insert(name.clone(), listed(tensor)?);
            }
            let mut said = words(a);
            if a.is_drawn() {
                said["alt"] = json!(alt(a));
            }
            said["primary"] = json!(a.primary);
            said["data"] = data.into();
            said["manifest"] = a.manifest.clone();
            said
        }
    })
}

/// The texts and numbers of an artifact except arrays and pictures: title, notes, tables, plots; also of artifacts inside.
pub fn words(artifact: &Artifact) -> Value {
    let (mut tables, mut plots, mut texts, mut inner) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for part in &artifact.parts {
        match part {
            Part::Table(title, t) => tables.push(table_json(title, t)),
            Part::Plot(p) => plots.push(table_json(&p.title, &points(p))),
            Part::Text(text) => texts.push(text.as_str()),
            Part::Figure(artifacts, _) => inner.extend(artifacts.iter().map(words)),
            _ => {}
        }
    }
    let mut said = json!({
        "title": artifact.title,
        "notes": artifact.notes,
        "complete": artifact.complete,
        "tables": tables,
        "plots": plots,
    });
    if !texts.is_empty() {
        said["texts"] = json!(texts);
    }
    if !inner.is_empty() {
        said["parts"] = json!(inner);
    }
    said
}

fn table_json(title: &str, table: &Table) -> Value {
    let cell = |c: &Cell| match c {
        Cell::Nothing => Value::Null,
        Cell::Bool(b) => json!(b),
        Cell::Int(i) => json!(i),
        Cell::Float(f) => json!(f),
        Cell::Text(t) => json!(t),
    };
    let rows: Vec<Vec<Value>> = table.rows().iter().map(|r| r.iter().map(cell).collect()).collect();
    json!({ "title": title, "columns": table.columns(), "rows": rows })
}

/// A tensor's shape and its values as nested lists; NaN and infinite values are null.
fn listed(tensor: &Tensor) -> Result<Value> {
    let mut lists: Vec<Value> = to_f32(tensor)?.iter().map(|v| json!(full(*v))).collect();
    let dims = tensor.dims();
    for axis in dims.iter().skip(1).rev() {
        lists = lists.chunks((*axis).max(1)).map(|c| Value::Array(c.to_vec())).collect();
    }
    let values = if dims.is_empty() { lists.pop().unwrap_or_default() } else { Value::Array(lists) };
    Ok(json!({ "shape": dims, "values": values }))
}

/// The f64 with the same shortest decimal form as the f32.
fn full(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

fn tensors(what: &Saved<'_>) -> Result<Vec<u8>> {
    let named: Vec<(String, Tensor)> = match what {
        Saved::Artifact(a) => {
            a.value().map_err(|e| e.hint(possible(a)))?;
            a.data.iter().map(|(n, t)| (n.clone(), t.clone())).collect()
        }
        other => vec![("tensor".to_string(), array(other)?)],
    };
    let mut held = Vec::new();
    for (name, tensor) in &named {
        let bytes: Vec<u8> = to_f32(tensor)?.iter().flat_map(|v| v.to_le_bytes()).collect();
        held.push((name.as_str(), tensor.dims().to_vec(), bytes));
    }
    let wrong = |e: safetensors::SafeTensorError| Error::internal(e.to_string());
    let views = held
        .iter()
        .map(|(name, dims, bytes)| Ok((*name, TensorView::new(Dtype::F32, dims.clone(), bytes).map_err(wrong)?)))
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(wrong)
}
