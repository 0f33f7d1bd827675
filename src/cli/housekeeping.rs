//! `convscope models`, `fetch` and `cache`: known nets, and the cache of downloads.

use super::terminal::{print_err, print_out};
use clap::{Args, Subcommand};
use convscope_engine::load::EMBEDDED;
use convscope_engine::load::fetch;
use convscope_engine::load::fetch::cache::{cache_clear, cache_dir, cache_list};
use convscope_engine::load::published::NETS;
use convscope_engine::load::zoo;
use convscope_engine::{Error, Result};

/// List the nets that are known by name.
#[derive(Args)]
pub struct Models {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Download a known net ahead of its first use.
#[derive(Args)]
pub struct Fetch {
    /// The net's name.
    name: String,
}

/// List or delete downloaded files.
#[derive(Args)]
pub struct Cache {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The files and their sizes.
    List,
    /// Delete them.
    Clear,
}

impl Models {
    /// Prints the nets.
    pub fn main(self) -> Result<()> {
        let architectures: Vec<_> = zoo::ARCHITECTURES.iter().map(|a| (a.name, a.paper)).collect();
        if self.json {
            let all = serde_json::json!({
                "embedded": EMBEDDED.map(|(name, _)| name),
                "fetched": fetch::models(),
                "cards": NETS.iter().map(|n| serde_json::json!({ "name": n.name, "what": n.what, "address": n.address() })).collect::<Vec<_>>(),
                "architectures": architectures.iter().map(|(n, p)| serde_json::json!({ "name": n, "paper": p })).collect::<Vec<_>>(),
            });
            print_out(&(serde_json::to_string_pretty(&all).map_err(|e| Error::internal(e.to_string()))? + "\n"));
            return Ok(());
        }
        let mut out = String::from("embedded\n");
        for (name, what) in EMBEDDED {
            out += &format!("  {name:<21} {what}\n");
        }
        out += "\nfetched by name\n";
        for net in fetch::models() {
            out += &format!("  {:<21} {}; {:.1} MB, {}\n", net.name, net.what, net.bytes as f64 / 1e6, net.license);
        }
        out += "\narchitectures, with a weight file of yours: load_model(NAME, #{ weights: FILE })\n";
        for (name, paper) in architectures {
            out += &format!("  {name:<21} {paper}\n");
        }
        out += "\nfiles of the ONNX model zoo that have a card: load_model(\"NAME-VERSION.onnx\")\n";
        for net in &NETS {
            out += &format!("  {:<21} {}\n", net.name, net.what);
        }
        out += "\nand ONNX files by their paths, or \"hf:org/repo\"\n";
        print_out(&out);
        Ok(())
    }
}

impl Fetch {
    /// Downloads the net and prints its path.
    pub fn main(self) -> Result<()> {
        let path = fetch::fetch(&self.name, &print_err)?;
        print_out(&format!("{}\n", path.display()));
        Ok(())
    }
}

impl Cache {
    /// Lists or clears the cache.
    pub fn main(self) -> Result<()> {
        let (files, verb) = match self.what {
            What::List => (cache_list()?, "in"),
            What::Clear => (cache_clear()?, "deleted from"),
        };
        let bytes: u64 = files.iter().map(|f| f.bytes).sum();
        let mut out = String::new();
        for file in &files {
            out += &format!("{:>10.1} MB  {}\n", file.bytes as f64 / 1e6, file.path.display());
        }
        let folder = cache_dir()?;
        out += &format!("{} files, {:.1} MB {verb} {}\n", files.len(), bytes as f64 / 1e6, folder.display());
        print_out(&out);
        Ok(())
    }
}
