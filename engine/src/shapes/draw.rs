//! Draws a scene as pixels and mask. Edges are antialiased by the signed distance; the mask has the pixels whose centre lies
//! inside the outline.

use super::options::SIDE;
use super::outline::squared_to_edge;
use super::scene::{Colour, Fragment, Scene, Surface};
use crate::data::image::Mask;
use crate::error::Result;

/// The pixels (RGB, rows from the top) and the mask.
pub(super) fn draw(scene: &Scene) -> Result<(Vec<u8>, Mask)> {
    let mut canvas = vec![[0.0; 3]; SIDE * SIDE];
    let ground = paint(&scene.ground);
    for (i, pixel) in canvas.iter_mut().enumerate() {
        let (x, y) = middle(i % SIDE, i / SIDE);
        *pixel = ground(x - SIDE as f64 / 2.0, y - SIDE as f64 / 2.0);
    }
    scene.fragments.iter().for_each(|f| strew(&mut canvas, f));
    let mut mask = vec![0; SIDE * SIDE];
    let surface = paint(&scene.shape);
    let turn = scene.rotation.to_radians();
    let (sin, cos) = (libm::sin(turn), libm::cos(turn));
    let [cx, cy] = scene.centre;
    for_each_within([cx - scene.radius, cy - scene.radius, cx + scene.radius, cy + scene.radius], |i, x, y| {
        let (dx, dy) = (x - cx, y - cy);
        let (u, v) = (cos * dx - sin * dy, sin * dx + cos * dy);
        let distance = scene.class.distance([u / scene.radius, v / scene.radius]) * scene.radius;
        if distance < 0.5 {
            blend(&mut canvas[i], surface(u, v), (0.5 - distance).min(1.0));
        }
        if distance <= 0.0 {
            mask[i] = 255;
        }
    });
    let pixels = canvas.iter().flatten().map(|v| (255.0 * v).round() as u8).collect();
    Ok((pixels, Mask::new(SIDE, SIDE, mask)?))
}

/// The surface's colour as a function of the position in pixels.
fn paint(surface: &Surface) -> impl Fn(f64, f64) -> Colour + '_ {
    let value = surface.pattern.values();
    move |x, y| {
        let mut colour = surface.base;
        blend(&mut colour, surface.accent, 0.5 + 0.5 * value(x, y));
        colour
    }
}

fn strew(canvas: &mut [Colour], f: &Fragment) {
    let reach = f.half_width + f.edge;
    let mut area = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for [x, y] in &f.points {
        area = [area[0].min(x - reach), area[1].min(y - reach), area[2].max(x + reach), area[3].max(y + reach)];
    }
    for_each_within(area, |i, x, y| {
        let squared = f.points.windows(2).map(|p| squared_to_edge([x, y], p[0], p[1])).fold(f64::INFINITY, f64::min);
        let cover = (0.5 + (f.half_width - libm::sqrt(squared)) / f.edge).clamp(0.0, 1.0);
        blend(&mut canvas[i], f.colour, f.opacity * cover);
    });
}

/// Calls `f` with index and centre of every pixel that the rectangle (left, top, right, bottom) touches.
fn for_each_within([left, top, right, bottom]: [f64; 4], mut f: impl FnMut(usize, f64, f64)) {
    let clip = |v: f64| v.clamp(0.0, SIDE as f64) as usize;
    for row in clip(top - 1.0)..clip(bottom + 2.0) {
        for column in clip(left - 1.0)..clip(right + 2.0) {
            let (x, y) = middle(column, row);
            f(row * SIDE + column, x, y);
        }
    }
}

fn middle(column: usize, row: usize) -> (f64, f64) {
    (column as f64 + 0.5, row as f64 + 0.5)
}

fn blend(under: &mut Colour, over: Colour, part: f64) {
    under.iter_mut().zip(over).for_each(|(u, o)| *u += (o - *u) * part);
}
