//! Artifacts in scripts: the results of probes; scripts compute with their arrays and tables.

use crate::convert::cast;
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::data::Image;
use convscope_engine::show::{Look, Part};
use convscope_engine::tensor::to_f64;
use convscope_engine::{Artifact, Error, Result, Tensor};
use rhai::{Array, Dynamic};

/// Binds artifacts.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Artifact>("artifact", "A result: parts to show, arrays to compute with, notes to read.");
    library.add(
        "artifact.data(name: text) -> tensor",
        "The array of that name, as computed.",
        |a: &mut Artifact, name: &str| a.array_named(name).cloned().raise(),
    );
    library.getter("artifact.names -> list", "The names of its arrays.", |a: &mut Artifact| {
        a.data.keys().map(|k| Dynamic::from(k.clone())).collect::<Array>()
    });
    library.getter(
        "artifact.inputs -> map",
        "Its map of each input, by name, where a backward pass was given several inputs.",
        |a: &mut Artifact| {
            let arrays = a.data.iter().filter_map(|(k, v)| Some((k.strip_prefix("input ")?, v)));
            arrays.map(|(name, v)| (name.into(), Dynamic::from(v.clone()))).collect::<rhai::Map>()
        },
    );
    library.getter(
        "artifact.value -> tensor",
        "Its primary array, or a number where that holds one.",
        |a: &mut Artifact| value(a).raise(),
    );
    library.getter("artifact.notes -> list", "Its caveats and findings, one sentence each.", |a: &mut Artifact| {
        a.notes.iter().map(|n| Dynamic::from(n.clone())).collect::<Array>()
    });
    library.getter("artifact.complete -> bool", "Whether it ran to its end.", |a: &mut Artifact| a.complete);
    library.getter("artifact.table -> table", "Its first table.", |a: &mut Artifact| {
        let none = || Error::not_found(format!("\"{}\" holds no table", a.title));
        a.table().cloned().ok_or_else(none).raise()
    });
    library.getter("artifact.tables -> map", "Its tables by their titles.", |a: &mut Artifact| {
        let tables = a.parts.iter().filter_map(|p| if let Part::Table(t, v) = p { Some((t, v)) } else { None });
        tables.map(|(title, t)| (title.as_str().into(), Dynamic::from(t.clone()))).collect::<rhai::Map>()
    });
    library.getter("artifact.images -> list", "Its pictures, as images.", |a: &mut Artifact| {
        let pictures = a.parts.iter().filter_map(|p| if let Part::Pictures(p) = p { Some(&p.images) } else { None });
        pictures.flatten().map(|(i, _)| Dynamic::from(i.clone())).collect::<Array>()
    });
    library.getter("artifact.title -> text", "Its title; `a.title = \"..\"` sets another.", |a: &mut Artifact| {
        a.title.clone()
    });
    library.engine.register_set("title", |a: &mut Artifact, title: &str| a.title = title.to_string());
    library.add(
        "artifact.title(text) -> artifact",
        "The same artifact with another title.",
        |a: Artifact, title: &str| a.with_title(title),
    );
    library.add(
        "artifact.note(text) -> artifact",
        "The same artifact with a note added.",
        |a: Artifact, note: &str| a.note(note),
    );
    library.add(
        "artifact.overlay(image) -> artifact",
        "Its maps drawn over an image.",
        |a: &mut Artifact, image: Dynamic| overlay(a, &image).raise(),
    );
    library.add(
        "artifact.look(name: text, options?: map) -> artifact",
        "The same with a figure for dark pages (\"dark\"), any page (\"transparent\") or a paper (\"column\", 3.25 \
         inch wide, or \"page\", 6.75 inch; serif letters, without title and notes). Options: width in px, contours: \
         lines at half of the strongest value on overlays.",
        |a: &mut Artifact, name: &str| look(a, name, &rhai::Map::new()).raise(),
    );
    library
        .engine
        .register_fn("look", |a: &mut Artifact, name: &str, options: rhai::Map| look(a, name, &options).raise());
    library.engine.register_indexer_get(named);
    library.text::<Artifact>(|a| {
        let arrays: Vec<String> = a
            .data
            .iter()
            .map(|(k, v)| format!("{k} {}", v.dims().iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")))
            .collect();
        let complete = if a.complete { "" } else { " (stopped early)" };
        format!("{}{complete} [{}]", a.title, arrays.join(", "))
    });
}

/// The primary array as a script's value; an array of one entry becomes a number.
///
/// # Errors
/// Where there is none.
pub fn value(a: &Artifact) -> Result<Dynamic> {
    scalar(a.value()?)
}

fn scalar(t: &Tensor) -> Result<Dynamic> {
    if t.elem_count() == 1 { Ok(to_f64(t)?[0].into()) } else { Ok(Dynamic::from(t.clone())) }
}

/// `a.name` and `a["name"]`: an array or a number by its name.
fn named(a: &mut Artifact, name: &str) -> Fallible<Dynamic> {
    a.array_named(name).and_then(scalar).raise()
}

fn look(a: &Artifact, name: &str, options: &rhai::Map) -> Result<Artifact> {
    let mut look = Look::named(name)?;
    for (option, value) in options {
        look = match option.as_str() {
            "width" => look.wide(crate::convert::number(value)?)?,
            "contours" => match value.as_bool() {
                Ok(contours) => Look { contours, ..look },
                Err(kind) => return Err(Error::value(format!("contours is true or false, got {kind}"))),
            },
            other => {
                return Err(Error::not_found(format!("`look` has no option `{other}`"))
                    .hint("`width` and `contours` are known"));
            }
        };
    }
    Ok(a.clone().with_look(look))
}

fn overlay(a: &Artifact, image: &Dynamic) -> Result<Artifact> {
    match cast::<Image>(image) {
        Some(image) => a.overlay(&image),
        None => Err(Error::value(format!("expected an image, got {}", crate::convert::kind(image)))),
    }
}
