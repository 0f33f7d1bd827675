//! The catalog as script functions: for each probe `name()`, `name(#{ options })`, and with its positional values
//! before the map; a probe's value has `.run(subject [, input])`.

use crate::context::Context;
use crate::convert::{cast, input, kind, options, subject, value};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use crate::shown::Shown;
use crate::values::probe::describe;
use convscope_engine::params::Value;
use convscope_engine::probe::{Entry, ProbeArg};
use convscope_engine::probes::catalog;
use convscope_engine::{Artifact, Error, Result};
use rhai::{Dynamic, Map};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Binds every probe of the catalog, and the methods of probes.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    library.kind::<ProbeArg>("probe", "A technique with its settings, which can run on a subject.");
    for entry in catalog() {
        constructors(library, context, Arc::new(entry));
    }
    let shared = context.clone();
    library.add(
        "probe.run(subject) -> artifact",
        "Runs the probe on a subject (a net, a class, a layer, a part of one, a list of nets), without an input or \
         with an image, a signal, a volume, a tensor, a data set or a list of images.",
        move |probe: ProbeArg, on: Dynamic| run(&shared, &probe, &on, &Dynamic::UNIT),
    );
    let shared = context.clone();
    library.add("probe.run(subject, input) -> artifact", "", move |probe: ProbeArg, on: Dynamic, with: Dynamic| {
        run(&shared, &probe, &on, &with)
    });
    let shared = context.clone();
    library.add(
        "probe.run(subject, data, folder: text) -> artifact",
        "Runs a probe of the family \"where does it look\" on every image of a data set and writes each map as .npy \
         into a folder relative to `--out`, with a table maps.csv. Maps of the same question that the folder holds \
         already are kept, so that a run that was stopped resumes. Without a folder the maps are stacked as the \
         array `maps`.",
        move |probe: ProbeArg, on: Dynamic, with: Dynamic, folder: &str| run_each(&shared, &probe, &on, &with, folder),
    );
    library.getter("probe.name -> text", "The technique's name.", |p: &mut ProbeArg| p.0.name().to_string());
    library.getter("probe.options -> map", "The options and their values.", |p: &mut ProbeArg| {
        let specs = p.0.specs();
        specs.iter().map(|s| (s.name.into(), crate::convert::dynamic(&s.default))).collect::<Map>()
    });
    library.text::<ProbeArg>(describe);
}

fn run(context: &Context, probe: &ProbeArg, on: &Dynamic, with: &Dynamic) -> Fallible<Artifact> {
    let ask = || -> Result<Artifact> { probe.ask(&subject(on)?, &input(with)?, &context.job) };
    let artifact = ask().raise()?;
    if !artifact.complete && context.job.stopped() {
        context.output.show(&Shown::Artifact(Box::new(artifact.clone())));
    }
    Ok(artifact)
}

fn run_each(context: &Context, probe: &ProbeArg, on: &Dynamic, with: &Dynamic, folder: &str) -> Fallible<Artifact> {
    let mut files = crate::functions::Folder::new(context, folder);
    let mut ask = || -> Result<Artifact> { probe.ask_each(&subject(on)?, &input(with)?, &mut files, &context.job) };
    let artifact = ask().raise()?;
    if !artifact.complete && context.job.stopped() {
        context.output.show(&Shown::Artifact(Box::new(artifact.clone())));
    }
    Ok(artifact)
}

fn constructors(library: &mut Library<'_>, context: &Context, entry: Arc<Entry>) {
    let name = entry.name();
    let positional = entry.default_probe().specs().iter().filter(|s| s.positional).count();
    let make = {
        let (entry, context) = (entry.clone(), context.clone());
        move |given: Vec<Dynamic>| build(&entry, given, &context).raise()
    };
    let f = make.clone();
    library.also(name, move || f(Vec::new()));
    let f = make.clone();
    library.also(name, move |a: Dynamic| f(vec![a]));
    let f = make.clone();
    library.also(name, move |a: Dynamic, b: Dynamic| f(vec![a, b]));
    if positional > 1 {
        library.also(name, move |a: Dynamic, b: Dynamic, c: Dynamic| make(vec![a, b, c]));
    }
}

/// Builds the probe from its positional values and, last, its option map.
fn build(entry: &Entry, mut given: Vec<Dynamic>, context: &Context) -> Result<ProbeArg> {
    let mut named = match given.last().and_then(cast::<Map>) {
        Some(map) => {
            given.pop();
            options(&map)?
        }
        None => BTreeMap::new(),
    };
    for spec in entry.default_probe().specs().iter().filter(|s| s.file) {
        if let Some(Value::Text(path)) = named.get_mut(spec.name) {
            *path = context.input(path)?.to_string_lossy().into_owned();
        }
    }
    let name = entry.name();
    if let Some(wrong) = given.iter().find(|g| subject(g).is_ok() || cast::<convscope_engine::data::Image>(g).is_some())
        && !entry.default_probe().specs().iter().any(|s| s.positional)
    {
        return Err(Error::value(format!("`{name}` takes its options in a map, got {}", kind(wrong)))
            .hint(format!("make the probe first, then ask: {name}().run(subject, input)")));
    }
    entry.build(&given.iter().map(value).collect::<Result<Vec<_>>>()?, &named)
}
