//! Navigation from a name to its declaration and its uses, across scripts that import each other.

use crate::documents::{self, Document};
use crate::state::ServerState;
use convscope_dsl::names::{Name, Names, Sort};
use convscope_engine::{Error, Result, regular};
use lsp_types::{Range, Uri};
use std::path::{Component, Path, PathBuf};

/// How many scripts of a folder are searched.
const MAX_SCRIPTS: usize = 500;

/// An occurrence of a name in a script.
#[derive(Clone, Debug)]
pub struct Place {
    /// The script.
    pub uri: Uri,
    /// The range in the script.
    pub range: Range,
    /// Whether the name is declared there.
    pub declares: bool,
}

/// The declaration of the name at a byte offset: in this script, or in one that it imports.
pub fn definition(state: &ServerState, document: &Document, cursor: usize) -> Option<Place> {
    let names = Names::of(&document.text);
    if let Some((script, function)) = imported(state, document, &names, cursor) {
        return function_places(&script, &function).into_iter().find(|p| p.declares);
    }
    let text = convscope_dsl::source::tokens(&document.text);
    let path = text.iter().enumerate().find(|(_, t)| t.at.start <= cursor && cursor < t.at.end);
    if let Some((i, token)) = path
        && i > 0
        && text[i - 1].text(&document.text) == "import"
    {
        let script = imported_script(state, document, token.text(&document.text).trim_matches(['"', '`']))?;
        return Some(Place { uri: script.uri, range: Range::default(), declares: true });
    }
    let name = names.at(cursor)?;
    Some(Place { uri: document.uri.clone(), range: document.range(&name.at), declares: true })
}

/// All occurrences of the name at a byte offset.
pub fn occurrences(state: &ServerState, document: &Document, cursor: usize) -> Option<Vec<Place>> {
    let names = Names::of(&document.text);
    if let Some((script, function)) = imported(state, document, &names, cursor) {
        return Some(across(state, &script, &function));
    }
    let name = names.at(cursor)?;
    if name.sort == Sort::Function {
        return Some(across(state, document, &name.name));
    }
    Some(places(document, name.places(), &name.at))
}

fn places<'r>(
    document: &Document,
    of: impl Iterator<Item = &'r std::ops::Range<usize>>,
    declared: &std::ops::Range<usize>,
) -> Vec<Place> {
    of.map(|r| Place { uri: document.uri.clone(), range: document.range(r), declares: r == declared }).collect()
}

/// The occurrences of a function in the script that declares it.
fn function_places(script: &Document, function: &str) -> Vec<Place> {
    let names = Names::of(&script.text).names;
    // A function may be declared once for each number of parameters.
    let same = names.iter().filter(|n| n.sort == Sort::Function && n.name == function);
    same.flat_map(|n| places(script, n.places(), &n.at)).collect()
}

/// The occurrences of a function in the script that declares it, and in the scripts beside it that import that script.
fn across(state: &ServerState, script: &Document, function: &str) -> Vec<Place> {
    let mut found = function_places(script, function);
    let Some(path) = script.path() else { return found };
    for other in scripts_beside(state, &path) {
        let names = Names::of(&other.text);
        for (module, at) in names.items.iter().filter(|(_, at)| &other.text[at.clone()] == function) {
            let target = names.names[*module].path.as_ref().and_then(|p| resolved(&other, p));
            if target.as_ref() == Some(&path) {
                found.push(Place { uri: other.uri.clone(), range: other.range(at), declares: false });
            }
        }
    }
    found
}

/// The script and the function that `module::function` at a byte offset names.
fn imported(state: &ServerState, document: &Document, names: &Names, cursor: usize) -> Option<(Document, String)> {
    let (module, at) = names.items.iter().find(|(_, at)| at.start <= cursor && cursor <= at.end)?;
    let script = imported_script(state, document, names.names[*module].path.as_ref()?)?;
    Some((script, document.text[at.clone()].to_string()))
}

/// The function that `module::function` at a byte offset names, with the script that declares it.
pub fn function_of_module(
    state: &ServerState,
    document: &Document,
    names: &Names,
    cursor: usize,
) -> Option<(Document, Name)> {
    let (script, function) = imported(state, document, names, cursor)?;
    let found = functions(&script).into_iter().find(|n| n.name == function)?;
    Some((script, found))
}

/// The functions that complete `module::` at the end of `before`.
pub fn module_functions(state: &ServerState, document: &Document, before: &str) -> Option<Vec<Name>> {
    let module = before.trim_end().strip_suffix("::")?.trim_end();
    let names = Names::of(&document.text).names;
    let declared = names.iter().find(|n| n.sort == Sort::Module && n.covers(module.len()))?;
    Some(functions(&imported_script(state, document, declared.path.as_ref()?)?))
}

/// The functions that other scripts may call.
fn functions(script: &Document) -> Vec<Name> {
    let names = Names::of(&script.text).names.into_iter();
    names
        .filter(|n| n.sort == Sort::Function && !script.text[..n.at.start].trim_end().ends_with("private fn"))
        .collect()
}

/// The script that another one imports: the editor's text, else the file's.
fn imported_script(state: &ServerState, document: &Document, path: &str) -> Option<Document> {
    opened(state, &resolved(document, path)?)
}

fn opened(state: &ServerState, path: &Path) -> Option<Document> {
    if let Some(open) = state.documents.values().find(|d| d.path().as_deref() == Some(path)) {
        return Some(open.clone());
    }
    let text = regular::read_text(path, check_length).ok()?;
    Some(Document::new(documents::uri(path)?, text, 0))
}

/// An error where a script is too long to be checked.
fn check_length(bytes: u64) -> Result<()> {
    if bytes <= documents::MAX_CHECKED_BYTES as u64 { Ok(()) } else { Err(Error::format("too long")) }
}

fn resolved(document: &Document, path: &str) -> Option<PathBuf> {
    let folder = document.path()?.parent()?.to_path_buf();
    let mut out = PathBuf::new();
    for part in folder.join(path).with_extension("rhai").components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    Some(out)
}

/// The open scripts and those in the same folder.
fn scripts_beside(state: &ServerState, path: &Path) -> Vec<Document> {
    let mut found: Vec<Document> =
        state.documents.values().filter(|d| d.path().as_deref() != Some(path)).cloned().collect();
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let mut files: Vec<PathBuf> = entries.into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "rhai") && f != path);
    files.sort();
    for file in files.into_iter().take(MAX_SCRIPTS) {
        if found.iter().all(|d| d.path().as_ref() != Some(&file)) {
            found.extend(opened(state, &file));
        }
    }
    found
}
