//! The functions of scripts that are no methods: loading, showing, saving, parameters, progress, plots, figures.

mod clock;
mod cluster;
mod compose;
pub mod loading;
mod saving;
mod talking;

pub use compose::{FIGURE, PLOT};
pub use saving::Folder;

use crate::bounds::MAX_TEXT_BYTES;
use crate::context::Context;
use crate::convert::{cast, kind};
use crate::fault::{Fallible, Raise, raise};
use crate::library::Library;
use crate::shown::Shown;
use convscope_engine::data::{Dataset, Image, Signal, Volume};
use convscope_engine::inspect::Summarise as _;
use convscope_engine::params::Value;
use convscope_engine::probe::ProbeArg;
use convscope_engine::show::{Part, Pictures, Table, of_image, of_signal, of_table, of_tensor, of_volume};
use convscope_engine::stream::StreamReport;
use convscope_engine::{Artifact, Error, Model, Result, Tensor};
use rhai::{Array, Dynamic, Map};

/// How many images of a data set are shown.
const SHOWN_IMAGES: usize = 16;

/// Binds these functions.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    loading::bind(library, context);
    clock::bind(library, context);
    cluster::bind(library, context);
    compose::bind(library, context);
    saving::bind(library, context);
    talking::bind(library, context);
    let shared = context.clone();
    library.add(
        "show(value)",
        "Shows a value: in the terminal and in the report, or under the notebook's cell. The `()` that \
         `markdown(..)` and `print(..)` return shows nothing.",
        move |value: Dynamic| {
            if !value.is_unit() {
                shared.output.show(&shown(&value).raise()?);
            }
            Fallible::Ok(())
        },
    );
    let shared = context.clone();
    library.add(
        "param(name: text) -> value",
        "A setting that the script's front matter declares: the value given by `--param name=value`, else the \
         default there.",
        move |name: &str| declared(&shared, name).raise(),
    );
    let shared = context.clone();
    library.add(
        "param(name: text, default) -> value",
        "A setting of the script: the value given by `--param name=value`, else the default; it is read as a value \
         of the default's kind.",
        move |name: &str, default: Dynamic| param(&shared, name, &default).raise(),
    );
    let shared = context.clone();
    library.add(
        "set_param(name: text, value)",
        "Sets the value that `param(name, ..)` returns from here on, as `--param` does. Papermill passes its \
         parameters this way.",
        move |name: &str, value: Dynamic| set_param(&shared, name, &value).raise(),
    );
    library.add(
        "assert(condition: bool, message: text)",
        "Ends the script with the message where the condition is false.",
        |holds: bool, message: &str| if holds { Fallible::Ok(()) } else { Err(raise(Error::value(message))) },
    );
    library.add("assert(condition: bool)", "", |holds: bool| {
        if holds { Fallible::Ok(()) } else { Err(raise(Error::value("an assertion does not hold"))) }
    });
    library.add("list.flatten() -> list", "The entries of the lists in a list, one after another.", |list: Array| {
        flat(&list)
    });
    progress(library, context);
}

fn flat(list: &Array) -> Array {
    let mut out = Array::new();
    for item in list {
        match item.read_lock::<Array>() {
            Some(inner) => out.extend(flat(&inner)),
            None => out.push(item.clone()),
        }
    }
    out
}

/// The boolean that a closure returned.
///
/// # Errors
/// Where it returned something else.
pub fn truth(answer: Dynamic) -> Fallible<bool> {
    answer
        .as_bool()
        .map_err(|_| raise(Error::value(format!("the function must say true or false, not {}", kind(&answer)))))
}

/// The form in which `show` shows a value.
///
/// # Errors
/// Where an image cannot be read.
pub fn shown(value: &Dynamic) -> Result<Shown> {
    Ok(match artifact(value)? {
        Some(a) => Shown::Artifact(Box::new(a)),
        None => {
            let mut out = String::new();
            match written(value, &mut out) {
                true => Shown::Text(out),
                false => {
                    return Err(Error::value(format!("a text of more than {} MB is not shown", MAX_TEXT_BYTES >> 20)));
                }
            }
        }
    })
}

/// A value as a text, as `print` writes it; cut off where it is too long for a text.
pub fn text(value: &Dynamic) -> String {
    let mut out = String::new();
    written(value, &mut out);
    out
}

