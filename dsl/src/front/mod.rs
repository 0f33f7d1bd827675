//! Front matter: a script's metadata, as TOML in comments at its head.
//!
//! ```text
//! // /// convscope
//! // engine = ">=0.1, <0.2"          the engine versions it runs on
//! // seed = 7                        the seed of all random numbers
//! // [params]
//! // n = 60                          a parameter's default, which says its type
//! // patch = { default = 16, min = 4, max = 64, doc = "side of the patch, px" }
//! // [inputs]
//! // "cat.jpg" = "blake3:ad4f.."     a file that must be there, with this content
//! // [limits]
//! // memory = 512                    MB that probes may hold at once
//! // seconds = 60                    the longest that it may take
//! // [outputs]
//! // "*.npy" = "ulp:4"               how outputs are compared: bits, ulp:N, atol:A,rtol:R, ignore
//! // ///
//! ```

mod param;

use convscope_engine::error::did_you_mean;
use convscope_engine::run::rule::Choice;
use convscope_engine::run::{CompareRule, CompareRules};
use convscope_engine::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

pub use param::{Param, Value};

const OPEN: &str = "/// convscope";
const CLOSE: &str = "///";

/// A script's front matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Front {
    /// The title.
    pub title: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The authors.
    pub authors: Vec<String>,
    /// The licence, an SPDX expression.
    pub license: Option<String>,
    /// The date of publication, YYYY-MM-DD.
    pub date: Option<String>,
    /// The engine versions that it runs on.
    pub engine: Option<semver::VersionReq>,
    /// The seed of all random numbers.
    pub seed: Option<u64>,
    /// The parameters.
    pub params: BTreeMap<String, Param>,
    /// The files that the script reads.
    pub inputs: BTreeMap<String, Declared>,
    /// The memory that probes may hold at once, MB.
    pub memory: Option<u64>,
    /// The time limit, seconds.
    pub seconds: Option<f64>,
    /// How outputs are compared.
    pub outputs: CompareRules,
}

/// An input as the script declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// BLAKE3 of the file, hexadecimal, with or without `blake3:` before it.
    #[serde(default)]
    pub blake3: Option<String>,
    /// The file's licence.
    #[serde(default)]
    pub license: Option<String>,
    /// Where the file can be obtained.
    #[serde(default)]
    pub source: Option<String>,
    /// Whether bundles contain only the file's digest.
    #[serde(default)]
    pub pointer: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    title: Option<String>,
    description: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    license: Option<String>,
    date: Option<toml::Value>,
    engine: Option<String>,
    seed: Option<u64>,
    #[serde(default)]
    params: BTreeMap<String, toml::Value>,
    #[serde(default)]
    inputs: BTreeMap<String, RawInput>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    outputs: toml::Table,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    memory: Option<u64>,
    seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawInput {
    Digest(String),
    Full(Declared),
}

impl Front {
    /// Reads the front matter of a script; empty where the script has none.
    ///
    /// # Errors
    /// Where it is not closed, no TOML, or has unknown or invalid entries; the message has the script's line.
    pub fn of(source: &str) -> Result<Self> {
        let Some((line, text)) = block(source)? else { return Ok(Front::default()) };
        let raw: Raw = toml::from_str(&text).map_err(|e| {
            let inside = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count());
            Error::value(format!("front matter, line {}: {}", line + inside, e.message().trim()))
        })?;
        raw.checked().map_err(|e| e.context("front matter"))
    }

    /// The values for `param`: the given ones, else the defaults.
    ///
    /// # Errors
    /// Where a given parameter is not declared, or its value has another type or is out of range. Where no parameters are declared,
    /// all given ones are accepted.
    pub fn params(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        if self.params.is_empty() {
            return Ok(given.clone());
        }
        let known = self.params.keys().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
        for (name, text) in given {
            let Some(param) = self.params.get(name) else {
                let close = did_you_mean(name, self.params.keys().map(String::as_str));
                return Err(Error::not_found(format!("the script's front matter declares no parameter `{name}`"))
                    .hint(format!("{}declared are {known}", close.map_or(String::new(), |c| format!("{c} ")))));
            };
            let value = param.default.like(text).ok_or_else(|| {
                Error::value(format!("parameter `{name}` must be {}, got `{text}`", param.default.kind()))
            })?;
            param.allows(name, &value)?;
        }
        let value = |(name, param): (&String, &Param)| {
            let text = given.get(name).cloned().unwrap_or_else(|| param.default.text());
            (name.clone(), text)
        };
        Ok(self.params.iter().map(value).collect())
    }
}

