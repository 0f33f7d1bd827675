//! The reference: every probe of the catalog, and every function, method and property that is bound; as data, text and JSON.

use crate::functions::loading;
use crate::library::{Function, Kind};
use convscope_engine::error::{Error, Result, did_you_mean};
use convscope_engine::params::{Params, Spec};
use convscope_engine::probe::{Family, Takes};
use convscope_engine::probes::catalog;
use convscope_engine::table::ClusterOptions;
use serde_json::json;
use std::fmt::Write;

/// One option of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionDoc {
    /// Its name.
    pub name: String,
    /// The values that it accepts, in words.
    pub takes: String,
    /// The accepted words, where there are only a few.
    pub choices: Vec<String>,
    /// Its default.
    pub default: serde_json::Value,
    /// The allowed range.
    pub range: Option<String>,
    /// Whether it precedes the option map.
    pub positional: bool,
    /// Its documentation.
    pub doc: String,
}

impl OptionDoc {
    /// The accepted values with the range: "a whole number, 1 to 4,096".
    pub fn allowed(&self) -> String {
        match &self.range {
            Some(range) => format!("{}, {range}", self.takes.strip_suffix(" from 0").unwrap_or(&self.takes)),
            None => self.takes.clone(),
        }
    }
}

/// One entry of the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name: `occlusion`, `net.layer`, `load_model`.
    pub name: String,
    /// "probe", "function", "method", "property" or "kind" (of value).
    pub what: &'static str,
    /// The heading that it is listed under.
    pub section: String,
    /// Its signatures.
    pub signatures: Vec<String>,
    /// Its documentation.
    pub doc: String,
    /// A probe's options.
    pub options: Vec<OptionDoc>,
    /// The subjects that a probe takes, in words.
    pub subjects: String,
    /// The input that a probe takes, in words.
    pub input: String,
    /// The paper that defines it.
    pub source: String,
    /// A line of script.
    pub example: String,
}

/// All entries, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Reference {
    /// The reference of a session's functions and kinds of value.
    pub fn new(functions: &[Function], kinds: &[Kind]) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut probes: Vec<(Family, Entry)> = catalog().iter().map(|e| probe(e.default_probe().as_ref())).collect();
        probes.sort_by_key(|(family, _)| *family);
        entries.extend(probes.into_iter().map(|(_, e)| e));
        for function in functions.iter().filter(|f| f.of.is_none()) {
            add(&mut entries, function, "functions".into(), "function");
        }
        for entry in entries.iter_mut().filter(|e| e.what == "function") {
            if let Some(specs) = loading::specs(&entry.name) {
                entry.options = specs.iter().map(option).collect();
            }
        }
        if let Some(entry) = entries.iter_mut().find(|e| e.name == "cluster") {
            entry.options = ClusterOptions::default().specs().iter().map(option).collect();
        }
        for kind in kinds {
            entries.push(Entry { doc: kind.doc.into(), ..bare(kind.name, "kind", format!("values: {}", kind.name)) });
            for function in functions.iter().filter(|f| f.belongs_to(kind.name)) {
                let what = if function.property { "property" } else { "method" };
                add(&mut entries, function, format!("values: {}", kind.name), what);
            }
        }
        for function in functions.iter().filter(|f| f.of.as_deref() == Some("list")) {
            add(&mut entries, function, "values: list".into(), "method");
        }
        Reference { entries }
    }

    /// The entries called `name`, with or without the kind of value before it.
    ///
    /// # Errors
    /// Where there is none; the hint names the closest.
    pub fn find(&self, name: &str) -> Result<Vec<&Entry>> {
        let name = name.trim().trim_end_matches("()");
        let short = |e: &Entry| e.name.rsplit('.').next().unwrap_or("").to_string();
        let exact: Vec<&Entry> = self.entries.iter().filter(|e| e.name == name).collect();
        let found = match exact.is_empty() {
            true => self.entries.iter().filter(|e| short(e) == name).collect(),
            false => exact,
        };
        if found.is_empty() {
            let shorts: Vec<String> = self.entries.iter().map(short).collect();
            let names = self.entries.iter().map(|e| e.name.as_str()).chain(shorts.iter().map(String::as_str));
            let hint = did_you_mean(name, names).unwrap_or_else(|| "`convscope doc` lists all".into());
            return Err(Error::not_found(format!("no `{name}` in the reference")).hint(hint));
        }
        Ok(found)
    }

    /// The reference as JSON.
    pub fn json(&self) -> serde_json::Value {
        self.entries.iter().map(Entry::json).collect()
    }

    /// The first sentence of each entry, under headings.
    pub fn overview(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for entry in &self.entries {
            if entry.section != section {
                section = &entry.section;
                let _ = writeln!(out, "{}{section}", if out.is_empty() { "" } else { "\n" });
            }
            for (i, line) in wrap(first_sentence(&entry.doc), 84).iter().enumerate() {
                let name = if i == 0 { entry.name.as_str() } else { "" };
                let _ = writeln!(out, "{}", format!("  {name:<28} {line}").trim_end());
            }
        }
        out
    }
}

