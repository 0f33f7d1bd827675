//! The kernel in front of a strict front end: every message of the protocol, then faults; after each of these a variable
//! set before is still there and the next cell runs. A program of its own, which other tests do not run beside: it measures
//! how soon an interrupt stops a cell.
#![allow(clippy::unwrap_used)]

mod load;
mod strangers;

use bytes::Bytes;
use front_end::FrontEnd;
use front_end::others::Listener;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[path = "../it/front_end/mod.rs"]
mod front_end;

/// The time within which an interrupt stops a cell: kept by most of many interrupts, so that other work of the machine,
/// which delays a few of them, breaks no test, and work that looks too seldom at the signal does.
const STOPPED: Duration = Duration::from_secs(1);

#[test]
fn the_kernel_says_what_it_is_on_both_channels() {
    let mut front = FrontEnd::start();
    let info = front.ask("kernel_info_request", json!({})).reply;
    let language = &info["language_info"];
    assert_eq!((language["name"].as_str(), language["file_extension"].as_str()), (Some("rhai"), Some(".rhai")));
    assert_eq!(front.control("kernel_info_request", json!({})), info);
    assert_eq!(front.ask("comm_info_request", json!({})).reply["comms"], json!({}));
    assert!(front.beats());
}

#[test]
fn cells_print_in_order_and_end_with_their_value() {
    let mut front = FrontEnd::start();
    let answer = front.run("print(\"a\"); debug(\"b\"); print(\"c\"); 40 + 2");
    assert_eq!(answer.result(), Some("42"));
    let streams: Vec<_> = answer.all("stream").iter().map(|c| (c["name"].clone(), c["text"].clone())).collect();
    let expected = [("stdout", "a\n"), ("stderr", "\"b\"\n"), ("stdout", "c\n")];
    assert_eq!(streams, expected.map(|(n, t)| (json!(n), json!(t))));
    assert!(front.run("let x = 5; x;").all("execute_result").is_empty());
    assert_eq!(front.value("x"), "5");
    assert_eq!(front.run("").reply["execution_count"], 3, "an empty cell does not count");
    let many = front.run("for i in 0..5000 { print(i); }").stream("stdout");
    assert_eq!(many, (0..5000).map(|i| format!("{i}\n")).collect::<String>());
}

#[test]
fn a_part_of_a_line_comes_before_the_cell_ends() {
    let mut front = FrontEnd::start();
    let header = front.send_cell("write(\"half\"); sleep(1.5); print(\" whole\")");
    let published = front.until_idle(&header);
    let ended = Instant::now();
    front.reply();
    let first = published.iter().find(|m| m.kind == "stream").unwrap();
    assert_eq!(first.content["text"], "half");
    assert!(ended - first.at > Duration::from_millis(700), "it came with the rest");
}

#[test]
fn results_are_shown_in_the_form_that_suits_them() {
    let mut front = FrontEnd::start();
    front.run("let net = load_model(\"shapes\"); let image = shapes(1)[0];");
    let shown = front.run("show(gradient().run(net, image)); show(net.predict(image)); markdown(\"# *M*\");");
    let data = shown.all("display_data");
    assert!(data[0]["data"]["image/png"].as_str().unwrap().starts_with("iVBOR"));
    assert!(data[0]["metadata"]["image/png"]["width"].as_u64().unwrap() > 100);
    assert!(data[1]["data"]["text/html"].as_str().unwrap().contains("<table>"));
    assert_eq!(data[2]["data"]["text/markdown"], "# *M*");
    assert!(data.iter().all(|d| d["data"]["text/plain"].is_string()));
    assert!(front.run("image").all("execute_result")[0]["data"]["image/png"].is_string());
    assert_eq!(front.run("clear_output(true)").all("clear_output"), [&json!({ "wait": true })]);
}

