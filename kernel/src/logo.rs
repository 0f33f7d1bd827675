//! The logo as code: an eye whose iris is a filter of three by three weights.

use convscope_engine::Result;
use convscope_engine::show::scene::{Scene, SceneItem};
use convscope_engine::show::{Theme, raster, svg};

const GROUND: [u8; 3] = [22, 41, 62];
const WHITE: [u8; 3] = [250, 251, 252];
/// Colours of the weights, from negative to positive.
const WEIGHTS: [[u8; 3]; 9] = [
    [54, 110, 178],
    [148, 190, 222],
    [214, 96, 77],
    [148, 190, 222],
    [244, 190, 130],
    [178, 40, 52],
    [34, 74, 140],
    [148, 190, 222],
    [214, 96, 77],
];

/// The logo, `side` px wide and high.
fn scene(side: f64) -> Scene {
    let unit = side / 64.0;
    let mut scene = Scene::new(side, side);
    scene.add(SceneItem::Area([0.0, 0.0, side, side], GROUND));
    // Two arcs of circles that meet at the corners of the eye.
    let arc = |up: f64| {
        (0..=24).map(move |i| {
            let t = f64::from(i) / 24.0;
            let x = if up < 0.0 { 5.0 + 54.0 * t } else { 59.0 - 54.0 * t };
            let bow = 1.0 - ((x - 32.0) / 27.0).powi(2);
            (x * unit, (32.0 + up * 19.0 * bow) * unit)
        })
    };
    scene.add(SceneItem::Shape(arc(-1.0).chain(arc(1.0)).collect(), WHITE));
    scene.add(SceneItem::Dot(32.0 * unit, 32.0 * unit, 17.5 * unit, GROUND));
    let (cell, gap) = (7.0, 0.9);
    let left = 32.0 - (3.0 * cell + 2.0 * gap) / 2.0;
    for (i, colour) in WEIGHTS.into_iter().enumerate() {
        let place = |k: usize| (left + k as f64 * (cell + gap)) * unit;
        scene.add(SceneItem::Area([place(i % 3), place(i / 3), cell * unit, cell * unit], colour));
    }
    scene
}

/// The logo as a PNG of `pixels` by `pixels`.
///
/// # Errors
/// Where PNG encoding fails.
pub fn png(pixels: u32) -> Result<Vec<u8>> {
    raster::draw(&scene(f64::from(pixels) / raster::SCALE), Theme::Light)?.png()
}

/// The logo as SVG.
///
/// # Errors
/// Where SVG encoding fails.
pub fn vector() -> Result<String> {
    svg::write(&scene(64.0), Theme::Light, ("convscope", ""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use convscope_engine::data::Image;

    #[test]
    fn the_logo_has_the_size_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for side in [32, 64] {
            let path = folder.path().join("logo.png");
            std::fs::write(&path, png(side).unwrap()).unwrap();
            let image = Image::open(&path).unwrap();
            assert_eq!((image.width(), image.height()), (side as usize, side as usize));
        }
        assert!(vector().unwrap().starts_with("<svg"));
    }
}
