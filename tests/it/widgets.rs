//! Widgets over the wire, in front of the strict front end: what is opened, what a move brings, errors, interrupts, and that no
//! queue piles up; then that a script shows the same without a front end.
#![allow(clippy::unwrap_used)]

use crate::front_end::{FrontEnd, Message};
use serde_json::{Value, json};
use std::process::Command;

const NET: &str = "let net = load_model(\"shapes\"); let image = shapes(1)[0];";

/// A widget that a cell opened, as a front end holds it.
struct Opened {
    id: String,
    state: Value,
    buffers: Vec<(String, Vec<u8>)>,
}

impl Opened {
    fn by(front: &mut FrontEnd, code: &str) -> Self {
        let answer = front.run(code);
        assert!(answer.is_ok(), "{}", answer.reply);
        let opened = answer.published.iter().find(|m| m.kind == "comm_open").unwrap();
        assert_eq!(opened.content["target_name"], "jupyter.widget");
        assert_eq!(opened.metadata["version"], "2.1.0");
        let shown = answer.all("display_data");
        let shown = shown.iter().find(|c| c["data"]["application/vnd.jupyter.widget-view+json"].is_object()).unwrap();
        let view = &shown["data"]["application/vnd.jupyter.widget-view+json"];
        assert_eq!((view["version_major"].as_i64(), &view["model_id"]), (Some(2), &opened.content["comm_id"]));
        assert!(shown["data"]["text/plain"].is_string());
        let state = opened.content["data"]["state"].clone();
        assert_eq!(
            (state["_model_module"].as_str(), state["_model_name"].as_str()),
            (Some("anywidget"), Some("AnyModel"))
        );
        assert!(state["_esm"].as_str().unwrap().contains("export default"));
        Opened { id: opened.content["comm_id"].as_str().unwrap().into(), state, buffers: buffers(opened) }
    }

    /// Takes in what a message says of this widget; whether it does.
    fn take(&mut self, message: &Message) -> bool {
        if message.kind != "comm_msg" || message.content["comm_id"] != self.id.as_str() {
            return false;
        }
        assert_eq!(message.content["data"]["method"], "update");
        for (name, value) in message.content["data"]["state"].as_object().unwrap() {
            self.state[name] = value.clone();
            self.buffers.retain(|(n, _)| n != name);
        }
        let new = buffers(message);
        self.buffers.retain(|(name, _)| new.iter().all(|(n, _)| n != name));
        self.buffers.extend(new);
        true
    }

    fn sent(&self, data: Value) -> Value {
        json!({ "comm_id": self.id, "data": data })
    }

    /// Moves it and takes in what comes of it.
    fn moves(&mut self, front: &mut FrontEnd, state: Value) {
        let header =
            front.send("comm_msg", self.sent(json!({ "method": "update", "state": state, "buffer_paths": [] })));
        let taken = front.until_idle(&header).iter().filter(|m| self.take(m)).count();
        assert_eq!(taken, 1);
    }

    fn text(&self, name: &str) -> &str {
        self.state[name].as_str().unwrap()
    }

    fn buffer(&self, name: &str) -> &[u8] {
        &self.buffers.iter().find(|(n, _)| n == name).unwrap().1
    }