#[test]
fn quiet_cells_leave_no_trace() {
    let mut front = FrontEnd::start();
    front.value("let x = 1; x");
    let quiet = json!({ "code": "print(5); x = 2; x", "silent": true, "store_history": true });
    let answer = front.ask("execute_request", quiet);
    assert!(answer.is_ok() && answer.published.is_empty(), "{:?}", answer.published);
    assert_eq!(answer.reply["execution_count"], 1);
    let unstored = json!({ "code": "x", "store_history": false });
    assert_eq!(front.ask("execute_request", unstored).reply["execution_count"], 1);
    assert_eq!(front.run("x").reply["execution_count"], 2);
    let history = front.ask("history_request", json!({ "hist_access_type": "tail", "n": 9, "output": false }));
    let sources: Vec<&Value> = history.reply["history"].as_array().unwrap().iter().map(|l| &l[2]).collect();
    assert_eq!(sources, ["let x = 1; x", "x"]);
}

#[test]
fn expressions_beside_a_cell_are_worth_something_each() {
    let mut front = FrontEnd::start();
    let asked = json!({ "code": "let x = 3;", "user_expressions": { "good": "x * 2", "bad": "x.nope()" } });
    let answer = front.ask("execute_request", asked);
    let values = &answer.reply["user_expressions"];
    assert_eq!(values["good"]["data"]["text/plain"], "6");
    assert_eq!((values["bad"]["status"].as_str(), values["bad"]["ename"].as_str()), (Some("error"), Some("NotFound")));
    assert!(answer.all("error").is_empty());
}

