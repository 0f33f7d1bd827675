//! Artifacts as self-contained HTML: pictures embedded, all texts escaped, nothing loaded from elsewhere.

use super::alt::of_part;
use super::artifact::{Artifact, Part};
use super::escape::escape;
use super::figure::{self, Drawn};
use super::headline::headline;
use super::part::{is_said, part_title};
use super::scene::Scene;
use super::table::{Cell, Table};
use super::viewer::{self, Maps};
use super::{markdown, svg, text};
use crate::data::Image;
use crate::error::{Error, Result};
use base64::Engine as _;
use serde_json::json;

/// How many rows of a table are shown.
const MAX_ROWS: usize = 200;

/// The width of a figure, px, above which it is laid out a second time for small screens, so that its letters stay legible.
const MAX_SINGLE_LAYOUT: f64 = 460.0;
/// The width of that second layout, px, and the width of the window, px, up to which it is shown.
const NARROW: (f64, f64) = (400.0, 640.0);

/// The number of rows above which a table has a scroll bar.
const MAX_ROWS_IN_FULL: usize = 40;

/// The artifact as a `<section>`: title, parts, notes and the list of its arrays.
///
/// # Errors
/// As [`figure::draw`].
pub fn html(artifact: &Artifact) -> Result<String> {
    match artifact.is_drawn() {
        true => html_of(artifact, &figure::draw(artifact)?),
        false => section(artifact, 3, &mut std::iter::empty(), None),
    }
}

/// The same for an artifact that is drawn already.
///
/// # Errors
/// Where a picture cannot be encoded.
pub fn html_of(artifact: &Artifact, drawn: &Drawn) -> Result<String> {
    section(artifact, 3, &mut layouts(artifact, drawn)?.into_iter(), None)
}

/// The same for a page with the viewer: with the pictures' maps, in at most `room` bytes, which are subtracted from `room`.
///
/// # Errors
/// As [`html_of`].
pub fn html_within(artifact: &Artifact, drawn: &Drawn, room: &mut usize) -> Result<String> {
    section(artifact, 3, &mut layouts(artifact, drawn)?.into_iter(), Some(room))
}

/// The drawn pictures of an artifact; where one is wide, each with a layout for narrow windows.
fn layouts(artifact: &Artifact, drawn: &Drawn) -> Result<Vec<Layouts>> {
    let small = match drawn.pictures.iter().any(|p| p.width > MAX_SINGLE_LAYOUT) {
        true => figure::pictures(artifact, NARROW.0)?.into_iter().map(Some).collect(),
        false => vec![None; drawn.pictures.len()],
    };
    Ok(drawn.pictures.iter().cloned().zip(small).collect())
}

/// A picture for wide windows and, where that is wider than a small screen, one for narrow windows.
type Layouts = (Scene, Option<Scene>);

/// A drawn part as a `<figure>`.
fn picture((wide, narrow): &Layouts, alternative: &str) -> Result<String> {
    let data = |scene: &Scene| -> Result<String> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(svg::embedded(scene)?);
        Ok(format!("data:image/svg+xml;base64,{encoded}"))
    };
    let small = match narrow.as_ref().filter(|_| wide.width > MAX_SINGLE_LAYOUT) {
        None => String::new(),
        Some(scene) => format!("<source media=\"(max-width:{}px)\" srcset=\"{}\">", NARROW.1, data(scene)?),
    };
    Ok(format!(
        "<figure><picture>{small}<img src=\"{}\" alt=\"{}\" style=\"max-width:100%;height:auto\"></picture></figure>\n",
        data(wide)?,
        escape(alternative)
    ))
}

/// An image as an `<img>` with its data, at most `shown` px wide.
///
/// # Errors
/// Where it cannot be encoded.
pub fn image(image: &Image, alternative: &str, shown: f64) -> Result<String> {
    let data = base64::engine::general_purpose::STANDARD.encode(image.encode_png()?);
    Ok(format!(
        "<img src=\"data:image/png;base64,{data}\" alt=\"{}\" width=\"{shown:.0}\" style=\"max-width:100%;height:auto\">",
        escape(alternative)
    ))
}

