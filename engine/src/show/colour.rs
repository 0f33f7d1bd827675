//! Colours of numbers and of categories, computed in OKLCH (Ottosson 2020) so that equal steps of a number look equal: lightness
//! rises evenly, the hue changes on the way, and chroma is as high as sRGB allows.

use super::artifact::Scale;
use std::sync::LazyLock;

/// An sRGB colour.
pub type Rgb = [u8; 3];

/// NaN is drawn as a hatch of this colour and [`NAN_LIGHT`]; no map has such a colour.
pub const NAN: Rgb = [255, 0, 200];
/// The lighter stripes of the hatch.
pub const NAN_LIGHT: Rgb = [255, 170, 238];
/// The colour of a panel where it has no value.
pub const BLANK: Rgb = [238, 238, 238];

static SEQUENTIAL: LazyLock<[Rgb; 256]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let t = i as f64 / 255.0;
        // Chroma is highest where sRGB allows most, around red; both ends keep some.
        let chroma = if t < 0.5 { 0.05 + 0.38 * t } else { 0.24 - 0.24 * (t - 0.5) };
        oklch(0.12 + 0.82 * libm::pow(t, 0.92), chroma, 285.0 + 178.0 * t)
    })
});

static DIVERGING: LazyLock<[Rgb; 256]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let t = i as f64 / 127.5 - 1.0;
        let strength = t.abs();
        let lightness = 0.975 - 0.58 * libm::pow(strength, 1.15);
        oklch(lightness, 0.20 * strength.sqrt() * strength.sqrt(), if t < 0.0 { 255.0 } else { 28.0 })
    })
});

/// Dark to bright through purple, red and orange; `t` is clamped to 0 to 1.
pub fn sequential(t: f64) -> Rgb {
    SEQUENTIAL[step(t)]
}

/// Blue below, white in the middle (t = 0.5), red above; readable by the colour-blind. `t` is clamped to 0 to 1.
pub fn diverging(t: f64) -> Rgb {
    DIVERGING[step(t)]
}

/// Black to white; `t` is clamped to 0 to 1.
pub fn grey(t: f64) -> Rgb {
    [step(t) as u8; 3]
}

/// Colours that distinguish categories: twelve hues at alternating lightness, repeated beyond.
pub fn category(i: usize) -> Rgb {
    const HUES: [(f64, f64, f64); 12] = [
        (0.55, 0.17, 255.0),
        (0.70, 0.17, 55.0),
        (0.58, 0.15, 150.0),
        (0.56, 0.20, 25.0),
        (0.48, 0.17, 300.0),
        (0.78, 0.13, 205.0),
        (0.52, 0.09, 70.0),
        (0.72, 0.18, 345.0),
        (0.82, 0.16, 100.0),
        (0.40, 0.10, 230.0),
        (0.78, 0.17, 135.0),
        (0.40, 0.13, 0.0),
    ];
    let (l, c, h) = HUES[i % HUES.len()];
    oklch(l, c, h)
}

/// How many categories have distinct colours.
pub const CATEGORIES: usize = 12;

/// The hatch's colour at a pixel.
pub fn nan_at(x: usize, y: usize) -> Rgb {
    if ((x + y) / 4).is_multiple_of(2) { NAN } else { NAN_LIGHT }
}

/// Blends `over` with opacity `alpha` over `under`.
pub fn blend(under: Rgb, over: Rgb, alpha: f64) -> Rgb {
    std::array::from_fn(|c| (f64::from(under[c]) * (1.0 - alpha) + f64::from(over[c]) * alpha).round() as u8)
}

fn step(t: f64) -> usize {
    (t.clamp(0.0, 1.0) * 255.0).round() as usize
}

/// Converts OKLCH (hue in degrees) to sRGB, at the highest chroma up to `c` in the sRGB gamut.
fn oklch(l: f64, c: f64, hue: f64) -> Rgb {
    let (mut low, mut high) = (0.0, c);
    if inside(linear(l, c, hue)) {
        low = c;
    } else {
        for _ in 0..20 {
            let middle = (low + high) / 2.0;
            if inside(linear(l, middle, hue)) { low = middle } else { high = middle }
        }
    }
    linear(l, low, hue).map(|v| {
        let v = v.clamp(0.0, 1.0);
        let encoded = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * libm::pow(v, 1.0 / 2.4) - 0.055 };
        (encoded * 255.0).round() as u8
    })
}