#[test]
fn errors_have_a_place_and_stop_the_cells_behind_them() {
    let mut front = FrontEnd::start();
    front.run("let kept = 1;\nfn f(n) {\n    n.nope()\n}");
    let failing = front.send_cell("\nf(kept)");
    let behind: Vec<Value> = ["kept = 2;", "kept = 3;"].map(|code| front.send_cell(code)).into();
    let asked = front.send("is_complete_request", json!({ "code": "1" }));
    let answer = front.answer(&failing);
    assert_eq!(answer.reply["status"], "error");
    let error = answer.all("error")[0];
    assert_eq!((error["ename"].as_str(), error["evalue"].as_str()), (Some("NotFound"), Some("no function `nope`")));
    let lines: Vec<&str> = error["traceback"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    assert_eq!(lines[1], "\x1b[36m  cell[1]:3:7\x1b[0m");
    assert!(lines[3].ends_with("\x1b[1;31m^^^^\x1b[0m") && lines[4].contains("called from cell[2]:2:1"), "{lines:?}");
    for header in behind {
        let answer = front.answer(&header);
        assert_eq!(answer.reply["status"], "aborted");
        assert!(answer.published.is_empty());
    }
    assert_eq!(front.answer(&asked).reply["status"], "complete");
    assert_eq!(front.value("kept"), "1");
    let go_on = json!({ "code": "nope()", "stop_on_error": false });
    let failing = front.send("execute_request", go_on);
    let next = front.send_cell("kept");
    assert_eq!(front.answer(&failing).reply["status"], "error");
    assert_eq!(front.answer(&next).result(), Some("1"));
}

#[test]
fn completion_and_inspection_know_the_session() {
    let mut front = FrontEnd::start();
    front.run("let net = load_model(\"shapes\"); fn sharpen(x) { x }");
    let matches = |front: &mut FrontEnd, code: &str, cursor: usize| -> (Vec<String>, u64, u64) {
        let reply = front.ask("complete_request", json!({ "code": code, "cursor_pos": cursor })).reply;
        let texts = reply["matches"].as_array().unwrap().iter().map(|m| m.as_str().unwrap().to_string()).collect();
        let types = reply["metadata"]["_jupyter_types_experimental"].as_array().unwrap();
        assert_eq!(types.len(), reply["matches"].as_array().unwrap().len());
        (texts, reply["cursor_start"].as_u64().unwrap(), reply["cursor_end"].as_u64().unwrap())
    };
    assert_eq!(matches(&mut front, "sharp", 5), (vec!["sharpen".into()], 0, 5));
    let (found, start, end) = matches(&mut front, "/* 𝄞é */ net.layer(\"conv1", 24);
    assert!(found.contains(&"conv1".into()) && found.contains(&"conv1/relu".into()), "{found:?}");
    assert_eq!((start, end), (20, 24), "cursors are counted in code points");
    assert!(matches(&mut front, "occlusion(#{ pat", 16).0.contains(&"patch".into()));
    assert!(matches(&mut front, "net.class(\"s", 12).0.contains(&"square".into()));
    assert!(matches(&mut front, "net", 900).0.contains(&"net".into()), "a cursor behind the end is at the end");
    let inspect =
        |front: &mut FrontEnd, code: &str| front.ask("inspect_request", json!({ "code": code, "cursor_pos": 3 }));
    let found = inspect(&mut front, "occlusion(").reply;
    assert!(found["found"] == true && found["data"]["text/plain"].as_str().unwrap().contains("default"));
    let nothing = inspect(&mut front, "nothing").reply;
    assert_eq!((nothing["status"].as_str(), &nothing["found"]), (Some("ok"), &json!(false)));
    for (code, status) in [("x", "complete"), ("f(", "incomplete"), ("x)", "invalid"), ("`", "incomplete")] {
        assert_eq!(front.ask("is_complete_request", json!({ "code": code })).reply["status"], status, "{code}");
    }
    let open = front.ask("is_complete_request", json!({ "code": "fn f() {" })).reply;
    assert_eq!(open["indent"], "    ");
}

#[test]
fn history_has_a_tail_ranges_and_a_search() {
    let mut front = FrontEnd::start();
    for code in ["let a = 1;", "a + 1", "let b = 2;"] {
        front.run(code);
    }
    let mut ask = |request: Value| front.ask("history_request", request).reply["history"].clone();
    assert_eq!(ask(json!({ "hist_access_type": "tail", "n": 1, "output": false })), json!([[1, 3, "let b = 2;"]]));
    let range = json!({ "hist_access_type": "range", "session": 0, "start": 2, "stop": 3, "output": true });
    assert_eq!(ask(range), json!([[1, 2, ["a + 1", "2"]]]));
    // Front ends leave fields out.
    let search = json!({ "hist_access_type": "search", "pattern": "let*" });
    assert_eq!(ask(search), json!([[1, 1, "let a = 1;"], [1, 3, "let b = 2;"]]));
}

#[test]
fn comms_that_nobody_takes_are_closed() {
    let mut front = FrontEnd::start();
    let header = front.send("comm_open", json!({ "comm_id": "c1", "target_name": "widget", "data": {} }));
    let published = front.until_idle(&header);
    assert_eq!((published[0].kind.as_str(), &published[0].content["comm_id"]), ("comm_close", &json!("c1")));
    let header = front.send("comm_msg", json!({ "comm_id": "c1", "data": {} }));
    assert!(front.until_idle(&header).is_empty());
}

#[test]
fn cells_ask_the_person_in_front() {
    let mut front = FrontEnd::start();
    let header = front.send_cell("print(\"before\"); let name = input(\"who? \"); name + \"!\"");
    let question = front.question();
    assert_eq!((&question.parent, &question.content["prompt"]), (&header, &json!("who? ")));
    front.answer_question("René");
    assert_eq!(front.answer(&header).result(), Some("René!"));
    let header = front.send_cell("input(\"again? \")");
    front.question();
    front.control("interrupt_request", json!({}));
    let answer = front.answer(&header);
    assert_eq!(answer.all("error")[0]["ename"], "Interrupted");
    let alone = json!({ "code": "input(\"x\")", "allow_stdin": false });
    let error = front.ask("execute_request", alone).reply;
    assert!(error["evalue"].as_str().unwrap().contains("takes no input"), "{error}");
    assert_eq!(front.value("name"), "René");
}

#[test]
fn long_work_shows_a_bar_that_goes_when_it_is_done() {
    let mut front = FrontEnd::start();
    let answer = front.run("for i in progress(6, \"steps\") { sleep(0.2); }");
    let (shown, updates) = (answer.all("display_data"), answer.all("update_display_data"));
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["data"], json!({}), "readers that know no updates keep nothing");
    assert!(updates[0]["data"]["text/plain"].as_str().unwrap().starts_with("steps ["));
    assert!(updates[0]["data"]["text/html"].as_str().unwrap().contains("<progress"));
    assert!(updates.iter().all(|u| u["transient"] == shown[0]["transient"]));
    assert_eq!(updates.last().unwrap()["data"], json!({}));
    assert!(front.run("for i in progress(6, \"steps\") { i; }").all("display_data").is_empty());
}