    /// The values of its first map.
    fn values(&self) -> Vec<f32> {
        let map = &self.state["maps"]["maps"][0];
        let number = |name: &str| map[name].as_u64().unwrap() as usize;
        let count = number("rows") * number("columns");
        let bytes = &self.buffer("bytes")[number("at")..number("at") + 4 * count];
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

fn buffers(message: &Message) -> Vec<(String, Vec<u8>)> {
    let paths = message.content["data"]["buffer_paths"].as_array().unwrap();
    paths.iter().zip(&message.buffers).map(|(path, b)| (path[0].as_str().unwrap().to_string(), b.to_vec())).collect()
}

#[test]
fn a_viewed_artifact_carries_its_arrays() {
    let mut front = FrontEnd::start();
    front.run(NET);
    front.run("let a = gradient().run(net, image);");
    let mut opened = Opened::by(&mut front, "view(a)");
    assert_eq!(opened.text("kind"), "view");
    // The map is the largest magnitude over the colours of the array.
    for (row, column) in [(0, 0), (5, 9), (20, 20)] {
        let said = front.value(&format!("[0, 1, 2].map(|c| a.value[c][{row}][{column}])"));
        let colours = said.trim_matches(['[', ']']).split(", ").map(|v| v.parse::<f64>().unwrap().abs() as f32);
        let wanted = colours.fold(0.0, f32::max);
        let columns = opened.state["maps"]["maps"][0]["columns"].as_u64().unwrap() as usize;
        assert_eq!(opened.values()[row * columns + column].abs(), wanted);
    }
    // Whoever comes later asks for it.
    let comms = front.ask("comm_info_request", json!({ "target_name": "jupyter.widget" })).reply;
    assert_eq!(comms["comms"][&opened.id]["target_name"], "jupyter.widget");
    let header = front.send("comm_msg", opened.sent(json!({ "method": "request_state" })));
    let before = opened.values();
    assert_eq!(front.until_idle(&header).iter().filter(|m| opened.take(m)).count(), 1);
    assert_eq!(opened.values(), before);
    let header = front.send("comm_close", opened.sent(json!({})));
    front.until_idle(&header);
    assert_eq!(front.ask("comm_info_request", json!({})).reply["comms"], json!({}));
    // Without maps it is shown as it is.
    assert!(front.run("view(plot([1, 2]))").all("display_data")[0]["data"]["image/png"].is_string());
    assert!(front.run("view(3)").reply["evalue"].as_str().unwrap().contains("`view` shows an artifact"));
}

#[test]
fn a_moved_slider_calls_the_closure() {
    let mut front = FrontEnd::start();
    front.run("let a = 10; fn twice(n) { 2 * n } slider(\"eps\", 0, 16); slider(\"t\", 0.0, 1.0, #{ value: 0.5 });");
    let code = "interact(|eps, t| { print(`at ${eps}`); a += 1; zeros([20, 20]) + twice(eps) + t })";
    let mut opened = Opened::by(&mut front, code);
    assert_eq!(opened.values(), [16.5; 400], "the middle of 0 to 16 is where it stands at first");
    opened.moves(&mut front, json!({ "values": { "eps": 3, "t": 0.25 } }));
    assert_eq!((opened.values(), opened.text("printed"), opened.text("error")), (vec![6.25; 400], "at 3", ""));
    opened.moves(&mut front, json!({ "values": { "eps": 99, "t": "no number" } }));
    assert_eq!(opened.values(), [32.5; 400], "ends are kept, and what is no number is at its default");
    assert_eq!(front.value("a"), "13", "what a closure takes along it shares with the cells");
    // A figure without maps comes as a picture.
    let mut opened = Opened::by(&mut front, "interact(|eps| plot([1, 2, eps]))");
    let before = opened.buffer("picture").to_vec();
    assert!(before.starts_with(b"\x89PNG"));
    opened.moves(&mut front, json!({ "values": { "eps": 5 } }));
    assert_ne!(opened.buffer("picture"), before);
    let missing = front.run("interact(|beta| beta)").reply;
    assert_eq!(missing["evalue"], "no slider `beta` for the closure's parameter");
}

#[test]
fn what_goes_wrong_stands_in_the_widget_and_nowhere_else() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7; slider(\"n\", 0, 4, #{ value: 0 });");
    let mut opened = Opened::by(&mut front, "interact(|n| {\n    if n == 1 { nope(n) } else { kept + n }\n})");
    assert_eq!(opened.text("text"), "7");
    opened.moves(&mut front, json!({ "values": { "n": 1 } }));
    let error = opened.text("error").to_string();
    assert!(error.starts_with("error: no function `nope`\n  cell[2]:2:17\n"), "{error}");
    assert!(error.contains("\n    |                 ^^^^"), "{error}");
    assert_eq!(opened.text("text"), "7", "the last picture stays");
    assert_eq!(front.value("kept"), "7");
    opened.moves(&mut front, json!({ "values": { "n": 2 } }));
    assert_eq!((opened.text("text"), opened.text("error")), ("9", ""));
    front.run("%reset");
    opened.moves(&mut front, json!({ "values": { "n": 3 } }));
    assert!(opened.text("error").contains("run its cell again"));
    // A widget of another kernel.
    opened.id = "unknown".into();
    opened.moves(&mut front, json!({ "values": { "n": 3 } }));
    assert!(opened.text("error").contains("does not know this widget"));
}

#[test]
fn an_interrupt_stops_a_closure_and_the_next_move_runs() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7; slider(\"n\", 0, 4, #{ value: 0 });");
    let code = "interact(|n| { if n == 1 { debug(\"on\"); loop { sleep(0.01); } } kept + n })";
    let mut opened = Opened::by(&mut front, code);
    let data = json!({ "method": "update", "state": { "values": { "n": 1 } }, "buffer_paths": [] });
    front.send("comm_msg", opened.sent(data));
    // It says when it runs: an interrupt that came before would be forgotten.
    while front.published().kind != "stream" {}
    assert_eq!(front.control("interrupt_request", json!({}))["status"], "ok");
    while !opened.take(&front.published()) {}
    while front.published().content["execution_state"] != "idle" {}
    assert!(opened.text("error").contains("interrupted"), "{}", opened.text("error"));
    let header = front.send("comm_msg", opened.sent(json!({ "method": "update", "state": { "values": { "n": 2 } } })));
    assert_eq!(front.until_idle(&header).iter().filter(|m| opened.take(m)).count(), 1);
    assert_eq!((opened.text("text"), opened.text("error")), ("9", ""));
    let header = front.send("comm_msg", opened.sent(json!({ "method": "custom", "content": { "again": true } })));
    assert_eq!(front.until_idle(&header).iter().filter(|m| opened.take(m)).count(), 1);
    assert_eq!(front.value("kept"), "7");
}