impl Entry {
    /// The entry as JSON.
    pub fn json(&self) -> serde_json::Value {
        let options: Vec<_> = self
            .options
            .iter()
            .map(|o| {
                json!({ "name": o.name, "takes": o.takes, "choices": o.choices, "default": o.default, "range": o.range,
                        "positional": o.positional, "doc": o.doc })
            })
            .collect();
        json!({ "name": self.name, "what": self.what, "section": self.section, "signatures": self.signatures,
                "doc": self.doc, "options": options, "subjects": self.subjects, "input": self.input,
                "source": self.source, "example": self.example })
    }

    /// The entry as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for signature in &self.signatures {
            let _ = writeln!(out, "{signature}");
        }
        if self.signatures.is_empty() {
            let _ = writeln!(out, "{}", self.name);
        }
        for line in wrap(&self.doc, 96) {
            let _ = writeln!(out, "  {line}");
        }
        if !self.options.is_empty() {
            let _ = writeln!(out, "\n  options");
        }
        for o in &self.options {
            let place = if o.positional { ", given before the map" } else { "" };
            let _ = writeln!(out, "    {}: {}, default {}{place}", o.name, o.allowed(), spelled(&o.default));
            for line in wrap(&o.doc, 92) {
                let _ = writeln!(out, "      {line}");
            }
        }
        if !self.options.is_empty() {
            out.push('\n');
        }
        for (name, text) in
            [("subjects", &self.subjects), ("input", &self.input), ("source", &self.source), ("example", &self.example)]
        {
            if !text.is_empty() {
                let _ = writeln!(out, "  {name}: {text}");
            }
        }
        out
    }
}

/// The first sentence of a text without its full stop; a full stop within a word or number ends none.
fn first_sentence(doc: &str) -> &str {
    let paragraph = doc.split("\n\n").next().unwrap_or(doc).trim();
    let end = paragraph.find(". ").into_iter().chain(paragraph.find(".\n")).min();
    paragraph[..end.unwrap_or(paragraph.len())].trim_end_matches('.')
}

/// A default in the syntax of scripts: a probe as its constructor call.
fn spelled(default: &serde_json::Value) -> String {
    let options = |map: &serde_json::Map<String, serde_json::Value>| {
        map.iter().map(|(name, value)| format!("{name}: {}", spelled(value))).collect::<Vec<_>>().join(", ")
    };
    match default {
        serde_json::Value::Null => "none".into(),
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(spelled).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(map) => match (map.get("name").and_then(|n| n.as_str()), map.get("options")) {
            (Some(name), Some(serde_json::Value::Object(given))) if given.is_empty() => format!("{name}()"),
            (Some(name), Some(serde_json::Value::Object(given))) => format!("{name}(#{{ {} }})", options(given)),
            _ if map.is_empty() => "#{}".into(),
            _ => format!("#{{ {} }}", options(map)),
        },
        other => other.to_string(),
    }
}

/// The text in lines of at most `width` characters; each paragraph and list item begins a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut indent = "";
    for source in text.lines() {
        let item = source.trim_start().starts_with("- ");
        let blank = source.trim().is_empty();
        let last = lines.last().is_some_and(|line| !line.is_empty());
        if (item || blank) && last {
            lines.push(String::new());
        }
        indent = if item {
            "  "
        } else if blank {
            ""
        } else {
            indent
        };
        let mut begins = item;
        for word in source.split_whitespace() {
            let line = lines
                .last_mut()
                .filter(|line| line.trim().is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
            match line {
                Some(line) if line.is_empty() => *line = format!("{}{word}", if begins { "" } else { indent }),
                Some(line) => {
                    line.push(' ');
                    line.push_str(word);
                }
                None => lines.push(format!("{indent}{word}")),
            }
            begins = false;
        }
    }
    lines
}

fn bare(name: &str, what: &'static str, section: String) -> Entry {
    Entry {
        name: name.to_string(),
        what,
        section,
        signatures: Vec::new(),
        doc: String::new(),
        options: Vec::new(),
        subjects: String::new(),
        input: String::new(),
        source: String::new(),
        example: String::new(),
    }
}