#[test]
fn a_shutdown_is_answered_and_ends_the_process() {
    for (channel, restart) in [("control", false), ("shell", true)] {
        let mut front = FrontEnd::start();
        let header = front.send_cell("while true {}");
        std::thread::sleep(Duration::from_millis(50));
        let reply = match channel {
            "control" => front.control("shutdown_request", json!({ "restart": restart })),
            _ => {
                let asked = front.send("shutdown_request", json!({ "restart": restart }));
                let mut reply = front.reply();
                while reply.parent != asked {
                    assert_eq!(reply.parent, header);
                    reply = front.reply();
                }
                reply.content
            }
        };
        assert_eq!(reply, json!({ "status": "ok", "restart": restart }));
        assert!(front.ended().success());
    }
}

#[test]
fn two_front_ends_see_the_same() {
    let mut front = FrontEnd::start();
    let mut other = Listener::to(&front);
    assert_eq!(other.next(), "iopub_welcome");
    assert_eq!(front.published().kind, "iopub_welcome", "everybody sees who is welcomed");
    front.run("let x = 1;");
    assert_eq!([other.next(), other.next(), other.next()], ["busy", "execute_input", "idle"]);
    drop(other);
    assert_eq!(front.value("x"), "1", "a reader that went away changes nothing");
}

/// Runs a cell, interrupts it once it is at work, and checks that it ends; what it brought and how long that took.
fn interrupted(front: &mut FrontEnd, code: &str, by_signal: bool) -> (front_end::Answer, Duration) {
    let header = front.send_cell(code);
    std::thread::sleep(Duration::from_millis(60));
    assert!(front.beats(), "no heartbeat while a cell computes");
    let asked = Instant::now();
    match by_signal {
        true => {
            let id = front.child.id().to_string();
            assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        }
        false => assert_eq!(front.control("interrupt_request", json!({})), json!({ "status": "ok" })),
    }
    let answer = front.answer(&header);
    assert_eq!(answer.reply["ename"], "Interrupted", "{code}: {}", answer.reply);
    (answer, asked.elapsed())
}

#[test]
fn interrupts_stop_loops_engine_work_and_catching_within_a_second_and_keep_the_state() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7; let net = load_model(\"shapes\"); let data = shapes(4000); let image = data[0];");
    let loops = "while true {}";
    let catching = "while true { try { throw 1; } catch (e) {} }";
    let convolutions = "loop { net.forward(image); }";
    let batches = "net.accuracy(data)";
    let ascent = "class_model(#{ steps: 100000 }).run(net.class(0))";
    let sleeping = "sleep(1000)";
    for code in [loops, catching, convolutions, batches, ascent, sleeping] {
        let mut took: Vec<Duration> = (0..20).map(|i| interrupted(&mut front, code, i % 2 == 1).1).collect();
        took.sort();
        println!("{code}: median {:?}, most {:?}", took[10], took[19]);
        assert!(took[10] < STOPPED, "{code}: {took:?}");
        assert_eq!(front.value("kept"), "7");
        assert_eq!(front.value("net.predict(image)[0][\"class\"] in net.classes"), "true");
    }
}