/// The line number of the first TOML line, from 1, and the TOML; none without front matter.
fn block(source: &str) -> Result<Option<(usize, String)>> {
    let mut open = None;
    let mut text = String::new();
    for (i, line) in source.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim_end();
        let comment = line.strip_prefix("//").map(|c| c.strip_prefix(' ').unwrap_or(c));
        match (open, comment) {
            (None, Some(c)) if c.trim() == OPEN => open = Some(i + 2),
            // Blank lines, a shebang line, other comments and the marker of a first cell may come before.
            (None, Some(_)) => {}
            (None, None) if line.trim().is_empty() || (i == 0 && line.starts_with("#!")) => {}
            (None, None) => return Ok(None),
            (Some(first), Some(c)) if c.trim() == CLOSE => return Ok(Some((first, text))),
            (Some(_), Some(c)) => {
                text.push_str(c);
                text.push('\n');
            }
            (Some(_), None) => {
                return Err(Error::value(format!("front matter, line {}: not a comment", i + 1))
                    .hint("front matter ends with the line `// ///`"));
            }
        }
    }
    match open {
        Some(line) => Err(Error::value(format!("front matter, line {}: it does not end", line - 1))
            .hint("front matter ends with the line `// ///`")),
        None => Ok(None),
    }
}

impl Raw {
    fn checked(self) -> Result<Front> {
        let engine = self.engine.map(|text| {
            text.parse::<semver::VersionReq>()
                .map_err(|e| Error::value(format!("`engine = {text:?}`: {e}")).hint("write it as \">=0.1, <0.2\""))
        });
        let date = self.date.map(|date| match date {
            toml::Value::String(s) => Ok(s),
            toml::Value::Datetime(d) => Ok(d.to_string()),
            other => Err(Error::value(format!("`date = {other}`")).hint("write it as 2026-01-31")),
        });
        let mut params = BTreeMap::new();
        for (name, value) in self.params {
            let param = Param::of(&value).map_err(|e| e.context(format!("parameter `{name}`")))?;
            params.insert(name, param);
        }
        let inputs = self.inputs.into_iter().map(|(name, raw)| {
            let mut declared = match raw {
                RawInput::Digest(digest) => Declared { blake3: Some(digest), ..Declared::default() },
                RawInput::Full(full) => full,
            };
            if let Some(digest) = &mut declared.blake3 {
                *digest = hexadecimal(digest).map_err(|e| e.context(format!("input `{name}`")))?;
            }
            Ok((name, declared))
        });
        let outputs = self.outputs.into_iter().map(|(pattern, value)| {
            let choice = choice(&value).map_err(|e| e.context(format!("output `{pattern}`")))?;
            Ok((pattern, choice))
        });
        if self.limits.memory.is_some_and(|m| !(16..=1 << 20).contains(&m)) {
            return Err(Error::value("`memory` lies in 16 to 1048576 MB"));
        }
        if self.limits.seconds.is_some_and(|s| s.is_nan() || s <= 0.0) {
            return Err(Error::value("`seconds` must be above 0"));
        }
        Ok(Front {
            title: self.title,
            description: self.description,
            authors: self.authors,
            license: self.license,
            date: date.transpose()?,
            engine: engine.transpose()?,
            seed: self.seed,
            params,
            inputs: inputs.collect::<Result<_>>()?,
            memory: self.limits.memory,
            seconds: self.limits.seconds,
            outputs: CompareRules(outputs.collect::<Result<_>>()?),
        })
    }
}

fn hexadecimal(text: &str) -> Result<String> {
    let digest = text.trim().strip_prefix("blake3:").unwrap_or(text.trim()).to_ascii_lowercase();
    if digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(digest);
    }
    Err(Error::value(format!("`{text}` is no BLAKE3 digest")).hint("64 hexadecimal digits; `b3sum FILE` prints them"))
}

