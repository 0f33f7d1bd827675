//! The classes as outlines in a circle of radius 1 around (0, 0), x to the right and y down: signed distances and parts.
//!
//! The distance to a polygon is the least to its edges, its sign by how often a ray crosses them.

use std::sync::OnceLock;

crate::choice! {
    /// What a generated image shows.
    pub enum ShapeClass {
        /// A disc.
        Circle = "circle",
        /// A square.
        Square = "square",
        /// An equilateral triangle.
        Triangle = "triangle",
        /// A star of five points.
        Star = "star",
        /// A cross of equal arms.
        Cross = "cross",
        /// A disc with a round hole.
        Ring = "ring",
        /// A heart.
        Heart = "heart",
        /// A crescent moon.
        Crescent = "crescent",
        /// An arrow.
        Arrow = "arrow",
        /// A regular hexagon.
        Hexagon = "hexagon",
    }
}

/// A position.
pub type Point = [f64; 2];

const RING_HOLE: f64 = 0.58;
const BITE_CENTRE: f64 = 0.46;
const BITE_RADIUS: f64 = 0.8;
const ARM: f64 = 0.28;

impl ShapeClass {
    /// Every class, in the order of the net's outputs.
    pub const ALL: [ShapeClass; 10] = [
        ShapeClass::Circle,
        ShapeClass::Square,
        ShapeClass::Triangle,
        ShapeClass::Star,
        ShapeClass::Cross,
        ShapeClass::Ring,
        ShapeClass::Heart,
        ShapeClass::Crescent,
        ShapeClass::Arrow,
        ShapeClass::Hexagon,
    ];

