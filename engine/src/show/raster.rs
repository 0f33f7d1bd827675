//! Rasterises a [`Scene`] with antialiasing.

use super::colour::Rgb;
use super::font::Stroke as Outline;
use super::look::Theme;
use super::scene::{Letters, Scene, SceneItem, on, parts};
use crate::data::Image;
use crate::error::{Error, Result};
use tiny_skia::{
    Color, FillRule, FilterQuality, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, PixmapPaint, Rect, Stroke,
    StrokeDash, Transform,
};

/// Pixels per px of the page: figures are drawn at twice the resolution of a screen.
pub const SCALE: f64 = 2.0;

/// A rasterised scene, [`SCALE`] pixels per px.
#[derive(Clone, Debug)]
pub struct Raster {
    /// Its colours; a transparent page over white.
    pub image: Image,
    /// The opacity of each pixel, row by row, where the page is transparent.
    opacity: Option<Vec<u8>>,
}

impl Raster {
    /// A PNG file, with an alpha channel where the page is transparent.
    ///
    /// # Errors
    /// Where PNG encoding fails.
    pub fn png(&self) -> Result<Vec<u8>> {
        let Some(opacity) = &self.opacity else { return self.image.encode_png() };
        let (w, h) = (self.image.width() as u32, self.image.height() as u32);
        // Removes the white page from blended colours: c = (over - (1 - a) white) / a.
        let pixels: Vec<u8> = self
            .image
            .pixels()
            .chunks_exact(3)
            .zip(opacity)
            .flat_map(|(p, a)| {
                let alpha = f64::from(*a) / 255.0;
                let own = |c: u8| {
                    if *a == 0 {
                        0
                    } else {
                        ((f64::from(c) - 255.0 * (1.0 - alpha)) / alpha).round().clamp(0.0, 255.0) as u8
                    }
                };
                [own(p[0]), own(p[1]), own(p[2]), *a]
            })
            .collect();
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        let written = image::ImageEncoder::write_image(encoder, &pixels, w, h, image::ExtendedColorType::Rgba8);
        written.map_err(|e| Error::internal(format!("a figure cannot be encoded: {e}")))?;
        Ok(bytes)
    }
}

/// Rasterises the scene on a page of this theme.
///
/// # Errors
/// Where the picture would exceed the limit of an [`Image`].
pub fn draw(scene: &Scene, theme: Theme) -> Result<Raster> {
    let (width, height) = ((scene.width * SCALE).ceil().max(1.0), (scene.height * SCALE).ceil().max(1.0));
    Image::check_size(width as usize, height as usize)?;
    let mut page = Pixmap::new(width as u32, height as u32)
        .ok_or_else(|| Error::value(format!("a figure of {width} x {height} pixels is too large")))?;
    if theme != Theme::Transparent {
        let [r, g, b] = parts(theme)[3];
        page.fill(Color::from_rgba8(r, g, b, 255));
    }
    for item in &scene.items {
        paint(&mut page, item, theme);
    }
    let white = |c: u8, alpha: u8| c + (255 - alpha);
    let pixels = page.data().chunks_exact(4).flat_map(|p| [white(p[0], p[3]), white(p[1], p[3]), white(p[2], p[3])]);
    let image = Image::new(width as usize, height as usize, pixels.collect())?;
    let opacity = (theme == Theme::Transparent).then(|| page.data().chunks_exact(4).map(|p| p[3]).collect());
    Ok(Raster { image, opacity })
}

