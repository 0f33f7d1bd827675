//! Lays an [`Artifact`] out as a figure: title, parts and notes on a page of fixed width.

mod axis;
mod bar;
mod boxes;
mod cloud;
mod map;
mod matrix;
mod mosaic;
mod planes;
mod plot;
mod recorder;
mod signal;
mod table;
mod tiles;

use super::alt::alt;
use super::artifact::{Artifact, Part, Style};
use super::headline::headline;
use super::look::{Look, Theme};
use super::markdown;
use super::part::{is_picture, is_said, part_title};
use super::raster::{self, Raster};
use super::scene::{INK, SOFT, Scene, paragraph};
use super::svg as vector;
use crate::data::Image;
use crate::error::Result;

pub use cloud::{entries as group_entries, hue as group_hue};
pub use mosaic::square as mosaic_square;
pub use planes::{Plane, smooth, window as grey_window};

/// The width of a figure's content, px.
pub const WIDTH: f64 = 900.0;
/// The number of successive galleries from which on they are drawn two in a row.
const MIN_PAIRED_GALLERIES: usize = 4;
/// The most pictures of a gallery that is drawn on half of the width.
const MAX_PAIRED_PICTURES: usize = 9;
/// The space between parts, px.
const PART_GAP: f64 = 18.0;
/// The least width of a column of artifacts side by side, px.
const MIN_COLUMN: f64 = 130.0;
/// The font size of captions and ticks, px.
const SMALL_TEXT: f64 = 11.0;
/// The font size of running text, px.
const TEXT: f64 = 12.5;

/// An artifact's page in pixels, and its pictures.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The page, at twice the screen's resolution.
    pub page: Image,
    pixels: Raster,
    /// The parts that are pictures, depth first in the artifact's order, each laid out without its title.
    pub pictures: Vec<Scene>,
    description: String,
}

impl Drawn {
    /// The page as a PNG file with its description.
    ///
    /// # Errors
    /// Where PNG encoding fails.
    pub fn png(&self) -> Result<Vec<u8>> {
        Ok(described(self.pixels.png()?, &self.description))
    }
}

/// Lays the artifact out and draws it, once for all forms that need pixels.
///
/// # Errors
/// Where the shapes of a part's arrays are inconsistent, or the figure would be too large.
pub fn draw(artifact: &Artifact) -> Result<Drawn> {
    draw_on(artifact, Theme::default())
}

/// As [`draw`], with `theme` where the artifact's look has none.
///
/// # Errors
/// As [`draw`].
pub fn draw_on(artifact: &Artifact, theme: Theme) -> Result<Drawn> {
    let theme = artifact.look.theme.unwrap_or(theme);
    let scene = page(artifact)?;
    let pixels = raster::draw(&scene, theme)?;
    Ok(Drawn { page: pixels.image.clone(), pixels, pictures: scene.pictures, description: alt(artifact) })
}

/// The artifact as a PNG file at twice the screen's resolution.
///
/// # Errors
/// As [`draw`].
pub fn png(artifact: &Artifact) -> Result<Vec<u8>> {
    draw(artifact)?.png()
}

/// The artifact as an SVG document: plots, tables and letters as vectors, maps and photos embedded.
///
/// # Errors
/// As [`png`].
pub fn svg(artifact: &Artifact) -> Result<String> {
    vector::write(
        &page(artifact)?,
        artifact.look.theme.unwrap_or_default(),
        (&headline(&artifact.title, true), &alt(artifact)),
    )
}

/// The artifact as a PDF file of one page; everything except maps and photos is vectors.
///
/// # Errors
/// As [`png`].
pub fn pdf(artifact: &Artifact) -> Result<Vec<u8>> {
    super::pdf::write(&page(artifact)?, artifact.look.theme.unwrap_or_default(), &headline(&artifact.title, true))
}

