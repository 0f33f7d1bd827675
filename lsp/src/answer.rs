//! The answers to an editor's requests.

use crate::documents::{Document, MAX_CHECKED_BYTES};
use crate::navigate::{Place, definition, function_of_module, module_functions, occurrences};
use crate::semantic;
use crate::state::ServerState;
use convscope_dsl::Session;
use convscope_dsl::names::{Name, Names, Sort};
use convscope_dsl::reference::Entry;
use convscope_dsl::source::KEYWORDS;
use convscope_dsl::source::{Class, Token, offset, tokens};
use lsp_server::{ErrorCode, ResponseError};
use lsp_types::{Range, TextDocumentPositionParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

type Answer = Result<Value, ResponseError>;

/// The server's capabilities.
pub fn capabilities() -> Value {
    json!({
        "capabilities": {
            "positionEncoding": "utf-16",
            "textDocumentSync": { "openClose": true, "change": 2 },
            "completionProvider": { "triggerCharacters": [".", "\"", "{"] },
            "hoverProvider": true,
            "signatureHelpProvider": { "triggerCharacters": ["(", ","] },
            "definitionProvider": true,
            "referencesProvider": true,
            "documentHighlightProvider": true,
            "documentSymbolProvider": true,
            "renameProvider": { "prepareProvider": true },
            "documentFormattingProvider": true,
            "semanticTokensProvider": { "legend": semantic::legend(), "full": true },
        },
        "serverInfo": { "name": "convscope", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// The answer to a request.
///
/// # Errors
/// Where the method is unknown or its parameters are invalid.
pub fn answer(state: &ServerState, method: &str, params: Value) -> Answer {
    match method {
        "textDocument/completion" => at(state, &params, |d, i| Ok(completion(state, d, i))),
        "textDocument/hover" => at(state, &params, |d, i| Ok(hover(state, d, i).unwrap_or_default())),
        "textDocument/signatureHelp" => at(state, &params, |d, i| Ok(signatures(state, d, i).unwrap_or_default())),
        "textDocument/definition" => {
            at(state, &params, |d, i| Ok(definition(state, d, i).map(|p| location(&p)).into()))
        }
        "textDocument/references" => at(state, &params, |d, i| {
            let own = params.pointer("/context/includeDeclaration").and_then(Value::as_bool).unwrap_or(true);
            let found = occurrences(state, d, i).unwrap_or_default();
            Ok(found.iter().filter(|p| own || !p.declares).map(location).collect())
        }),
        "textDocument/documentHighlight" => at(state, &params, |d, i| {
            let found = occurrences(state, d, i).unwrap_or_default();
            Ok(found.iter().filter(|p| p.uri == d.uri).map(|p| json!({ "range": p.range })).collect())
        }),
        "textDocument/prepareRename" => at(state, &params, prepare),
        "textDocument/rename" => {
            at(state, &params, |d, i| rename(state, d, i, params["newName"].as_str().unwrap_or("")))
        }
        "textDocument/documentSymbol" => Ok(symbols(document(state, &params)?)),
        "textDocument/semanticTokens/full" => Ok(semantic::semantic(state, document(state, &params)?)),
        "textDocument/formatting" => {
            let document = document(state, &params)?;
            Ok(state
                .session
                .format(&document.name(), &document.text)
                .map_or(Value::Null, |text| edits(document, &text)))
        }
        _ => Err(error(ErrorCode::MethodNotFound, format!("no method `{method}`"))),
    }
}

fn error(code: ErrorCode, message: String) -> ResponseError {
    ResponseError { code: code as i32, message, data: None }
}

fn parsed<T: DeserializeOwned>(params: &Value) -> Result<T, ResponseError> {
    serde_json::from_value(params.clone()).map_err(|e| error(ErrorCode::InvalidParams, e.to_string()))
}

fn document<'d>(state: &'d ServerState, params: &Value) -> Result<&'d Document, ResponseError> {
    let uri = params.pointer("/textDocument/uri").and_then(Value::as_str).unwrap_or("");
    let missing = || error(ErrorCode::InvalidParams, format!("`{uri}` is not open"));
    state.documents.get(uri).ok_or_else(missing)
}

/// An answer about the byte at the position in a request's parameters.
fn at(state: &ServerState, params: &Value, ask: impl FnOnce(&Document, usize) -> Answer) -> Answer {
    let about: TextDocumentPositionParams = parsed(params)?;
    let document = document(state, params)?;
    ask(document, document.offset(about.position))
}

fn location(place: &Place) -> Value {
    json!({ "uri": place.uri, "range": place.range })
}

/// The diagnostics of a document.
pub fn diagnostics(session: &Session, document: &Document) -> Vec<Value> {
    if document.too_long {
        let message = format!("a script of more than {} KB is not checked", MAX_CHECKED_BYTES >> 10);
        return vec![json!({ "range": Range::default(), "severity": 3, "source": "convscope", "message": message })];
    }
    let one = |d: convscope_dsl::Diagnostic| {
        let range = d.spot.as_ref().map_or_else(Range::default, |spot| {
            let start = offset(&document.text, spot.line, spot.column);
            let end = offset(&document.text, spot.line, spot.column + spot.length);
            document.range(&(start..end))
        });
        let hint = d.hint.map_or(String::new(), |h| format!("\nhint: {h}"));
        json!({ "range": range, "severity": 1, "source": "convscope", "code": d.kind.name(), "message": d.message + hint.as_str() })
    };
    session.check(&document.name(), &document.text).into_iter().map(one).collect()
}

fn completion(state: &ServerState, document: &Document, cursor: usize) -> Value {
    let found = state.session.complete(&document.text, cursor);
    let range = document.range(&(found.start..found.end));
    if let Some(functions) = module_functions(state, document, &document.text[..found.start]) {
        let items = functions.into_iter().map(|f| {
            let edit = json!({ "range": range, "newText": f.name });
            json!({ "label": f.name, "kind": 3, "detail": head(&f), "textEdit": edit })
        });
        return json!({ "isIncomplete": false, "items": items.collect::<Vec<_>>() });
    }
    let owner = state.session.owner_of_key(&document.text, found.start);
    let items = found.candidates.into_iter().map(|c| {
        let kind = match c.kind {
            "function" | "probe" => 3,
            "method" => 2,
            "property" | "option" => 10,
            "keyword" => 14,
            "file" => 17,
            "variable" => 6,
            _ => 12,
        };
        let mut item = json!({ "label": c.text, "kind": kind, "textEdit": { "range": range, "newText": c.text } });
        if !c.detail.is_empty() {
            item["detail"] = c.detail.into();
        }
        let doc = match (c.kind, &owner) {
            ("option", Some(owner)) => option(state, owner, &c.text),
            ("function" | "probe", _) => entries(state, &c.text, None).first().map(|e| e.doc.clone()),
            ("method" | "property", _) => entries(state, &c.text, Some("")).first().map(|e| e.doc.clone()),
            _ => None,
        };
        if let Some(doc) = doc.filter(|d| !d.is_empty()) {
            item["documentation"] = json!({ "kind": "markdown", "value": doc });
        }
        if c.kind == "option" {
            let filled = if state.snippets { format!("{}: ${{1}}", c.text) } else { format!("{}: ", c.text) };
            item["textEdit"]["newText"] = filled.into();
            item["insertTextFormat"] = json!(if state.snippets { 2 } else { 1 });
        }
        item
    });
    json!({ "isIncomplete": false, "items": items.collect::<Vec<_>>() })
}

/// The reference's entries for a name: functions and probes, or the members of a kind of value; all where the name is empty.
fn entries<'d>(state: &'d ServerState, name: &str, of: Option<&str>) -> Vec<&'d Entry> {
    let matches = |e: &&Entry| match (e.name.rsplit_once('.'), of) {
        (None, None) => e.name == name && e.what != "kind",
        (Some((kind, short)), Some(of)) => {
            let same = match of {
                "subject" => matches!(kind, "layer" | "subject"),
                "array" => kind == "list",
                "data set" => kind == "data",
                of => of.is_empty() || kind == of,
            };
            short == name && same
        }
        _ => false,
    };
    state.reference.entries.iter().filter(matches).collect()
}

/// The documentation of an option, in Markdown.
fn option(state: &ServerState, owner: &str, name: &str) -> Option<String> {
    let entry = entries(state, owner, None).into_iter().find_map(|e| e.options.iter().find(|o| o.name == name));
    entry.map(|o| format!("{}\n\n{}; default `{}`", o.doc, o.allowed(), o.default))
}

/// The word at a byte offset.
fn word(text: &str, at: usize) -> Option<Token> {
    tokens(text).into_iter().find(|t| t.class == Class::Word && t.at.start <= at && at <= t.at.end)
}

fn hover(state: &ServerState, document: &Document, cursor: usize) -> Option<Value> {
    let text = &document.text;
    let names = Names::of(text);
    if let Some(name) = names.at(cursor) {
        let place = name.places().find(|r| r.start <= cursor && cursor <= r.end)?;
        return Some(said(document, place.clone(), &declared(state, document, name)));
    }
    let word = word(text, cursor)?;
    let name = word.text(text);
    if let Some((script, function)) = function_of_module(state, document, &names, cursor) {
        return Some(said(document, word.at, &declared(state, &script, &function)));
    }
    if let Some(owner) = state.session.owner_of_key(text, word.at.start)
        && let Some(doc) = option(state, &owner, name)
    {
        return Some(said(document, word.at.clone(), &format!("`{name}` of `{owner}`\n\n{doc}")));
    }
    let found = called(state, text, &word);
    if found.is_empty() {
        return None;
    }
    let parts: Vec<String> = found.iter().take(4).map(|e| markdown(e)).collect();
    Some(said(document, word.at.clone(), &parts.join("\n\n---\n\n")))
}

/// The reference's entries for a word in a script.
fn called<'d>(state: &'d ServerState, text: &str, word: &Token) -> Vec<&'d Entry> {
    let before = text[..word.at.start].trim_end();
    let name = word.text(text);
    match before.strip_suffix('.').map(|b| b.strip_suffix('?').unwrap_or(b)) {
        Some(value) if !value.ends_with('.') => {
            let kind = state.session.kind_before(text, value.len());
            entries(state, name, Some(kind.as_deref().unwrap_or("")))
        }
        _ => entries(state, name, None),
    }
}

