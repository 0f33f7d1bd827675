//! Markdown for texts in reports: headings, paragraphs, emphasis, code, lists, tables, and TeX formulas between `$` or `$$`, set as
//! MathML. Raw HTML is shown as text and links as their text and address, so that a text can load or run nothing.

use super::escape::escape;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{Parser as Formula, RenderConfig, Storage, push_mathml};

/// A paragraph, heading or list entry without formatting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its text.
    pub text: String,
    /// Whether it is a heading.
    pub heading: bool,
    /// Whether it is a list entry.
    pub listed: bool,
}

/// The extensions of CommonMark that are parsed.
const EXTENSIONS: Options = Options::ENABLE_TABLES.union(Options::ENABLE_MATH);

/// The limits of a formula: its bytes, and its characters that open a group or command, for each of which the parser recurses.
const FORMULA_LIMITS: (usize, usize) = (4096, 512);

/// A TeX formula as MathML; unchanged where it does not parse or is too long. All of it is escaped: it has no markup of its own.
fn formula(tex: &str, display: bool) -> String {
    let opening = tex.bytes().filter(|b| matches!(b, b'\\' | b'{' | b'^' | b'_' | b'&')).count();
    if tex.len() > FORMULA_LIMITS.0 || opening > FORMULA_LIMITS.1 {
        return format!("<code>{}</code>", escape(tex));
    }
    let storage = Storage::new();
    let plain = tex.replace('<', "\\lt ").replace('>', "\\gt ");
    let events: Vec<_> = Formula::new(&plain, &storage).collect();
    let mode = if display { DisplayMode::Block } else { DisplayMode::Inline };
    let config = RenderConfig { display_mode: mode, ..RenderConfig::default() };
    let mut set = String::new();
    let readable = events.iter().all(Result::is_ok);
    if readable && push_mathml(&mut set, events.into_iter(), config).is_ok() {
        return set;
    }
    format!("<code>{}</code>", escape(tex))
}

/// The text as HTML that is safe in any page.
pub fn to_html(text: &str) -> String {
    let mut address: Vec<String> = Vec::new();
    let mut events = Vec::new();
    for event in Parser::new_ext(text, EXTENSIONS) {
        match event {
            Event::InlineMath(tex) => events.push(Event::InlineHtml(formula(&tex, false).into())),
            Event::DisplayMath(tex) => events.push(Event::InlineHtml(formula(&tex, true).into())),
            Event::Html(t) | Event::InlineHtml(t) => events.push(Event::Text(t)),
            Event::Start(Tag::HtmlBlock) => events.push(Event::Start(Tag::Paragraph)),
            Event::End(TagEnd::HtmlBlock) => events.push(Event::End(TagEnd::Paragraph)),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                address.push(dest_url.to_string());
            }
            Event::End(TagEnd::Link | TagEnd::Image) => {
                let to = address.pop().unwrap_or_default();
                events.push(Event::Text(format!(" ({to})").into()));
            }
            // Headings of a text are below those of the report.
            Event::Start(Tag::Heading { level, .. }) => {
                events.push(Event::Start(Tag::Heading {
                    level: lower(level),
                    id: None,
                    classes: Vec::new(),
                    attrs: Vec::new(),
                }));
            }
            Event::End(TagEnd::Heading(level)) => events.push(Event::End(TagEnd::Heading(lower(level)))),
            other => events.push(other),
        }
    }
    let mut out = String::new();
    html::push_html(&mut out, events.into_iter());
    out
}

/// The text's blocks in order, without formatting.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let mut now = Block::default();
    let mut flush = |now: &mut Block, next: Block| {
        let done = std::mem::replace(now, next);
        if !done.text.trim().is_empty() {
            out.push(done);
        }
    };
    for event in Parser::new_ext(text, EXTENSIONS) {
        match event {
            Event::InlineMath(t) | Event::DisplayMath(t) => now.text.push_str(&t),
            Event::Text(t) | Event::Code(t) | Event::Html(t) | Event::InlineHtml(t) => now.text.push_str(&t),
            Event::SoftBreak | Event::HardBreak => now.text.push(' '),
            Event::End(TagEnd::TableCell) => now.text.push_str("   "),
            Event::Start(Tag::Heading { .. }) => flush(&mut now, Block { heading: true, ..Block::default() }),
            Event::Start(Tag::Item) => flush(&mut now, Block { listed: true, ..Block::default() }),
            Event::End(
                TagEnd::Heading(_)
                | TagEnd::Item
                | TagEnd::Paragraph
                | TagEnd::CodeBlock
                | TagEnd::TableRow
                | TagEnd::TableHead
                | TagEnd::HtmlBlock,
            ) => flush(&mut now, Block::default()),
            _ => {}
        }
    }
    flush(&mut now, Block::default());
    out
}

fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        _ => HeadingLevel::H5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_html_and_links_are_text() {
        let out =
            to_html("# A\n\nx <script>alert(1)</script> [y](javascript:alert(1)) ![z](http://e/x.png)\n\n<b>q</b>");
        assert!(out.contains("<h2>A</h2>"), "{out}");
        assert!(out.contains("&lt;script&gt;") && out.contains("y (javascript:alert(1))"), "{out}");
        assert!(!out.contains("<script") && !out.contains("href") && !out.contains("<img") && !out.contains("<b>"));
    }

    #[test]
    fn formulas_are_set_and_what_is_none_stays() {
        let out = to_html("the score $S_c$ and\n\n$$\\frac{\\partial S_c}{\\partial I}$$\n\nat $5 and 6");
        assert!(out.contains("<math") && out.contains("<mfrac>") && out.contains("<msub>"), "{out}");
        assert!(out.contains("display=\"block\"") && out.contains("at $5 and 6"), "{out}");
        let bad = to_html("$\\unknown{x}$ and $\\text{<script>}$ and $x < y$");
        assert!(!bad.contains("<script") && bad.contains("<code>\\unknown{x}</code>"), "{bad}");
        assert_eq!(blocks("a $x^2$")[0].text, "a x^2");
    }

    /// The parser recurses for each group and would overflow the stack.
    #[test]
    fn formulas_longer_than_formulas_are_stay_as_they_are_written() {
        for piece in ["\\frac", "{", "x^", "\\left("] {
            let out = to_html(&format!("${}$", piece.repeat(50_000)));
            assert!(!out.contains("<math") && out.contains(&escape(piece)), "{piece}");
        }
    }

    #[test]
    fn blocks_keep_the_words() {
        let found = blocks("## Title\n\nsome *soft* `code`\n\n- one\n- two <i>x</i>\n");
        let texts: Vec<&str> = found.iter().map(|b| b.text.as_str()).collect();
        assert_eq!(texts, ["Title", "some soft code", "one", "two <i>x</i>"]);
        assert!(found[0].heading && !found[1].listed && found[2].listed);
        assert!(blocks("").is_empty());
    }
}
