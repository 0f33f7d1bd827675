//! Rewords rhai's errors: what was requested, what exists, what to do.

use crate::fault::carried;
use crate::library::{Function, plain};
use crate::source::{Class, tokens};
use convscope_engine::error::{Kind, did_you_mean};
use rhai::{Dynamic, Engine, EvalAltResult, LexError, ParseErrorType, Position};
use std::collections::BTreeSet;

/// The names that a script can use.
pub struct Known<'a> {
    /// The engine, with its standard functions and types.
    pub engine: &'a Engine,
    /// convscope's functions.
    pub functions: &'a [Function],
    /// The variables of the top level.
    pub variables: Vec<String>,
    /// The script's functions with their numbers of parameters.
    pub defined: Vec<(String, usize)>,
}

impl Known<'_> {
    fn function_names(&self) -> BTreeSet<String> {
        let standard = self.engine.collect_fn_metadata(None, |f| Some(f.metadata.name.to_string()), true);
        let own = self.functions.iter().filter(|f| !f.property).map(|f| f.name.clone());
        let named = |n: &String| n.starts_with(|c: char| c.is_alphabetic()) && !n.contains('$');
        standard.into_iter().chain(own).chain(self.defined.iter().map(|d| d.0.clone())).filter(named).collect()
    }

    /// The signatures of `name`, of convscope's functions or the script's own.
    fn signatures(&self, name: &str) -> Vec<String> {
        let own = self.functions.iter().filter(|f| f.name == name && !f.property).map(|f| f.signature.to_string());
        let defined = self.defined.iter().filter(|d| d.0 == name).map(|(n, k)| match k {
            1 => format!("{n} with 1 value"),
            _ => format!("{n} with {k} values"),
        });
        own.chain(defined).collect()
    }
}

type Words = (Kind, String, Option<String>);

/// Kind, message and hint of an error; `inside` is the function in which it happened.
pub fn explain(error: &EvalAltResult, source: &str, inside: Option<&str>, known: &Known<'_>) -> Words {
    use EvalAltResult as E;
    if let Some(error) = carried(error) {
        return (error.kind, error.message, error.hint);
    }
    let say = |kind: Kind, message: String, hint: Option<String>| (kind, message, hint);
    match error {
        E::ErrorParsing(parse, _) => parsing(parse, source),
        E::ErrorVariableNotFound(name, at) => variable(name, inside, assigned(source, *at), known),
        E::ErrorFunctionNotFound(signature, at) => function(signature, method(source, *at), known),
        E::ErrorDotExpr(text, _) => property(text, known),
        E::ErrorPropertyNotFound(name, _) => say(Kind::NotFound, format!("no property `{name}` in this map"), None),
        E::ErrorIndexNotFound(index, _) => say(Kind::NotFound, format!("no entry `{index}`"), None),
        E::ErrorIndexingType(text, _) => {
            let (of, by) = text.split_once(" [").map_or((text.as_str(), ""), |(a, b)| (a, b.trim_end_matches(']')));
            let by = if by.is_empty() { String::new() } else { format!(" by {}", plain(by)) };
            let hint = match of {
                "net" => {
                    Some("`net.layers[i]`, `net.layer(name)` and `net.class(name)` are parts of a net".to_string())
                }
                _ => None,
            };
            say(Kind::Value, format!("{} cannot be indexed{by}", plain(of)), hint)
        }
        E::ErrorArrayBounds(0, index, _) => say(Kind::NotFound, format!("no element {index}: the list is empty"), None),
        E::ErrorArrayBounds(n, index, _) => {
            let hint = format!("elements are counted from 0; the last is {}", n - 1);
            say(Kind::NotFound, format!("no element {index} in a list of {n}"), Some(hint))
        }
        E::ErrorStringBounds(n, index, _) => {
            say(Kind::NotFound, format!("no character {index} in a text of {n}"), None)
        }
        E::ErrorMismatchDataType(wanted, got, _) | E::ErrorMismatchOutputType(wanted, got, _) => {
            say(Kind::Value, format!("expected {}, got {}", plain(wanted), plain(got)), None)
        }
        E::ErrorFor(_) => {
            let hint = "lists, ranges (0..10), data sets, tables, tensors, maps' `.keys()` and `progress(..)` can be";
            say(Kind::Value, "this cannot be looped over".into(), Some(hint.into()))
        }
        E::ErrorAssignmentToConstant(name, _) => {
            say(Kind::Value, format!("`{name}` is constant"), Some("declare it with `let` to change it".into()))
        }
        E::ErrorArithmetic(text, _) => say(Kind::Value, lower(text), None),
        E::ErrorTooManyOperations(_) | E::ErrorTooManyVariables(_) | E::ErrorTooManyModules(_) => {
            say(Kind::Value, "the script is too large".into(), None)
        }
        E::ErrorStackOverflow(_) => {
            let hint = "does a function call itself without end?";
            say(Kind::Value, "functions call each other too deeply".into(), Some(hint.into()))
        }
        E::ErrorDataTooLarge(what, _) if what.starts_with(crate::depth::TOO_DEEP) => {
            let hint = "a list, map or closure that each round puts into another one grows without end";
            say(Kind::Value, what.clone(), Some(hint.into()))
        }
        E::ErrorDataTooLarge(what, _) => {
            let what = match what.to_lowercase() {
                w if w.contains("array") => "a list",
                w if w.contains("map") => "a map",
                _ => "a text",
            };
            say(Kind::Value, format!("{what} grew too large"), Some(crate::bounds::SIZE_HINT.into()))
        }
        terminated if crate::memory::ran_out(terminated) => {
            let hint = "what the cell made is gone; variables of earlier cells are as they were left";
            say(Kind::Value, "the values of the script fill the memory".into(), Some(hint.into()))
        }
        E::ErrorTerminated(..) => say(Kind::Interrupted, "interrupted".into(), None),
        E::ErrorModuleNotFound(name, _) => {
            let hint = "scripts are one file; put shared functions into it";
            say(Kind::Unsupported, format!("no module `{name}`"), Some(hint.into()))
        }
        E::ErrorRuntime(value, _) => say(Kind::Value, thrown(value), None),
        E::ErrorDataRace(name, _) => {
            let hint = "copy the value into another variable before the closure";
            say(Kind::Value, format!("`{name}` is changed while it is in use"), Some(hint.into()))
        }
        other => {
            let mut bare = other.to_string();
            if let Some(at) = bare.rfind(" (line ") {
                bare.truncate(at);
            }
            say(Kind::Value, lower(&bare), None)
        }
    }
}

