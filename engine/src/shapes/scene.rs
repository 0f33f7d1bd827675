//! The content of one image, drawn from its own random numbers.

use std::collections::BTreeMap;

use super::options::{SIDE, Shapes, Span};
use super::outline::{Point, ShapeClass};
use super::texture::{Pattern, Texture};
use crate::data::image::Attribute;
use crate::random::Stream;

/// A colour, R, G, B in 0 to 1.
pub(super) type Colour = [f64; 3];

/// One image before it is drawn.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) class: ShapeClass,
    /// Radius of the circle around the shape, in pixels.
    pub(super) radius: f64,
    /// The shape's centre in pixels.
    pub(super) centre: Point,
    /// Degrees counter-clockwise.
    pub(super) rotation: f64,
    contrast: f64,
    clutter: f64,
    /// Two colours of the shape, between which its texture goes, and the texture.
    pub(super) shape: Surface,
    /// The same of the ground.
    pub(super) ground: Surface,
    /// The clutter on the background, in the order of drawing.
    pub(super) fragments: Vec<Fragment>,
}

/// A textured surface: its `base` where the pattern is -1, going over into `accent` at 1.
#[derive(Clone, Debug)]
pub(super) struct Surface {
    pub(super) base: Colour,
    pub(super) accent: Colour,
    pub(super) pattern: Pattern,
}

/// A bent stroke or a soft spot.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    pub(super) points: Vec<Point>,
    pub(super) half_width: f64,
    /// Over how many pixels its edge fades.
    pub(super) edge: f64,
    pub(super) colour: Colour,
    pub(super) opacity: f64,
}

/// The position of each property in its image's stream of random numbers. The data set depends on them: they never change.
enum Draw {
    Scale,
    X,
    Y,
    Rotation,
    Contrast,
    Clutter,
    Brighter,
    Luma,
    ShapeHue,
    ShapeChroma,
    GroundHue,
    GroundChroma,
    ShapeTexture,
    GroundTexture,
    /// Five: period, angle, two phases, accent's hue.
    ShapePattern,
    GroundPattern = 19,
}

const MOST_FRAGMENTS: f64 = 16.0;

/// The class of image `index`: each class once in every block of as many images.
pub(super) fn class_of(options: &Shapes, index: usize) -> ShapeClass {
    let n = options.classes.len();
    let order = Stream::new(options.seed, &format!("shapes classes {}", index / n)).permutation(n);
    options.classes[order[index % n]]
}

impl Scene {
    /// What image `index` shows.
    pub(super) fn new(options: &Shapes, index: usize) -> Self {
        let stream = Stream::new(options.seed, &format!("shapes {index}"));
        let at = |d: Draw| stream.uniform_at(d as u64);
        let side = SIDE as f64;
        let radius = options.scale.at(at(Draw::Scale)) * side / 2.0;
        let place = |span: Span, t: f64| {
            let (first, last) = (radius + 1.0, (side - radius - 1.0).max(radius + 1.0));
            Span::new(span.low.clamp(first, last), span.high.clamp(first, last)).at(t)
        };
        let contrast = options.contrast.at(at(Draw::Contrast));
        let clutter = options.clutter.at(at(Draw::Clutter));
        // The darker of the two colours, then which of them the shape has.
        let (darkest, lightest) = (0.08, 0.92);
        let dark = darkest + (lightest - contrast - darkest) * at(Draw::Luma);
        let (own, other) = if at(Draw::Brighter) < 0.5 { (dark, dark + contrast) } else { (dark + contrast, dark) };
        let pick = |list: &[Texture], t: f64| list[(t * list.len() as f64) as usize];
        let surface = |luma: f64, away: f64, strength: f64, tint: [f64; 2], texture, first: u64, name: &str| {
            let draw = |k: u64| stream.uniform_at(first + k);
            let stretch = match texture {
                Texture::Gradient => 4.0,
                Texture::Grain => 0.45,
                _ => 1.0,
            };
            let pattern = Pattern {
                texture,
                period: (5.0 + 4.0 * draw(0)) * stretch,
                angle: std::f64::consts::TAU * draw(1),
                phase: [draw(2), draw(3)],
                grains: Stream::new(options.seed, &format!("shapes {index} {name}")),
            };
            let turn = tint[0] + 0.25 * (draw(4) - 0.5);
            let accent = coloured(accent_luma(luma, away, strength), turn, tint[1]);
            Surface { base: coloured(luma, tint[0], tint[1]), accent, pattern }
        };
        let tint = |hue: Draw, chroma: Draw| [at(hue), 0.05 + 0.3 * at(chroma)];
        let shape_texture = pick(&options.texture, at(Draw::ShapeTexture));
        let ground_texture = pick(&options.background, at(Draw::GroundTexture));
        let shape_tint = tint(Draw::ShapeHue, Draw::ShapeChroma);
        let ground_tint = tint(Draw::GroundHue, Draw::GroundChroma);
        let away = own - other;
        let shape = surface(own, away, 0.3, shape_tint, shape_texture, Draw::ShapePattern as u64, "shape grains");
        let ground =
            surface(other, -away, 0.15, ground_tint, ground_texture, Draw::GroundPattern as u64, "ground grains");
        let count = (clutter * MOST_FRAGMENTS).round() as usize;
        let mut strewn = Stream::new(options.seed, &format!("shapes {index} clutter"));
        let fragments = (0..count).map(|_| fragment(&mut strewn, shape.base)).collect();
        Scene {
            class: class_of(options, index),
            radius,
            centre: [place(options.x, at(Draw::X)), place(options.y, at(Draw::Y))],
            rotation: options.rotation.at(at(Draw::Rotation)),
            contrast,
            clutter,
            shape,
            ground,
            fragments,
        }
    }