    /// The class's label.
    pub fn name(self) -> &'static str {
        match self {
            ShapeClass::Circle => "circle",
            ShapeClass::Square => "square",
            ShapeClass::Triangle => "triangle",
            ShapeClass::Star => "star",
            ShapeClass::Cross => "cross",
            ShapeClass::Ring => "ring",
            ShapeClass::Heart => "heart",
            ShapeClass::Crescent => "crescent",
            ShapeClass::Arrow => "arrow",
            ShapeClass::Hexagon => "hexagon",
        }
    }

    /// The turn in degrees after which the outline looks the same; nothing where every turn does.
    pub fn symmetry(self) -> Option<f64> {
        match self {
            ShapeClass::Circle | ShapeClass::Ring => None,
            ShapeClass::Square | ShapeClass::Cross => Some(90.0),
            ShapeClass::Triangle => Some(120.0),
            ShapeClass::Star => Some(72.0),
            ShapeClass::Heart | ShapeClass::Crescent | ShapeClass::Arrow => Some(360.0),
            ShapeClass::Hexagon => Some(60.0),
        }
    }

    /// The signed distance from `p` to the outline, negative inside.
    pub(super) fn distance(self, p: Point) -> f64 {
        match self {
            ShapeClass::Circle => length(p) - 1.0,
            ShapeClass::Ring => (length(p) - 1.0).max(RING_HOLE - length(p)),
            ShapeClass::Crescent => (length(p) - 1.0).max(BITE_RADIUS - length([p[0] - BITE_CENTRE, p[1]])),
            _ => polygon_distance(self.polygon(), p),
        }
    }

    /// The named parts of the upright outline.
    pub(super) fn parts(self) -> Vec<(String, Point)> {
        let named = |names: &[&str], points: &[Point]| -> Vec<(String, Point)> {
            names.iter().map(|n| n.to_string()).zip(points.iter().copied()).collect()
        };
        let counted = |name: &str, step: usize, from: usize| -> Vec<(String, Point)> {
            let points = self.polygon().iter().skip(from).step_by(step);
            points.enumerate().map(|(i, p)| (format!("{name}_{i}"), *p)).collect()
        };
        let mut parts = match self {
            ShapeClass::Circle | ShapeClass::Ring => {
                named(&["top", "left", "bottom", "right"], &[[0.0, -1.0], [-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
            }
            ShapeClass::Square | ShapeClass::Triangle | ShapeClass::Hexagon => counted("corner", 1, 0),
            ShapeClass::Star => [counted("tip", 2, 0), counted("notch", 2, 1)].concat(),
            ShapeClass::Cross => {
                let reach = libm::sqrt(1.0 - ARM * ARM);
                let ends = [[0.0, -reach], [-reach, 0.0], [0.0, reach], [reach, 0.0]];
                named(&["arm_0", "arm_1", "arm_2", "arm_3"], &ends)
            }
            ShapeClass::Heart => {
                let v = self.polygon();
                named(&["cleft", "tip"], &[v[0], v[v.len() / 2]])
            }
            ShapeClass::Crescent => {
                let x = (1.0 - BITE_RADIUS * BITE_RADIUS + BITE_CENTRE * BITE_CENTRE) / (2.0 * BITE_CENTRE);
                let y = libm::sqrt(1.0 - x * x);
                named(&["horn_0", "horn_1", "back"], &[[x, -y], [x, y], [-1.0, 0.0]])
            }
            ShapeClass::Arrow => {
                let v = self.polygon();
                let tail = [(v[3][0] + v[4][0]) / 2.0, (v[3][1] + v[4][1]) / 2.0];
                named(&["tip", "barb_0", "barb_1", "tail"], &[v[0], v[1], v[6], tail])
            }
        };
        parts.push(("centre".into(), [0.0, 0.0]));
        parts
    }

    /// The corners, counter-clockwise from the top; empty for classes made of circles.
    fn polygon(self) -> &'static [Point] {
        static POLYGONS: OnceLock<Vec<Vec<Point>>> = OnceLock::new();
        let all = POLYGONS.get_or_init(|| ShapeClass::ALL.iter().map(|c| c.corners()).collect());
        &all[self as usize]
    }

    fn corners(self) -> Vec<Point> {
        match self {
            ShapeClass::Circle | ShapeClass::Ring | ShapeClass::Crescent => Vec::new(),
            ShapeClass::Square => {
                let h = std::f64::consts::FRAC_1_SQRT_2;
                vec![[h, -h], [-h, -h], [-h, h], [h, h]]
            }
            ShapeClass::Triangle => (0..3).map(|i| on_circle(120.0 * f64::from(i), 1.0)).collect(),
            ShapeClass::Hexagon => (0..6).map(|i| on_circle(60.0 * f64::from(i), 1.0)).collect(),
            ShapeClass::Star => {
                (0..10).map(|i| on_circle(36.0 * f64::from(i), if i % 2 == 0 { 1.0 } else { 0.43 })).collect()
            }
            ShapeClass::Cross => {
                let (a, r) = (ARM, libm::sqrt(1.0 - ARM * ARM));
                let quarter = [[a, -r], [-a, -r], [-a, -a]];
                let turned = |[x, y]: Point, n: usize| match n {
                    0 => [x, y],
                    1 => [y, -x],
                    2 => [-x, -y],
                    _ => [-y, x],
                };
                (0..4).flat_map(|n| quarter.map(|p| turned(p, n))).collect()
            }
            ShapeClass::Heart => heart(),
            ShapeClass::Arrow => {
                vec![[0.0, -1.0], [-0.78, -0.1], [-0.26, -0.1], [-0.26, 0.95], [0.26, 0.95], [0.26, -0.1], [0.78, -0.1]]
            }
        }
    }
}

/// x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, moved and scaled into the unit circle.
fn heart() -> Vec<Point> {
    let steps = 36;
    let points: Vec<Point> = (0..steps)
        .map(|i| {
            let t = std::f64::consts::TAU * f64::from(i) / f64::from(steps);
            let (s, c) = (libm::sin(t), |n: f64| libm::cos(n * t));
            [-16.0 * s * s * s, -(13.0 * c(1.0) - 5.0 * c(2.0) - 2.0 * c(3.0) - c(4.0)) - 1.7]
        })
        .collect();
    let reach = points.iter().map(|p| length(*p)).fold(0.0, f64::max);
    points.into_iter().map(|[x, y]| [x / reach, y / reach]).collect()
}

/// The point `degrees` counter-clockwise from the top of a circle.
fn on_circle(degrees: f64, radius: f64) -> Point {
    let t = degrees.to_radians();
    [-radius * libm::sin(t), -radius * libm::cos(t)]
}

pub(super) fn length([x, y]: Point) -> f64 {
    libm::sqrt(x * x + y * y)
}

/// The distance from `p` to the stretch from `a` to `b`, squared.
pub(super) fn squared_to_edge(p: Point, a: Point, b: Point) -> f64 {
    let (e, w) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let along = (w[0] * e[0] + w[1] * e[1]) / (e[0] * e[0] + e[1] * e[1]).max(1e-12);
    let t = along.clamp(0.0, 1.0);
    let (dx, dy) = (w[0] - e[0] * t, w[1] - e[1] * t);
    dx * dx + dy * dy
}

fn polygon_distance(corners: &[Point], p: Point) -> f64 {
    let (mut least, mut inside) = (f64::INFINITY, false);
    let Some(mut a) = corners.last().copied() else { return least };
    for &b in corners {
        least = least.min(squared_to_edge(p, a, b));
        if (a[1] > p[1]) != (b[1] > p[1]) && p[0] < (b[0] - a[0]) * (p[1] - a[1]) / (b[1] - a[1]) + a[0] {
            inside = !inside;
        }
        a = b;
    }
    let distance = libm::sqrt(least);
    if inside { -distance } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_fill_the_unit_circle_and_no_more() {
        for class in ShapeClass::ALL {
            let mut reach: f64 = 0.0;
            for i in 0..400 * 400 {
                let p = [(i % 400) as f64 / 150.0 - 1.33, (i / 400) as f64 / 150.0 - 1.33];
                if class.distance(p) <= 0.0 {
                    reach = reach.max(length(p));
                }
            }
            assert!((0.96..1.001).contains(&reach), "{} reaches {reach}", class.name());
        }
    }

    #[test]
    fn parts_lie_on_the_outline_and_have_the_symmetry() {
        for class in ShapeClass::ALL {
            for (name, p) in class.parts() {
                if name != "centre" {
                    assert!(class.distance(p).abs() < 1e-9, "{} {name} {p:?}", class.name());
                }
            }
            let turn = class.symmetry().unwrap_or(33.0).to_radians();
            for i in 0..300 {
                let p = [f64::from(i % 17) / 8.0 - 1.0, f64::from(i % 13) / 6.0 - 1.0];
                let (s, c) = (libm::sin(turn), libm::cos(turn));
                let q = [c * p[0] + s * p[1], c * p[1] - s * p[0]];
                assert!((class.distance(p) - class.distance(q)).abs() < 1e-9, "{} at {p:?}", class.name());
            }
        }
    }
}