/// The byte offset of a comment that is never closed, where that is why the parser reached the end of the script.
pub fn unclosed_comment(source: &str, error: &EvalAltResult) -> Option<usize> {
    matches!(error, EvalAltResult::ErrorParsing(..)).then_some(())?;
    tokens(source).into_iter().find(|t| t.class == Class::Comment { closed: false }).map(|t| t.at.start)
}

fn thrown(value: &Dynamic) -> String {
    match value.read_lock::<rhai::Map>() {
        Some(map) => map.get("message").map_or_else(|| value.to_string(), ToString::to_string),
        None if value.is_unit() => "the script threw an error".into(),
        None => value.to_string(),
    }
}

/// Names that users expect to exist, each with code that makes it.
const EXPECTED_NAMES: [(&str, &str); 4] = [
    ("net", "load_model(\"squeezenet1_1\")"),
    ("image", "load_image(\"photo.jpg\")"),
    ("data", "load_images(\"folder\")"),
    ("model", "load_model(\"squeezenet1_1\")"),
];

/// Whether the name at a place is assigned to: `name = ..`.
fn assigned(source: &str, at: Position) -> bool {
    let line = at.line().and_then(|l| source.lines().nth(l - 1)).unwrap_or("");
    let rest: String = line.chars().skip(at.position().unwrap_or(1).saturating_sub(1)).collect();
    let rest = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').trim_start();
    rest.starts_with('=') && !rest.starts_with("==")
}

