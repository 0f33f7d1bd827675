//! `report.html`: a run's results, its script and its manifest, in one file that loads nothing.

use super::escape::escape;
use super::html;
use super::markdown;
use super::raster::SCALE;
use super::sealed;
use super::table::Table;
use super::viewer;
use crate::data::Image;
use crate::error::Result;

/// A shown result, in the order of the run.
#[derive(Clone, Debug)]
pub enum Section {
    /// A text in Markdown.
    Markdown(String),
    /// An artifact rendered by [`html::html`].
    Artifact(String),
    /// An image with its caption.
    Image(Image, String),
    /// A table with its title.
    Table(String, Table),
    /// A plain text.
    Text(String),
}

/// A run's report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its heading.
    pub title: String,
    /// The source of the script.
    pub script: Option<String>,
    /// The shown results.
    pub sections: Vec<Section>,
    /// The settings and inputs with which to run it again.
    pub manifest: serde_json::Value,
    /// The lock of the run, canonical JSON.
    pub lock: Option<String>,
}

const STYLE: &str = include_str!("report.css");
/// The marker of a part with maps for the viewer; escaped texts cannot contain it.
const VIEWER_MARKER: &str = "<template class=\"viewer-maps\">";

impl Report {
    /// The report as an HTML document. Its content security policy forbids all loads, and all scripts except the viewer, which is
    /// included where a part has maps.
    ///
    /// # Errors
    /// Where a picture cannot be encoded.
    pub fn html(&self) -> Result<String> {
        let title = escape(&self.title);
        let parts = self.sections.iter().map(drawn).collect::<Result<Vec<_>>>()?;
        // The results of a script can be checked; a page that was saved alone has no script.
        let script = self.script.as_deref();
        let head = script.map_or(String::new(), |s| sealed::head(s, self.lock.as_deref(), &parts));
        let views = parts.iter().any(|part| part.contains(VIEWER_MARKER));
        let (script_of_page, allowed, style_of_page) = match views {
            true => {
                let (script, hash) = viewer::script();
                (format!("<script>{script}</script>\n"), format!("; script-src '{hash}'"), viewer::STYLE)
            }
            false => (String::new(), String::new(), ""),
        };
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             {head}<title>{title}</title>\n<style>\n{STYLE}{style_of_page}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        out += &sealed::marked(&parts);
        if let Some(script) = &self.script {
            out += &format!("<h2>Script</h2>\n<pre class=\"script\"><code>{}</code></pre>\n", highlighted(script));
        }
        if !self.manifest.is_null() {
            let text = serde_json::to_string_pretty(&self.manifest).unwrap_or_default();
            out += &format!("<details>\n<summary>Manifest</summary>\n<pre>{}</pre>\n</details>\n", escape(&text));
        }
        out += &format!("</main>\n{script_of_page}</body>\n</html>\n");
        Ok(if script.is_some() { sealed::sealed(&out) } else { out })
    }
}

/// A section as HTML.
///
/// # Errors
/// Where a picture cannot be encoded.
pub fn drawn(section: &Section) -> Result<String> {
    Ok(match section {
        Section::Markdown(text) => format!("<div class=\"text\">\n{}</div>\n", markdown::to_html(text)),
        Section::Artifact(fragment) => fragment.clone(),
        Section::Image(image, caption) => {
            let shown = image.width() as f64 * if image.width() > 900 { 1.0 / SCALE } else { 1.0 };
            let picture = html::image(image, caption, shown)?;
            format!("<figure>{picture}<figcaption>{}</figcaption></figure>\n", escape(caption))
        }
        Section::Table(title, table) => {
            let heading = if title.is_empty() { String::new() } else { format!("<h3>{}</h3>\n", escape(title)) };
            format!("<section class=\"artifact\">\n{heading}{}</section>\n", html::table(table))
        }
        Section::Text(text) => format!("<pre>{}</pre>\n", escape(text)),
    })
}

/// The class of a piece of a script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Comment,
    Text,
    Word,
    Number,
    Other,
}

const KEYWORDS: [&str; 22] = [
    "let", "const", "fn", "if", "else", "for", "in", "while", "loop", "do", "until", "return", "break", "continue",
    "switch", "try", "catch", "throw", "true", "false", "import", "export",
];

/// A script as lines of `<span class="line">` with comments, strings, numbers and keywords marked.
fn highlighted(source: &str) -> String {
    let mut out = String::from("<span class=\"line\">");
    for (kind, text) in pieces(source.trim_end()) {
        let class = match kind {
            Kind::Comment => "c",
            Kind::Text => "s",
            Kind::Number => "n",
            Kind::Word if KEYWORDS.contains(&text) => "k",
            Kind::Word | Kind::Other => "",
        };
        // A piece of several lines is marked line by line, since each line is an element.
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 {
                out += "</span>\n<span class=\"line\">";
            }
            match (class, line) {
                (_, "") => {}
                ("", line) => out += &escape(line),
                (class, line) => out += &format!("<span class=\"{class}\">{}</span>", escape(line)),
            }
        }
    }
    out + "</span>"
}

/// The pieces of a script; concatenated, they are the script.
fn pieces(source: &str) -> Vec<(Kind, &str)> {
    let mut out = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = match first {
            '/' if rest.starts_with("//") => (Kind::Comment, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (Kind::Comment, rest[2..].find("*/").map_or(rest.len(), |i| i + 4)),
            '"' | '`' | '\'' => (Kind::Text, quoted(rest, first)),
            c if c.is_alphabetic() || c == '_' => (Kind::Word, run(rest, |c| c.is_alphanumeric() || c == '_')),
            c if c.is_ascii_digit() => (Kind::Number, run(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.')),
            c => (Kind::Other, c.len_utf8()),
        };
        let (piece, after) = rest.split_at(length.clamp(first.len_utf8(), rest.len()));
        out.push((kind, piece));
        rest = after;
    }
    out
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The length of a quoted text with its quotes; to the end of the script where it is not closed.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return i + 1;
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_report_holds_everything_and_lets_nothing_run() {
        let mut table = Table::new(["<b>", "x"]);
        table.push(["<script>alert(2)</script>".into(), 0.5.into()]);
        let report = Report {
            title: "a <script>alert(1)</script> & b".into(),
            script: Some("// hi <script>\nlet x = \"<b>\"; /* two\nlines */\nshow(0.5)".into()),
            sections: vec![
                Section::Markdown("**bold** <script>alert(3)</script>".into()),
                Section::Table("t <i>".into(), table),
                Section::Text("<script>".into()),
                Section::Image(Image::filled(4, 4, [9; 3]).unwrap(), "\"><script>".into()),
            ],
            manifest: serde_json::json!({"x": "</pre><script>"}),
            lock: None,
        };
        let page = report.html().unwrap();
        assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
        assert!(page.contains("default-src 'none'") && page.contains("<strong>bold</strong>"));
        assert_eq!(page.matches("class=\"line\"").count(), 4);
        assert!(page.contains("<span class=\"k\">let</span>") && page.contains("<span class=\"n\">0.5</span>"));
        for outside in ["http://", "https://", "src=\"/", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_pieces_of_a_script_are_the_script() {
        for source in ["", "let a = \"x", "a /* b", "'é' `${x}` \"\\\"\" 1.5e-3 漢", "//", "\"\\"] {
            let joined: String = pieces(source).iter().map(|p| p.1).collect();
            assert_eq!(joined, source);
        }
    }
}
