//! A drawing as a list of shapes, letters and pictures on a page: laid out once, then written as PNG ([`super::raster`]), SVG
//! ([`super::svg`]) or PDF ([`super::pdf`]).
//!
//! [`INK`], [`SOFT`], [`FAINT`] and [`PAGE`] are roles: each theme has its own colours for them ([`on`]).

use super::colour::Rgb;
use super::font::{self, Face};
use super::look::Theme;
use crate::data::Image;

/// Dark text.
pub const INK: Rgb = [28, 28, 32];
/// Captions and ticks.
pub const SOFT: Rgb = [90, 92, 98];
/// Grid lines and frames.
pub const FAINT: Rgb = [222, 223, 227];
/// The page.
pub const PAGE: Rgb = [255, 255, 254];
/// Dark letters and lines on drawn content, the same in all themes.
pub const DARK: Rgb = [24, 24, 28];

/// The colours of the roles in a theme: [`INK`], [`SOFT`], [`FAINT`], [`PAGE`].
pub fn parts(theme: Theme) -> [Rgb; 4] {
    match theme {
        Theme::Light => [INK, SOFT, FAINT, [255; 3]],
        Theme::Dark => [[230, 230, 234], [168, 171, 180], [62, 64, 72], [23, 24, 28]],
        Theme::Transparent => [[118, 120, 128], [124, 126, 134], [158, 160, 166], [255; 3]],
    }
}

/// A colour as drawn in a theme.
pub fn on(theme: Theme, colour: Rgb) -> Rgb {
    let place = [INK, SOFT, FAINT, PAGE].iter().position(|part| *part == colour);
    place.map_or(colour, |i| parts(theme)[i])
}

/// The alignment of a text to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// The text's middle is there.
    Middle,
    /// The text ends there.
    End,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Letters {
    /// Position of the anchor.
    pub x: f64,
    /// Position of the baseline.
    pub y: f64,
    /// The text.
    pub text: String,
    /// The font size, px.
    pub size: f64,
    /// Its colour.
    pub colour: Rgb,
    /// The alignment to x.
    pub anchor: Anchor,
    /// The rotation about the position, degrees clockwise.
    pub turn: f64,
    /// Whether it is bold.
    pub bold: bool,
    /// The typeface.
    pub face: Face,
}

/// The scale of serif letters: at equal size that font is larger than the sans font by which lines are measured.
const SERIF: f64 = 0.88;

impl Letters {
    /// Its width in the layout, px.
    pub fn width(&self) -> f64 {
        font::width(&self.text, self.size, if self.face == Face::Mono { Face::Mono } else { Face::Sans })
    }

    /// The font size at which it is drawn, px.
    pub fn drawn_size(&self) -> f64 {
        if self.face == Face::Serif { SERIF * self.size } else { self.size }
    }

    /// The width of the stroke around its letters, px.
    pub fn weight(&self) -> f64 {
        self.size
            * match (self.bold, self.face) {
                (true, _) => 0.045,
                (false, Face::Serif) => 0.0,
                (false, _) => 0.012,
            }
    }

    /// Its bounding box: left, top, right, bottom; of a rotated line, the upright box around it.
    pub fn bounds(&self) -> [f64; 4] {
        let width = self.width();
        let start = match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        let (sin, cos) = (libm::sin(self.turn.to_radians()), libm::cos(self.turn.to_radians()));
        let mut out = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        for (dx, dy) in [(start, -0.75), (start + width, -0.75), (start, 0.2), (start + width, 0.2)] {
            let dy = dy * self.size;
            let (x, y) = (self.x + dx * cos - dy * sin, self.y + dx * sin + dy * cos);
            out = [out[0].min(x), out[1].min(y), out[2].max(x), out[3].max(y)];
        }
        out
    }

    /// Its outlines relative to its position, before rotation: aligned, and not wider than in the layout.
    pub fn outline(&self) -> Vec<font::Stroke> {
        let (size, room) = (self.drawn_size(), self.width());
        let natural = font::width(&self.text, size, self.face);
        let squeeze = if natural > room { room / natural } else { 1.0 };
        let shift = match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -natural * squeeze / 2.0,
            Anchor::End => -natural * squeeze,
        };
        let at = |x: f32| (f64::from(x) * squeeze + shift) as f32;
        let moved = |stroke| match stroke {
            font::Stroke::Move(x, y) => font::Stroke::Move(at(x), y),
            font::Stroke::Line(x, y) => font::Stroke::Line(at(x), y),
            font::Stroke::Quad(c, p) => font::Stroke::Quad([at(c[0]), c[1]], [at(p[0]), p[1]]),
            font::Stroke::Cubic(c, d, p) => font::Stroke::Cubic([at(c[0]), c[1]], [at(d[0]), d[1]], [at(p[0]), p[1]]),
        };
        font::outline(&self.text, size, self.face).into_iter().map(moved).collect()
    }
}

