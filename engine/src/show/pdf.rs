//! Writes a [`Scene`] as a PDF file of one page (ISO 32000-1), for papers: lines as vectors, letters as outlines, so that no font
//! has to be embedded or found, pictures losslessly.

use super::colour::Rgb;
use super::font::Stroke;
use super::look::Theme;
use super::scene::{Letters, Scene, SceneItem, on, parts};
use crate::data::Image;
use crate::error::Result;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, TextStr};
use std::io::Write as _;

/// Points per px: a px is 1/96 inch, a point 1/72.
const POINTS: f64 = 0.75;
const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const ONLY: Ref = Ref::new(3);
const DRAWN: Ref = Ref::new(4);
const ABOUT: Ref = Ref::new(5);
/// The object number of the first picture.
const FIRST_PICTURE: i32 = 6;

/// The scene as a PDF file with `title` in its metadata.
///
/// # Errors
/// Where compressing a picture fails, which no picture is known to cause.
pub fn write(scene: &Scene, theme: Theme, title: &str) -> Result<Vec<u8>> {
    let mut pdf = Pdf::new();
    let (w, h) = (scene.width * POINTS, scene.height * POINTS);
    pdf.catalog(CATALOG).pages(PAGES);
    pdf.pages(PAGES).kids([ONLY]).count(1);
    pdf.document_info(ABOUT).title(TextStr(title)).producer(TextStr("convscope"));
    let pictures: Vec<&Image> = scene
        .items
        .iter()
        .filter_map(|i| if let SceneItem::Picture(_, image) = i { Some(image) } else { None })
        .collect();
    let mut page = pdf.page(ONLY);
    page.media_box(Rect::new(0.0, 0.0, w as f32, h as f32)).parent(PAGES).contents(DRAWN);
    let mut resources = page.resources();
    let mut named = resources.x_objects();
    for i in 0..pictures.len() {
        named.pair(Name(name(i).as_bytes()), Ref::new(FIRST_PICTURE + i as i32));
    }
    named.finish();
    resources.finish();
    page.finish();
    for (i, image) in pictures.iter().enumerate() {
        let bytes = packed(image.pixels())?;
        let mut object = pdf.image_xobject(Ref::new(FIRST_PICTURE + i as i32), &bytes);
        object.filter(Filter::FlateDecode);
        object.width(image.width() as i32).height(image.height() as i32);
        object.color_space().device_rgb();
        object.bits_per_component(8);
    }
    let content = drawn(scene, theme);
    pdf.stream(DRAWN, &packed(&content)?).filter(Filter::FlateDecode);
    Ok(pdf.finish())
}

/// The page's content: lengths in px, y downwards, by the first transformation.
fn drawn(scene: &Scene, theme: Theme) -> Vec<u8> {
    let mut content = Content::new();
    let points = POINTS as f32;
    content.transform([points, 0.0, 0.0, -points, 0.0, (scene.height * POINTS) as f32]);
    if theme != Theme::Transparent {
        fill(&mut content, parts(theme)[3]);
        content.rect(0.0, 0.0, scene.width as f32, scene.height as f32).fill_nonzero();
    }
    let mut count = 0;
    for item in &scene.items {
        match item {
            SceneItem::Area(r, c) => {
                fill(&mut content, on(theme, *c));
                rect(&mut content, r).fill_nonzero();
            }
            SceneItem::Frame(r, c, width) => {
                pen(&mut content, on(theme, *c), *width);
                rect(&mut content, r).stroke();
            }
            SceneItem::Line(p, c, width, dashed) => {
                pen(&mut content, on(theme, *c), *width);
                content.set_dash_pattern(if *dashed { vec![4.0, 3.0] } else { Vec::new() }, 0.0);
                line(&mut content, p);
                content.stroke();
                content.set_dash_pattern(Vec::new(), 0.0);
            }
            SceneItem::Shape(p, c) => {
                fill(&mut content, on(theme, *c));
                line(&mut content, p);
                content.close_path().fill_nonzero();
            }
            SceneItem::Dot(x, y, r, c) => {
                fill(&mut content, on(theme, *c));
                circle(&mut content, [*x as f32, *y as f32], *r as f32);
            }
            SceneItem::Letters(l) => letters(&mut content, l, on(theme, l.colour)),
            SceneItem::Picture([x, y, w, h], _) => {
                content.save_state();
                // Pictures are a unit square with y upwards.
                content.transform([*w as f32, 0.0, 0.0, -*h as f32, *x as f32, (y + h) as f32]);
                content.x_object(Name(name(count).as_bytes()));
                content.restore_state();
                count += 1;
            }
        }
    }
    content.finish().to_vec()
}

