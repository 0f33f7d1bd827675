//! Writes a [`Scene`] as SVG: lines and letters as such, pictures embedded as PNG.

use super::colour::Rgb;
use super::escape::escape;
use super::font::{Face, Stroke};
use super::look::Theme;
use super::scene::{Anchor, FAINT, INK, Letters, PAGE, SOFT, Scene, SceneItem, on, parts};
use crate::error::Result;
use base64::Engine as _;
use std::fmt::Write as _;

/// The scene as a standalone SVG document with `about` as its title and description. Texts stay texts with a fixed length, so that
/// another font does not change the layout.
///
/// # Errors
/// Where a picture cannot be encoded.
pub fn write(scene: &Scene, theme: Theme, about: (&str, &str)) -> Result<String> {
    let (w, h) = (scene.width.ceil(), scene.height.ceil());
    let mut out = opened(scene);
    for (element, text) in [("title", about.0), ("desc", about.1)].into_iter().filter(|(_, text)| !text.is_empty()) {
        out += &format!("<{element}>{}</{element}>\n", escape(text));
    }
    if theme != Theme::Transparent {
        out += &format!("<rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>\n", hex(parts(theme)[3]));
    }
    for item in &scene.items {
        out.push_str(&element(item, &|c| format!("\"{}\"", hex(on(theme, c))), &text)?);
        out.push('\n');
    }
    Ok(out + "</svg>\n")
}

/// The scene as SVG for embedding in a page: it follows the reader's light or dark theme, is transparent, and has outlines for
/// letters, so that it looks the same everywhere.
///
/// # Errors
/// Where a picture cannot be encoded.
pub fn embedded(scene: &Scene) -> Result<String> {
    let mut out = opened(scene);
    out += "<style>";
    for (theme, open, close) in [(Theme::Light, "", ""), (Theme::Dark, "@media (prefers-color-scheme:dark){", "}")] {
        let [ink, soft, faint, page] = parts(theme).map(hex);
        out += &format!("{open}svg{{--i:{ink};--s:{soft};--f:{faint};--p:{page}}}{close}");
    }
    out += "</style>\n";
    let colour = |c: Rgb| match c {
        INK => "\"var(--i)\"".to_string(),
        SOFT => "\"var(--s)\"".to_string(),
        FAINT => "\"var(--f)\"".to_string(),
        PAGE => "\"var(--p)\"".to_string(),
        c => format!("\"{}\"", hex(c)),
    };
    for item in &scene.items {
        out.push_str(&element(item, &colour, &outlined)?);
        out.push('\n');
    }
    Ok(out + "</svg>\n")
}

fn opened(scene: &Scene) -> String {
    let (w, h) = (scene.width.ceil(), scene.height.ceil());
    let serif = scene.items.iter().any(|i| matches!(i, SceneItem::Letters(l) if l.face == Face::Serif));
    let family = if serif {
        "'Latin Modern Roman', 'STIX Two Text', 'Times New Roman', serif"
    } else {
        "Ubuntu, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
         font-family=\"{family}\">\n"
    )
}

type Colour<'a> = &'a dyn Fn(Rgb) -> String;

/// An item; `colour` gives an attribute's value with its quotes, `letters` writes a text in that colour.
fn element(item: &SceneItem, colour: Colour<'_>, letters: &dyn Fn(&Letters, &str) -> String) -> Result<String> {
    Ok(match item {
        SceneItem::Area(r, c) => format!("<rect {} fill={}/>", rect(r), colour(*c)),
        SceneItem::Frame(r, c, w) => {
            format!("<rect {} fill=\"none\" stroke={} stroke-width=\"{}\"/>", rect(r), colour(*c), n(*w))
        }
        SceneItem::Line(p, c, w, dashed) => format!(
            "<polyline points=\"{}\" fill=\"none\" stroke={} stroke-width=\"{}\" stroke-linejoin=\"round\"{}/>",
            points(p),
            colour(*c),
            n(*w),
            if *dashed { " stroke-dasharray=\"4 3\"" } else { "" }
        ),
        SceneItem::Shape(p, c) => format!("<polygon points=\"{}\" fill={}/>", points(p), colour(*c)),
        SceneItem::Dot(x, y, r, c) => {
            format!("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill={}/>", n(*x), n(*y), n(*r), colour(*c))
        }
        SceneItem::Letters(l) => letters(l, &colour(l.colour)),
        SceneItem::Picture(r, image) => {
            let data = base64::engine::general_purpose::STANDARD.encode(image.encode_png()?);
            format!("<image {} preserveAspectRatio=\"none\" href=\"data:image/png;base64,{data}\"/>", rect(r))
        }
    })
}

fn text(l: &Letters, colour: &str) -> String {
    let anchor = match l.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let turn = turned(l);
    let weight = if l.bold { " font-weight=\"600\"" } else { "" };
    let family = if l.face == Face::Mono { " font-family=\"Hack, Consolas, Menlo, monospace\"" } else { "" };
    format!(
        "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill={colour}{anchor}{turn}{weight}{family} textLength=\"{}\" \
         lengthAdjust=\"spacingAndGlyphs\">{}</text>",
        n(l.x),
        n(l.y),
        n(l.size),
        n(l.width()),
        escape(&l.text)
    )
}

/// A text as outlines of its letters.
fn outlined(l: &Letters, colour: &str) -> String {
    let mut path = String::new();
    let p = |x: f32, y: f32| format!("{} {}", n(f64::from(x)), n(f64::from(y)));
    for step in l.outline() {
        path += &match step {
            Stroke::Move(x, y) => format!("M{}", p(x, y)),
            Stroke::Line(x, y) => format!("L{}", p(x, y)),
            Stroke::Quad(c, e) => format!("Q{} {}", p(c[0], c[1]), p(e[0], e[1])),
            Stroke::Cubic(c, d, e) => format!("C{} {} {}", p(c[0], c[1]), p(d[0], d[1]), p(e[0], e[1])),
        };
    }
    if path.is_empty() {
        return String::new();
    }
    let turn = if l.turn == 0.0 { String::new() } else { format!(" rotate({})", n(l.turn)) };
    format!(
        "<path transform=\"translate({} {}){turn}\" d=\"{path}\" fill={colour} stroke={colour} stroke-width=\"{}\"/>",
        n(l.x),
        n(l.y),
        n(l.weight())
    )
}

fn turned(l: &Letters) -> String {
    if l.turn == 0.0 {
        return String::new();
    }
    format!(" transform=\"rotate({} {} {})\"", n(l.turn), n(l.x), n(l.y))
}

fn rect([x, y, w, h]: &[f64; 4]) -> String {
    format!("x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", n(*x), n(*y), n(*w), n(*h))
}

fn points(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (x, y) in points {
        let _ = write!(out, "{},{} ", n(*x), n(*y));
    }
    out.trim_end().to_string()
}

fn hex(c: Rgb) -> String {
    format!("#{:02x}{:02x}{:02x}", c[0], c[1], c[2])
}

/// A length rounded to a hundredth of a px.
fn n(x: f64) -> String {
    let text = format!("{x:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_string() } else { short.to_string() }
}