/// A rule: "ulp:4", { atol = 1e-6, rtol = 1e-5 }, or { compare = "bits", elsewhere = "ignore" }.
fn choice(value: &toml::Value) -> Result<Choice> {
    let rule = |value: &toml::Value| match value {
        toml::Value::String(text) => text.parse::<CompareRule>(),
        toml::Value::Table(table) => {
            let parts: Vec<String> = table.iter().map(|(k, v)| format!("{k}:{v}")).collect();
            parts.join(",").parse()
        }
        other => other.to_string().parse(),
    };
    match value {
        toml::Value::Table(table) if table.contains_key("elsewhere") || table.contains_key("compare") => {
            if let Some(other) = table.keys().find(|k| *k != "elsewhere" && *k != "compare") {
                return Err(Error::value(format!("beside `compare` and `elsewhere` stands `{other}`")));
            }
            Ok(Choice {
                here: table.get("compare").map_or(Ok(CompareRule::Bits), rule)?,
                elsewhere: table.get("elsewhere").map(rule).transpose()?,
            })
        }
        value => Ok(Choice { here: rule(value)?, elsewhere: None }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SCRIPT: &str = "#!/usr/bin/env -S convscope run\n// A study.\n\n// /// convscope\n// engine = \">=0.1, <0.2\"\n// seed = 7\n// date = 2026-01-31\n// [params]\n// n = 60\n// rate = { default = 1, type = \"float\", max = 2.5 }\n// mode = { default = \"a\", choices = [\"a\", \"b\"] }\n// [inputs]\n// \"cat.jpg\" = { license = \"CC-BY-4.0\", pointer = true }\n// [limits]\n// memory = 512\n// [outputs]\n// \"z*.npy\" = \"ulp:4\"\n// \"*\" = { compare = \"bits\", elsewhere = \"ignore\" }\n// \"never\" = { atol = 1e-6, rtol = 1e-5 }\n// ///\nprint(1);\n";

    fn params(given: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
        let given = given.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Front::of(SCRIPT).unwrap().params(&given)
    }

    #[test]
    fn a_script_says_what_it_is() {
        let front = Front::of(SCRIPT).unwrap();
        assert!(front.engine.as_ref().unwrap().matches(&semver::Version::new(0, 1, 9)));
        assert_eq!((front.seed, front.memory, front.date.as_deref()), (Some(7), Some(512), Some("2026-01-31")));
        assert_eq!(front.outputs.of("deep/z1.npy").here, CompareRule::Ulp(4));
        assert_eq!(front.outputs.of("x").elsewhere, Some(CompareRule::Ignore));
        assert_eq!(front.outputs.0[2].1.here, CompareRule::Close { absolute: 1e-6, relative: 1e-5 });
        assert_eq!(front.inputs["cat.jpg"].pointer, Some(true));
        for crlf in [SCRIPT.replace('\n', "\r\n"), format!("// %%\n{}", &SCRIPT[SCRIPT.find("// A").unwrap()..])] {
            assert_eq!(Front::of(&crlf).unwrap(), front);
        }
        for none in ["", "print(1);\n// /// convscope\n// seed = 1\n// ///\n", "#!x\nlet a = 1;"] {
            assert_eq!(Front::of(none).unwrap(), Front::default(), "{none}");
        }
    }

    #[test]
    fn parameters_are_checked_against_it() {
        assert_eq!(params(&[]).unwrap()["n"], "60");
        assert_eq!(params(&[("rate", "2")]).unwrap()["rate"], "2");
        for (name, value, part) in [
            ("m", "1", "did you mean"),
            ("n", "many", "a whole number"),
            ("rate", "3", "lies in"),
            ("mode", "c", "one of"),
        ] {
            let error = params(&[(name, value)]).unwrap_err();
            let all = format!("{error} {}", error.hint.clone().unwrap_or_default());
            assert!(all.contains(part) || all.contains("declared are"), "{all}");
        }
        let free = [("x".to_string(), "1".to_string())].into();
        assert_eq!(Front::default().params(&free).unwrap(), free);
    }

    #[test]
    fn what_it_does_not_understand_is_an_error_with_its_line() {
        for (body, part) in [
            ("seeds = 1", "line 2"),
            ("seed = ", "line 2"),
            ("[params]\n// x = { min = 1 }", "no `default`"),
            ("[params]\n// x = { default = 1, type = \"text\" }", "not of type"),
            ("[inputs]\n// a = \"blake3:12\"", "no BLAKE3 digest"),
            ("[outputs]\n// a = \"nearly\"", "no way to compare"),
            ("engine = \"new\"", "engine"),
        ] {
            let error = Front::of(&format!("// /// convscope\n// {body}\n// ///\n")).unwrap_err();
            assert!(error.message.starts_with("front matter") && error.message.contains(part), "{error}");
        }
        assert!(Front::of("// /// convscope\n// seed = 1\n").unwrap_err().message.contains("does not end"));
        assert!(Front::of("// /// convscope\nlet a;\n").unwrap_err().message.contains("not a comment"));
    }
}
