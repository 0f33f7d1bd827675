//! A plotters backend that records drawing operations on a [`Scene`], so that a plot is written as PNG and SVG by the same code as
//! everything else, with letters from the same font.

use super::super::colour::Rgb;
use super::super::font::{self, Face};
use super::super::scene::{Anchor, Letters, Scene, SceneItem, letters};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontFamily,
    FontStyle, FontTransform,
};
use std::convert::Infallible;

/// Backend units per px: plotters uses integer coordinates, and a line may be 0.7 px wide.
const UNITS_PER_PX: f64 = 16.0;
/// The least side of a filled rectangle, px, so that it stays visible.
const MIN_SIDE: f64 = 0.3;

/// Converts px to backend units.
pub fn fine(px: f64) -> i32 {
    (px * UNITS_PER_PX).round() as i32
}

/// Converts backend units to px.
pub fn px(units: i32) -> f64 {
    f64::from(units) / UNITS_PER_PX
}

/// A backend that records on a scene of fixed size.
pub struct Recorder<'a> {
    scene: &'a mut Scene,
}

impl<'a> Recorder<'a> {
    /// A backend that draws on `scene`, above its content.
    pub fn new(scene: &'a mut Scene) -> Self {
        Recorder { scene }
    }

    fn add(&mut self, colour: BackendColor, item: impl FnOnce(Rgb) -> SceneItem) -> Done {
        if colour.alpha > 0.0 {
            self.scene.add(item(on_white(colour)));
        }
        Ok(())
    }
}

type Done = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Recorder<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (fine(self.scene.width).unsigned_abs(), fine(self.scene.height).unsigned_abs())
    }

    fn ensure_prepared(&mut self) -> Done {
        Ok(())
    }

    fn present(&mut self) -> Done {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, colour: BackendColor) -> Done {
        let (x, y) = place(at);
        self.add(colour, |c| SceneItem::Area([x, y, px(1), px(1)], c))
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Done {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Done {
        let points = path.into_iter().map(place).collect();
        self.add(style.color(), |c| SceneItem::Line(points, c, breadth(style), false))
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Done {
        let ((x, y), (right, bottom)) = (place(a), place(b));
        self.add(style.color(), |c| {
            if fill {
                SceneItem::Area([x, y, (right - x).max(MIN_SIDE), (bottom - y).max(MIN_SIDE)], c)
            } else {
                SceneItem::Frame([x, y, right - x, bottom - y], c, breadth(style))
            }
        })
    }

    fn draw_circle<S: BackendStyle>(&mut self, centre: BackendCoord, radius: u32, style: &S, fill: bool) -> Done {
        let ((x, y), r) = (place(centre), f64::from(radius) / UNITS_PER_PX);
        if fill {
            return self.add(style.color(), |c| SceneItem::Dot(x, y, r, c));
        }
        let corner = |i: u32| {
            let turn = f64::from(i) / 32.0 * std::f64::consts::TAU;
            (x + r * libm::cos(turn), y + r * libm::sin(turn))
        };
        self.add(style.color(), |c| SceneItem::Line((0..=32).map(corner).collect(), c, breadth(style), false))
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Done {
        let corners = corners.into_iter().map(place).collect();
        self.add(style.color(), |c| SceneItem::Shape(corners, c))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Done {
        let size = style.size() / UNITS_PER_PX;
        // The offset from the anchor to the baseline; capitals and digits are about 0.7 em high.
        let down = match style.anchor().v_pos {
            VPos::Top => 0.75 * size,
            VPos::Center => 0.35 * size,
            VPos::Bottom => -0.25 * size,
        };
        let (dx, dy, turn) = match style.transform() {
            FontTransform::None => (0.0, down, 0.0),
            FontTransform::Rotate90 => (-down, 0.0, 90.0),
            FontTransform::Rotate180 => (0.0, -down, 180.0),
            FontTransform::Rotate270 => (down, 0.0, -90.0),
        };
        let anchor = match style.anchor().h_pos {
            HPos::Left => Anchor::Start,
            HPos::Center => Anchor::Middle,
            HPos::Right => Anchor::End,
        };
        let (x, y) = place(at);
        let bold = matches!(style.style(), FontStyle::Bold);
        self.add(style.color(), |c| {
            let plain = letters(x + dx, y + dy, text, size, c, anchor);
            SceneItem::Letters(Letters { turn, bold, face: face(style), ..plain })
        })
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let width = font::width(text, style.size(), face(style));
        Ok((width.ceil() as u32, style.size().ceil() as u32))
    }
}

fn place((x, y): BackendCoord) -> (f64, f64) {
    (px(x), px(y))
}

fn breadth(style: &impl BackendStyle) -> f64 {
    f64::from(style.stroke_width()) / UNITS_PER_PX
}

fn face(style: &impl BackendTextStyle) -> Face {
    if matches!(style.family(), FontFamily::Monospace) { Face::Mono } else { Face::Sans }
}

/// The colour as it appears on a white page: a scene has no transparency.
fn on_white(colour: BackendColor) -> Rgb {
    let (r, g, b) = colour.rgb;
    [r, g, b].map(|c| (255.0 - (255.0 - f64::from(c)) * colour.alpha.clamp(0.0, 1.0)).round() as u8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plotters::prelude::{
        BLACK, BLUE, Circle, Color as _, IntoDrawingArea, IntoFont, PathElement, RED, Rectangle, ShapeStyle,
        TRANSPARENT,
    };
    use plotters::style::text_anchor::Pos;

    #[test]
    fn what_plotters_draws_is_on_the_scene() {
        let mut scene = Scene::new(100.0, 50.0);
        let area = Recorder::new(&mut scene).into_drawing_area();
        assert_eq!(area.dim_in_pixel(), (1600, 800));
        area.draw(&PathElement::new(vec![(0, 0), (160, 80)], ShapeStyle::from(RED).stroke_width(8))).unwrap();
        area.draw(&Rectangle::new([(16, 32), (48, 32)], BLUE.filled())).unwrap();
        area.draw(&Circle::new((80, 80), 16, BLACK.mix(0.5).filled())).unwrap();
        area.draw(&Circle::new((80, 80), 16, TRANSPARENT.filled())).unwrap();
        let style = ("sans-serif", 160.0).into_font().transform(FontTransform::Rotate270).color(&BLACK);
        let (wide, _) = area.estimate_text_size("word", &style).unwrap();
        assert!((f64::from(wide) / UNITS_PER_PX - font::width("word", 10.0, Face::Sans)).abs() < 0.1);
        area.draw_text("word", &style.pos(Pos::new(HPos::Center, VPos::Top)), (160, 320)).unwrap();
        drop(area);
        assert_eq!(scene.items.len(), 4);
        assert!(matches!(&scene.items[0], SceneItem::Line(p, [255, 0, 0], 0.5, false) if p[1] == (10.0, 5.0)));
        assert!(matches!(scene.items[1], SceneItem::Area([1.0, 2.0, 2.0, MIN_SIDE], [0, 0, 255])));
        assert!(matches!(scene.items[2], SceneItem::Dot(5.0, 5.0, 1.0, [128, 128, 128])));
        let SceneItem::Letters(l) = &scene.items[3] else { panic!("{:?}", scene.items[3]) };
        assert_eq!((l.x, l.y, l.turn, l.anchor, l.size), (17.5, 20.0, -90.0, Anchor::Middle, 10.0));
    }
}
