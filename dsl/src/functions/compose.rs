//! `plot`, `figure` and `markdown`, which make artifacts from values.

use crate::context::Context;
use crate::convert::{cast, kind, number, numbers};
use crate::fault::Raise;
use crate::library::Library;
use crate::shown::Shown;
use convscope_engine::error::did_you_mean;
use convscope_engine::params::unknown_option;
use convscope_engine::show::{Mark, Part, Plot, Series};
use convscope_engine::{Artifact, Error, Result};
use rhai::{Array, Dynamic, Map};

/// The options of `plot`.
pub const PLOT: [&str; 4] = ["title", "x", "y", "mark"];
/// The options of `figure`.
pub const FIGURE: [&str; 2] = ["title", "columns"];

/// Binds the three functions.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    library.add(
        "plot(y: list) -> artifact",
        "A plot of numbers over 0, 1, ..; over x (numbers, or texts for categories); of several series given as a map from \
         name to numbers. Options: title, x and y (the axes' labels), mark (\"line\", \"bar\" or \"point\").",
        |y: Dynamic| plot(None, &y, &Map::new()).raise(),
    );
    library.add("plot(x: list, y: list) -> artifact", "", |a: Dynamic, b: Dynamic| {
        let series = numbers(&a).is_ok() || cast::<Array>(&a).is_some();
        match cast::<Map>(&b) {
            Some(options) if !series || options.keys().all(|k| PLOT.contains(&k.as_str())) => plot(None, &a, &options),
            _ => plot(Some(&a), &b, &Map::new()),
        }
        .raise()
    });
    library.add("plot(x: list, y: list, options: map) -> artifact", "", |x: Dynamic, y: Dynamic, options: Map| {
        plot(Some(&x), &y, &options).raise()
    });
    library.add(
        "figure(parts: list) -> artifact",
        "Artifacts, images and tables side by side. Options: columns, title.",
        |parts: Array| figure(&parts, &Map::new()).raise(),
    );
    library.add("figure(parts: list, options: map) -> artifact", "", |parts: Array, options: Map| {
        figure(&parts, &options).raise()
    });
    let output = context.output.clone();
    library.add(
        "markdown(text)",
        "Shows a text in Markdown, in the report or under the notebook's cell.",
        move |text: &str| {
            output.show(&Shown::Artifact(Box::new(Artifact::new("").part(Part::Text(text.to_string())))));
        },
    );
}

fn check(what: &str, options: &Map, known: &[&'static str]) -> Result<()> {
    match options.keys().find(|k| !known.contains(&k.as_str())) {
        Some(name) => Err(unknown_option(what, name, known)),
        None => Ok(()),
    }
}

fn text_option(options: &Map, name: &str) -> Result<String> {
    match options.get(name) {
        None => Ok(String::new()),
        Some(v) if v.is_string() => Ok(v.to_string()),
        Some(v) => Err(Error::value(format!("option `{name}` takes a text, got {}", kind(v)))),
    }
}

fn plot(x: Option<&Dynamic>, y: &Dynamic, options: &Map) -> Result<Artifact> {
    check("plot", options, &PLOT)?;
    let mark = match text_option(options, "mark")?.as_str() {
        "" | "line" => Mark::Line,
        "bar" => Mark::Bar,
        "point" => Mark::Point,
        other => {
            let error =
                Error::value(format!("option `mark` of `plot` takes \"line\", \"bar\" or \"point\", got {other:?}"));
            return Err(match did_you_mean(other, ["line", "bar", "point"]) {
                Some(close) => error.hint(close),
                None => error,
            });
        }
    };
    let texts = x.and_then(cast::<Array>).filter(|a| !a.is_empty() && a.iter().all(Dynamic::is_string));
    let categories: Vec<String> = texts.unwrap_or_default().iter().map(ToString::to_string).collect();
    let places = match x {
        Some(x) if categories.is_empty() => Some(numbers(x)?),
        Some(_) => Some((0..categories.len()).map(|i| i as f64).collect()),
        None => None,
    };
    let given: Vec<(String, Vec<f64>)> = match y.read_lock::<Map>() {
        Some(map) => map.iter().map(|(k, v)| Ok((k.to_string(), numbers(v)?))).collect::<Result<_>>()?,
        None => vec![(text_option(options, "y")?, numbers(y)?)],
    };
    let series = given.into_iter().map(|(name, y)| {
        let x = places.clone().unwrap_or_else(|| (0..y.len()).map(|i| i as f64).collect());
        if x.len() != y.len() {
            return Err(Error::shape(format!("{} places along x for {} values", x.len(), y.len())));
        }
        Ok(Series { name, x, y, bars: Vec::new(), mark })
    });
    let title = text_option(options, "title")?;
    let part = Plot {
        title: title.clone(),
        x_label: text_option(options, "x")?,
        y_label: text_option(options, "y")?,
        categories,
        series: series.collect::<Result<_>>()?,
    };
    let mut artifact = Artifact::new(title);
    for s in &part.series {
        let name = if s.name.is_empty() { "y" } else { &s.name };
        artifact = artifact.array(name, crate::values::tensor::of(s.y.clone(), &[s.y.len()])?);
    }
    Ok(artifact.part(Part::Plot(part)))
}

fn figure(parts: &Array, options: &Map) -> Result<Artifact> {
    check("figure", options, &FIGURE)?;
    let columns = match options.get("columns") {
        None => parts.len().clamp(1, 3),
        Some(v) => (number(v)? as usize).max(1),
    };
    let artifacts = parts.iter().map(|p| {
        let made = crate::functions::artifact(p)?;
        made.map_or_else(|| Ok(Artifact::new("").part(Part::Text(crate::functions::text(p)))), Ok)
    });
    let artifacts = artifacts.collect::<Result<Vec<_>>>()?;
    Ok(Artifact::new(text_option(options, "title")?).part(Part::Figure(artifacts, columns)))
}