/// The parts that are pictures, as in [`Drawn::pictures`], each laid out at most `width` px wide.
///
/// # Errors
/// As [`draw`].
pub fn pictures(artifact: &Artifact, width: f64) -> Result<Vec<Scene>> {
    Ok(whole(artifact, width, true, artifact.look)?.pictures)
}

/// The artifact's page with its margin.
///
/// # Errors
/// As [`draw`].
pub fn page(artifact: &Artifact) -> Result<Scene> {
    let (look, margin) = (artifact.look, artifact.look.margin());
    let wide = match look.width {
        Some(width) => width - 2.0 * margin,
        None => WIDTH,
    };
    let content = whole(artifact, wide, true, look)?;
    let across = if look.width.is_some() { wide.max(content.width) } else { content.width };
    let mut page = Scene::new(across + 2.0 * margin, content.height + 2.0 * margin);
    page.put(content, margin, margin);
    Ok(if look.paper { page.in_serif() } else { page })
}

/// A PNG file with `text` as its description, in an iTXt chunk (PNG 1.2, section 4.2.3.3) after the header.
fn described(png: Vec<u8>, text: &str) -> Vec<u8> {
    /// The signature and the header chunk.
    const HEAD: usize = 8 + 25;
    if text.is_empty() || png.len() < HEAD {
        return png;
    }
    let mut chunk = b"iTXtDescription\0\0\0en\0\0".to_vec();
    chunk.extend(text.as_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&chunk);
    let length = (chunk.len() - 4) as u32;
    [&png[..HEAD], &length.to_be_bytes(), &chunk, &sum.sum().to_be_bytes(), &png[HEAD..]].concat()
}

/// Title, parts and notes one below the other, at most `width` px wide.
fn whole(artifact: &Artifact, width: f64, outermost: bool, look: Look) -> Result<Scene> {
    let mut parts = Vec::new();
    let mut photo = None;
    for run in runs(&artifact.parts) {
        let columns = if run.len() > 1 && width >= WIDTH / 2.0 { 2 } else { 1 };
        let cell = (width - PART_GAP * (columns - 1) as f64) / columns as f64;
        for row in run.chunks(columns) {
            let mut line = Scene::default();
            for (i, part) in row.iter().enumerate() {
                let titled = !is_said(&artifact.title, part_title(part));
                let again = seen(part, &mut photo);
                let drawn = lay(part, cell, titled, again, look)?;
                let left = i as f64 * (cell + PART_GAP);
                (line.width, line.height) = (left + drawn.width, line.height.max(drawn.height));
                line.put(drawn, left, 0.0);
            }
            parts.push(line);
        }
    }
    let content = parts.iter().map(|p| p.width).fold(0.0, f64::max);
    let text = content.max(width.min(420.0));
    let mut scene = Scene::default();
    // In a paper, title and notes are in the caption.
    let caption = look.paper && outermost;
    if !artifact.title.is_empty() && !caption {
        let size = if outermost { 16.0 } else { 13.5 };
        let title = headline(&artifact.title, outermost);
        scene.below(paragraph(&title, size, text, 3, INK, true), 0.0);
    }
    for part in parts {
        scene.below(part, if scene.items.is_empty() { 0.0 } else { PART_GAP * 0.7 });
    }
    for (i, note) in artifact.notes.iter().enumerate().filter(|_| !caption) {
        // All letters of a figure have one typeface, so code needs no marks.
        let note = note.replace('`', "");
        scene.below(paragraph(&note, SMALL_TEXT + 0.5, text, 6, SOFT, false), if i == 0 { 10.0 } else { 2.0 });
    }
    Ok(scene)
}

/// An artifact's parts; successive galleries that would make the page too high are grouped, to be drawn two in a row. A gallery of
/// many pictures needs the whole width.
pub fn runs(parts: &[Part]) -> Vec<&[Part]> {
    let gallery = |p: &Part| matches!(p, Part::Pictures(p) if p.images.len() <= MAX_PAIRED_PICTURES);
    let mut out: Vec<&[Part]> = Vec::new();
    for run in parts.chunk_by(|a, b| gallery(a) && gallery(b)) {
        if run.len() >= MIN_PAIRED_GALLERIES { out.push(run) } else { out.extend(run.chunks(1)) }
    }
    out
}