fn variable(name: &str, inside: Option<&str>, assigned: bool, known: &Known<'_>) -> Words {
    let message = format!("no variable `{name}`");
    if assigned {
        let close =
            did_you_mean(name, known.variables.iter().map(String::as_str)).map_or(String::new(), |c| format!("; {c}"));
        return (Kind::NotFound, message, Some(format!("a new variable begins with let: let {name} = ..{close}")));
    }
    if let Some(function) = inside
        && known.variables.iter().any(|v| v == name)
    {
        let hint = format!(
            "a function does not see the variables of the script around it: give {function} a parameter `{name}` and pass it"
        );
        return (Kind::NotFound, format!("{message} in {function}"), Some(hint));
    }
    let hint = if !known.signatures(name).is_empty() {
        Some(format!("`{name}` is a function: call it, as in `{name}()`"))
    } else if let Some((_, made)) = EXPECTED_NAMES.iter().find(|(usual, _)| *usual == name) {
        Some(format!("make it first: let {name} = {made}"))
    } else {
        did_you_mean(name, known.variables.iter().map(String::as_str))
            .or_else(|| did_you_mean(name, known.function_names().iter().map(String::as_str)))
            .or_else(|| Some(format!("make it first: let {name} = ..")))
    };
    (Kind::NotFound, message, hint)
}

/// Whether the function at a place is called as a method: `value.name(..)`.
fn method(source: &str, at: Position) -> bool {
    let line = at.line().and_then(|l| source.lines().nth(l - 1)).unwrap_or("");
    let before: String = line.chars().take(at.position().unwrap_or(1).saturating_sub(1)).collect();
    before.trim_end().ends_with('.')
}

fn function(signature: &str, method: bool, known: &Known<'_>) -> Words {
    let (name, kinds) = signature.split_once(" (").unwrap_or((signature, ")"));
    let kinds = kinds.trim_end_matches(')');
    let kinds: Vec<&str> = if kinds.is_empty() { Vec::new() } else { kinds.split(", ").collect() };
    let given: Vec<&str> = kinds.iter().map(|k| plain(k)).collect();
    let symbol = !name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if symbol {
        let message = match given[..] {
            [one] => format!("`{name}` does not take {one}"),
            _ => format!("`{name}` does not work between {}", given.join(" and ")),
        };
        return (Kind::Value, message, None);
    }
    let list = |given: &[&str]| if given.is_empty() { "no values".to_string() } else { given.join(", ") };
    let of: Vec<&Function> = match kinds.first() {
        Some(kind) => known.functions.iter().filter(|f| f.belongs_to(kind)).collect(),
        None => Vec::new(),
    };
    if let Some(own) = of.iter().find(|f| f.name == name && f.property) {
        let hint = format!("it is read without parentheses: {}", own.signature);
        return (Kind::Value, format!("`{name}` of {} is no function", given[0]), Some(hint));
    }
    let own: Vec<String> = of.iter().filter(|f| f.name == name).map(|f| f.signature.to_string()).collect();
    if !own.is_empty() {
        let message = format!("`{name}` of {} does not take {}", given[0], list(&given[1..]));
        return (Kind::Value, message, Some(format!("call it as {}", own.join(" or "))));
    }
    if method && !of.is_empty() && !known.signatures(name).is_empty() {
        let ways = known.signatures(name);
        let hint = format!("there is {}", ways.join(" and "));
        return (Kind::NotFound, format!("{} has no `{name}`", given[0]), Some(hint));
    }
    let ways = known.signatures(name);
    if !ways.is_empty() {
        let hint = format!("call it as {}", ways.join(" or "));
        return (Kind::Value, format!("`{name}` does not take {}", list(&given)), Some(hint));
    }
    let names = known.function_names();
    if names.contains(name) {
        return (Kind::Value, format!("`{name}` does not take {}", list(&given)), None);
    }
    if known.variables.iter().any(|v| v == name) {
        return (Kind::NotFound, format!("`{name}` is a variable, no function"), None);
    }
    let near = did_you_mean(name, of.iter().map(|f| f.name.as_str()));
    if method && !of.is_empty() {
        return (Kind::NotFound, format!("{} has no `{name}`", given[0]), near.or_else(|| members(&of)));
    }
    let hint = near
        .or_else(|| did_you_mean(name, names.iter().map(String::as_str)))
        .or_else(|| Some("`convscope doc` lists all functions".to_string()));
    (Kind::NotFound, format!("no function `{name}`"), hint)
}

/// "it has `.a`, `.b`": the methods and properties of a kind of value.
fn members(of: &[&Function]) -> Option<String> {
    let names: BTreeSet<String> = of.iter().filter(|f| f.name != "[]").map(|f| format!("`.{}`", f.name)).collect();
    (!names.is_empty()).then(|| format!("it has {}", names.into_iter().collect::<Vec<_>>().join(", ")))
}

