//! Textures: patterns over the plane, in pixels, soft-edged so that they do not alias.

use crate::random::Stream;

crate::choice! {
    /// What covers a generated shape or the ground behind it.
    pub enum Texture {
        /// One colour.
        Plain = "plain",
        /// From one colour to another.
        Gradient = "gradient",
        /// Stripes.
        Stripes = "stripes",
        /// A chequered pattern.
        Checker = "checker",
        /// Dots on a grid.
        Dots = "dots",
        /// Random grains.
        Grain = "grain",
    }
}

impl Texture {
    /// Every texture.
    pub const ALL: [Texture; 6] =
        [Texture::Plain, Texture::Gradient, Texture::Stripes, Texture::Checker, Texture::Dots, Texture::Grain];

    /// The texture's name.
    pub fn name(self) -> &'static str {
        match self {
            Texture::Plain => "plain",
            Texture::Gradient => "gradient",
            Texture::Stripes => "stripes",
            Texture::Checker => "checker",
            Texture::Dots => "dots",
            Texture::Grain => "grain",
        }
    }
}

/// A texture laid over the plane.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) texture: Texture,
    /// Pixels from one stripe, dot or grain to the next; the length of a gradient.
    pub(super) period: f64,
    /// How it is turned, in radians.
    pub(super) angle: f64,
    /// How far it is moved, in periods.
    pub(super) phase: [f64; 2],
    /// Where its grains come from.
    pub(super) grains: Stream,
}

/// Grains repeat after this many; an image's diagonal holds fewer.
const GRAINS: i64 = 64;

impl Pattern {
    /// The pattern's value, -1 (the base colour) to 1 (the accent), as a function of the position in pixels.
    pub(super) fn values(&self) -> impl Fn(f64, f64) -> f64 + '_ {
        let (sin, cos) = (libm::sin(self.angle), libm::cos(self.angle));
        let grains: Vec<f64> = match self.texture {
            Texture::Grain => (0..(GRAINS * GRAINS) as u64).map(|i| 2.0 * self.grains.uniform_at(i) - 1.0).collect(),
            _ => Vec::new(),
        };
        move |x, y| {
            let (u, v) = ((cos * x + sin * y) / self.period, (cos * y - sin * x) / self.period);
            let (s, t) = (u + self.phase[0], v + self.phase[1]);
            match self.texture {
                Texture::Plain => -1.0,
                Texture::Gradient => u.clamp(-1.0, 1.0),
                Texture::Stripes => self.wave(s),
                Texture::Checker => self.wave(s / 1.5) * self.wave(t / 1.5),
                Texture::Dots => {
                    let (du, dv) = (s - s.floor() - 0.5, t - t.floor() - 0.5);
                    ((0.32 - libm::sqrt(du * du + dv * dv)) * self.period).clamp(-1.0, 1.0)
                }
                Texture::Grain => (1.6 * between(&grains, s, t)).clamp(-1.0, 1.0),
            }
        }
    }

    /// A square wave of period 1 whose flanks are two pixels wide.
    fn wave(&self, t: f64) -> f64 {
        let triangle = 4.0 * (t - t.floor() - 0.5).abs() - 1.0;
        (triangle * self.period / 4.0).clamp(-1.0, 1.0)
    }
}

/// The value between the four grains around (s, t).
fn between(grains: &[f64], s: f64, t: f64) -> f64 {
    let (fs, ft) = (s - s.floor(), t - t.floor());
    let at = |di: i64, dj: i64| {
        let (i, j) = ((s.floor() as i64 + di).rem_euclid(GRAINS), (t.floor() as i64 + dj).rem_euclid(GRAINS));
        grains[(j * GRAINS + i) as usize]
    };
    let (top, bottom) = (at(0, 0) + (at(1, 0) - at(0, 0)) * fs, at(0, 1) + (at(1, 1) - at(0, 1)) * fs);
    top + (bottom - top) * ft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_their_range_and_use_both_halves_of_it() {
        for texture in Texture::ALL {
            let grains = Stream::new(1, "grains");
            let pattern = Pattern { texture, period: 5.0, angle: 0.7, phase: [0.3, 0.6], grains };
            let value = pattern.values();
            let all: Vec<f64> = (0..4096).map(|i| value(f64::from(i % 64) - 31.5, f64::from(i / 64) - 31.5)).collect();
            assert!(all.iter().all(|v| (-1.0..=1.0).contains(v)));
            let high = all.iter().filter(|v| **v > 0.0).count();
            assert!(texture == Texture::Plain || (800..3300).contains(&high), "{} {high}", texture.name());
        }
    }
}
