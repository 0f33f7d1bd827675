//! The first page of a canon: a link to each paper's report, and the numbers of all papers beside ours in one table each.

use convscope_engine::show::escape::escape;
use convscope_engine::show::table::short;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// The page's style: it follows the reader's theme and fits small screens.
const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}\
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.why{font-size:.85em}div{overflow-x:auto}";

/// A paper of the page.
pub struct Paper {
    /// The folder of its report.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Whether its script ran to its end.
    pub ended: bool,
}

/// The page about `papers` on the net called `net`; their numbers are read from their folders in `out`.
pub fn page(net: &str, papers: &[Paper], out: &Path) -> String {
    let mut body = String::new();
    for paper in papers {
        let (name, title) = (paper.name, escape(paper.title));
        let early = if paper.ended { "" } else { " (ended early; its report says why)" };
        let _ = writeln!(body, "<h2><a href=\"{name}/report.html\">{title}</a>{early}</h2>");
        let rows = numbers(&out.join(name).join("numbers.json"));
        let missing = rows.iter().filter(|row| is_missing(row)).count();
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(
            body,
            "<p>{} numbers are made, {missing} lack something.</p>\n<div><table>\n<tr><th>where<th>what<th>paper<th>ours<th>interval<th>why they differ</tr>",
            rows.len() - missing
        );
        rows.iter().for_each(|row| body += &line(row));
        body += "</table></div>\n";
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>The canon on {0}</title><style>{STYLE}</style>\n<h1>The canon, on {0}</h1>\n{body}</html>\n",
        escape(net)
    )
}

/// The rows of a paper's table: where, what, the paper's number, ours, low, high, why. None where its script did not come so far.
fn numbers(file: &Path) -> Vec<Vec<Value>> {
    let told: Option<Value> = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let rows = told.as_ref().and_then(|t| t["rows"].as_array()).cloned().unwrap_or_default();
    rows.into_iter().filter_map(|row| row.as_array().filter(|r| r.len() == 7).cloned()).collect()
}

fn is_missing(row: &[Value]) -> bool {
    row[6].as_str().is_some_and(|why| why.starts_with("not made: "))
}

fn line(row: &[Value]) -> String {
    let text = |value: &Value| escape(value.as_str().unwrap_or_default());
    let interval = match (row[4].as_f64(), row[5].as_f64()) {
        (Some(low), Some(high)) => format!("{} to {}", short(low), short(high)),
        _ => String::new(),
    };
    let number = |value: &Value| value.as_f64().map_or_else(|| text(value), short);
    format!(
        "<tr><td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{interval}<td class=\"why\">{}</tr>\n",
        text(&row[0]),
        text(&row[1]),
        number(&row[2]),
        number(&row[3]),
        text(&row[6])
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_stand_beside_each_other_and_what_lacks_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("zeiler")).unwrap();
        let rows = "{\"columns\": [], \"rows\": [[\"table 1\", \"a < b\", 0.0717, 0.123456, 0.1, 0.15, \"why\"], \
                    [\"table 7\", \"c\", null, null, null, null, \"not made: needs labels\"], [\"short\"]]}";
        std::fs::write(folder.path().join("zeiler/numbers.json"), rows).unwrap();
        let papers = [
            Paper { name: "zeiler", title: "Zeiler & Fergus", ended: true },
            Paper { name: "long", title: "Long", ended: false },
        ];
        let made = page("a<b>", &papers, folder.path());
        assert!(made.contains("1 numbers are made, 1 lack something"), "{made}");
        assert!(made.contains("<td>a &lt; b<td class=\"n\">0.0717<td class=\"n\">0.1235<td class=\"n\">0.1 to 0.15"));
        assert!(made.contains("on a&lt;b&gt;") && made.contains("Zeiler &amp; Fergus") && !made.contains("[\"short"));
        assert!(made.contains("href=\"long/report.html\">Long</a> (ended early"), "{made}");
    }
}
