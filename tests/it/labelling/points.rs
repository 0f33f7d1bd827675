//! The page of points: what is acknowledged is on the disk, and the table beside it is a data set with points.

use super::server::{Reply, Server, lines};
use convscope_engine::data::{Image, load_images};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const POINTS: [&str; 3] = ["photos", "--points", "eye, eye,nose"];

fn photos(folder: &Path) {
    for (i, name) in ["cat/a.png", "cat/b, c.png", "dog/d.png"].iter().enumerate() {
        let path = folder.join("photos").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(40 + i, 30, [9; 3]).unwrap().save_png(path).unwrap();
    }
}

fn answer(id: &str, place: u64, points: &Value) -> Value {
    json!({ "id": format!("answer-{id}"), "labeller": "ann", "place": place, "points": points, "time_s": 1.5 })
}

/// The table, when it has `rows`: it follows the answers.
fn table(folder: &Path, rows: usize) -> String {
    let read = || std::fs::read_to_string(folder.join("labels.csv")).unwrap_or_default();
    for _ in 0..500 {
        if read().lines().count() == rows + 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let text = read();
    assert_eq!(text.lines().count(), rows + 1, "{text}");
    text
}

#[test]
fn clicks_outlive_the_server_and_become_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let server = Server::start(folder.path(), &POINTS);
    let session = server.get("api/session").json();
    assert_eq!((&session["total"], &session["points"]), (&json!(3), &json!(["eye 1", "eye 2", "nose"])));
    assert_eq!(session["table"], "labels.csv");
    let next = server.get("api/next?labeller=ann").json()["next"].clone();
    let first = next[0].as_u64().unwrap();
    // The image is what the engine decodes, whatever the file is.
    let image = server.get(&format!("image/{first}"));
    assert!(image.head.contains("image/png") && image.body.starts_with(b"\x89PNG"));
    let places = json!({ "eye 1": [3.25, 4.0], "eye 2": null, "nose": [0.0, 30.0] });
    let told = server.post("api/points", &answer("one", first, &places)).json();
    assert_eq!((&told["done"], told["next"].as_array().unwrap().len()), (&json!(1), 2));
    // The acknowledgement was lost and the page sends it again.
    assert_eq!(server.post("api/points", &answer("one", first, &places)).json()["done"], 1);
    // Other places under its id are none that were kept.
    let other = json!({ "eye 1": [3.25, 5.0], "eye 2": null, "nose": [0.0, 30.0] });
    assert_eq!(server.post("api/points", &answer("one", first, &other)).status, 409);
    let second = told["next"][0].as_u64().unwrap();
    assert_eq!(server.post("api/points", &answer("two", second, &places)).status, 200);
    server.kill();
    assert_eq!(lines(folder.path()).iter().map(|l| l["kind"].clone()).collect::<Vec<_>>(), ["points", "points"]);
    // The table is derived: a new start makes it again.
    std::fs::remove_file(folder.path().join("labels.csv")).unwrap();
    let server = Server::start(folder.path(), &POINTS);
    assert_eq!(server.get("api/next?labeller=ann").json()["done"], 2);
    table(folder.path(), 2);
    // Taking back, sent twice, takes back one answer.
    let back = json!({ "id": "undo-0001", "labeller": "ann" });
    assert_eq!(server.post("api/undo", &back).json()["undone"], json!({ "place": second, "points": places }));
    let told = server.post("api/undo", &back).json();
    assert_eq!((&told["done"], &told["undone"]["place"]), (&json!(1), &json!(second)));
    table(folder.path(), 1);
    let skip = json!({ "id": "skip-0001", "labeller": "ann", "place": second, "skipped": true });
    assert_eq!(server.post("api/points", &skip).json()["skipped"], 1);
    assert_eq!(server.get("api/next?labeller=ann&again=true").json()["next"][0], second);
    // Another person clicks elsewhere: the mean of both is taken.
    let mut other = answer("bob", first, &json!({ "eye 1": [5.25, 4], "eye 2": [1, 1], "nose": null }));
    other["labeller"] = json!("bob");
    assert_eq!(server.post("api/points", &other).json()["done"], 1);
    for _ in 0..500 {
        if table(folder.path(), 1).contains("4.25 4.00") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let data = load_images(folder.path().join("labels.csv")).unwrap();
    let image = data.get(0).unwrap();
    assert_eq!(image.keypoints().iter().map(|(n, p)| (n.as_str(), *p)).collect::<Vec<_>>(), [("eye 1", (4.25, 4.0))]);
    assert!(image.label() == Some("cat") || image.label() == Some("dog"));
    assert_eq!(
        (image.attributes()["people"].to_string(), image.attributes()["spread"].to_string()),
        ("2".into(), "1".into())
    );
}

#[test]
fn clicks_that_make_no_sense_are_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let server = Server::start(folder.path(), &POINTS);
    let place = server.get("api/next?labeller=ann").json()["next"][0].as_u64().unwrap();
    let good = json!({ "eye 1": [3, 4], "eye 2": null, "nose": [40, 30] });
    let with = |name: &str, at: Value| {
        let mut points = good.clone();
        points[name] = at;
        server.post("api/points", &answer("odd", place, &points))
    };
    let status = |reply: &Reply| reply.status;
    for (name, at) in [
        ("nose", json!([-0.5, 3])),
        ("nose", json!([3, 30.5])),
        ("nose", json!([43, 3])),
        ("nose", json!([3])),
        ("nose", json!("3 4")),
        ("nose", json!([1e300, 3])),
        ("ear", json!([3, 4])),
    ] {
        let reply = with(name, at.clone());
        assert!((400..500).contains(&status(&reply)), "{name}: {at} gives {}", reply.status);
    }
    let outside = with("eye 2", json!([3, 31])).json()["error"].as_str().unwrap().to_string();
    assert!(outside.contains("`eye 2` is not on the image of") && outside.contains("x 30 pixels"), "{outside}");
    for wrong in [
        json!({ "id": "answer-x1", "labeller": "ann", "place": place, "points": { "nose": [1, 1] } }),
        json!({ "id": "answer-x2", "labeller": "ann", "place": place, "points": good, "skipped": true }),
        json!({ "id": "answer-x3", "labeller": " ", "place": place, "points": good }),
        json!({ "id": "x", "labeller": "ann", "place": place, "points": good }),
        json!({ "id": "answer-x4", "labeller": "ann", "place": 3, "points": good }),
        json!({ "id": "answer-x5", "labeller": "ann", "place": place, "points": good, "time_s": -1 }),
    ] {
        let reply = server.post("api/points", &wrong);
        assert!((400..500).contains(&reply.status), "{wrong} gives {}", reply.status);
    }
    assert_eq!(server.post("api/undo", &json!({ "id": "undo-0001", "labeller": "ann" })).status, 404);
    assert_eq!(server.post("api/answer", &answer("no", place, &good)).status, 404, "there are no classes here");
    assert!(lines(folder.path()).is_empty());
    // The page and what it loads are under the same guard as the other pages.
    for path in ["", "page.js", "common.js", "page.css", "points.css", "favicon.svg"] {
        let reply = server.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            reply.head.to_lowercase().contains("content-security-policy: default-src 'none'"),
            "{path}: {}",
            reply.head
        );
    }
    let stranger = server.with("GET", "/0123456789abcdef0123456789abcdef/points.css", &server.host(), "");
    assert_eq!(stranger.status, 404);
    let page = String::from_utf8(server.get("").body).unwrap();
    assert!(
        !page.contains("style=") && !page.contains("onclick=") && !page.contains("<script>"),
        "the policy forbids them"
    );
}