#[test]
fn interrupted_work_shows_how_far_it_came() {
    let mut front = FrontEnd::start();
    front.run("let net = load_model(\"shapes\"); let image = shapes(1)[0];");
    let code = "show(occlusion(#{ patch: 2, stride: 1 }).run(net, image))";
    let (answer, _) = interrupted(&mut front, code, false);
    let shown = answer.all("display_data");
    let texts: Vec<&str> = shown.iter().filter_map(|d| d["data"]["text/plain"].as_str()).collect();
    assert!(texts.iter().any(|t| t.contains("note: stopped after")), "{texts:?}");
    front.control("interrupt_request", json!({}));
    assert_eq!(front.value("6 * 7"), "42", "an interrupt while nothing runs is forgotten");
}

#[test]
fn two_hundred_quick_cells_are_answered_in_order() {
    let mut front = FrontEnd::start();
    let headers: Vec<Value> = (0..200).map(|i| front.send_cell(&format!("print({i}); {i}"))).collect();
    for (i, header) in headers.iter().enumerate() {
        let answer = front.answer(header);
        assert_eq!(answer.result(), Some(i.to_string().as_str()));
        assert_eq!(answer.stream("stdout"), format!("{i}\n"));
        assert_eq!(answer.reply["execution_count"], i + 1);
    }
}

#[test]
fn messages_that_do_not_fit_are_refused_and_the_kernel_goes_on() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7;");
    let content = json!({ "code": "kept = 0;" });
    let header = front.header("execute_request");
    let good = FrontEnd::frames(&header, &content);

    let mut forged = good.clone();
    forged[1] = Bytes::from("0".repeat(64));
    let mut unsigned = good.clone();
    unsigned[1] = Bytes::new();
    let mut changed = good.clone();
    changed[5] = Bytes::from(json!({ "code": "kept = 1;" }).to_string());
    let mut no_delimiter = good.clone();
    no_delimiter[0] = Bytes::from("<IDS>");
    let short = good[..4].to_vec();
    let not_json = FrontEnd::frames(&header, &json!("x"));
    let untyped = FrontEnd::frames(&json!({ "msg_id": "1" }), &content);
    for frames in [forged, unsigned, changed, no_delimiter, short, not_json, untyped, vec![Bytes::new()]] {
        front.send_frames(frames);
        assert_eq!(front.value("kept"), "7");
    }
    let header = front.send("execute_request", json!({ "code": "kept += 1; kept" }));
    assert_eq!(front.answer(&header).result(), Some("8"));
    front.send_frames(FrontEnd::frames(&header, &json!({ "code": "kept += 1; kept" })));
    assert_eq!(front.value("kept"), "8", "the same message again is refused");
}

#[test]
fn unknown_and_odd_requests_are_answered() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7;");
    assert_eq!(front.ask("conjure_request", json!({})).reply["status"], "error");
    assert_eq!(front.control("debug_request", json!({}))["status"], "error");
    let header = front.send("gossip", json!({}));
    assert!(front.until_idle(&header).is_empty());
    for (kind, content) in [
        ("execute_request", json!({})),
        ("complete_request", json!({ "code": 5, "cursor_pos": -3 })),
        ("inspect_request", json!({ "cursor_pos": 1e300 })),
        ("is_complete_request", json!({})),
        ("history_request", json!({ "hist_access_type": "range", "session": -9, "start": 5, "stop": 1 })),
        ("history_request", json!({ "hist_access_type": "tail", "n": -1 })),
    ] {
        assert_ne!(front.ask(kind, content).reply["status"], "error", "{kind}");
    }
    assert_eq!(front.value("kept"), "7");
}

#[test]
fn large_and_broken_frames_do_not_stop_the_kernel() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7;");
    let long = format!("/* {} */ kept", "x".repeat(50 << 20));
    let header = front.send("execute_request", json!({ "code": long, "store_history": false }));
    assert_eq!(front.answer(&header).result(), Some("7"));
    for port in front.ports.clone() {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 200], &[0; 3]] {
            let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // The kernel may hang up while it is written.
            let _ = socket.write_all(garbage);
        }
    }
    assert!(front.beats());
    assert_eq!(front.value("kept"), "7");
}
