//! Writes a [`Scene`] as SVG: lines and letters as such, pictures embedded as PNG.

use super::colour::Rgb;
use super::font::{self, Face};
use super::html::escape;
use super::scene::{Anchor, Item, Letters, Scene};
use crate::error::Result;
use base64::Engine as _;
use std::fmt::Write as _;

/// The scene as a standalone SVG document. Texts say how long they are, so that another font does not break the layout.
///
/// # Errors
/// Where a picture cannot be encoded.
pub fn write(scene: &Scene) -> Result<String> {
    let (w, h) = (scene.width.ceil(), scene.height.ceil());
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
         font-family=\"Ubuntu, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for item in &scene.items {
        out.push_str(&element(item)?);
        out.push('\n');
    }
    Ok(out + "</svg>\n")
}

fn element(item: &Item) -> Result<String> {
    Ok(match item {
        Item::Area(r, c) => format!("<rect {} fill=\"{}\"/>", rect(r), hex(*c)),
        Item::Frame(r, c, w) => {
            format!("<rect {} fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>", rect(r), hex(*c), n(*w))
        }
        Item::Line(p, c, w, dashed) => format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{}/>",
            points(p),
            hex(*c),
            n(*w),
            if *dashed { " stroke-dasharray=\"4 3\"" } else { "" }
        ),
        Item::Shape(p, c) => format!("<polygon points=\"{}\" fill=\"{}\"/>", points(p), hex(*c)),
        Item::Dot(x, y, r, c) => {
            format!("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>", n(*x), n(*y), n(*r), hex(*c))
        }
        Item::Letters(l) => text(l),
        Item::Picture(r, image) => {
            let data = base64::engine::general_purpose::STANDARD.encode(image.encode_png()?);
            format!("<image {} preserveAspectRatio=\"none\" href=\"data:image/png;base64,{data}\"/>", rect(r))
        }
    })
}

fn text(l: &Letters) -> String {
    let anchor = match l.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let turn = if l.turn == 0.0 {
        String::new()
    } else {
        format!(" transform=\"rotate({} {} {})\"", n(l.turn), n(l.x), n(l.y))
    };
    let weight = if l.bold { " font-weight=\"600\"" } else { "" };
    let family = if l.face == Face::Mono { " font-family=\"Hack, Consolas, Menlo, monospace\"" } else { "" };
    format!(
        "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"{anchor}{turn}{weight}{family} textLength=\"{}\" \
         lengthAdjust=\"spacingAndGlyphs\">{}</text>",
        n(l.x),
        n(l.y),
        n(l.size),
        hex(l.colour),
        n(font::width(&l.text, l.size, l.face)),
        escape(&l.text)
    )
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

/// A length to a hundredth of a px.
fn n(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