fn said(document: &Document, at: std::ops::Range<usize>, markdown: &str) -> Value {
    json!({ "range": document.range(&at), "contents": { "kind": "markdown", "value": markdown } })
}

/// The declaration of a name and the comment above it, in Markdown.
fn declared(state: &ServerState, document: &Document, name: &Name) -> String {
    let text = &document.text;
    let head = match name.sort {
        Sort::Function => format!("fn {}", head(name)),
        Sort::Module => format!("import \"{}\" as {}", name.path.as_deref().unwrap_or(""), name.name),
        Sort::Parameter => format!("{} (parameter)", name.name),
        Sort::Variable | Sort::Constant => {
            let line = text[name.at.start..].lines().next().unwrap_or("").trim_end();
            let word = if name.sort == Sort::Constant { "const" } else { "let" };
            let kind = value(text, name).and_then(|end| state.session.kind_before(text, end));
            let kind = kind.map_or(String::new(), |k| format!(" // {k}"));
            format!("{word} {line}{kind}")
        }
    };
    let start = text[..name.whole.start].rfind('\n').map_or(0, |i| i + 1);
    let above = text[..start].lines().rev().map(str::trim).take_while(|l| l.starts_with("//"));
    let mut lines: Vec<&str> = above.map(|l| l.trim_start_matches('/').trim()).collect();
    lines.reverse();
    format!("```rhai\n{head}\n```\n\n{}", lines.join("\n")).trim_end().to_string()
}

