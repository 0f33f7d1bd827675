//! Completion inside quotes, by the call, option or index that the text belongs to.

use super::{Candidate, call_around, chain, map_owner};
use crate::functions::loading;
use crate::session::Session;
use crate::source::{Class, Token};
use convscope_engine::load::fetch;
use convscope_engine::load::zoo;
use convscope_engine::load::{EMBEDDED, OPTIONS};
use convscope_engine::probes::find;
use convscope_engine::show::Table;
use convscope_engine::{Artifact, Model};

/// The candidates for a text that follows `tokens`; `partial` is what is typed of it.
pub fn candidates(session: &Session, text: &str, tokens: &[Token], partial: &str) -> Vec<Candidate> {
    if tokens.last().is_some_and(|t| t.text(text) == ":") && tokens.len() > 1 {
        let option = tokens[tokens.len() - 2].text(text);
        if let Some(owner) = map_owner(text, &tokens[..tokens.len() - 2]) {
            return for_option(session, text, tokens, &owner, option, partial);
        }
    }
    if tokens.last().is_some_and(|t| t.text(text) == "[")
        && let Some(name) = tokens.len().checked_sub(2).map(|i| tokens[i].text(text))
    {
        return columns(session, name);
    }
    let Some(call) = call_around(text, tokens) else { return Vec::new() };
    let name = tokens[call].text(text);
    match name {
        "layer" => chain::model(session, text, &tokens[..call]).map_or_else(Vec::new, |m| layers(&m)),
        "class" | "probability" => chain::model(session, text, &tokens[..call]).map_or_else(Vec::new, |m| classes(&m)),
        "load_model" => nets(session, partial),
        "load_image" | "load_images" | "load_predictions" | "load_signal" | "load_table" | "load_tensor"
        | "load_volume" => files(session, partial),
        "sample_image" => {
            let samples = fetch::sample_images();
            samples.iter().map(|s| simple(s.name, "value")).collect()
        }
        "data" => tokens[..call]
            .iter()
            .rev()
            .filter(|t| t.class == Class::Word)
            .find_map(|t| session.value::<Artifact>(t.text(text)))
            .map_or_else(Vec::new, |a| a.data.keys().map(|k| simple(k, "value")).collect()),
        "sort" => tokens[..call]
            .iter()
            .rev()
            .find(|t| t.class == Class::Word)
            .map_or_else(Vec::new, |t| columns(session, t.text(text))),
        _ => Vec::new(),
    }
}

fn simple(text: &str, kind: &'static str) -> Candidate {
    Candidate { text: text.into(), kind, detail: String::new() }
}

fn for_option(
    session: &Session,
    text: &str,
    tokens: &[Token],
    owner: &str,
    option: &str,
    partial: &str,
) -> Vec<Candidate> {
    match (owner, option) {
        ("load_model", "weights" | "labels") => return files(session, partial),
        ("load_model", option) if !words_of(option).is_empty() => {
            return words_of(option).into_iter().map(|w| simple(w, "value")).collect();
        }
        ("plot", "mark") => return ["line", "bar", "point"].map(|w| simple(w, "value")).to_vec(),
        (_, "layer" | "layers") => {
            return chain::model(session, text, tokens).map_or_else(Vec::new, |m| layers(&m));
        }
        _ => {}
    }
    let specs = match find(owner) {
        Ok(entry) => entry.default_probe().specs(),
        Err(_) => loading::specs(owner).unwrap_or_default(),
    };
    let spec = specs.iter().find(|s| s.name == option);
    spec.map_or_else(Vec::new, |s| s.form.choices.iter().map(|c| simple(c, "value")).collect())
}

fn layers(model: &Model) -> Vec<Candidate> {
    let node = |id| model.graph().node(id);
    let layer = |id| Candidate { text: node(id).name.clone(), kind: "layer", detail: node(id).op.kind().to_string() };
    model.layers().map(layer).collect()
}

fn classes(model: &Model) -> Vec<Candidate> {
    model.card().classes.iter().map(|c| simple(&c.name, "class")).collect()
}

/// The words that an option of `load_model` accepts.
fn words_of(option: &str) -> Vec<&'static str> {
    let takes = OPTIONS.iter().find(|o| o.name == option).map_or("", |o| o.takes);
    takes.split('"').skip(1).step_by(2).collect()
}

fn columns(session: &Session, name: &str) -> Vec<Candidate> {
    if let Some(table) = session.value::<Table>(name) {
        return table.columns().iter().map(|c| simple(c, "value")).collect();
    }
    session.value::<Artifact>(name).map_or_else(Vec::new, |a| a.data.keys().map(|k| simple(k, "value")).collect())
}

fn nets(session: &Session, partial: &str) -> Vec<Candidate> {
    let known = EMBEDDED.iter().map(|(name, _)| *name).chain(fetch::models().iter().map(|m| m.name));
    let mut found: Vec<Candidate> = known.map(|n| simple(n, "net")).collect();
    found.extend(zoo::ARCHITECTURES.iter().map(|a| simple(a.name, "net")));
    found.extend(files(session, partial));
    found
}

/// The files and folders with the path prefix `partial`.
fn files(session: &Session, partial: &str) -> Vec<Candidate> {
    let folder = partial.rfind('/').map_or("", |i| &partial[..=i]);
    let inputs = session.context().place().inputs.join(folder);
    let inputs = if inputs.as_os_str().is_empty() { ".".into() } else { inputs };
    let Ok(entries) = std::fs::read_dir(inputs) else { return Vec::new() };
    let named = entries.flatten().filter_map(|e| {
        let name = e.file_name().into_string().ok().filter(|n| !n.starts_with('.'))?;
        let slash = if e.path().is_dir() { "/" } else { "" };
        Some(simple(&format!("{folder}{name}{slash}"), "file"))
    });
    named.take(1000).collect()
}
