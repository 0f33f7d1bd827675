//! Pictures as sixels: bands of six rows, one run-length line for each colour of a fixed palette (DEC STD 070).

use convscope_engine::Result;
use convscope_engine::data::{Image, Interpolation};

/// Levels of red, green and blue in the palette: 252 colours.
const STEPS: [usize; 3] = [6, 7, 6];
/// The width of a picture above which it is scaled down, px.
const MAX_WIDTH: usize = 800;
/// Thresholds of ordered dithering (Bayer's matrix of four by four), in sixteenths.
const BAYER: [[f32; 4]; 4] =
    [[0.0, 8.0, 2.0, 10.0], [12.0, 4.0, 14.0, 6.0], [3.0, 11.0, 1.0, 9.0], [15.0, 7.0, 13.0, 5.0]];

/// The codes that show an image, scaled down where it is too wide.
///
/// # Errors
/// Where scaling fails.
pub fn encode(image: &Image) -> Result<String> {
    let small;
    let image = if image.width() > MAX_WIDTH {
        small =
            image.resize(MAX_WIDTH, (image.height() * MAX_WIDTH / image.width()).max(1), Interpolation::Bilinear)?;
        &small
    } else {
        image
    };
    let (width, height) = (image.width(), image.height());
    let mut out = format!("\x1bPq\"1;1;{width};{height}");
    let all = STEPS.iter().product::<usize>();
    for colour in 0..all {
        let [r, g, b] = levels(colour).map(|(level, steps)| level * 100 / (steps - 1));
        out += &format!("#{colour};2;{r};{g};{b}");
    }
    for top in (0..height).step_by(6) {
        band(&mut out, image, top, all);
        out.push('-');
    }
    Ok(out + "\x1b\\\n")
}

/// The level of each channel in a palette colour, with the number of levels.
fn levels(colour: usize) -> [(usize, usize); 3] {
    let [_, g, b] = STEPS;
    [(colour / (g * b), STEPS[0]), (colour / b % g, g), (colour % b, b)]
}

/// The palette's colour for a pixel, dithered.
fn nearest(pixel: [u8; 3], x: usize, y: usize) -> usize {
    let bias = (BAYER[y % 4][x % 4] + 0.5) / 16.0;
    let level = |c: usize| ((f32::from(pixel[c]) / 255.0 * (STEPS[c] - 1) as f32 + bias) as usize).min(STEPS[c] - 1);
    (level(0) * STEPS[1] + level(1)) * STEPS[2] + level(2)
}

/// The band of six rows from `top`.
fn band(out: &mut String, image: &Image, top: usize, colours: usize) {
    let width = image.width();
    let mut masks: Vec<Option<Vec<u8>>> = vec![None; colours];
    for row in 0..6.min(image.height() - top) {
        for x in 0..width {
            let colour = nearest(image.pixel(x, top + row).unwrap_or_default(), x, top + row);
            masks[colour].get_or_insert_with(|| vec![0; width])[x] |= 1 << row;
        }
    }
    for (colour, mask) in masks.iter().enumerate() {
        let Some(mask) = mask else { continue };
        *out += &format!("#{colour}");
        for run in mask.chunk_by(|a, b| a == b) {
            let sixel = char::from(63 + run[0]);
            match run.len() {
                n @ 1..4 => out.extend(std::iter::repeat_n(sixel, n)),
                n => *out += &format!("!{n}{sixel}"),
            }
        }
        out.push('$');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_colour_is_one_run_a_band() {
        let codes = encode(&Image::filled(9, 8, [255, 255, 255]).unwrap()).unwrap();
        let body = codes.split("#251;2;100;100;100").nth(1).unwrap();
        assert_eq!(body, "#251!9~$-#251!9B$-\x1b\\\n");
    }

    #[test]
    fn grey_is_dithered_between_its_neighbours() {
        let codes = encode(&Image::filled(8, 6, [100, 100, 100]).unwrap()).unwrap();
        let body = codes.split("#251;2;100;100;100").nth(1).unwrap();
        assert!(body.matches('#').count() > 1);
    }
}