/// Appends a value's text; returns whether there is room for more.
fn written(value: &Dynamic, out: &mut String) -> bool {
    if let Some(list) = value.read_lock::<Array>() {
        out.push('[');
        for (i, item) in list.iter().enumerate() {
            out.push_str(if i == 0 { "" } else { ", " });
            if !written(item, out) {
                return false;
            }
        }
        out.push(']');
    } else if let Some(map) = value.read_lock::<Map>() {
        out.push_str(if map.is_empty() { "#{" } else { "#{ " });
        for (i, (key, item)) in map.iter().enumerate() {
            out.push_str(if i == 0 { "" } else { ", " });
            out.push_str(key);
            out.push_str(": ");
            if !written(item, out) {
                return false;
            }
        }
        out.push_str(if map.is_empty() { "}" } else { " }" });
    } else {
        out.push_str(&one(value));
    }
    out.len() <= MAX_TEXT_BYTES
}

/// The text of a value that contains no others.
fn one(value: &Dynamic) -> String {
    if let Some(t) = cast::<Tensor>(value) {
        return crate::values::tensor::describe(&t);
    }
    if let Some(p) = cast::<ProbeArg>(value) {
        return crate::values::probe::describe(&p);
    }
    match crate::convert::value(value) {
        Ok(Value::Subject(s)) => s.to_string(),
        Ok(Value::Model(m)) => m.card().name.clone(),
        Ok(Value::Image(i)) => format!("image {} x {}", i.width(), i.height()),
        Ok(Value::Data(d)) => format!("data set `{}` of {} images", d.name, d.len()),
        Ok(Value::Float(f)) => float(f),
        _ => value.to_string(),
    }
}

/// A floating-point number as rhai prints it: 1.0, not 1.
fn float(f: f64) -> String {
    Dynamic::from(f).to_string()
}

/// A value as an artifact, where it is more than text.
///
/// # Errors
/// Where an image cannot be read.
pub fn artifact(value: &Dynamic) -> Result<Option<Artifact>> {
    if let Some(a) = cast::<Artifact>(value) {
        return Ok(Some(a));
    }
    if let Some(table) = cast::<Table>(value) {
        return Ok(Some(of_table(&table)));
    }
    if let Some(image) = cast::<Image>(value) {
        return Ok(Some(of_image(&image)));
    }
    if let Some(signal) = cast::<Signal>(value) {
        return Ok(Some(of_signal(&signal)));
    }
    if let Some(volume) = cast::<Volume>(value) {
        return of_volume(&volume).map(Some);
    }
    if let Some(data) = cast::<Dataset>(value) {
        let caption = |image: Image| (image.clone(), image.label().unwrap_or_default().to_string());
        let mut report = StreamReport::default();
        let mut images = Vec::new();
        for (i, image) in data.iter().take(SHOWN_IMAGES).enumerate() {
            images.extend(report.take(i, image)?.map(caption));
        }
        report.check()?;
        let artifact = Artifact::new(format!("{}: {} images", data.name, data.len()));
        let artifact = artifact.notes(data.notes.to_vec()).notes(report.note());
        let artifact = artifact.part(Part::Pictures(Pictures { title: String::new(), images, columns: None }));
        return Ok(Some(match data.len() > SHOWN_IMAGES {
            true => artifact.note(format!("the first {SHOWN_IMAGES} are shown")),
            false => artifact,
        }));
    }
    if let Some(model) = cast::<Model>(value) {
        return Ok(Some(model.summary()));
    }
    if let Some(tensor) = cast::<Tensor>(value) {
        return of_tensor(&tensor).map(Some);
    }
    if let Some(list) = value.read_lock::<Array>() {
        let parts: Vec<Option<Artifact>> = list.iter().map(artifact).collect::<Result<_>>()?;
        let whole: Option<Vec<Artifact>> = parts.into_iter().collect();
        return Ok(whole.filter(|w| !w.is_empty()).map(|artifacts| {
            let columns = artifacts.len().min(3);
            Artifact::new("").part(Part::Figure(artifacts, columns))
        }));
    }
    Ok(None)
}