/// A table, numbers aligned to the right; a long one in a box with a scroll bar.
pub fn table(table: &Table) -> String {
    if table.columns().is_empty() {
        return "<p class=\"empty\">no columns</p>\n".into();
    }
    let scrolls = if table.len() > MAX_ROWS_IN_FULL { "overflow:auto;max-height:36em" } else { "overflow-x:auto" };
    let mut out = format!("<div class=\"table\" style=\"{scrolls}\"><table>\n<thead><tr>");
    for name in table.columns() {
        out += &format!("<th>{}</th>", escape(name));
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in table.rows().iter().take(MAX_ROWS) {
        out += "<tr>";
        for cell in row {
            let number = if cell.number().is_some() { " style=\"text-align:right\"" } else { "" };
            let full = match cell {
                Cell::Float(f) => format!(" title=\"{f}\""),
                _ => String::new(),
            };
            out += &format!("<td{number}{full}>{}</td>", escape(&cell.text()));
        }
        out += "</tr>\n";
    }
    out += "</tbody></table></div>\n";
    if table.is_empty() {
        out += "<p class=\"empty\">no rows</p>\n";
    } else if table.len() > MAX_ROWS {
        out += &format!("<p class=\"empty\">… {} more rows; a .csv file holds all</p>\n", table.len() - MAX_ROWS);
    }
    out
}

/// The artifact with headings of that level; `pictures` are those of its parts and of parts inside them, in order.
fn section(
    artifact: &Artifact,
    level: usize,
    pictures: &mut dyn Iterator<Item = Layouts>,
    mut room: Option<&mut usize>,
) -> Result<String> {
    let mut out = String::from("<section class=\"artifact\">\n");
    if !artifact.title.is_empty() {
        out += &format!("<h{level}>{}</h{level}>\n", escape(&headline(&artifact.title, level == 3)));
    }
    if !artifact.complete {
        out += "<p class=\"stopped\"><strong>incomplete</strong></p>\n";
    }
    for run in figure::runs(&artifact.parts) {
        let together = run.len() > 1;
        if together {
            out += "<div class=\"beside\" style=\"display:grid;gap:20px;grid-template-columns:repeat(2,minmax(0,1fr))\">\n";
        }
        for part in run {
            let title = part_title(part);
            if together {
                out += "<div>\n";
            }
            if !title.is_empty() && !is_said(&artifact.title, title) {
                out += &format!("<h{}>{}</h{}>\n", level + 1, escape(&headline(title, false)), level + 1);
            }
            out += &body(part, &artifact.title, level, pictures, room.as_deref_mut())?;
            if together {
                out += "</div>\n";
            }
        }
        if together {
            out += "</div>\n";
        }
    }
    if let Some(room) = room {
        out += &maps(artifact, room)?;
    }
    if !artifact.notes.is_empty() {
        out += "<ul class=\"notes\">\n";
        for note in &artifact.notes {
            out += &format!("<li>{}</li>\n", coded(note));
        }
        out += "</ul>\n";
    }
    if !artifact.data.is_empty() {
        out += &format!("<p class=\"arrays\">{}</p>\n", escape(&text::arrays(artifact)));
    }
    Ok(out + "</section>\n")
}

/// A sentence, escaped; text between back-quotes is code.
fn coded(text: &str) -> String {
    let pieces: Vec<&str> = text.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        return escape(text);
    }
    let piece = |(i, piece): (usize, &&str)| match i % 2 {
        0 => escape(piece),
        _ => format!("<code>{}</code>", escape(piece)),
    };
    pieces.iter().enumerate().map(piece).collect()
}

/// The maps of an artifact for the viewer, in an element that browsers neither display nor run.
fn maps(artifact: &Artifact, room: &mut usize) -> Result<String> {
    let Some(Maps { about, bytes }) = viewer::maps(artifact, false, *room)? else { return Ok(String::new()) };
    *room -= bytes.len().min(*room);
    let left_out = about["left_out"].as_str();
    let left_out = left_out.map_or(String::new(), |text| format!("<p class=\"arrays\">viewer: {}</p>\n", escape(text)));
    let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
    let data = json!({ "about": about, "bytes": bytes }).to_string();
    Ok(format!("<template class=\"viewer-maps\">{}</template>\n{left_out}", escape(&data)))
}

fn body(
    part: &Part,
    title: &str,
    level: usize,
    pictures: &mut dyn Iterator<Item = Layouts>,
    mut room: Option<&mut usize>,
) -> Result<String> {
    Ok(match part {
        Part::Table(_, t) => table(t),
        Part::Text(t) => format!("<div class=\"text\">{}</div>\n", markdown::to_html(t)),
        Part::Figure(inner, columns) => {
            let columns = (*columns).clamp(1, inner.len().max(1));
            let mut out = format!(
                "<div class=\"beside\" style=\"display:grid;gap:20px;grid-template-columns:repeat({columns},minmax(0,1fr))\">\n"
            );
            for artifact in inner {
                out += &section(artifact, (level + 1).min(5), pictures, room.as_deref_mut())?;
            }
            out + "</div>\n"
        }
        Part::Mosaic(m) => super::zoom::mosaic(m)?,
        drawn => {
            let layouts = pictures.next().ok_or_else(|| Error::internal("a part was not drawn"))?;
            let alternative = of_part(drawn, title);
            let named = if title.is_empty() || !part_title(drawn).is_empty() && !is_said(title, part_title(drawn)) {
                alternative
            } else {
                format!("{}: {alternative}", headline(title, true))
            };
            picture(&layouts, &named)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::coded;

    #[test]
    fn nothing_keeps_a_meaning() {
        assert_eq!(coded("layer `<conv>`, 7"), "layer <code>&lt;conv&gt;</code>, 7");
        assert_eq!(coded("`a` and ` <"), "`a` and ` &lt;");
    }
}