fn inside(rgb: [f64; 3]) -> bool {
    rgb.iter().all(|v| (-1e-6..=1.0 + 1e-6).contains(v))
}

/// Converts OKLCH to linear sRGB, with the matrices of the definition.
fn linear(lightness: f64, c: f64, hue: f64) -> [f64; 3] {
    let (a, b) = (c * libm::cos(hue.to_radians()), c * libm::sin(hue.to_radians()));
    let l = lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b;
    let m = lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b;
    let s = lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b;
    let (l, m, s) = (l * l * l, m * m * m, s * s * s);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// A scale with its ends fixed: from values to colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// The value of the first colour; above that of the last one where colours grow bright towards low values.
    pub low: f64,
    /// The value of the last colour.
    pub high: f64,
    /// Whether colours run both ways from zero.
    pub diverging: bool,
    /// The largest value (the largest magnitude if diverging) where it lies above what the colours reach.
    pub beyond: Option<f64>,
    /// The magnitude up to which a symmetric-log ramp is about linear; other ramps are linear throughout.
    pub linear: Option<f64>,
}

/// The fraction of its largest magnitude up to which a symmetric-log ramp is about linear.
const LINEAR_SHARE: f64 = 0.01;

impl Ramp {
    /// The ramp of `scale` for these values; only finite ones count. Where the scale has no upper end and `quantile` is given, the
    /// colours end at that quantile of the values (of their magnitudes where diverging), so that a few extreme values do not darken
    /// all others.
    pub fn fit(scale: Scale, values: &[f32], quantile: Option<f64>) -> Self {
        let mut finite: Vec<f64> = values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).collect();
        let end = |sorted: &[f64]| {
            let largest = sorted.last().copied()?;
            let at = quantile.map(|q| sorted[((sorted.len() - 1) as f64 * q).round() as usize]);
            Some(at.filter(|q| *q > 0.0 && *q < 0.95 * largest).unwrap_or(largest))
        };
        match scale {
            Scale::SymmetricLog | Scale::Each => {
                let signed = finite.iter().any(|v| *v < 0.0);
                let plain = if signed {
                    Scale::Diverging { bound: None }
                } else {
                    Scale::Sequential { low: Some(0.0), high: None }
                };
                let ramp = Ramp::fit(plain, values, None);
                let linear = (scale == Scale::SymmetricLog).then_some(LINEAR_SHARE * ramp.high.abs());
                Ramp { linear: linear.filter(|c| *c > 0.0), ..ramp }
            }
            Scale::Falling { low, high } => {
                let ramp = Ramp::fit(Scale::Sequential { low, high }, values, None);
                Ramp { low: ramp.high, high: ramp.low, beyond: None, ..ramp }
            }
            Scale::Sequential { low, high } => {
                finite.sort_by(f64::total_cmp);
                let mut first = low.unwrap_or_else(|| finite.first().copied().unwrap_or(0.0));
                let mut last = high.unwrap_or_else(|| end(&finite).unwrap_or(first));
                if last <= first {
                    // All values are equal: the scale runs from zero to the value, so that its colour shows its magnitude.
                    (first, last) = match low {
                        Some(low) => (low, low + if low == 0.0 { 1.0 } else { low.abs() }),
                        None if first == 0.0 => (0.0, 1.0),
                        None => (first.min(0.0), first.max(0.0)),
                    };
                }
                let beyond = finite.last().copied().filter(|v| *v > last);
                Ramp { low: first, high: last, diverging: false, beyond, linear: None }
            }
            Scale::Diverging { bound } => {
                finite.iter_mut().for_each(|v| *v = v.abs());
                finite.sort_by(f64::total_cmp);
                let bound = bound.or_else(|| end(&finite)).filter(|b| *b > 0.0).unwrap_or(1.0);
                let beyond = finite.last().copied().filter(|v| *v > bound);
                Ramp { low: -bound, high: bound, diverging: true, beyond, linear: None }
            }
        }
    }

    /// The position of a value between the ends, 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        let bent = |v: f64| self.linear.map_or(v, |c| libm::asinh(v / c));
        ((bent(value) - bent(self.low)) / (bent(self.high) - bent(self.low))).clamp(0.0, 1.0)
    }

    /// The strength of a value's colour: 0 at the ramp's weak end (zero where diverging), 1 at the other end.
    pub fn strength(&self, value: f64) -> f64 {
        let t = self.place(value);
        if self.diverging { (2.0 * t - 1.0).abs() } else { t }
    }

    /// The colour of a value; none for NaN.
    pub fn colour(&self, value: f64) -> Option<Rgb> {
        (!value.is_nan()).then(|| self.at(self.place(value)))
    }

    /// The colour at a position between the ends.
    pub fn at(&self, t: f64) -> Rgb {
        if self.diverging { diverging(t) } else { sequential(t) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn luma(c: Rgb) -> f64 {
        0.2126 * f64::from(c[0]) + 0.7152 * f64::from(c[1]) + 0.0722 * f64::from(c[2])
    }

    #[test]
    fn the_sequential_map_only_gets_brighter() {
        for i in 1..=255 {
            let (a, b) = (sequential((i - 1) as f64 / 255.0), sequential(i as f64 / 255.0));
            assert!(luma(b) >= luma(a) - 0.6, "{i}: {a:?} {b:?}");
        }
        assert!(luma(sequential(0.0)) < 12.0 && luma(sequential(1.0)) > 225.0);
    }

    #[test]
    fn the_diverging_map_is_white_at_zero_and_as_dark_on_both_sides() {
        assert!(diverging(0.5).iter().all(|c| *c > 240), "{:?}", diverging(0.5));
        let (blue, red) = (diverging(0.0), diverging(1.0));
        assert!(blue[2] > blue[0] && red[0] > red[2]);
        assert!((luma(blue) - luma(red)).abs() < 35.0, "{blue:?} {red:?}");
    }

    #[test]
    fn categories_are_far_apart() {
        for i in 0..CATEGORIES {
            for j in 0..i {
                let d: i32 = (0..3).map(|c| (i32::from(category(i)[c]) - i32::from(category(j)[c])).pow(2)).sum();
                assert!(d > 900, "{i} {:?} and {j} {:?}", category(i), category(j));
            }
        }
    }

    #[test]
    fn a_ramp_ends_where_the_scale_says_or_at_the_values() {
        let open = Scale::Sequential { low: Some(0.0), high: None };
        let ramp = Ramp::fit(open, &[0.0, 4.0, f32::NAN, f32::INFINITY], None);
        assert_eq!((ramp.low, ramp.high, ramp.beyond), (0.0, 4.0, None));
        assert_eq!(ramp.colour(f64::NAN), None);
        assert_eq!(ramp.colour(f64::INFINITY), Some(sequential(1.0)));
        let values: Vec<f32> = (0..1000).map(|i| if i == 999 { 100.0 } else { i as f32 / 1000.0 }).collect();
        let ramp = Ramp::fit(open, &values, Some(0.995));
        assert!(ramp.high < 1.0 && ramp.beyond == Some(100.0));
        let left = Ramp::fit(Scale::Falling { low: Some(0.0), high: Some(1.0) }, &[0.2], None);
        assert!(left.strength(1.0) == 0.0 && left.strength(0.0) == 1.0 && left.colour(0.0) == Some(sequential(1.0)));
        let log = Ramp::fit(Scale::SymmetricLog, &[0.0, 0.01, 1.0], None);
        assert!((log.place(0.01) - libm::asinh(1.0) / libm::asinh(100.0)).abs() < 1e-9 && log.place(1.0) == 1.0);
        let both = Ramp::fit(Scale::SymmetricLog, &[-1.0, 0.5], None);
        assert!((both.place(0.0) - 0.5).abs() < 1e-12 && both.strength(-1.0) == 1.0 && both.strength(0.0) < 1e-12);
        let zero = Ramp::fit(open, &[0.0; 4], None);
        assert_eq!(zero.colour(0.0), Some(sequential(0.0)));
        let signed = Ramp::fit(Scale::Diverging { bound: None }, &[-3.0, 1.0], None);
        assert_eq!((signed.low, signed.high), (-3.0, 3.0));
        assert_eq!(Ramp::fit(Scale::Diverging { bound: None }, &[], None).colour(0.0), Some(diverging(0.5)));
    }
}
