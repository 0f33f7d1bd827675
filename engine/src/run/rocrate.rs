//! `ro-crate-metadata.json`: the contents of a bundle by RO-Crate 1.1 and its profile Process Run Crate 0.5, for repositories and
//! validators.

use super::lock::Lock;
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The name of the file, which the standard fixes.
pub const NAME: &str = "ro-crate-metadata.json";
const PROCESS: &str = "https://w3id.org/ro/wfrun/process/0.5";
/// The publication date of a crate without one: the first day that zip archives can represent.
const NO_DATE: &str = "1980-01-01";

/// The role of a file in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The script.
    Script,
    /// Read by it.
    Input,
    /// Made by it.
    Output,
    /// About it.
    About,
}

/// A file in the crate.
#[derive(Clone, Debug)]
pub struct CrateEntry {
    /// Its role in the run.
    pub role: Role,
    /// What it is, in a line.
    pub what: String,
    /// Bytes.
    pub bytes: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
    /// Its licence, where the script says.
    pub license: Option<String>,
}

/// What is said of the crate as a whole.
#[derive(Clone, Debug, Default)]
pub struct CrateDescription {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who made it.
    pub authors: Vec<String>,
    /// Its licence, an SPDX expression.
    pub license: Option<String>,
    /// When it was published, YYYY-MM-DD.
    pub date: Option<String>,
}

/// The metadata's text.
///
/// # Errors
/// Where it has no JSON form: a defect.
pub fn metadata(about: &CrateDescription, lock: &Lock, files: &BTreeMap<String, CrateEntry>) -> Result<String> {
    let of = |roles: &[Role]| -> Vec<Value> {
        files.iter().filter(|(_, e)| roles.contains(&e.role)).map(|(path, _)| reference(&id(path))).collect()
    };
    let authors: Vec<Value> = (0..about.authors.len()).map(|i| reference(&format!("#author-{}", i + 1))).collect();
    let script = files.iter().find(|(_, e)| e.role == Role::Script).map(|(path, _)| id(path)).unwrap_or_default();
    let mut graph = vec![
        json!({
            "@id": NAME, "@type": "CreativeWork",
            "about": reference("./"), "conformsTo": reference("https://w3id.org/ro/crate/1.1"),
        }),
        with(
            json!({
                "@id": "./", "@type": "Dataset",
                "name": about.name,
                "description": about.description.clone().unwrap_or_else(|| {
                    format!("the script {} with its inputs and outputs, as convscope ran it", about.name)
                }),
                "datePublished": about.date.as_deref().unwrap_or(NO_DATE),
                "license": license(about.license.as_deref()),
                "conformsTo": [reference(PROCESS)],
                "hasPart": of(&[Role::Script, Role::Input, Role::Output, Role::About]),
                "mainEntity": reference(&script),
                "mentions": [reference("#run")],
            }),
            (!authors.is_empty()).then(|| ("author", Value::from(authors.clone()))),
        ),
        json!({ "@id": PROCESS, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5" }),
        json!({
            "@id": "#convscope", "@type": "SoftwareApplication",
            "name": "convscope", "url": env!("CARGO_PKG_REPOSITORY"),
            "version": lock.engine.convscope, "softwareVersion": lock.engine.convscope,
            "softwareRequirements": format!("rhai {}, {}, {}", lock.engine.rhai, lock.engine.rustc, lock.engine.target),
        }),
        with(
            json!({
                "@id": "#run", "@type": "CreateAction",
                "name": format!("convscope run of {}", about.name),
                "description": format!("seed {}, parameters {}, numerics {}", lock.seed, json!(lock.params), lock.numerics.isa),
                "instrument": reference("#convscope"),
                "object": of(&[Role::Script, Role::Input]),
                "result": of(&[Role::Output]),
                "actionStatus": reference("http://schema.org/CompletedActionStatus"),
            }),
            (!authors.is_empty()).then(|| ("agent", Value::from(authors))),
        ),
    ];
    for (i, name) in about.authors.iter().enumerate() {
        graph.push(json!({ "@id": format!("#author-{}", i + 1), "@type": "Person", "name": name }));
    }
    graph.extend(files.iter().map(|(path, entry)| file(path, entry)));
    let whole = json!({ "@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph });
    let text = serde_json::to_string_pretty(&whole).map_err(|e| Error::internal(e.to_string()))?;
    Ok(text + "\n")
}

fn file(path: &str, entry: &CrateEntry) -> Value {
    let types = if entry.role == Role::Script { json!(["File", "SoftwareSourceCode"]) } else { json!("File") };
    let name = path.rsplit('/').next().unwrap_or(path);
    with(
        json!({
            "@id": id(path), "@type": types, "name": name, "description": entry.what,
            "contentSize": entry.bytes.to_string(), "encodingFormat": format_of(path),
            "identifier": format!("blake3:{}", entry.blake3),
        }),
        entry.license.as_deref().map(|l| ("license", license(Some(l)))),
    )
}

fn with(mut value: Value, more: Option<(&str, Value)>) -> Value {
    if let (Some(members), Some((name, member))) = (value.as_object_mut(), more) {
        members.insert(name.into(), member);
    }
    value
}

fn reference(id: &str) -> Value {
    Value::Object(Map::from_iter([("@id".to_string(), Value::from(id))]))
}

/// A licence: its page at SPDX where it is one identifier, else its words.
fn license(said: Option<&str>) -> Value {
    match said {
        Some(id) if id.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c)) => {
            reference(&format!("https://spdx.org/licenses/{id}"))
        }
        Some(words) => words.into(),
        None => "not said".into(),
    }
}

/// A path as an identifier: percent signs for what a URI cannot hold.
fn id(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn format_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "rhai" => "text/x-rhai",
        "json" => "application/json",
        "ipynb" => "application/x-ipynb+json",
        "html" => "text/html",
        "csv" => "text/csv",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "txt" | "md" => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn everything_that_is_named_is_described() {
        let entry =
            |role| CrateEntry { role, what: "x".into(), bytes: 3, blake3: "ab".into(), license: Some("MIT".into()) };
        let files = [("files/é s.rhai", Role::Script), ("files/cat.png", Role::Input), ("outputs/a.npy", Role::Output)]
            .map(|(path, role)| (path.to_string(), entry(role)));
        let about = CrateDescription { name: "s".into(), authors: vec!["A".into()], ..CrateDescription::default() };
        let text = metadata(&about, &Lock::default(), &BTreeMap::from(files)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let graph = value["@graph"].as_array().unwrap();
        let known: Vec<&str> = graph.iter().map(|e| e["@id"].as_str().unwrap()).collect();
        assert!(known.contains(&"files/%C3%A9%20s.rhai"), "{known:?}");
        let run = graph.iter().find(|e| e["@type"] == "CreateAction").unwrap();
        for list in ["object", "result", "agent"] {
            for reference in run[list].as_array().unwrap() {
                assert!(known.contains(&reference["@id"].as_str().unwrap()));
            }
        }
        assert_eq!(run["object"].as_array().unwrap().len(), 2);
    }
}