/// A drawn item; lengths in px of the page.
#[derive(Clone, Debug)]
pub enum SceneItem {
    /// A filled rectangle: left, top, width, height.
    Area([f64; 4], Rgb),
    /// The frame of a rectangle: left, top, width, height; the line's width.
    Frame([f64; 4], Rgb, f64),
    /// A polyline: its points, its colour, its width, whether it is dashed.
    Line(Vec<(f64, f64)>, Rgb, f64, bool),
    /// A filled polygon.
    Shape(Vec<(f64, f64)>, Rgb),
    /// A filled circle: centre, radius.
    Dot(f64, f64, f64, Rgb),
    /// A text.
    Letters(Letters),
    /// A picture in a rectangle: left, top, width, height.
    Picture([f64; 4], Image),
}

/// A page, or a part of one.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Its width, px.
    pub width: f64,
    /// Its height, px.
    pub height: f64,
    /// The items, drawn in this order.
    pub items: Vec<SceneItem>,
    /// The parts of an artifact that are pictures, in order, each laid out without its title.
    pub pictures: Vec<Scene>,
}

impl Scene {
    /// An empty page of this size.
    pub fn new(width: f64, height: f64) -> Self {
        Scene { width, height, ..Scene::default() }
    }

    /// Adds an item.
    pub fn add(&mut self, item: SceneItem) {
        self.items.push(item);
    }

    /// Adds a straight line.
    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64), colour: Rgb, width: f64) {
        self.add(SceneItem::Line(vec![from, to], colour, width, false));
    }

    /// Adds a line of text.
    pub fn write(&mut self, x: f64, y: f64, text: &str, size: f64, colour: Rgb, anchor: Anchor) {
        if !text.is_empty() {
            self.add(SceneItem::Letters(letters(x, y, text, size, colour, anchor)));
        }
    }

    /// Adds all items of `other`, moved by `dx` and `dy`.
    pub fn put(&mut self, other: Scene, dx: f64, dy: f64) {
        let moved = |[x, y, w, h]: [f64; 4]| [x + dx, y + dy, w, h];
        self.pictures.extend(other.pictures);
        let shifted = |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x + dx, y + dy)).collect();
        self.items.extend(other.items.into_iter().map(|item| match item {
            SceneItem::Area(r, c) => SceneItem::Area(moved(r), c),
            SceneItem::Frame(r, c, w) => SceneItem::Frame(moved(r), c, w),
            SceneItem::Line(p, c, w, d) => SceneItem::Line(shifted(p), c, w, d),
            SceneItem::Shape(p, c) => SceneItem::Shape(shifted(p), c),
            SceneItem::Dot(x, y, r, c) => SceneItem::Dot(x + dx, y + dy, r, c),
            SceneItem::Letters(l) => SceneItem::Letters(Letters { x: l.x + dx, y: l.y + dy, ..l }),
            SceneItem::Picture(r, i) => SceneItem::Picture(moved(r), i),
        }));
    }

    /// The same scene with its texts in serif letters.
    pub fn in_serif(mut self) -> Self {
        for item in &mut self.items {
            if let SceneItem::Letters(l) = item
                && l.face == Face::Sans
            {
                l.face = Face::Serif;
            }
        }
        self
    }

    /// Puts `other` below the content, `gap` px away, and enlarges the page.
    pub fn below(&mut self, other: Scene, gap: f64) {
        let top = if self.height > 0.0 { self.height + gap } else { 0.0 };
        self.width = self.width.max(other.width);
        self.height = top + other.height;
        self.put(other, 0.0, top);
    }
}

/// A line of text at (x, y), horizontal, in the sans face.
pub fn letters(x: f64, y: f64, text: &str, size: f64, colour: Rgb, anchor: Anchor) -> Letters {
    Letters { x, y, text: text.to_string(), size, colour, anchor, turn: 0.0, bold: false, face: Face::Sans }
}

/// A paragraph in at most `lines` lines of at most `limit` px; as wide as its widest line.
pub fn paragraph(text: &str, size: f64, limit: f64, lines: usize, colour: Rgb, bold: bool) -> Scene {
    let leading = size * 1.35;
    let rows = font::wrap(text, size, limit, lines);
    let mut scene = Scene::new(0.0, leading * rows.len() as f64);
    for (i, row) in rows.iter().enumerate() {
        scene.width = scene.width.max(font::width(row, size, Face::Sans));
        let y = leading * i as f64 + size * 1.02;
        scene.add(SceneItem::Letters(Letters { bold, ..letters(0.0, y, row, size, colour, Anchor::Start) }));
    }
    scene
}
