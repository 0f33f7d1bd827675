//! Lays an [`Artifact`] out as a figure: title, parts, what a reader must know, on a white page of one width.

mod axis;
mod bar;
mod boxes;
mod cloud;
mod map;
mod matrix;
mod mosaic;
mod plot;
mod recorder;
mod table;
mod tiles;

use super::artifact::{Artifact, Part};
use super::markdown;
use super::raster::{self, SCALE};
use super::scene::{INK, SOFT, Scene, paragraph};
use super::svg as vector;
use crate::data::{Image, PixelBox};
use crate::error::Result;

pub use cloud::{entries as group_entries, hue as group_hue};
pub use mosaic::square as mosaic_square;

/// The width that a figure's content may take, px.
pub const WIDTH: f64 = 900.0;
/// White around the whole.
const MARGIN: f64 = 18.0;
/// White that is left beside, above and below a part that is cut from the page: letters at a tick on its edge reach half their size beyond it.
const EDGE: [f64; 2] = [1.0, 0.6 * SMALL];
/// White between parts.
const GAP: f64 = 18.0;
/// Size of captions and ticks.
const SMALL: f64 = 11.0;
/// Size of running text.
const TEXT: f64 = 12.5;

/// An artifact's page in pixels, and where on it the parts lie that are pictures.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The page, at twice a screen's resolution.
    pub page: Image,
    pictures: Vec<[f64; 4]>,
}

impl Drawn {
    /// The page as the bytes of a PNG file.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.page.encode_png()
    }

    /// The parts that are pictures, in the artifact's order and inside out, each cut from the page; the titles are left out.
    ///
    /// # Errors
    /// Where one cannot be cut.
    pub fn pictures(&self) -> Result<Vec<Image>> {
        self.pictures.iter().map(|place| self.cut(*place)).collect()
    }

    fn cut(&self, [x, y, w, h]: [f64; 4]) -> Result<Image> {
        let [beside, above] = EDGE;
        let at = |v: f64, most: usize| ((v * SCALE).round().max(0.0) as usize).min(most);
        let (width, height) = (self.page.width(), self.page.height());
        let (left, top) = (at(x - beside, width - 1), at(y - above, height - 1));
        let (right, bottom) = (at(x + w + beside, width).max(left + 1), at(y + h + above, height).max(top + 1));
        self.page.crop(PixelBox::new(left, top, right - left, bottom - top))
    }
}

/// The artifact laid out and drawn, once for all forms that need pixels.
///
/// # Errors
/// Where a part's arrays do not have the shapes that it says, or the figure would be too large.
pub fn draw(artifact: &Artifact) -> Result<Drawn> {
    let scene = page(artifact)?;
    Ok(Drawn { page: raster::draw(&scene)?, pictures: scene.pictures })
}

/// The artifact as the bytes of a PNG file at twice a screen's resolution.
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
    vector::write(&page(artifact)?)
}

/// The artifact's page with its margin.
fn page(artifact: &Artifact) -> Result<Scene> {
    let wide = artifact.parts.iter().map(needed).fold(WIDTH, f64::max);
    Ok(margined(whole(artifact, wide, true)?))
}

/// The width that a part asks for: figures grow with their columns, up to a limit.
fn needed(part: &Part) -> f64 {
    match part {
        Part::Figure(inner, columns) => {
            let columns = (*columns).clamp(1, inner.len().max(1)) as f64;
            (columns * 380.0 + (columns - 1.0) * 2.0 * GAP).clamp(WIDTH, 1900.0)
        }
        _ => WIDTH,
    }
}

fn margined(content: Scene) -> Scene {
    let mut page = Scene::new(content.width + 2.0 * MARGIN, content.height + 2.0 * MARGIN);
    page.put(content, MARGIN, MARGIN);
    page
}

