//! The formatter: four spaces per level, lines of at most 100 columns; chains, calls, lists and maps are broken where they do not
//! fit. Only white space changes: all tokens are kept, and comments, front matter and cells of other languages with them. A block,
//! list or map whose content begins on a new line stays broken.

mod continued;
mod printer;
mod spacing;
mod tree;

use crate::diag::Diagnostic;
use crate::notebook::{Cell, CellKind, cells};
use crate::session::Session;
use crate::source::{Class, tokens};
use convscope_engine::Error;

/// The line width in columns, where lines can be broken.
pub const LINE_WIDTH: usize = 100;

impl Session {
    /// Formats a script. Formatting is idempotent.
    ///
    /// # Errors
    /// Where the script does not parse; the diagnostic has the place.
    pub fn format(&self, file: &str, source: &str) -> Result<String, Box<Diagnostic>> {
        self.parsed(file, source)?;
        let laid = stable_layout(source);
        let same = self.parsed(file, &laid).is_ok() && texts(source) == texts(&laid);
        match same {
            true => Ok(laid),
            false => {
                let error = Error::internal(format!("`{file}` would not be the same script when formatted"));
                Err(Box::new(Diagnostic::of(error.hint("please report it with the script"))))
            }
        }
    }

    /// Checks that a script with cells parses; cells of other languages are left out.
    ///
    /// # Errors
    /// The parser's diagnostic.
    pub fn parsed(&self, file: &str, source: &str) -> Result<(), Box<Diagnostic>> {
        self.syntax(file, source).map(|_| ())
    }

    /// The parser's tree of a script with cells, as text with places.
    ///
    /// # Errors
    /// The parser's diagnostic.
    pub fn tree(&self, file: &str, source: &str) -> Result<String, Box<Diagnostic>> {
        self.syntax(file, source).map(|tree| format!("{tree:?}"))
    }

    fn syntax(&self, file: &str, source: &str) -> Result<rhai::AST, Box<Diagnostic>> {
        let (_, source) = bom(source);
        let mut known = String::with_capacity(source.len());
        for cell in cells(source) {
            known.push_str(&cell.marker);
            match foreign(&cell) {
                true => known.extend(std::iter::repeat_n('\n', cell.body.matches('\n').count())),
                false => known.push_str(&cell.body),
            }
        }
        let runnable = crate::notebook::runnable(&known);
        self.compile(file, &crate::source::without_shebang(&runnable))
    }
}

/// How many times a layout is repeated until it no longer changes.
const MAX_PASSES: usize = 8;

/// The layout repeated until it no longer changes: brackets that end a line stay broken, so a first layout can lead to another.
fn stable_layout(source: &str) -> String {
    let mut laid = laid_out(source);
    for _ in 0..MAX_PASSES {
        let again = laid_out(&laid);
        if again == laid {
            break;
        }
        laid = again;
    }
    laid
}

/// The script with new white space.
fn laid_out(source: &str) -> String {
    let (mark, text) = bom(source);
    let windows = text.contains("\r\n");
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (i, cell) in cells(text).iter().enumerate() {
        if cell.kind != CellKind::Code || foreign(cell) {
            out.extend([cell.marker.as_str(), &cell.body]);
            continue;
        }
        if !cell.marker.is_empty() {
            out.push_str(cell.marker.trim_end_matches(['\r', '\n']));
            out.push('\n');
        }
        let code = cell.body.trim();
        let lines = |space: &str| space.matches('\n').count();
        // Behind a Markdown cell the empty line separates its comments from those of the code.
        if cell.marker.is_empty() && i > 0 && lines(&cell.body[..cell.body.len() - cell.body.trim_start().len()]) > 0 {
            out.push('\n');
        }
        out.push_str(&body(&cell.body));
        // The empty line before the next cell is kept.
        if !code.is_empty() && lines(&cell.body[cell.body.trim_end().len()..]) > 1 {
            out.push('\n');
        }
    }
    let end = out.trim_end_matches([' ', '\t', '\r', '\n']).len();
    out.truncate(end);
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    let out = if windows { out.replace("\r\n", "\n").replace('\n', "\r\n") } else { out };
    format!("{mark}{out}")
}

/// A code cell, formatted, up to the end of its last line.
fn body(text: &str) -> String {
    let (head, rest) = match text.strip_prefix("#!") {
        Some(_) => text.split_at(text.find('\n').map_or(text.len(), |i| i + 1)),
        None => ("", text),
    };
    format!("{head}{}", continued::moved(rest, printer::printed(&tree::read(rest))))
}

/// Whether a cell is in another language or is a notebook command: `%%rust`, `%reset`.
fn foreign(cell: &Cell) -> bool {
    cell.kind == CellKind::Code && cell.body.trim_start().starts_with('%')
}

fn bom(source: &str) -> (&str, &str) {
    source.split_at(if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 })
}

/// The texts of all tokens, which must not change.
fn texts(source: &str) -> Vec<String> {
    let source = source.replace("\r\n", "\n");
    let text = |t: crate::source::Token| match t.class {
        Class::Comment { .. } => t.text(&source).trim_end().to_string(),
        _ => continued::read(&t, &source).into_owned(),
    };
    tokens(&source).into_iter().map(text).collect()
}
