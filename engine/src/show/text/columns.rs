//! Tables and paragraphs within a number of columns.

use super::super::table::{Cell, Table};
use super::plain;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const BETWEEN: usize = 2;

/// The first `rows` rows of a table in aligned columns, numbers to the right, within `width` columns.
pub fn text_table(table: &Table, width: usize, rows: usize) -> String {
    if table.columns().is_empty() {
        return "no columns\n".into();
    }
    let count = table.columns().len().min((width / 5).max(1));
    let cells: Vec<Vec<String>> =
        table.rows().iter().take(rows).map(|r| r[..count].iter().map(|c| plain(&c.text())).collect()).collect();
    let heads: Vec<String> = table.columns()[..count].iter().map(|c| plain(c)).collect();
    let natural: Vec<usize> =
        (0..count).map(|c| cells.iter().map(|r| r[c].width()).fold(heads[c].width(), usize::max)).collect();
    let widths = share(&natural, width.saturating_sub(BETWEEN * (count - 1)));
    let right: Vec<bool> = (0..count)
        .map(|c| {
            let numeric = |r: &Vec<Cell>| r[c].number().is_some() || r[c] == Cell::Nothing;
            !table.is_empty() && table.rows().iter().all(numeric)
        })
        .collect();
    let mut out = line(&heads, &widths, &right);
    out += &(widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join("  ") + "\n");
    for row in &cells {
        out += &line(row, &widths, &right);
    }
    if table.is_empty() {
        out += "no rows\n";
    } else if table.len() > rows {
        out += &format!("… {} more rows\n", table.len() - rows);
    }
    if count < table.columns().len() {
        out += &format!("… {} more columns\n", table.columns().len() - count);
    }
    out
}

/// A text in lines of at most `width` columns; the lines after the first are indented.
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let width = width.max(20);
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.trim().is_empty() && line.width() + 1 + word.width() > width {
            out += line.trim_end();
            out.push('\n');
            line = " ".repeat(indent);
        } else if !line.trim().is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &line + "\n"
}

/// `text` in exactly `width` columns, cut with an ellipsis where it is longer.
pub fn fitted(text: &str, width: usize, right: bool) -> String {
    let mut shown = text.to_string();
    if text.width() > width {
        shown.clear();
        let mut used = 0;
        for c in text.chars() {
            let w = c.width().unwrap_or(0);
            if used + w + 1 > width {
                break;
            }
            used += w;
            shown.push(c);
        }
        shown.push('…');
    }
    let space = " ".repeat(width.saturating_sub(shown.width()));
    if right { space + &shown } else { shown + &space }
}

fn line(cells: &[String], widths: &[usize], right: &[bool]) -> String {
    let parts: Vec<String> = cells.iter().zip(widths).zip(right).map(|((c, w), r)| fitted(c, *w, *r)).collect();
    parts.join("  ").trim_end().to_string() + "\n"
}

/// The widths of columns within `room`: natural where they fit, else the widest are reduced.
fn share(natural: &[usize], room: usize) -> Vec<usize> {
    let mut cap = room;
    while cap > 3 && natural.iter().map(|w| w.min(&cap)).sum::<usize>() > room {
        cap -= 1;
    }
    natural.iter().map(|w| *w.min(&cap)).collect()
}