fn paint(page: &mut Pixmap, item: &SceneItem, theme: Theme) {
    let on = |colour: &Rgb| on(theme, *colour);
    let view = Transform::from_scale(SCALE as f32, SCALE as f32);
    match item {
        SceneItem::Area([x, y, w, h], colour) => {
            if let Some(rect) = Rect::from_xywh(*x as f32, *y as f32, *w as f32, *h as f32) {
                page.fill_rect(rect, &solid(on(colour)), view, None);
            }
        }
        SceneItem::Frame([x, y, w, h], colour, width) => {
            if let Some(rect) = Rect::from_xywh(*x as f32, *y as f32, *w as f32, *h as f32) {
                stroke(page, &PathBuilder::from_rect(rect), on(colour), *width, false);
            }
        }
        SceneItem::Line(points, colour, width, dashed) => {
            if let Some(path) = polyline(points, false) {
                stroke(page, &path, on(colour), *width, *dashed);
            }
        }
        SceneItem::Shape(points, colour) => {
            if let Some(path) = polyline(points, true) {
                page.fill_path(&path, &solid(on(colour)), FillRule::Winding, view, None);
            }
        }
        SceneItem::Dot(x, y, r, colour) => {
            if let Some(path) = PathBuilder::from_circle(*x as f32, *y as f32, *r as f32) {
                page.fill_path(&path, &solid(on(colour)), FillRule::Winding, view, None);
            }
        }
        SceneItem::Letters(letters) => write(page, letters, on(&letters.colour)),
        SceneItem::Picture(rect, image) => place(page, *rect, image),
    }
}

fn stroke(page: &mut Pixmap, path: &Path, colour: Rgb, width: f64, dashed: bool) {
    let dash = if dashed { StrokeDash::new(vec![4.0, 3.0], 0.0) } else { None };
    let (line_cap, line_join) = (LineCap::Butt, LineJoin::Round);
    let pen = Stroke { width: width as f32, line_cap, line_join, dash, ..Stroke::default() };
    page.stroke_path(path, &solid(colour), &pen, Transform::from_scale(SCALE as f32, SCALE as f32), None);
}

fn write(page: &mut Pixmap, l: &Letters, colour: Rgb) {
    let mut path = PathBuilder::new();
    for step in l.outline() {
        match step {
            Outline::Move(x, y) => {
                path.close();
                path.move_to(x, y);
            }
            Outline::Line(x, y) => path.line_to(x, y),
            Outline::Quad(c, p) => path.quad_to(c[0], c[1], p[0], p[1]),
            Outline::Cubic(c, d, p) => path.cubic_to(c[0], c[1], d[0], d[1], p[0], p[1]),
        }
    }
    path.close();
    let Some(path) = path.finish() else { return };
    let view = Transform::from_rotate(l.turn as f32)
        .post_translate(l.x as f32, l.y as f32)
        .post_scale(SCALE as f32, SCALE as f32);
    page.fill_path(&path, &solid(colour), FillRule::Winding, view, None);
    let pen = Stroke { width: l.weight() as f32, line_join: LineJoin::Round, ..Stroke::default() };
    page.stroke_path(&path, &solid(colour), &pen, view, None);
}

fn place(page: &mut Pixmap, [x, y, w, h]: [f64; 4], image: &Image) {
    let Some(mut picture) = Pixmap::new(image.width() as u32, image.height() as u32) else { return };
    for (to, from) in picture.data_mut().chunks_exact_mut(4).zip(image.pixels().chunks_exact(3)) {
        to.copy_from_slice(&[from[0], from[1], from[2], 255]);
    }
    let (sx, sy) = (w * SCALE / image.width() as f64, h * SCALE / image.height() as f64);
    let exact = (sx - 1.0).abs() < 0.01 && (sy - 1.0).abs() < 0.01;
    if exact {
        let (left, top) = ((x * SCALE).round() as i32, (y * SCALE).round() as i32);
        page.draw_pixmap(left, top, picture.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
        return;
    }
    let smooth = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
    let view = Transform::from_scale(sx as f32, sy as f32).post_translate((x * SCALE) as f32, (y * SCALE) as f32);
    page.draw_pixmap(0, 0, picture.as_ref(), &smooth, view, None);
}

fn polyline(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        if i == 0 { path.move_to(*x as f32, *y as f32) } else { path.line_to(*x as f32, *y as f32) }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn solid(c: Rgb) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(c[0], c[1], c[2], 255);
    paint
}
