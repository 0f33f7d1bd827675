//! Reports and notebooks: an edited figure is noticed, a notebook and its script give one report.

use super::{Bench, STUDY};
use serde_json::Value;

#[test]
fn a_report_holds_and_an_edited_figure_is_noticed() {
    let bench = Bench::locked();
    bench.expect("convscope-out/s/report.html", 0, "");
    bench.expect("convscope-out/s", 0, "");
    let page = String::from_utf8(bench.read("convscope-out/s/report.html")).unwrap();
    assert!(page.contains("Content-Security-Policy") && !page.contains("http://") && !page.contains("https://"));
    let figure = page.find("data:image/svg+xml;base64,").unwrap();
    let mend = bench.flip("convscope-out/s/report.html", figure + 400);
    let verdict = bench.expect("convscope-out/s/report.html", 14, "report.html");
    assert!(verdict["message"].as_str().unwrap().contains("part 1 of the report"), "{verdict:#}");
    mend();
    for at in [page.find("convscope-script").unwrap() + 60, page.find("convscope-lock").unwrap() + 60, page.len() - 5] {
        let mend = bench.flip("convscope-out/s/report.html", at);
        bench.expect("convscope-out/s/report.html", 14, "report.html");
        mend();
    }
    // Someone who mends the digests of the page still has to draw what the script draws.
    let (head, parts) = page.split_at(page.find("<!-- part 1").unwrap());
    let forged = format!("{head}{}", parts.replacen("</h3>", "?</h3>", 1));
    bench.file("forged.html", resealed(&forged));
    bench.expect("forged.html", 14, "report.html");
    // The report of a plain run can be verified too.
    assert_eq!(bench.run(&["run", "s.rhai", "--quiet", "--out", "out"]).0, 0);
    bench.expect("out/report.html", 0, "");
    let mend = bench.flip("out/deep/map.npy", 300);
    bench.expect("out/report.html", 14, "map.npy");
    mend();
}

/// The page with the digests of its parts and of itself computed anew.
pub fn resealed(page: &str) -> String {
    let digest = |text: &str| convscope::digest::digest(text.as_bytes());
    let meta = |name: &str| {
        let open = format!("<meta name=\"convscope-{name}\" content=\"");
        let start = page.find(&open).unwrap() + open.len();
        page[start..start + page[start..].find('"').unwrap()].to_string()
    };
    let inside = &page[page.find("<!-- part 1").unwrap()..page.find("<!-- end of parts").unwrap()];
    let parts = inside.split("<!-- part ").skip(1).map(|p| p.split_once(" -->\n").unwrap().1);
    let digests: Vec<String> = parts.map(|p| digest(p.trim_end_matches('\n'))[..16].to_string()).collect();
    let blank = format!("blake3:{}", "0".repeat(64));
    let page = page.replace(&meta("parts"), &digests.join(" ")).replace(&meta("seal"), &blank);
    page.replace(&blank, &format!("blake3:{}", digest(&page)))
}