/// Title, parts and notes below each other, at most `width` wide.
fn whole(artifact: &Artifact, width: f64, outermost: bool) -> Result<Scene> {
    let mut parts = Vec::new();
    for part in &artifact.parts {
        let titled = !is_said(&artifact.title, part_title(part));
        parts.push(lay(part, width, titled)?);
    }
    let content = parts.iter().map(|p| p.width).fold(0.0, f64::max);
    let text = content.max(width.min(420.0));
    let mut scene = Scene::default();
    if !artifact.title.is_empty() {
        let size = if outermost { 16.0 } else { 13.5 };
        scene.below(paragraph(&artifact.title, size, text, 3, INK, true), 0.0);
    }
    for part in parts {
        scene.below(part, if scene.items.is_empty() { 0.0 } else { GAP * 0.7 });
    }
    for (i, note) in artifact.notes.iter().enumerate() {
        scene.below(paragraph(note, SMALL + 0.5, text, 6, SOFT, false), if i == 0 { 10.0 } else { 2.0 });
    }
    Ok(scene)
}

/// One part, at most `width` wide.
fn lay(part: &Part, width: f64, titled: bool) -> Result<Scene> {
    let mut body = match part {
        Part::Map(m) => map::heat(m, width)?,
        Part::ClassMap(m) => map::classes(m, width)?,
        Part::Boxes(b) => boxes::drawn(b, width)?,
        Part::Grid(g) => tiles::grid(g, width)?,
        Part::Matrix(m) => matrix::drawn(m, width)?,
        Part::Pictures(p) => tiles::pictures(p, width)?,
        Part::Table(_, t) => table::drawn(t, width),
        Part::Plot(p) => plot::drawn(p, width)?,
        Part::Cloud(c) => cloud::drawn(c, width)?,
        Part::Mosaic(m) => mosaic::drawn(m, width)?,
        Part::Text(t) => words(t, width),
        Part::Figure(inner, columns) => beside(inner, *columns, width)?,
    };
    if is_picture(part) {
        body.pictures.push([0.0, 0.0, body.width, body.height]);
    }
    let title = part_title(part);
    if !titled || title.is_empty() {
        return Ok(body);
    }
    let mut scene = paragraph(title, 13.0, body.width.max(width.min(420.0)), 2, INK, true);
    scene.below(body, 6.0);
    Ok(scene)
}

/// Whether a part is one picture wherever it is shown: not a table, a text, a mosaic that can be zoomed, or a figure of others.
pub fn is_picture(part: &Part) -> bool {
    match part {
        Part::Map(_) | Part::ClassMap(_) | Part::Grid(_) | Part::Pictures(_) | Part::Plot(_) | Part::Cloud(_) => true,
        Part::Boxes(_) | Part::Matrix(_) => true,
        Part::Table(..) | Part::Text(_) | Part::Mosaic(_) | Part::Figure(..) => false,
    }
}

/// The title of a part; empty where it has none.
pub fn part_title(part: &Part) -> &str {
    match part {
        Part::Map(m) => &m.title,
        Part::ClassMap(m) => &m.title,
        Part::Boxes(b) => &b.title,
        Part::Grid(g) => &g.title,
        Part::Matrix(m) => &m.title,
        Part::Pictures(p) => &p.title,
        Part::Table(title, _) => title,
        Part::Plot(p) => &p.title,
        Part::Cloud(c) => &c.title,
        Part::Mosaic(m) => &m.title,
        Part::Text(_) | Part::Figure(..) => "",
    }
}

/// Whether a part's title says nothing that the artifact's does not.
pub fn is_said(title: &str, part: &str) -> bool {
    !part.is_empty() && title.starts_with(part)
}

/// Artifacts in columns of one width, rows aligned at their tops.
fn beside(inner: &[Artifact], columns: usize, width: f64) -> Result<Scene> {
    let columns = columns.clamp(1, inner.len().max(1));
    let gap = GAP * 1.4;
    let cell = (width - gap * (columns - 1) as f64) / columns as f64;
    let mut scene = Scene::default();
    for row in inner.chunks(columns) {
        let mut line = Scene::default();
        for (i, artifact) in row.iter().enumerate() {
            let drawn = whole(artifact, cell, false)?;
            let left = i as f64 * (cell + gap);
            line.width = line.width.max(left + drawn.width);
            line.height = line.height.max(drawn.height);
            line.put(drawn, left, 0.0);
        }
        scene.below(line, GAP);
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