/// The head of a function.
fn head(function: &Name) -> String {
    format!("{}({})", function.name, function.parameters.join(", "))
}

/// The end of the value in a variable's declaration.
fn value(text: &str, name: &Name) -> Option<usize> {
    let rest = &text[name.at.end..];
    let all = tokens(rest);
    let equals = all.first().is_some_and(|t| t.text(rest) == "=");
    let mut depth = 0usize;
    let end = all.iter().find(|t| {
        match t.text(rest) {
            "(" | "[" | "{" | "#{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && t.text(rest) == ";"
    })?;
    equals.then_some(name.at.end + end.at.start)
}

/// A reference entry in Markdown.
fn markdown(entry: &Entry) -> String {
    let mut out = format!("```rhai\n{}\n```\n\n{}\n", entry.signatures.join("\n"), entry.doc);
    for o in &entry.options {
        out += &format!("\n- `{}`: {}; default `{}`. {}", o.name, o.allowed(), o.default, o.doc.replace('\n', " "));
    }
    for (name, text) in [("source", &entry.source), ("example", &entry.example)] {
        match (name, text.is_empty()) {
            (_, true) => {}
            ("example", _) => out += &format!("\n\n```rhai\n{text}\n```"),
            _ => out += &format!("\n\n{name}: {text}"),
        }
    }
    out
}

fn signatures(state: &ServerState, document: &Document, cursor: usize) -> Option<Value> {
    let text = &document.text;
    let (at, active) = state.session.call_at(text, cursor)?;
    let name = &text[at.clone()];
    let token = Token { class: Class::Word, at };
    let names = Names::of(text);
    let imported = function_of_module(state, document, &names, token.at.start).map(|(_, function)| function);
    let own = imported.or_else(|| names.names.into_iter().find(|n| n.sort == Sort::Function && n.name == name));
    let mut found: Vec<(String, String)> = match &own {
        Some(function) => vec![(head(function), String::new())],
        None => {
            let entries = called(state, text, &token).into_iter();
            entries.flat_map(|e| e.signatures.iter().map(|s| (s.clone(), e.doc.clone()))).collect()
        }
    };
    found.truncate(8);
    let shown = found.iter().map(|(label, doc)| {
        let open = label.find('(').map_or(label.len(), |i| i + 1);
        let close = label[open..].find(')').map_or(label.len(), |i| open + i);
        let inside = label[open..close].split(", ").filter(|p| !p.is_empty());
        let parameters: Vec<Value> = inside.map(|p| json!({ "label": p })).collect();
        json!({ "label": label, "documentation": { "kind": "markdown", "value": doc }, "parameters": parameters })
    });
    let shown: Vec<Value> = shown.collect();
    let fits = shown.iter().position(|s| s["parameters"].as_array().is_some_and(|p| p.len() > active)).unwrap_or(0);
    (!shown.is_empty()).then(|| json!({ "signatures": shown, "activeSignature": fits, "activeParameter": active }))
}

fn symbols(document: &Document) -> Value {
    let names = Names::of(&document.text);
    let shown = names.names.iter().filter(|n| n.top).map(|n| {
        let kind = match n.sort {
            Sort::Function => 12,
            Sort::Constant => 14,
            Sort::Module => 2,
            Sort::Variable | Sort::Parameter => 13,
        };
        let detail = if n.sort == Sort::Function { format!("({})", n.parameters.join(", ")) } else { String::new() };
        json!({
            "name": n.name, "detail": detail, "kind": kind,
            "range": document.range(&n.whole), "selectionRange": document.range(&n.at),
        })
    });
    shown.collect()
}

fn prepare(document: &Document, cursor: usize) -> Answer {
    let names = Names::of(&document.text);
    let place = |n: &Name| n.places().find(|r| r.start <= cursor && cursor <= r.end).cloned();
    let item = names.items.iter().find(|(_, r)| r.start <= cursor && cursor <= r.end).map(|i| i.1.clone());
    match names.at(cursor).and_then(place).or(item) {
        Some(at) => Ok(json!({ "range": document.range(&at), "placeholder": &document.text[at] })),
        None => Err(error(ErrorCode::InvalidRequest, "only what a script declares can be renamed".into())),
    }
}

fn rename(state: &ServerState, document: &Document, cursor: usize, new: &str) -> Answer {
    let refused = |why: String| Err(error(ErrorCode::InvalidParams, why));
    let letters = new.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if new.is_empty() || !letters || new.starts_with(|c: char| c.is_ascii_digit()) || new.chars().all(|c| c == '_') {
        return refused(format!("`{new}` is no name: names are made of a to z, A to Z, 0 to 9 and _"));
    }
    if KEYWORDS.contains(&new) || !state.session.can_be_named(new) {
        return refused(format!("`{new}` is a word of the language"));
    }
    prepare(document, cursor)?;
    if Names::of(&document.text).names.iter().any(|n| n.name == new) {
        return refused(format!("`{new}` is declared in this script already"));
    }
    let mut changes = serde_json::Map::new();
    for place in occurrences(state, document, cursor).unwrap_or_default() {
        let edit = json!({ "range": place.range, "newText": new });
        let list = changes.entry(place.uri.as_str().to_string()).or_insert_with(|| json!([]));
        list.as_array_mut().into_iter().for_each(|l| l.push(edit.clone()));
    }
    Ok(json!({ "changes": changes }))
}

/// The one edit that turns a document into `text`: it replaces what lies between the first and the last difference.
fn edits(document: &Document, text: &str) -> Value {
    let old = &document.text;
    if old == text {
        return json!([]);
    }
    let start = old.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>();
    let room = old.len().min(text.len()) - start;
    let mut end = 0;
    for (a, b) in old.chars().rev().zip(text.chars().rev()) {
        if a != b || end + a.len_utf8() > room {
            break;
        }
        end += a.len_utf8();
    }
    // A line end of two characters is not divided.
    let (mut from, mut back) = (start, end);
    while old[..from].ends_with('\r') {
        from -= 1;
    }
    while old[old.len() - back..].starts_with('\n') && old[..old.len() - back].ends_with('\r') {
        back -= 1;
    }
    let range = Range::new(document.position(from), document.position(old.len() - back));
    json!([{ "range": range, "newText": &text[from..text.len() - back] }])
}
