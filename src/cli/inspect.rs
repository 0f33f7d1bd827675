//! `convscope inspect`: a net's layers, shapes, parameters, operations, receptive fields and card.

use super::net_flags::NetFlags;
use super::terminal::{print_err, print_out};
use clap::Args;
use convscope_engine::inspect::Summarise as _;
use convscope_engine::load::load_model;
use convscope_engine::show::text_table;
use convscope_engine::{Error, Result};
use serde_json::json;
use std::path::Path;

/// Print a net's layers, shapes, parameters, operations, receptive fields and card.
#[derive(Args)]
pub struct Inspect {
    /// A known net's name, an architecture or a file.
    net: String,
    #[command(flatten)]
    flags: NetFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Prints the net.
    pub fn main(self) -> Result<()> {
        let net = load_model(&self.net, &self.flags.options()?, Path::new(""), &print_err)?;
        let summary = net.summary();
        let table = summary.table().ok_or_else(|| Error::internal("a summary without a table"))?;
        let card = net.card();
        if self.json {
            let rows: Vec<_> = table
                .rows()
                .iter()
                .map(|r| table.columns().iter().cloned().zip(r.iter().map(cell)).collect::<serde_json::Map<_, _>>())
                .collect();
            let all = json!({ "name": card.name, "input": net.input_shape(), "outputs": net.output_len(), "layers": rows,
                              "notes": summary.notes, "card": card });
            print_out(&(serde_json::to_string_pretty(&all).map_err(|e| Error::internal(e.to_string()))? + "\n"));
            return Ok(());
        }
        let shape = net.input_shape().iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
        let mut out = format!("{}\ninput {shape}, {} outputs\n\n", summary.title, net.output_len());
        out += &text_table(table, 140, usize::MAX);
        out.push('\n');
        for note in &summary.notes {
            out += &format!("{note}\n");
        }
        if let Some(p) = &card.preprocess {
            let how = serde_json::to_string(p).map_err(|e| Error::internal(e.to_string()))?;
            out += &format!("photos: {how}\n");
        }
        for (name, text) in [("source", &card.source), ("license", &card.license)] {
            if !text.is_empty() {
                out += &format!("{name}: {text}\n");
            }
        }
        print_out(&out);
        Ok(())
    }
}

fn cell(cell: &convscope_engine::show::Cell) -> serde_json::Value {
    use convscope_engine::show::Cell;
    match cell {
        Cell::Nothing => json!(null),
        Cell::Bool(b) => json!(b),
        Cell::Int(i) => json!(i),
        Cell::Float(f) => json!(f),
        Cell::Text(t) => json!(t),
    }
}
