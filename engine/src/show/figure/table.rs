//! A table as a picture: the first rows, numbers aligned to the right, texts cut where they do not fit.

use super::super::font::{self, Face};
use super::super::scene::{Anchor, FAINT, INK, Letters, SOFT, Scene, SceneItem, letters, paragraph};
use super::super::table::{Cell, Table};
use super::SMALL_TEXT;

/// How many rows are drawn.
const MAX_ROWS: usize = 20;
const FONT_SIZE: f64 = 12.0;
const LINE_HEIGHT: f64 = 20.0;
const CELL_PADDING: f64 = 9.0;
const MIN_COLUMN: f64 = 44.0;

/// The table within `width` px.
pub fn drawn(table: &Table, width: f64) -> Scene {
    if table.columns().is_empty() {
        return paragraph("no columns", SMALL_TEXT, width, 1, SOFT, false);
    }
    let rows: Vec<Vec<String>> = table.rows().iter().take(MAX_ROWS).map(|r| r.iter().map(shown).collect()).collect();
    let natural: Vec<f64> = (0..table.columns().len())
        .map(|c| {
            let cells = rows.iter().map(|r| font::width(&r[c], FONT_SIZE, Face::Sans));
            let head = font::width(&table.columns()[c], FONT_SIZE, Face::Sans) * 1.06;
            cells.fold(head, f64::max) + 2.0 * CELL_PADDING
        })
        .collect();
    // A number is never cut: that would be another number.
    let least: Vec<f64> = (0..natural.len())
        .map(|c| match is_of_numbers(table, c) {
            true => {
                rows.iter()
                    .map(|r| font::width(&r[c], FONT_SIZE, Face::Sans))
                    .fold(MIN_COLUMN - 2.0 * CELL_PADDING, f64::max)
                    + 2.0 * CELL_PADDING
            }
            false => MIN_COLUMN,
        })
        .zip(&natural)
        .map(|(least, natural)| least.min(*natural))
        .collect();
    let widths = share(&natural, &least, width);
    let total: f64 = widths.iter().sum();
    let mut scene = Scene::new(total, LINE_HEIGHT * (rows.len() as f64 + 1.0) + 4.0);
    let mut left = 0.0;
    for (c, wide) in widths.iter().enumerate() {
        let (x, anchor) = if is_of_numbers(table, c) {
            (left + wide - CELL_PADDING, Anchor::End)
        } else {
            (left + CELL_PADDING, Anchor::Start)
        };
        let room = wide - 2.0 * CELL_PADDING;
        let head = font::abbreviate(&table.columns()[c], FONT_SIZE * 1.05, room + 1.0);
        scene.add(SceneItem::Letters(Letters { bold: true, ..letters(x, 14.0, &head, FONT_SIZE, INK, anchor) }));
        for (i, row) in rows.iter().enumerate() {
            let text = font::abbreviate(&row[c], FONT_SIZE, room + 0.5);
            scene.write(x, LINE_HEIGHT * (i as f64 + 1.0) + 17.0, &text, FONT_SIZE, INK, anchor);
        }
        left += wide;
    }
    scene.rule((0.0, LINE_HEIGHT), (total, LINE_HEIGHT), SOFT, 1.0);
    for i in 1..rows.len() {
        let y = LINE_HEIGHT * (i as f64 + 1.0) + 2.0;
        scene.rule((0.0, y), (total, y), FAINT, 0.6);
    }
    let hidden = table.columns().len() - widths.len();
    let mut left_out = Vec::new();
    if table.len() > MAX_ROWS {
        left_out.push(format!("… {} more rows", table.len() - MAX_ROWS));
    }
    if hidden > 0 {
        left_out.push(format!("… {hidden} more columns"));
    }
    if table.is_empty() {
        left_out.push("no rows".to_string());
    }
    if !left_out.is_empty() {
        scene.below(paragraph(&left_out.join(", "), SMALL_TEXT, width, 1, SOFT, false), 4.0);
    }
    scene
}

/// Whether a column has only numbers.
fn is_of_numbers(table: &Table, column: usize) -> bool {
    let mut cells = table.rows().iter().map(|r| &r[column]);
    cells.clone().any(|c| c.number().is_some()) && cells.all(|c| c.number().is_some() || *c == Cell::Nothing)
}

fn shown(cell: &Cell) -> String {
    let text = cell.text();
    if cell.number().is_some() { text.replace('-', "−") } else { text }
}

/// The widths of the columns within `width`: natural where they fit, else the widest are reduced first, but none below `least`.
/// Columns that do not fit at all are left out.
fn share(natural: &[f64], least: &[f64], width: f64) -> Vec<f64> {
    let most = natural.len().min((width / MIN_COLUMN).floor().max(1.0) as usize);
    let count = (1..=most).rev().find(|n| least[..*n].iter().sum::<f64>() <= width).unwrap_or(1);
    let (natural, least) = (&natural[..count], &least[..count]);
    let mut is_least = vec![false; count];
    loop {
        let (least_ones, open): (Vec<usize>, Vec<usize>) = (0..count).partition(|i| is_least[*i]);
        let room = width - least_ones.iter().map(|i| least[*i]).sum::<f64>();
        let cap = cap(open.iter().map(|i| natural[*i]).collect(), room);
        let short: Vec<usize> = open.into_iter().filter(|i| natural[*i].min(cap) < least[*i]).collect();
        if short.is_empty() {
            return (0..count).map(|i| if is_least[i] { least[i] } else { natural[i].min(cap) }).collect();
        }
        short.into_iter().for_each(|i| is_least[i] = true);
    }
}

/// The width to which the widest columns are reduced so that all fit into `width`.
fn cap(mut natural: Vec<f64>, width: f64) -> f64 {
    if natural.iter().sum::<f64>() <= width {
        return f64::INFINITY;
    }
    natural.sort_by(f64::total_cmp);
    let (mut left, mut cap) = (width, width);
    for (i, w) in natural.iter().enumerate() {
        cap = left / (natural.len() - i) as f64;
        if *w > cap {
            break;
        }
        left -= w;
    }
    cap
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_widest_columns_give_way() {
        let texts = |natural: &[f64], width| share(natural, &vec![44.0; natural.len()], width);
        assert_eq!(texts(&[50.0, 60.0], 200.0), [50.0, 60.0]);
        assert_eq!(texts(&[50.0, 500.0, 400.0], 250.0), [50.0, 100.0, 100.0]);
        assert_eq!(texts(&[100.0; 50], 440.0).len(), 10);
    }

    #[test]
    fn numbers_keep_their_width() {
        // A text of 200 is reduced in favour of two numbers of 80; columns that still do not fit are left out.
        assert_eq!(share(&[200.0, 80.0, 80.0], &[44.0, 80.0, 80.0], 220.0), [60.0, 80.0, 80.0]);
        assert_eq!(share(&[200.0, 80.0, 80.0], &[44.0, 80.0, 80.0], 150.0), [70.0, 80.0]);
        assert_eq!(share(&[90.0, 90.0], &[80.0, 44.0], 140.0), [80.0, 60.0]);
    }
}