fn param(context: &Context, name: &str, default: &Dynamic) -> Result<Dynamic> {
    let value = match context.param(name) {
        None => default.clone(),
        Some(given) => {
            let wrong = |kind: &str| Error::value(format!("parameter `{name}` must be {kind}, got `{given}`"));
            if default.is_bool() {
                match given.as_str() {
                    "true" | "yes" | "1" => true.into(),
                    "false" | "no" | "0" => false.into(),
                    _ => return Err(wrong("true or false")),
                }
            } else if default.is_int() {
                given.parse::<i64>().map_err(|_| wrong("a whole number"))?.into()
            } else if default.is_float() {
                given.parse::<f64>().map_err(|_| wrong("a number"))?.into()
            } else if default.is_string() || default.is_unit() {
                given.into()
            } else {
                return Err(Error::value(format!("parameter `{name}`: the default is {}", kind(default)))
                    .hint("defaults are texts, numbers, true or false"));
            }
        }
    };
    context.used_param(name, crate::convert::value(&value).map_or(serde_json::Value::Null, |v| v.json()));
    Ok(value)
}

fn set_param(context: &Context, name: &str, value: &Dynamic) -> Result<()> {
    if !(value.is_bool() || value.is_int() || value.is_float() || value.is_string()) {
        return Err(Error::value(format!("parameter `{name}`: the value is {}", kind(value)))
            .hint("parameters are texts, numbers, true or false"));
    }
    context.set_param(name, value.to_string());
    Ok(())
}

/// The value of a parameter that the front matter declares, in its declared type.
fn declared(context: &Context, name: &str) -> Result<Dynamic> {
    use crate::front::Value as Declared;
    let Some(default) = context.declared(name) else {
        return Err(Error::not_found(format!("the script's front matter declares no parameter `{name}`"))
            .hint(format!("declare it under [params], or give a default: param(\"{name}\", 5)")));
    };
    let default = match default {
        Declared::Bool(b) => b.into(),
        Declared::Int(i) => i.into(),
        Declared::Float(f) => f.into(),
        Declared::Text(t) => t.into(),
    };
    param(context, name, &default)
}

/// A loop that reports its progress.
#[derive(Clone)]
struct Progress {
    items: Dynamic,
    len: usize,
    label: String,
    context: Context,
}

fn progress(library: &mut Library<'_>, context: &Context) {
    library.engine.register_type_with_name::<Progress>("progress");
    let shared = context.clone();
    library.add(
        "progress(over: list, label: text) -> loop",
        "Loops over a list, a range, a number (0 to n - 1), a data set, a table or a tensor and reports its progress.",
        move |items: Dynamic, label: &str| start(&shared, items, label).raise(),
    );
    let shared = context.clone();
    library.add("progress(over: list) -> loop", "", move |items: Dynamic| start(&shared, items, "loop").raise());
    library.loops::<Progress>(|p| {
        let mut next = 0;
        Box::new(std::iter::from_fn(move || {
            p.context.output.progress(&p.label, next, p.len);
            if next >= p.len || p.context.job.stopped() {
                return None;
            }
            next += 1;
            Some(p.entry(next - 1).raise())
        }))
    });
}

fn start(context: &Context, items: Dynamic, label: &str) -> Result<Progress> {
    let len = if let Ok(n) = items.as_int() {
        crate::convert::count(n, "the number of steps")?
    } else if let Some(range) = crate::convert::whole_numbers(&items) {
        usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)
    } else if let Some(list) = items.read_lock::<Array>() {
        list.len()
    } else if let Some(data) = cast::<Dataset>(&items) {
        data.len()
    } else if let Some(table) = cast::<Table>(&items) {
        table.len()
    } else if let Some(t) = cast::<Tensor>(&items) {
        t.dims().first().copied().unwrap_or(0)
    } else {
        return Err(Error::value(format!("{} cannot be looped over", kind(&items)))
            .hint("progress takes a list, a range, a number, a data set, a table or a tensor"));
    };
    Ok(Progress { items, len, label: label.to_string(), context: context.clone() })
}

impl Progress {
    fn entry(&self, i: usize) -> Result<Dynamic> {
        if self.items.is_int() {
            return Ok((i as i64).into());
        }
        if let Some(range) = crate::convert::whole_numbers(&self.items) {
            return Ok((range.start + i as i64).into());
        }
        if let Some(list) = self.items.read_lock::<Array>() {
            return Ok(list[i].clone());
        }
        if let Some(data) = self.items.read_lock::<Dataset>() {
            return data.get(i).map(Dynamic::from);
        }
        if let Some(table) = self.items.read_lock::<Table>() {
            return Ok(Dynamic::from_map(crate::convert::row(&table, &table.rows()[i])));
        }
        match self.items.read_lock::<Tensor>() {
            Some(t) => Ok(Dynamic::from(t.get(i)?)),
            None => Ok(Dynamic::UNIT),
        }
    }
}
