//! A person in a browser gets through a session whatever happens to the server (`tests/label/browser.py`, where Chromium is
//! there).

use super::{SHAPES, Server, answer, lines};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python of `tests/env/setup.sh`, where Selenium and Chromium are there; else why not.
fn browser() -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let python = target.join("test-env/bin/python");
    let has = |program: &Path, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    if !has(&python, &["-c", "import selenium"]) {
        return Err(format!("no Python with Selenium at {}", python.display()));
    }
    for program in ["chromium", "chromedriver"] {
        if !has(Path::new(program), &["--version"]) {
            return Err(format!("no {program}"));
        }
    }
    Ok(python)
}

/// What the script tells in its last line after it has played a person in a browser; nothing where there is no browser.
fn played(script: &str, folder: &Path) -> Option<Value> {
    let python = match browser() {
        Ok(python) => python,
        Err(why) => {
            eprintln!("skipped: {why}; tests/env/setup.sh installs it");
            return None;
        }
    };
    let run = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/label").join(script))
        .arg(env!("CARGO_BIN_EXE_convscope"))
        .arg(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).to_string();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    Some(serde_json::from_str(said.lines().last().unwrap()).unwrap())
}

#[test]
fn a_person_in_a_browser_labels_twenty_images_whatever_happens() {
    let folder = tempfile::tempdir().unwrap();
    let Some(seen) = played("browser.py", folder.path()) else { return };
    // What the browser saw acknowledged, answer by answer, is in the file, each exactly once.
    let all = lines(folder.path());
    let answers: Vec<&Value> = all.iter().filter(|l| l["kind"] == "answer").collect();
    let ids: BTreeSet<&str> = answers.iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), answers.len(), "an answer stands twice");
    let undone: BTreeSet<&str> =
        all.iter().filter(|l| l["kind"] == "undo").map(|l| l["of"].as_str().unwrap()).collect();
    assert_eq!(undone.len(), 1);
    let standing: Vec<&Value> = answers.into_iter().filter(|a| !undone.contains(a["id"].as_str().unwrap())).collect();
    assert_eq!(standing.len(), 20, "{all:?}");
    assert_eq!(standing.iter().map(|a| a["image"].as_str().unwrap()).collect::<BTreeSet<_>>().len(), 20);
    let told = seen["answers"].as_array().unwrap();
    assert_eq!(told.len(), 20);
    for (answer, told) in standing.iter().zip(told) {
        assert_eq!(answer["guesses"], *told, "{answer}");
        assert!(answer["labeller"] == "ann" && answer["time_s"].as_f64().unwrap() >= 0.0);
    }
}

#[test]
fn a_person_in_a_browser_tells_errors_apart_whatever_happens() {
    let folder = tempfile::tempdir().unwrap();
    let label = Server::start(folder.path(), &SHAPES);
    for place in 0..20 {
        assert_eq!(label.post("api/answer", &answer(&format!("{place:04}"), place, "star")).status, 200);
    }
    label.kill();
    let Some(seen) = played("review.py", folder.path()) else { return };
    let mut shown: Vec<Value> = seen["kinds"].as_array().unwrap().clone();
    assert!(shown.len() == 18 && shown.iter().all(|kinds| !kinds.as_array().unwrap().is_empty()), "{shown:?}");
    // What the page shows in the end is what the file says last of each error, and each press stands in it once.
    let tags: Vec<Value> = lines(folder.path()).into_iter().filter(|l| l["kind"] == "tag").collect();
    let ids: BTreeSet<&str> = tags.iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), tags.len(), "a press stands twice");
    assert_eq!(tags.len(), 2 + 1 + 1 + 2 + 1 + 14, "{tags:?}");
    let last: std::collections::BTreeMap<(&str, &str), &Value> =
        tags.iter().map(|t| ((t["subject"].as_str().unwrap(), t["image"].as_str().unwrap()), &t["kinds"])).collect();
    let mut kept: Vec<Value> = last.into_values().cloned().collect();
    shown.sort_by_key(Value::to_string);
    kept.sort_by_key(Value::to_string);
    assert_eq!(shown, kept);
}

