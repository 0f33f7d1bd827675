//! A drawing as a list of shapes, letters and pictures on a white page: laid out once, then written as PNG
//! ([`super::raster`]) or as SVG ([`super::svg`]).

use super::colour::Rgb;
use super::font::{self, Face};
use crate::data::Image;

/// Dark text.
pub const INK: Rgb = [28, 28, 32];
/// Captions and ticks.
pub const SOFT: Rgb = [90, 92, 98];
/// Grid lines and frames.
pub const FAINT: Rgb = [222, 223, 227];

/// Where a text stands relative to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
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
    /// Px an em.
    pub size: f64,
    /// Its colour.
    pub colour: Rgb,
    /// What of it is at x.
    pub anchor: Anchor,
    /// Degrees clockwise about the position.
    pub turn: f64,
    /// Drawn heavier.
    pub bold: bool,
    /// The typeface.
    pub face: Face,
}

/// Something drawn; lengths in px of the page.
#[derive(Clone, Debug)]
pub enum Item {
    /// A filled rectangle: left, top, width, height.
    Area([f64; 4], Rgb),
    /// A frame of a rectangle: left, top, width, height, the line's width.
    Frame([f64; 4], Rgb, f64),
    /// A line through points: its colour, its width, whether it is dashed.
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
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// What is drawn, in this order.
    pub items: Vec<Item>,
    /// Where the parts of an artifact that are pictures lie, in order: left, top, width, height.
    pub pictures: Vec<[f64; 4]>,
}

impl Scene {
    /// An empty page of this size.
    pub fn new(width: f64, height: f64) -> Self {
        Scene { width, height, ..Scene::default() }
    }

    /// Adds an item.
    pub fn add(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Adds a straight line.
    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64), colour: Rgb, width: f64) {
        self.add(Item::Line(vec![from, to], colour, width, false));
    }

    /// Adds a line of text.
    pub fn write(&mut self, x: f64, y: f64, text: &str, size: f64, colour: Rgb, anchor: Anchor) {
        if !text.is_empty() {
            self.add(Item::Letters(letters(x, y, text, size, colour, anchor)));
        }
    }

    /// Adds everything on `other`, moved by `dx` and `dy`.
    pub fn put(&mut self, other: Scene, dx: f64, dy: f64) {
        let moved = |[x, y, w, h]: [f64; 4]| [x + dx, y + dy, w, h];
        self.pictures.extend(other.pictures.into_iter().map(moved));
        let shifted = |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x + dx, y + dy)).collect();
        self.items.extend(other.items.into_iter().map(|item| match item {
            Item::Area(r, c) => Item::Area(moved(r), c),
            Item::Frame(r, c, w) => Item::Frame(moved(r), c, w),
            Item::Line(p, c, w, d) => Item::Line(shifted(p), c, w, d),
            Item::Shape(p, c) => Item::Shape(shifted(p), c),
            Item::Dot(x, y, r, c) => Item::Dot(x + dx, y + dy, r, c),
            Item::Letters(l) => Item::Letters(Letters { x: l.x + dx, y: l.y + dy, ..l }),
            Item::Picture(r, i) => Item::Picture(moved(r), i),
        }));
    }

    /// Puts `other` below what is there, `gap` px away, and grows to hold it.
    pub fn below(&mut self, other: Scene, gap: f64) {
        let top = if self.height > 0.0 { self.height + gap } else { 0.0 };
        self.width = self.width.max(other.width);
        self.height = top + other.height;
        self.put(other, 0.0, top);
    }
}

/// A line of text at (x, y) in the upright sans face.
pub fn letters(x: f64, y: f64, text: &str, size: f64, colour: Rgb, anchor: Anchor) -> Letters {
    Letters { x, y, text: text.to_string(), size, colour, anchor, turn: 0.0, bold: false, face: Face::Sans }
}

/// A paragraph in lines of at most `limit` px, at most `lines` of them; as wide as its widest line.
pub fn paragraph(text: &str, size: f64, limit: f64, lines: usize, colour: Rgb, bold: bool) -> Scene {
    let leading = size * 1.35;
    let rows = font::wrap(text, size, limit, lines);
    let mut scene = Scene::new(0.0, leading * rows.len() as f64);
    for (i, row) in rows.iter().enumerate() {
        scene.width = scene.width.max(font::width(row, size, Face::Sans));
        let y = leading * i as f64 + size * 1.02;
        scene.add(Item::Letters(Letters { bold, ..letters(0.0, y, row, size, colour, Anchor::Start) }));
    }
    scene
}
