//! Locks and bundles that were changed by someone who knows how they are sealed, and files that unpack to too much.

use super::Bench;
use super::reports::{decode, encode};
use convscope::canonical;
use convscope::digest::digest;
use convscope::run::array::{pack, unpack};
use convscope::run::output::Values;
use convscope::run::{CompareRule, Lock, archive};
use std::fs::File;

/// The place of an output in a lock.
fn place(lock: &Lock, name: &str) -> usize {
    lock.outputs.iter().position(|o| o.name == name || o.name.ends_with(name)).unwrap()
}

#[test]
fn rules_are_those_of_the_script_and_are_told() {
    let bench = Bench::locked();
    let whole = bench.read("s.lock.json");
    for (rule, elsewhere) in
        [("ignore", None), ("atol:1e30", None), ("ulp:99", None), ("bits", Some("ignore")), ("bits", Some("atol:1e30"))]
    {
        bench.file("s.lock.json", &whole);
        bench.forge(|lock| {
            let i = place(lock, "deep/map.npy");
            let entry = &mut lock.outputs[i];
            (entry.rule, entry.elsewhere) = (rule.parse().unwrap(), elsewhere.map(|e| e.parse().unwrap()));
            entry.blake3 = "0".repeat(64);
            // Whoever says that he has another engine is no better off.
            lock.engine.convscope = "9.9".into();
        });
        let verdict = bench.expect("s.lock.json", 14, "deep/map.npy");
        assert!(verdict["message"].as_str().unwrap().contains("the script by `bits`"), "{verdict:#}");
    }
    // The script's own rule may not be tightened either.
    bench.file("s.lock.json", &whole);
    bench.forge(|lock| {
        let i = place(lock, "top.csv");
        lock.outputs[i].rule = CompareRule::Bits;
    });
    bench.expect("s.lock.json", 14, "top.csv");
    bench.file("s.lock.json", &whole);
    let (code, out, err) = bench.run(&["verify", "s.lock.json"]);
    let told = "`top.csv` was compared by `atol:0e0,rtol:1e-6`, as the script says; its bits are the same";
    assert!(code == 0 && out.contains(told), "{out} {err}");
    let verdict = bench.expect("s.lock.json", 0, "");
    let rules = serde_json::json!([{ "output": "top.csv", "rule": "atol:0e0,rtol:1e-6", "same_bits": true }]);
    assert_eq!(verdict["rules"], rules);
}

#[test]
fn a_difference_within_the_rule_of_the_script_is_told() {
    let bench = Bench::new();
    let script = |n: u32| {
        format!(
            "// /// convscope\n// [outputs]\n// \"*.csv\" = \"ignore\"\n// ///\nprint(\"n\");\nsave(shapes({n})[0], \"a.png\");\nsave(load_model(\"shapes\").predict(shapes({n})[0]), \"t.csv\");\n"
        )
    };
    bench.file("s.rhai", script(1));
    assert_eq!(bench.run(&["lock", "s.rhai", "--quiet"]).0, 0);
    bench.forge(|lock| {
        let i = place(lock, "t.csv");
        let text = "class,probability\nanything,1\n";
        let entry = &mut lock.outputs[i];
        (entry.text, entry.blake3, entry.bytes) = (Some(text.into()), digest(text.as_bytes()), text.len() as u64);
    });
    let (code, out, err) = bench.run(&["verify", "s.lock.json"]);
    let told = "`t.csv` was compared by `ignore`, as the script says; its bits are others";
    assert!(code == 0 && out.contains(told), "{out} {err}");
}

#[test]
fn a_lock_that_contradicts_itself_or_the_script_is_tampered_with() {
    let bench = Bench::locked();
    let whole = bench.read("s.lock.json");
    type Change = fn(&mut Lock);
    let changes: [(&str, Change); 15] = [
        ("print", |lock| {
            let i = place(lock, "print");
            lock.outputs[i].blake3 = "0".repeat(64);
        }),
        ("print", |lock| {
            let i = place(lock, "print");
            lock.outputs[i].text = Some("the sum is 1\n".into());
        }),
        ("print", |lock| {
            let i = place(lock, "print");
            lock.outputs[i].bytes = 5;
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            lock.outputs[i].bytes += 5;
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            lock.outputs[i].blake3 = "../../../etc/passwd".into();
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            lock.outputs[i].values = Some(Values { every: 10000, data: String::new() });
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            lock.outputs[i].stats.as_mut().unwrap().max = Some(1e30);
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            lock.outputs[i].shape = Some(vec![3, 64, 32]);
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            lock.outputs[i].blocks[7] = "0".repeat(16);
        }),
        ("deep/map.npy", |lock| {
            // One unit in the last place of a copy whose digest is the right one.
            let i = place(lock, "deep/map.npy");
            let values = lock.outputs[i].values.as_mut().unwrap();
            let mut raw = decode(&values.data);
            raw[400] ^= 1;
            values.data = encode(&raw);
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            let again = lock.outputs[i].clone();
            lock.outputs.push(again);
        }),
        ("deep/map.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            lock.outputs.remove(i);
        }),
        ("extra.npy", |lock| {
            let i = place(lock, "deep/map.npy");
            let more = lock.outputs[i].clone();
            lock.outputs.push(convscope::run::RunOutput { name: "extra.npy".into(), ..more });
        }),
        ("samples", |lock| drop(lock.params.insert("samples".into(), 99.into()))),
        ("parts/tools.rhai", |lock| lock.modules.clear()),
    ];
    for (i, (culprit, change)) in changes.into_iter().enumerate() {
        bench.file("s.lock.json", &whole);
        bench.forge(change);
        let (found, verdict) = bench.verdict("s.lock.json");
        let named = verdict["culprit"].as_str().unwrap_or_default();
        assert!(found == 14 && named.contains(culprit), "{i}: {culprit}, not {verdict:#}");
    }
    // Another order, and a parameter that the script does not declare.
    bench.file("s.lock.json", &whole);
    bench.forge(|lock| lock.outputs.swap(0, 1));
    let verdict = bench.expect("s.lock.json", 14, "");
    assert!(verdict["message"].as_str().unwrap().contains("another order"), "{verdict:#}");
    bench.file("s.lock.json", &whole);
    bench.forge(|lock| drop(lock.params.insert("more".into(), 1.into())));
    bench.expect("s.lock.json", 14, "more");
    bench.file("s.lock.json", &whole);
    bench.expect("s.lock.json", 0, "");
}