/// Adds a function; where an entry exists, adds the signature to it.
fn add(entries: &mut Vec<Entry>, function: &Function, section: String, what: &'static str) {
    let name = function.of.as_ref().map_or(function.name.clone(), |of| format!("{of}.{}", function.name));
    match entries.iter_mut().find(|e| e.name == name && e.section == section && e.what == what) {
        Some(entry) => entry.signatures.push(function.signature.to_string()),
        None => entries.push(Entry {
            signatures: vec![function.signature.to_string()],
            doc: function.doc.clone(),
            ..bare(&name, what, section)
        }),
    }
}

fn probe(probe: &dyn convscope_engine::probe::Probe) -> (Family, Entry) {
    let about = probe.about();
    let specs = probe.specs();
    let name = probe.name();
    let places: Vec<&str> = specs.iter().filter(|s| s.positional).map(|s| s.name).collect();
    let map = if specs.len() > places.len() { vec!["#{ .. }"] } else { Vec::new() };
    let inside: Vec<&str> = places.into_iter().chain(map).collect();
    let run = match about.input {
        Takes::Nothing => ".run(subject)",
        _ => ".run(subject, input)",
    };
    let input = match about.input {
        Takes::One => "an image or a tensor",
        Takes::Nothing => "none",
        Takes::Data => "a data set",
        Takes::Any => "an image, a tensor or a data set",
    };
    let entry = Entry {
        signatures: vec![format!("{name}({}){run} -> artifact", inside.join(", "))],
        doc: tidy(probe.doc()),
        options: specs.iter().map(option).collect(),
        subjects: about.subjects.into(),
        input: input.into(),
        source: about.source.into(),
        example: about.example.into(),
        ..bare(name, "probe", format!("probes: {}", about.family.title()))
    };
    (about.family, entry)
}

fn option(spec: &Spec) -> OptionDoc {
    OptionDoc {
        name: spec.name.into(),
        takes: spec.form.words.clone(),
        choices: spec.form.choices.iter().map(ToString::to_string).collect(),
        default: spec.default.json(),
        range: spec.range.map(range),
        positional: spec.positional,
        doc: tidy(spec.doc),
    }
}

/// A Rust range in words: `1..=10_000` is "1 to 10,000".
fn range(rust: &str) -> String {
    let plain = rust.replace(' ', "").replace('_', ",");
    match (plain.split_once("..="), plain.split_once("..")) {
        (Some((low, high)), _) => format!("{low} to {high}"),
        (None, Some((low, ""))) => format!("{low} or more"),
        (None, Some((low, high))) => format!("{low} up to, not including, {high}"),
        _ => plain,
    }
}

/// A doc comment without the leading blanks of its lines.
fn tidy(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn texts_are_whole_sentences_and_plain_ranges() {
        assert_eq!(first_sentence("Steps of 0.5 px\nto the edge. Then others."), "Steps of 0.5 px\nto the edge");
        assert_eq!(first_sentence("One sentence.\n\nA paragraph."), "One sentence");
        assert_eq!(range("1 ..= 10_000"), "1 to 10,000");
        assert_eq!(range("0.0.. 1.0"), "0.0 up to, not including, 1.0");
        let default = json!([{ "name": "gradient", "options": {} }, { "name": "rise", "options": { "masks": 9 } }]);
        assert_eq!(spelled(&default), "[gradient(), rise(#{ masks: 9 })]");
        assert_eq!(spelled(&json!({})), "#{}");
    }

    #[test]
    fn lists_and_paragraphs_keep_their_lines() {
        let text = "One two three\nfour.\n\nOptions:\n\n- `a`: five six\n  seven\n- `b`: eight\n\nNine.";
        let wanted = ["One two", "three four.", "Options:", "- `a`: five", "  six seven", "- `b`:", "  eight", "Nine."];
        assert_eq!(wrap(text, 11), wanted);
        assert_eq!(wrap("", 11), [""]);
    }

    /// The list of `convscope doc` breaks no line within a word and cuts no sentence.
    #[test]
    fn the_overview_holds_each_first_sentence_whole() {
        let reference = Reference::new(&[], &[]);
        let joined = reference.overview().split_whitespace().collect::<Vec<_>>().join(" ");
        for entry in &reference.entries {
            let sentence = first_sentence(&entry.doc).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(joined.contains(&format!("{} {sentence}", entry.name)), "{}", entry.name);
        }
        let stride =
            reference.find("occlusion").unwrap()[0].options.iter().find(|o| o.name == "stride").unwrap().allowed();
        assert!(!stride.contains("from 0"), "{stride}");
    }
}