#[test]
fn a_person_in_a_browser_clicks_points_whatever_happens() {
    use convscope_engine::data::{Image, load_images};
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    for i in 0..5 {
        let photo = Image::filled(96, 64, [30 * i, 90, 120]).unwrap();
        photo.save_png(folder.path().join(format!("photos/{i}.png"))).unwrap();
    }
    let Some(seen) = played("points.py", folder.path()) else { return };
    // What the browser showed when it submitted is what the file says, each image exactly once.
    let all = lines(folder.path());
    let undone: BTreeSet<&str> =
        all.iter().filter(|l| l["kind"] == "undo").map(|l| l["of"].as_str().unwrap()).collect();
    assert_eq!(undone.len(), 1);
    let standing: Vec<&Value> = all
        .iter()
        .filter(|l| l["kind"] == "points" && l["skipped"] == false && !undone.contains(l["id"].as_str().unwrap()))
        .collect();
    let told = seen["answers"].as_array().unwrap();
    assert_eq!((standing.len(), told.len()), (5, 5), "{all:?}");
    assert_eq!(standing.iter().map(|a| a["image"].as_str().unwrap()).collect::<BTreeSet<_>>().len(), 5);
    for (answer, told) in standing.iter().zip(told) {
        for (name, told) in ["tip", "tail"].iter().zip(told.as_array().unwrap()) {
            let kept = match answer["points"][name].as_array() {
                Some(at) => format!("{:.1}, {:.1}", at[0].as_f64().unwrap(), at[1].as_f64().unwrap()),
                None => "not visible".to_string(),
            };
            assert_eq!(kept, told.as_str().unwrap(), "{answer}");
        }
    }
    // Clicks came where they were aimed at, to the pixel of the screen.
    let near = |value: &Value, x: f64, y: f64| {
        let at = value.as_array().unwrap();
        (at[0].as_f64().unwrap() - x).abs() < 0.2 && (at[1].as_f64().unwrap() - y).abs() < 0.2
    };
    let points = &standing[0]["points"];
    assert!(near(&points["tip"], 20.0, 15.0) && near(&points["tail"], 70.0, 50.0), "{points}");
    assert_eq!(standing[1]["points"]["tip"], json!([38.5, 30.5]));
    assert!(near(&standing[2]["points"]["tip"], 48.5, 32.5), "{}", standing[2]["points"]);
    let data = load_images(folder.path().join("labels.csv")).unwrap();
    assert_eq!(data.len(), 5);
}

#[test]
fn no_acknowledged_answer_is_lost_where_the_server_is_killed() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let times: u64 = std::env::var("CONVSCOPE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..times {
        let server = Server::start(folder.path(), &["shapes", "--n", "2000", "--seed", "3"]);
        let (port, token, over) = (server.port, server.token.clone(), AtomicBool::new(false));
        let told = std::thread::scope(|threads| {
            let person = threads.spawn(|| {
                let mut told = Vec::new();
                for i in 0.. {
                    let id = format!("answer-{round}-{i}");
                    let place = (round * 97 + i) % 2000;
                    let body = json!({ "id": id, "labeller": format!("p{round}"), "place": place, "guesses": ["star"], "time_s": 1.0 }).to_string();
                    let request = format!(
                        "POST /{token}/api/answer HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let mut all = Vec::new();
                    let sent = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
                        stream.write_all(request.as_bytes())?;
                        stream.read_to_end(&mut all)
                    });
                    if sent.is_ok() && all.starts_with(b"HTTP/1.1 200") {
                        told.push(id);
                    } else if over.load(Ordering::SeqCst) || i > 5000 {
                        break;
                    }
                }
                told
            });
            crate::killed::random_pause(round, "label", std::time::Duration::from_millis(150));
            server.kill();
            over.store(true, Ordering::SeqCst);
            person.join().unwrap()
        });
        acknowledged.extend(told);
    }
    assert!(acknowledged.len() > 20, "{} answers", acknowledged.len());
    // A new start takes away what a kill left of a line that nobody was told of.
    Server::start(folder.path(), &["shapes", "--n", "2000", "--seed", "3"]).kill();
    let kept: BTreeSet<String> =
        lines(folder.path()).iter().filter_map(|l| Some(l["id"].as_str()?.to_string())).collect();
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