#[test]
fn the_outputs_in_a_bundle_are_those_of_its_lock() {
    let bench = Bench::locked();
    assert_eq!(bench.run(&["bundle", "s.rhai", "-o", "a.zip", "--quiet"]).0, 0);
    let files = archive::read(&bench.read("a.zip")).unwrap();
    // Packed anew by someone who also makes the list of files again.
    let forged = |change: &dyn Fn(&mut archive::Files)| {
        let mut files = files.clone();
        change(&mut files);
        let mut list = canonical::unsealed(&files["bundle.json"]).unwrap();
        let digests =
            files.iter().filter(|(path, _)| *path != "bundle.json").map(|(path, b)| (path.clone(), digest(b).into()));
        list["files"] = serde_json::Value::Object(digests.collect());
        files.insert("bundle.json".into(), canonical::sealed(list).into_bytes());
        bench.file("b.zip", archive::write(&files).unwrap());
    };
    forged(&|_| {});
    bench.expect("b.zip", 0, "");
    let flip =
        |path: &'static str| move |files: &mut archive::Files| *files.get_mut(path).unwrap().last_mut().unwrap() ^= 1;
    forged(&flip("outputs/deep/map.npy"));
    bench.expect("b.zip", 14, "outputs/deep/map.npy");
    forged(&flip("outputs/report.html"));
    bench.expect("b.zip", 14, "outputs/report.html");
    forged(&|files| drop(files.insert("outputs/more.csv".into(), b"a,b\n".to_vec())));
    bench.expect("b.zip", 14, "outputs/more.csv");
    forged(&|files| {
        let mut arrays = unpack(&files["outputs/arrays.safetensors"]).unwrap();
        arrays.values_mut().flat_map(|array| array.values.first_mut()).for_each(|value| *value += 1.0);
        files.insert("outputs/arrays.safetensors".into(), pack(&arrays).unwrap());
    });
    bench.expect("b.zip", 14, "outputs/show/");
    forged(&|files| {
        let page = String::from_utf8(files["outputs/report.html"].clone()).unwrap();
        let (head, parts) = page.split_at(page.find("<!-- part 1").unwrap());
        let page = super::reports::resealed(&format!("{head}{}", parts.replacen("</h3>", "?</h3>", 1)));
        files.insert("outputs/report.html".into(), page.into_bytes());
    });
    let verdict = bench.expect("b.zip", 14, "report.html");
    assert!(verdict["message"].as_str().unwrap().contains("is not what the script draws"), "{verdict:#}");
}

#[test]
fn what_is_larger_than_the_memory_allows_is_refused_before_it_is_read() {
    let bench = Bench::study();
    // Files of holes: their length is all that there is of them.
    for name in ["large.lock.json", "large.zip", "large.html"] {
        File::create(bench.path(name)).unwrap().set_len(3 << 30).unwrap();
        for arguments in [&["verify", name][..], &["diff", name, "s.rhai", "--quiet"], &["bundle", name, "--quiet"]] {
            let (code, _, err) = bench.run(arguments);
            assert!(
                code == 1 && err.contains("more than the limit of") && err.contains("--memory"),
                "{arguments:?}: {err}"
            );
        }
    }
    for name in ["large.zip", "large.html"] {
        let (code, _, err) = bench.run(&["run", name, "--memory", "64", "--quiet"]);
        assert!(code == 1 && err.contains("more than the limit of") && err.contains("--memory"), "{name}: {err}");
    }
    // An archive within its ratio of 200, whose sizes add up to more than half of the memory.
    let zeros = vec![0u8; 30 << 20];
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = |method| zip::write::SimpleFileOptions::default().compression_method(method);
    let (packed, stored) = (zip::CompressionMethod::Deflated, zip::CompressionMethod::Stored);
    for (name, bytes, method) in [("a", &zeros[..], packed), ("b", &zeros, packed), ("c", &zeros[..800_000], stored)] {
        zip.start_file(name, options(method)).unwrap();
        std::io::Write::write_all(&mut zip, bytes).unwrap();
    }
    bench.file("bomb.zip", zip.finish().unwrap().into_inner());
    for arguments in [
        &["verify", "bomb.zip", "--memory", "64"][..],
        &["run", "bomb.zip", "--memory", "64"],
        &["diff", "bomb.zip", "bomb.zip", "--memory", "64"],
    ] {
        let (code, _, err) = bench.run(arguments);
        assert!(
            code == 1 && err.contains("a bundle of 61 MB, more than the limit of 32 MB"),
            "{arguments:?}: {code} {err}"
        );
        assert!(err.contains("`--memory 122` would do"), "{err}");
    }
    // With memory enough it is what it is: no bundle.
    let (code, _, err) = bench.run(&["verify", "bomb.zip"]);
    assert!(code == 14 && err.contains("bundle.json"), "{code} {err}");
}