#[test]
fn scripts_become_notebooks_and_come_back() {
    let bench = Bench::study();
    let hard = "#!/usr/bin/env -S convscope run\r\n// /// convscope\r\n// seed = 3\r\n// ///\r\n// %% [markdown]\r\n// # Ünï 漢字 🦀\r\n//bare\r\n\r\n// %%\r\nlet t = `\r\n// %% not a cell ${ `\r\n// %%` }\r\n`; /* a /* // %%\r\n// %% */ \r\n// %%\r\n*/\r\nprint(t);\n// %% last\nshow(rng(\"a\").uniform());";
    bench.file("h.rhai", hard);
    assert_eq!(bench.run(&["convert", "h.rhai", "h.ipynb"]).0, 0);
    assert_eq!(bench.run(&["convert", "h.ipynb", "back.rhai"]).0, 0);
    assert_eq!(bench.read("back.rhai"), hard.as_bytes());
    let notebook: Value = serde_json::from_slice(&bench.read("h.ipynb")).unwrap();
    let kinds: Vec<&str> =
        notebook["cells"].as_array().unwrap().iter().map(|c| c["cell_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["code", "markdown", "code", "code"]);
    let digest = |file: &str| {
        let (code, out, err) = bench.run(&["run", file, "--json", "--out", file.split('.').next().unwrap()]);
        assert_eq!(code, 0, "{file}: {err}");
        serde_json::from_str::<Value>(&out).unwrap()["digest"].as_str().unwrap().to_string()
    };
    assert_eq!(digest("h.rhai"), digest("h.ipynb"));
    bench.file("other.rhai", hard.replace("seed = 3", "seed = 4"));
    assert_ne!(digest("other.rhai"), digest("h.rhai"));
    // With outputs, and the lock of the script holds for the notebook.
    assert_eq!(bench.run(&["convert", "s.rhai", "s.ipynb", "--outputs"]).0, 0);
    let notebook: Value = serde_json::from_slice(&bench.read("s.ipynb")).unwrap();
    let outputs = notebook["cells"][0]["outputs"].as_array().unwrap();
    assert!(
        outputs.iter().any(|o| o["output_type"] == "stream")
            && outputs.iter().any(|o| o["data"]["image/png"].is_string())
    );
    std::fs::remove_file(bench.path("s.rhai")).unwrap();
    assert_eq!(bench.run(&["lock", "s.ipynb"]).0, 0);
    bench.expect("s.lock.json", 0, "");
    assert_eq!(bench.run(&["convert", "s.ipynb", "s.txt"]).0, 1);
}

#[test]
fn a_notebook_gives_the_report_of_the_script_that_it_converts_to() {
    let bench = Bench::new();
    let script = "// %%\nlet a = 20;\na + 1\n// %% [markdown]\n// Words.\n// %%\nprint(`here ${later(a)}`);\nshapes(1)[0]\n// %%\nfn later(x) { x * 5 }\nlater(a);\n// %%\n\"the end\"\n";
    bench.file("n.rhai", script);
    assert_eq!(bench.run(&["convert", "n.rhai", "n.ipynb"]).0, 0);
    let sections = |file: &str, out: &str| {
        let (code, said, err) = bench.run(&["run", file, "--out", out]);
        assert_eq!(code, 0, "{file}: {err}");
        assert!(said.contains("21\n") && said.contains("the end"), "{said}");
        let page = String::from_utf8(bench.read(&format!("{out}/report.html"))).unwrap();
        bench.expect(&format!("{out}/report.html"), 0, "");
        let places: Vec<usize> = [">21<", "here 100", "data:image/svg+xml", "the end"]
            .map(|what| page.find(what).unwrap_or_else(|| panic!("{what}: {page}")))
            .to_vec();
        assert!(places.is_sorted(), "{places:?}");
        convscope::show::sealed::read(page.as_bytes()).unwrap().parts
    };
    assert_eq!(sections("n.rhai", "a"), sections("n.ipynb", "b"));
    // Lines are those of the whole file, and nothing runs where a cell cannot be read.
    bench.file("wrong.rhai", "// %%\nprint(1);\n// %%\nlet a = 1;\nnone()\n");
    let (code, out, err) = bench.run(&["run", "wrong.rhai"]);
    assert!(code == 1 && out == "1\n" && err.contains("wrong.rhai:5:1"), "{out} {err}");
    bench.file("wrong.rhai", "// %%\nprint(1);\n// %%\nlet a = (1;\n");
    let (code, out, err) = bench.run(&["run", "wrong.rhai"]);
    assert!(code == 1 && out.is_empty() && err.contains("wrong.rhai:4:"), "{out} {err}");
}

#[test]
fn reports_and_locks_hold_with_cold_and_warm_caches() {
    let bench = Bench::new();
    let code = "let d = shapes(#{ n: 12, seed: 5 }); for i in 0..12 { save(d[i], `d/${i}.png`); }";
    assert_eq!(bench.run(&["eval", code]).0, 0);
    bench.file(
        "c.rhai",
        "let net = load_model(\"shapes\"); let data = load_images(\"d\");
         show(codes().run(net, data)); show(nearest(#{ k: 3, of: data[0] }).run(net, data));
         show(tsne(#{ early: 5, steps: 5, perplexity: 3 }).run(net, data));",
    );
    let cache = |bench: &Bench| bench.path("cache/codes").is_dir();
    assert_eq!(bench.run(&["lock", "c.rhai"]).0, 0);
    assert!(!cache(&bench), "a sealed run keeps nothing");
    bench.expect("c.lock.json", 0, "");
    assert_eq!(bench.run(&["run", "c.rhai", "--out", "cold"]).0, 0);
    assert!(cache(&bench));
    let (code, _, err) = bench.run(&["run", "c.rhai", "--out", "warm"]);
    assert!(code == 0 && err.contains("codes came from the cache on disk"), "{err}");
    for report in ["cold/report.html", "warm/report.html"] {
        bench.expect(report, 0, "");
    }
    let digest =
        |out: &str| serde_json::from_slice::<Value>(&bench.read(&format!("{out}/run.json"))).unwrap()["digest"].clone();
    assert_eq!(digest("cold"), digest("warm"));
    bench.expect("c.lock.json", 0, "");
    std::fs::remove_dir_all(bench.path("cache")).unwrap();
    bench.expect("c.lock.json", 0, "");
}

#[test]
fn two_runs_are_drawn_side_by_side() {
    let bench = Bench::locked();
    bench.file("t.rhai", STUDY.replace("seed = 7", "seed = 8"));
    let (code, out, err) = bench.run(&["diff", "s.lock.json", "t.rhai", "--out", "d"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("deep/map.npy") && out.contains("largest ulp"), "{out}");
    let page = String::from_utf8(bench.read("d/diff.html")).unwrap();
    assert!(
        page.contains("both on one scale")
            && page.contains("data:image/")
            && page.contains("default-src &#39;none&#39;") | page.contains("default-src 'none'")
    );
    assert!(std::fs::read_dir(bench.path("d/figures")).unwrap().count() > 0);
    let (_, out, _) = bench.run(&["diff", "s.lock.json", "s.rhai", "--out", "e"]);
    assert!(out.contains("0 of"), "{out}");
}

pub fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

pub fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