fn letters(content: &mut Content, l: &Letters, colour: Rgb) {
    content.save_state();
    let (sin, cos) = (libm::sin(l.turn.to_radians()) as f32, libm::cos(l.turn.to_radians()) as f32);
    content.transform([cos, sin, -sin, cos, l.x as f32, l.y as f32]);
    fill(content, colour);
    let (mut pen_at, mut any) = ([0.0f32; 2], false);
    for step in l.outline() {
        any = true;
        match step {
            Stroke::Move(x, y) => {
                content.move_to(x, y);
                pen_at = [x, y];
            }
            Stroke::Line(x, y) => {
                content.line_to(x, y);
                pen_at = [x, y];
            }
            Stroke::Quad(c, p) => {
                // A quadratic curve as a cubic one: its control points are at two thirds of the way.
                let third = |from: f32, to: f32| from + 2.0 / 3.0 * (to - from);
                let first = [third(pen_at[0], c[0]), third(pen_at[1], c[1])];
                let second = [third(p[0], c[0]), third(p[1], c[1])];
                content.cubic_to(first[0], first[1], second[0], second[1], p[0], p[1]);
                pen_at = p;
            }
            Stroke::Cubic(c, d, p) => {
                content.cubic_to(c[0], c[1], d[0], d[1], p[0], p[1]);
                pen_at = p;
            }
        }
    }
    if any && l.weight() > 0.0 {
        pen(content, colour, l.weight());
        content.fill_nonzero_and_stroke();
    } else if any {
        content.fill_nonzero();
    }
    content.restore_state();
}

/// A filled circle of four Bézier curves (0.02 % off).
fn circle(content: &mut Content, [x, y]: [f32; 2], r: f32) {
    let k = 0.552_285 * r;
    content.move_to(x + r, y);
    content.cubic_to(x + r, y + k, x + k, y + r, x, y + r);
    content.cubic_to(x - k, y + r, x - r, y + k, x - r, y);
    content.cubic_to(x - r, y - k, x - k, y - r, x, y - r);
    content.cubic_to(x + k, y - r, x + r, y - k, x + r, y);
    content.fill_nonzero();
}

fn line(content: &mut Content, points: &[(f64, f64)]) {
    for (i, (x, y)) in points.iter().enumerate() {
        let (x, y) = (*x as f32, *y as f32);
        if i == 0 {
            content.move_to(x, y)
        } else {
            content.line_to(x, y)
        };
    }
}

fn rect<'a>(content: &'a mut Content, [x, y, w, h]: &[f64; 4]) -> &'a mut Content {
    content.rect(*x as f32, *y as f32, *w as f32, *h as f32)
}

fn fill(content: &mut Content, colour: Rgb) {
    let [r, g, b] = colour.map(|c| f32::from(c) / 255.0);
    content.set_fill_rgb(r, g, b);
}

fn pen(content: &mut Content, colour: Rgb, width: f64) {
    let [r, g, b] = colour.map(|c| f32::from(c) / 255.0);
    content.set_stroke_rgb(r, g, b).set_line_width(width as f32);
}

fn name(i: usize) -> String {
    format!("P{i}")
}

fn packed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_err(|e| crate::Error::internal(format!("a page cannot be compressed: {e}")))
}