/// Whether a part's photo is in a part above already.
fn seen<'a>(part: &'a Part, photo: &mut Option<&'a Image>) -> bool {
    let own = match part {
        Part::Map(m) if matches!(m.style, Style::Overlay | Style::Alone) => m.photo.as_ref(),
        Part::ClassMap(m) => m.photo.as_ref(),
        _ => None,
    };
    let Some(own) = own else { return false };
    let alike = |a: &Image| a.width() == own.width() && a.pixels() == own.pixels();
    let again = photo.is_some_and(alike);
    *photo = Some(own);
    again
}

/// One part, at most `width` px wide; `again` where its photo is shown already.
fn lay(part: &Part, width: f64, titled: bool, again: bool, look: Look) -> Result<Scene> {
    let mut body = match part {
        Part::Map(m) => map::heat(m, width, again, look.contours)?,
        Part::ClassMap(m) => map::classes(m, width, again)?,
        Part::Boxes(b) => boxes::drawn(b, width)?,
        Part::SignalMap(m) => signal::drawn(m, width)?,
        Part::VolumeMap(m) => planes::drawn(m, width)?,
        Part::Grid(g) => tiles::grid(g, width)?,
        Part::Matrix(m) => matrix::drawn(m, width)?,
        Part::Pictures(p) => tiles::pictures(p, width)?,
        Part::Table(_, t) => table::drawn(t, width),
        Part::Plot(p) => plot::drawn(p, width)?,
        Part::Cloud(c) => cloud::drawn(c, width)?,
        Part::Mosaic(m) => mosaic::drawn(m, width)?,
        Part::Text(t) => words(t, width),
        Part::Figure(inner, columns) => beside(inner, *columns, width, look)?,
    };
    if is_picture(part) {
        body.pictures.push(body.clone());
    }
    let title = part_title(part);
    if !titled || title.is_empty() {
        return Ok(body);
    }
    let mut scene = paragraph(&headline(title, false), 13.0, body.width.max(width.min(420.0)), 2, INK, true);
    scene.below(body, 6.0);
    Ok(scene)
}

/// Artifacts in columns of equal width, rows aligned at the top.
fn beside(inner: &[Artifact], columns: usize, width: f64, look: Look) -> Result<Scene> {
    let gap = PART_GAP * 1.4;
    let room = ((width + gap) / (MIN_COLUMN + gap)).floor().max(1.0) as usize;
    let columns = columns.clamp(1, inner.len().max(1)).min(room);
    let cell = (width - gap * (columns - 1) as f64) / columns as f64;
    let mut scene = Scene::default();
    for row in inner.chunks(columns) {
        let mut line = Scene::default();
        for (i, artifact) in row.iter().enumerate() {
            let drawn = whole(artifact, cell, false, look)?;
            let left = i as f64 * (cell + gap);
            line.width = line.width.max(left + drawn.width);
            line.height = line.height.max(drawn.height);
            line.put(drawn, left, 0.0);
        }
        scene.below(line, PART_GAP);
    }
    Ok(scene)
}

/// Markdown as running text.
fn words(text: &str, width: f64) -> Scene {
    let mut scene = Scene::default();
    for block in markdown::blocks(text) {
        let indent = if block.listed { 14.0 } else { 0.0 };
        let size = if block.heading { 14.0 } else { TEXT };
        let drawn = paragraph(&block.text, size, width.min(680.0) - indent, 200, INK, block.heading);
        let mut line = Scene::new(drawn.width + indent, drawn.height);
        if block.listed {
            line.write(2.0, size, "•", size, SOFT, super::scene::Anchor::Start);
        }
        line.put(drawn, indent, 0.0);
        scene.below(line, 5.0);
    }
    scene
}
