//! The pages of docs/: every block of rhai runs, every call of the tables of old and new calls runs, every link leads somewhere,
//! every page is a chapter of the book, and the reference that the book gets is the catalog's.
#![allow(clippy::unwrap_used)]

use crate::each;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_convscope");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and the pages of docs/ and docs/book/, by their path from the root.
fn pages() -> Vec<String> {
    let mut found = vec!["README.md".to_string()];
    for folder in ["docs", "docs/book"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") && name != "SUMMARY.md" {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found.sort();
    found
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

/// A fenced block: the language behind the fence, and what is inside.
struct Block {
    page: String,
    line: usize,
    language: String,
    code: String,
}

impl Block {
    fn name(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    fn fetches(&self) -> bool {
        ["sample_image", "squeezenet1_1", "efficientnet_lite0"].iter().any(|word| self.code.contains(word))
    }
}

/// The fenced blocks of a page, in order, and the text outside of them.
fn parts(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose, mut open) = (Vec::<Block>::new(), String::new(), false);
    for (i, line) in read(page).lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            open = !open;
            if open {
                let language = language.trim().to_string();
                blocks.push(Block { page: page.into(), line: i + 1, language, code: String::new() });
            }
        } else if open {
            let block = blocks.last_mut().unwrap();
            block.code += line;
            block.code.push('\n');
        } else {
            prose += line;
            prose.push('\n');
        }
    }
    assert!(!open, "{page}: a block is not closed");
    (blocks, prose)
}

/// A folder with the files that the pages' code reads: what docs/book/stage.rhai saves and the nets of scripts/nets.
fn stage() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let stage = root().join("docs/book/stage.rhai");
    let made = Command::new(PROGRAM).args(["run", "--quiet", "--out"]).arg(folder.path()).arg(stage).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let recordings = ["outline.onnx", "outlines.txt", "outline.wav", "solid.onnx", "solids.txt", "solid.nii.gz"];
    for name in ["vit.onnx", "segmentation.onnx", "detector.onnx", "classes.txt"].into_iter().chain(recordings) {
        std::fs::copy(root().join("scripts/nets").join(name), folder.path().join(name)).unwrap();
    }
    std::fs::copy(folder.path().join("vit.onnx"), folder.path().join("net.onnx")).unwrap();
    std::fs::copy(folder.path().join("photo.png"), folder.path().join("cat.jpg")).unwrap();
    folder
}