#[test]
fn of_many_moves_that_wait_the_latest_is_answered() {
    let mut front = FrontEnd::start();
    front.run("let calls = 0; slider(\"n\", 0, 100, #{ value: 0 });");
    let mut opened = Opened::by(&mut front, "interact(|n| { calls += 1; sleep(0.05); n })");
    // While this cell runs, a hundred moves come.
    let cell = front.send_cell("sleep(1)");
    let headers: Vec<Value> = (1..=100)
        .map(|n| {
            let data = json!({ "method": "update", "state": { "values": { "n": n } }, "buffer_paths": [] });
            front.send("comm_msg", opened.sent(data))
        })
        .collect();
    let after = front.send_cell("calls");
    front.answer(&cell);
    let mut answered = 0;
    for header in &headers {
        answered += front.until_idle(header).iter().filter(|m| opened.take(m)).count();
    }
    assert_eq!(opened.text("text"), "100");
    let calls: usize = front.answer(&after).result().unwrap().parse().unwrap();
    assert_eq!(calls, answered + 1);
    assert!(answered < 20, "{answered} of 100 moves were answered");
}

#[test]
fn an_occluder_in_the_hand_says_what_the_probe_says() {
    let mut front = FrontEnd::start();
    front.run(NET);
    let mut opened = Opened::by(&mut front, "explore(net, image, #{ patch: 8, top: 3 })");
    assert_eq!(opened.state["scores"].as_array().unwrap().len(), 3);
    assert!(opened.buffer("photo").starts_with(&[0xff, 0xd8]));
    opened.moves(&mut front, json!({ "at": [10, 6] }));
    assert_eq!(opened.state["answered"], json!([10, 6]));
    for row in opened.state["scores"].as_array().unwrap() {
        let (name, now) = (row["name"].as_str().unwrap(), row["now"].as_f64().unwrap());
        let code =
            format!("let o = occlusion(#{{ patch: 8, stride: 2 }}).run(net.class(\"{name}\"), image); o.value[5][3]");
        let probe: f64 = front.value(&code).parse().unwrap();
        assert!((probe - now).abs() < 1e-4, "{name}: {now} in the hand, {probe} by the probe");
    }
    opened.moves(&mut front, json!({ "at": [9999, -5] }));
    let inside = opened.state["answered"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect::<Vec<_>>();
    assert!(inside[0] < 9999 && inside[1] == 0, "{inside:?}");
    assert!(front.run("explore(net, 3)").reply["evalue"].as_str().unwrap().contains("`explore` takes an image"));
    assert!(front.run("explore(net, image, #{ pach: 3 })").reply["evalue"].as_str().unwrap().contains("pach"));
}

#[test]
fn a_script_shows_what_the_widgets_stand_at() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "{NET}\nview(gradient().run(net, image));\nexplore(net, image);\nslider(\"eps\", 0, 16);\ninteract(|eps| eps * 3);\n"
    );
    std::fs::write(folder.path().join("w.rhai"), script).unwrap();
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = program(&["run", "w.rhai", "--out", "out"]);
    assert!(said.contains("24") && said.contains("patch"), "{said}");
    let report = std::fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert_eq!(report.matches("<script").count(), 1);
    assert_eq!(report.matches("script-src 'sha256-").count(), 1);
    assert!(report.contains("<template class=\"viewer-maps\">") && !report.contains("script-src 'unsafe-inline'"));
    program(&["lock", "w.rhai"]);
    program(&["verify", "w.rhai"]);
}