/// Rewords "Unknown property 'x' - a getter is not registered for type 'net'".
fn property(text: &str, known: &Known<'_>) -> Words {
    let quoted: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
    let [name, kind] = quoted[..] else { return (Kind::Value, lower(text), None) };
    let of: Vec<&Function> = known.functions.iter().filter(|f| f.belongs_to(kind)).collect();
    let hint = match of.iter().find(|f| f.name == name && !f.property) {
        Some(method) => Some(format!("it is a function: {}", method.signature)),
        None => did_you_mean(name, of.iter().map(|f| f.name.as_str())).or_else(|| members(&of)),
    };
    (Kind::NotFound, format!("{} has no `.{name}`", plain(kind)), hint)
}

fn parsing(error: &ParseErrorType, source: &str) -> Words {
    use ParseErrorType as P;
    if tokens(source).iter().any(|t| t.class == Class::Comment { closed: false }) {
        return (Kind::Format, "a comment `/*` that does not end".into(), Some("close it with `*/`".into()));
    }
    if let P::BadInput(LexError::Runtime(text)) = error
        && text.starts_with(crate::compiled::TOO_MANY_NAMES)
    {
        let hint = "declare variables in functions or blocks of their own; read large maps from a file";
        return (Kind::Value, text.clone(), Some(hint.into()));
    }
    let (message, hint) = match error {
        P::Reserved(word) if word.starts_with(|c: char| c.is_alphabetic()) => {
            (format!("`{word}` is a reserved word"), Some(format!("choose another name, such as `my_{word}`")))
        }
        P::Reserved(mark) => (format!("`{mark}` has no meaning here"), symbol_hint(mark)),
        P::BadInput(LexError::UnterminatedString) => {
            ("a text that does not end".into(), Some("close it with the quote it began with".into()))
        }
        P::BadInput(LexError::ImproperSymbol(mark, _)) => (format!("`{mark}` has no meaning here"), symbol_hint(mark)),
        P::BadInput(LexError::UnexpectedInput(c)) => {
            let hint = "names are made of a to z, A to Z, 0 to 9 and _; other letters stand in texts and comments only";
            (format!("`{c}` has no meaning here"), Some(hint.into()))
        }
        P::BadInput(other) => (lower(&other.to_string()), None),
        P::MissingToken(token, why) => (
            format!(
                "`{token}` is missing {}",
                lower(why).replace("array literal", "list").replace("object map literal", "map")
            )
            .trim()
            .to_string(),
            None,
        ),
        P::UnexpectedEOF => ("the script ends too early".into(), Some("is a bracket left open?".into())),
        P::VariableExpected => ("the name of a variable is missing".into(), None),
        P::ExprTooDeep => ("this expression is nested too deeply".into(), Some("split it with `let`".into())),
        P::FnDuplicatedDefinition(name, n) => (format!("function `{name}` with {n} parameters is defined twice"), None),
        P::LoopBreak => ("`break` and `continue` stand inside a loop only".into(), None),
        P::AssignmentToConstant(name) => {
            (format!("`{name}` is constant"), Some("declare it with `let` to change it".into()))
        }
        P::UnknownOperator(mark) => (format!("no operator `{mark}`"), symbol_hint(mark)),
        other => (lower(&other.to_string()), None),
    };
    (Kind::Format, message, hint)
}

fn symbol_hint(mark: &str) -> Option<String> {
    match mark {
        "++" | "--" => Some("write `x += 1` or `x -= 1`".into()),
        "===" | "!==" => Some("write `==` or `!=`".into()),
        ":=" => Some("write `let x = ..`".into()),
        "#" => Some("comments begin with `//`; maps are written #{ name: value }".into()),
        _ => None,
    }
}

/// The text with a lower-case first letter and without a full stop; quotes as in other messages.
fn lower(text: &str) -> String {
    let text = text.trim().trim_end_matches('.').replace('\'', "`");
    let mut chars = text.chars();
    let second_small = text.chars().nth(1).is_none_or(|c| !c.is_uppercase());
    match chars.next() {
        Some(first) if second_small => first.to_lowercase().chain(chars).collect(),
        _ => text,
    }
}