#[test]
fn sessions_of_points_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let refused = |arguments: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_convscope"))
            .arg("label")
            .args(arguments)
            .current_dir(folder.path())
            .output();
        let run = run.unwrap();
        assert!(matches!(run.status.code(), Some(1 | 2)), "{arguments:?}: {:?}", run.status);
        String::from_utf8_lossy(&run.stderr).to_string()
    };
    assert!(refused(&["shapes", "--points", "tip"]).contains("in no files of their own"));
    assert!(refused(&["photos", "--points", "eye,,nose"]).contains("without a name"));
    assert!(refused(&["photos", "--points", "eye", "--net", "shapes"]).contains("cannot be used with"));
    assert!(refused(&["photos", "--points", "eye", "--out", "points.csv"]).contains("the name of the table"));
    std::fs::write(folder.path().join("mine.csv"), "path\nx.png\n").unwrap();
    assert!(refused(&["photos", "--points", "eye", "--out", "mine.jsonl"]).contains("would be replaced"));
    assert_eq!(std::fs::read_to_string(folder.path().join("mine.csv")).unwrap(), "path\nx.png\n");
    // A session's file stays a session's file.
    let server = Server::start(folder.path(), &POINTS);
    let place = server.get("api/next?labeller=ann").json()["next"][0].as_u64().unwrap();
    let points = json!({ "eye 1": null, "eye 2": null, "nose": null });
    assert_eq!(server.post("api/points", &answer("one", place, &points)).status, 200);
    server.kill();
    assert!(
        refused(&["photos", "--points", "tail", "--out", "labels.jsonl"])
            .contains("the point `eye 1` is not asked for")
    );
    assert!(refused(&["photos"]).contains("holds points, not classes"));
}