/// Runs code as a script that lies in the folder.
fn runs(code: &str, folder: &Path) {
    let script = tempfile::Builder::new().prefix("block").suffix(".rhai").tempfile_in(folder).unwrap();
    std::fs::write(script.path(), code).unwrap();
    let out = tempfile::tempdir().unwrap();
    let run =
        Command::new(PROGRAM).args(["run", "--quiet", "--out"]).arg(out.path()).arg(script.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn every_block_of_rhai_runs() {
    let fetch = std::env::var("CONVSCOPE_TEST_FETCH").as_deref() == Ok("1");
    let mut blocks: Vec<Block> = pages().iter().flat_map(|p| parts(p).0).filter(|b| b.language == "rhai").collect();
    assert!(blocks.len() > 50, "{} blocks", blocks.len());
    blocks.retain(|block| {
        let left_out = block.fetches() && !fetch;
        if left_out {
            eprintln!("skipped: {}; CONVSCOPE_TEST_FETCH=1 runs it", block.name());
        }
        !left_out
    });
    let folder = stage();
    each::passes(&blocks, Block::name, |block| runs(&block.code, folder.path()));
}

#[test]
fn every_new_call_of_the_tables_runs() {
    let page = "docs/book/coming-from.md";
    let (blocks, prose) = parts(page);
    let start = &blocks.iter().find(|b| b.language == "rhai").unwrap().code;
    // The second cell of each row, between its back-quotes; heads of tables and prose have none there.
    let call = |line: &str| -> Option<String> {
        let cell = line.strip_prefix("| ")?.split(" | ").nth(1)?;
        Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_string())
    };
    let calls: Vec<String> = prose.lines().filter_map(call).collect();
    let rows = prose.lines().filter(|l| l.starts_with("| ")).count();
    let heads = prose.lines().filter(|l| l.starts_with("| --- ")).count();
    assert_eq!(calls.len(), rows - 2 * heads, "a row of {page} has no call in its second cell");
    let folder = tempfile::tempdir().unwrap();
    each::passes(&calls, String::clone, |call| {
        runs(&format!("{start}\nlet result = {call};\nprint(result);"), folder.path())
    });
}

/// The id that a heading gets: letters and digits in lower case, spaces as hyphens.
fn id(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " _-".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of a page's links and pictures.
fn targets(prose: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in prose.split("](").skip(1) {
        let target = part.split(')').next().unwrap();
        found.push(target.split(' ').next().unwrap().to_string());
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = String::new();
    let mut all = pages();
    all.push("docs/SUMMARY.md".into());
    for page in all {
        for target in targets(&parts(&page).1) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = Path::new(&page).parent().unwrap();
            let file: PathBuf = if path.is_empty() { page.clone().into() } else { folder.join(path) };
            if !root().join(&file).exists() {
                wrong += &format!("{page}: {target} is not there\n");
            } else if !anchor.is_empty() {
                let (_, prose) = parts(&file.to_string_lossy());
                let heads: BTreeSet<String> =
                    prose.lines().filter(|l| l.starts_with('#')).map(|l| id(l.trim_start_matches('#'))).collect();
                if !heads.contains(anchor) {
                    wrong += &format!("{page}: {target} has no such heading\n");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_page_is_a_chapter_and_every_picture_is_shown() {
    let chapters: BTreeSet<String> =
        targets(&read("docs/SUMMARY.md")).into_iter().map(|t| format!("docs/{t}")).collect();
    let pages: BTreeSet<String> = pages().into_iter().filter(|p| p != "README.md").collect();
    let absent: Vec<&String> = pages.difference(&chapters).collect();
    assert!(absent.is_empty(), "docs/SUMMARY.md lists no {absent:?}");
    let shown: BTreeSet<String> = pages.iter().flat_map(|p| targets(&parts(p).1)).collect();
    let mut size = 0;
    for folder in ["img", "img/gallery"] {
        for entry in std::fs::read_dir(root().join("docs/book").join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                // A picture's narrow twin is put in its place by preprocess.py.
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy()).replace("-narrow.", ".");
                assert!(shown.contains(&name), "docs/book/{name} is shown by no page");
                size += entry.metadata().unwrap().len();
            }
        }
    }
    assert!(size < 3_800_000, "the pictures take {size} bytes");
}

#[test]
fn the_books_reference_has_the_whole_catalog() {
    let chapter = |path: &str, content: &str| {
        serde_json::json!({ "Chapter": { "name": path, "content": content, "number": [1], "sub_items": [], "path": path,
            "source_path": path, "parent_names": [] } })
    };
    let text =
        "Ask `occlusion`.\n\n```text\n`gradient`\n```\n\nSee [it](../../scripts/lrp.rhai) and [out](../../src/lib.rs).";
    let figure = "**Mathematics.**\n\n```text\na < b      the order\n```\n\n![A <map>](img/lrp-1.webp)";
    let pages = [("reference", ""), ("gallery", ""), ("page", text), ("figure", figure)];
    let items = pages.map(|(name, content)| chapter(&format!("book/{name}.md"), content));
    let book = serde_json::json!([{}, { "items": items }]).to_string();
    let preprocess = root().join("docs/book/preprocess.py");
    let started = Command::new("python3")
        .arg(preprocess)
        .env("CONVSCOPE", PROGRAM)
        .env_remove("CONVSCOPE_BOOK_FETCH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = started else {
        eprintln!("skipped: there is no python3, by which the book is made");
        return;
    };
    python.stdin.take().unwrap().write_all(book.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let chapters = |i: usize| made["items"][i]["Chapter"]["sub_items"].as_array().unwrap();
    let content = |c: &serde_json::Value| c["Chapter"]["content"].as_str().unwrap().to_string();
    let reference: String = chapters(0).iter().map(content).collect();
    for entry in convscope::probes::catalog() {
        assert!(reference.contains(&format!("\n## {}\n", entry.name())), "no {}", entry.name());
    }
    assert!(reference.contains("\n## load_model\n") && reference.contains("\n## net.class\n"));
    let scripts = std::fs::read_dir(root().join("scripts")).unwrap();
    let count = scripts.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "rhai")).count();
    assert_eq!(chapters(1).len(), count);
    let page = content(&made["items"][2]);
    assert!(page.contains("Ask [`occlusion`](reference/where-does-it-look.md#occlusion)."), "{page}");
    assert!(page.contains("```text\n`gradient`\n```"), "{page}");
    assert!(page.ends_with("See [it](gallery/lrp.md) and out."), "{page}");
    let page = content(&made["items"][3]);
    assert!(page.contains("<p>a &lt; b<span>      </span><i>the order</i></p>"), "{page}");
    assert!(
        page.contains("srcset=\"img/lrp-1-narrow.webp\"><img src=\"img/lrp-1.webp\" alt=\"A &lt;map&gt;\">"),
        "{page}"
    );
}