    /// What the data set says of the image.
    pub(super) fn attributes(&self) -> BTreeMap<String, Attribute> {
        let number = |name: &str, v: f64| (name.to_string(), Attribute::Number(v));
        let text = |name: &str, v: String| (name.to_string(), Attribute::Text(v));
        BTreeMap::from([
            number("scale", 2.0 * self.radius / SIDE as f64),
            number("x", self.centre[0]),
            number("y", self.centre[1]),
            number("rotation", self.rotation),
            number("contrast", self.contrast),
            number("clutter", self.clutter),
            text("texture", self.shape.pattern.texture.name().into()),
            text("background", self.ground.pattern.texture.name().into()),
            text("shape_colour", hexadecimal(self.shape.base)),
            text("ground_colour", hexadecimal(self.ground.base)),
        ])
    }

    /// The shape's parts in pixels. A part of a shape with symmetries is the one nearest to where it is upright, so
    /// that its name follows from what can be seen.
    pub(super) fn keypoints(&self) -> BTreeMap<String, (f64, f64)> {
        let turn = match self.class.symmetry() {
            None => 0.0,
            Some(period) => self.rotation - period * (self.rotation / period).round(),
        };
        let (sin, cos) = (libm::sin(turn.to_radians()), libm::cos(turn.to_radians()));
        let place = |[x, y]: Point| {
            let (x, y) = (cos * x + sin * y, cos * y - sin * x);
            (self.centre[0] + self.radius * x, self.centre[1] + self.radius * y)
        };
        self.class.parts().into_iter().map(|(name, p)| (name, place(p))).collect()
    }
}

/// The accent of a surface: away from the other surface where there is room, else a part of the way towards it.
fn accent_luma(luma: f64, away: f64, strength: f64) -> f64 {
    let outward = luma + strength * if away < 0.0 { -1.0 } else { 1.0 };
    if (0.03..=0.97).contains(&outward) { outward } else { luma - (0.45 * away).clamp(-strength, strength) }
}

/// The colour of this luma (0 to 1), hue (in turns) and chroma; less chroma where sRGB does not hold that much.
fn coloured(luma: f64, hue: f64, chroma: f64) -> Colour {
    let raw: Colour = std::array::from_fn(|k| libm::cos(std::f64::consts::TAU * (hue - k as f64 / 3.0)));
    let grey = 0.299 * raw[0] + 0.587 * raw[1] + 0.114 * raw[2];
    let tint = raw.map(|v| v - grey);
    let room = tint.iter().fold(chroma, |most, t| {
        let end = if *t > 0.0 { (1.0 - luma) / t } else { luma / (-t).max(1e-9) };
        most.min(end)
    });
    tint.map(|t| luma + room.max(0.0) * t)
}

fn hexadecimal(colour: Colour) -> String {
    let [r, g, b] = colour.map(|v| (255.0 * v).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A random stroke, corner, arc or spot; a third have the shape's colour, so that colour does not give it away.
fn fragment(strewn: &mut Stream, shape: Colour) -> Fragment {
    let mut draw = |low: f64, high: f64| low + (high - low) * strewn.next_uniform();
    let kind = draw(0.0, 5.0) as usize;
    let start = [draw(0.0, SIDE as f64), draw(0.0, SIDE as f64)];
    let (mut angle, opacity) = (draw(0.0, std::f64::consts::TAU), draw(0.6, 1.0));
    let tinted = coloured(draw(0.08, 0.92), draw(0.0, 1.0), draw(0.05, 0.35));
    let colour = if draw(0.0, 3.0) < 1.0 { shape } else { tinted };
    let (segments, step, bend, half_width, edge) = match kind {
        0 => (1, draw(8.0, 30.0), 0.0, draw(0.4, 1.0), 1.0),
        1 => (2, draw(4.0, 8.0), draw(1.0, 2.4), draw(0.5, 1.1), 1.0),
        2 => (5, draw(2.0, 3.5), draw(0.25, 0.5), draw(0.5, 1.1), 1.0),
        3 => (1, draw(1.0, 5.0), 0.0, draw(1.0, 2.4), 1.0),
        _ => (1, draw(0.0, 6.0), 0.0, draw(2.0, 5.0), draw(4.0, 8.0)),
    };
    let mut points = vec![start];
    let mut here = start;
    for _ in 0..segments {
        here = [here[0] + step * libm::cos(angle), here[1] + step * libm::sin(angle)];
        points.push(here);
        angle += bend;
    }
    Fragment { points, half_width, edge, colour, opacity }
}
