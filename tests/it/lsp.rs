//! `convscope lsp` over pipes, as an editor drives it: each of its functions, half a script, and frames that are none.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// An editor.
struct Editor {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    asked: i64,
    /// What was told without being asked.
    told: Vec<Value>,
}

impl Editor {
    fn raw() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        command.arg("lsp").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Editor { child, to, from, asked: 0, told: Vec::new() }
    }

    fn new() -> Self {
        let mut editor = Editor::raw();
        let completion = json!({ "completionItem": { "snippetSupport": true } });
        let abilities = json!({ "textDocument": { "completion": completion } });
        let answer = editor.ask("initialize", json!({ "capabilities": abilities, "rootUri": null }));
        assert_eq!(answer["result"]["capabilities"]["positionEncoding"], "utf-16");
        editor.say("initialized", json!({}));
        editor
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.to.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        self.bytes(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    }

    fn say(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = Vec::new();
            loop {
                let mut byte = [0];
                self.from.read_exact(&mut byte).unwrap();
                line.push(byte[0]);
                if byte[0] == b'\n' {
                    break;
                }
            }
            let line = String::from_utf8(line).unwrap();
            match line.trim_end().strip_prefix("Content-Length: ") {
                Some(number) => length = number.parse().unwrap(),
                None => break,
            }
        }
        let mut content = vec![0; length];
        self.from.read_exact(&mut content).unwrap();
        serde_json::from_slice(&content).unwrap()
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.receive();
            if message["id"] == id {
                return message;
            }
            self.told.push(message);
        }
    }

    fn open(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "rhai", "version": 1, "text": text });
        self.say("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// The diagnostics of a document, the next time that they are told.
    fn diagnostics(&mut self, uri: &str) -> Vec<Value> {
        loop {
            let message = if self.told.is_empty() { self.receive() } else { self.told.remove(0) };
            if message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri {
                return message["params"]["diagnostics"].as_array().unwrap().clone();
            }
        }
    }

    fn at(&mut self, method: &str, uri: &str, line: u32, character: u32) -> Value {
        let about = json!({ "uri": uri });
        let place = json!({ "line": line, "character": character });
        let context = json!({ "includeDeclaration": true });
        let answer = self.ask(method, json!({ "textDocument": about, "position": place, "context": context }));
        answer["result"].clone()
    }

    fn leave(mut self) -> i32 {
        assert_eq!(self.ask("shutdown", Value::Null)["result"], Value::Null);
        self.say("exit", Value::Null);
        self.child.wait().unwrap().code().unwrap()
    }
}

fn labels(completion: &Value) -> Vec<String> {
    completion["items"].as_array().unwrap().iter().map(|i| i["label"].as_str().unwrap().to_string()).collect()
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

const SCRIPT: &str = "// Twice as much.\nfn twice(n) { n * 2 }\nlet smile = \"😀\"; let count = twice(3);\nlet net = load_model(\"shapes\");\nprint(`${count}`);\n";

#[test]
fn an_editor_is_served() {
    let mut editor = Editor::new();
    let here = "file:///s.rhai";
    editor.open(here, SCRIPT);
    assert_eq!(editor.diagnostics(here), Vec::<Value>::new());
    // UTF-16: the smile has two units.
    let hover = editor.at("textDocument/hover", here, 2, 25);
    assert_eq!(hover["range"]["start"], json!({ "line": 2, "character": 22 }));
    let hover = editor.at("textDocument/hover", here, 2, 32);
    let shown = hover["contents"]["value"].as_str().unwrap();
    assert!(shown.contains("fn twice(n)") && shown.contains("Twice as much."), "{shown}");
    let shown = editor.at("textDocument/hover", here, 3, 12)["contents"]["value"].to_string();
    assert!(shown.contains("load_model("), "{shown}");
    let found = editor.at("textDocument/definition", here, 2, 33);
    assert_eq!(found["range"]["start"], json!({ "line": 1, "character": 3 }));
    let places = editor.at("textDocument/references", here, 2, 25);
    let lines: Vec<&Value> = places.as_array().unwrap().iter().map(|p| &p["range"]["start"]["line"]).collect();
    assert_eq!(lines, [2, 4]);
    let prepared = editor.at("textDocument/prepareRename", here, 4, 10);
    assert_eq!(prepared["placeholder"], "count");
    let about = json!({ "textDocument": { "uri": here }, "position": { "line": 4, "character": 10 }, "newName": "n2" });
    let edits = editor.ask("textDocument/rename", about.clone());
    assert_eq!(edits["result"]["changes"][here].as_array().unwrap().len(), 2);
    for (name, why) in [("let", "a word of the language"), ("2x", "is no name"), ("net", "declared")] {
        let mut about = about.clone();
        about["newName"] = name.into();
        let said = editor.ask("textDocument/rename", about)["error"]["message"].to_string();
        assert!(said.contains(why), "{said}");
    }
    let symbols = editor.ask("textDocument/documentSymbol", json!({ "textDocument": { "uri": here } }));
    let names: Vec<&str> = symbols["result"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["twice", "smile", "count", "net"]);
    let unknown = editor.ask("textDocument/nothing", json!({}));
    assert_eq!(unknown["error"]["code"], -32601);
    assert_eq!(editor.leave(), 0);
}

#[test]
fn what_is_typed_is_completed_and_checked() {
    let mut editor = Editor::new();
    let here = "untitled:Untitled-1";
    editor.open(here, SCRIPT);
    editor.diagnostics(here);
    let mut version = 1;
    let mut type_at = |editor: &mut Editor, line: u32, from: u32, to: u32, text: &str| {
        version += 1;
        let place = |character: u32| json!({ "line": line, "character": character });
        let change = json!({ "range": { "start": place(from), "end": place(to) }, "text": text });
        let about = json!({ "uri": here, "version": version });
        editor.say("textDocument/didChange", json!({ "textDocument": about, "contentChanges": [change] }));
        editor.diagnostics(here)
    };
    // Half a statement: one diagnostic, at its place, and everything else is still known.
    let said = type_at(&mut editor, 5, 0, 0, "let map = occlusion(#{ pat");
    assert_eq!(said.len(), 1, "{said:?}");
    let offered = editor.at("textDocument/completion", here, 5, 26);
    assert_eq!(labels(&offered), ["patch"]);
    let item = &offered["items"][0];
    assert!(item["textEdit"]["newText"] == "patch: ${1}" && item["insertTextFormat"] == 2, "{item}");
    assert!(!item["documentation"]["value"].as_str().unwrap().is_empty());
    let said = type_at(&mut editor, 5, 23, 26, "patsh: 9 }).run(net, cout); conut(1); x = 1;");
    let words: Vec<&str> = said.iter().map(|d| d["message"].as_str().unwrap()).collect();
    assert_eq!(words.len(), 4, "{words:#?}");
    assert!(words.iter().any(|w| w.contains("patsh") && w.contains("patch")), "{words:#?}");
    assert!(words.iter().any(|w| w.contains("`cout`") && w.contains("`count`")), "{words:#?}");
    assert!(words.iter().any(|w| w.contains("no function `conut`")), "{words:#?}");
    assert!(words.iter().any(|w| w.contains("`x`") && w.contains("let x")), "{words:#?}");
    type_at(&mut editor, 5, 0, 200, "tw");
    assert!(labels(&editor.at("textDocument/completion", here, 5, 2)).contains(&"twice".to_string()));
    type_at(&mut editor, 5, 0, 200, "net.lay");
    assert!(labels(&editor.at("textDocument/completion", here, 5, 7)).contains(&"layers".to_string()));
    type_at(&mut editor, 5, 0, 200, "twice(net.layer(\"a\"), ");
    let help = editor.at("textDocument/signatureHelp", here, 5, 22);
    assert_eq!((&help["signatures"][0]["label"], &help["activeParameter"]), (&"twice(n)".into(), &1.into()));
    let whole = json!({ "textDocument": { "uri": here, "version": 99 }, "contentChanges": [{ "text": "f( 1 )" }] });
    editor.say("textDocument/didChange", whole);
    let edits = editor.ask("textDocument/formatting", json!({ "textDocument": { "uri": here }, "options": {} }));
    assert_eq!(edits["result"][0]["newText"], "1)\n");
    editor.say("textDocument/didClose", json!({ "textDocument": { "uri": here } }));
    let gone = editor.at("textDocument/hover", here, 0, 0);
    assert_eq!(gone, Value::Null);
    assert_eq!(editor.leave(), 0);
}

#[test]
fn names_are_told_apart_by_what_they_mean() {
    let mut editor = Editor::new();
    let here = "file:///s.rhai";
    editor
        .open(here, "const N = 2;\r\nfn f(p) { p * N }\nlet smile = \"😀\"; show(gradient(#{ x: f(1) }).run(smile));");
    let about = json!({ "textDocument": { "uri": here } });
    let data = editor.ask("textDocument/semanticTokens/full", about)["result"]["data"].clone();
    let data: Vec<u64> = serde_json::from_value(data).unwrap();
    let wanted = [
        [0, 6, 1, 1, 3],  // const N
        [1, 3, 1, 3, 1],  // fn f
        [0, 2, 1, 2, 1],  // p, declared
        [0, 5, 1, 2, 0],  // p; a function does not see N
        [1, 4, 5, 1, 1],  // smile; the picture behind it has two units
        [0, 14, 4, 3, 4], // show
        [0, 5, 8, 3, 4],  // gradient
        [0, 12, 1, 5, 0], // x:
        [0, 3, 1, 3, 0],  // f
        [0, 8, 3, 4, 0],  // .run
        [0, 4, 5, 1, 0],  // smile
    ];
    assert_eq!(data, wanted.concat());
    assert_eq!(editor.leave(), 0);
}

/// A client that others wrote; `tests/env/setup.sh` installs it.
#[test]
fn a_client_of_others_is_served() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), std::path::PathBuf::from);
    let environment = root.join(target).join("test-env");
    if !environment.join("installed").is_file() {
        eprintln!("skipped: run tests/env/setup.sh first, which installs the tools of this test");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut client = Command::new(environment.join("bin/python"));
    client.arg(root.join("tests/lsp/outside.py")).arg(env!("CARGO_BIN_EXE_convscope")).arg(folder.path());
    let output = client.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn imports_are_followed_and_renamed_with_what_they_import() {
    let folder = tempfile::tempdir().unwrap();
    let (main, tools) = (folder.path().join("main é.rhai"), folder.path().join("tools.rhai"));
    std::fs::write(&tools, "fn mean(a, b) { (a + b) / 2 }\n").unwrap();
    std::fs::write(folder.path().join("other.rhai"), "import \"tools\" as t;\nt::mean(1, 2);\n").unwrap();
    let mut editor = Editor::new();
    let here = uri(&main).replace(" é", "%20%C3%A9");
    editor.open(&here, "import \"tools\" as tools;\nprint(tools::mean(1, 2));\n");
    let found = editor.at("textDocument/definition", &here, 1, 15);
    assert_eq!((&found["uri"], &found["range"]["start"]["character"]), (&uri(&tools).into(), &3.into()));
    assert_eq!(editor.at("textDocument/definition", &here, 0, 10)["uri"], uri(&tools));
    let shown = editor.at("textDocument/hover", &here, 1, 15);
    assert_eq!(shown["contents"]["value"], "```rhai\nfn mean(a, b)\n```");
    assert_eq!(labels(&editor.at("textDocument/completion", &here, 1, 13)), ["mean"]);
    let help = editor.at("textDocument/signatureHelp", &here, 1, 21);
    assert_eq!((&help["signatures"][0]["label"], &help["activeParameter"]), (&"mean(a, b)".into(), &1.into()));
    assert_eq!(editor.at("textDocument/references", &here, 1, 15).as_array().unwrap().len(), 3);
    let place = json!({ "line": 1, "character": 15 });
    let asked = json!({ "textDocument": { "uri": here }, "position": place, "newName": "average" });
    let edits = editor.ask("textDocument/rename", asked);
    assert_eq!(edits["result"]["changes"].as_object().unwrap().len(), 3, "{edits}");
    // Words that the language has for itself, or keeps for later.
    for word in [
        "let",
        "goto",
        "module",
        "sync",
        "var",
        "match",
        "static",
        "eval",
        "is_def_var",
        "print",
        "type_of",
        "Fn",
        "this",
    ] {
        let asked = json!({ "textDocument": { "uri": here }, "position": place, "newName": word });
        let answer = editor.ask("textDocument/rename", asked);
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(said, format!("`{word}` is a word of the language"), "{answer}");
    }
    assert_eq!(editor.leave(), 0);
}

#[test]
fn requests_are_called_off_and_kept_in_order() {
    let mut editor = Editor::raw();
    let early = editor.ask("textDocument/hover", json!({}));
    assert_eq!(early["error"]["code"], -32002);
    // Together, so that the second is there before the first is answered.
    let mut both = Vec::new();
    for message in [
        json!({ "jsonrpc": "2.0", "id": "a", "method": "initialize", "params": { "capabilities": {} } }),
        json!({ "jsonrpc": "2.0", "id": "b", "method": "textDocument/hover", "params": {} }),
        json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": "b" } }),
    ] {
        let text = message.to_string();
        both.extend(format!("content-length:{}\r\nContent-Type: x\r\n\r\n{text}", text.len()).bytes());
    }
    editor.bytes(&both);
    assert!(editor.receive()["result"]["capabilities"].is_object());
    let code = editor.receive()["error"]["code"].as_i64().unwrap();
    // Whether the third was read in time is up to the machine.
    assert!(code == -32800 || code == -32602, "{code}");
    editor.say("exit", Value::Null);
    assert_eq!(editor.child.wait().unwrap().code(), Some(1), "it was not shut down");
}

#[test]
fn frames_that_are_none_are_told_apart_or_end_it() {
    let mut editor = Editor::new();
    editor.bytes(b"Content-Length: 5\r\n\r\n{nope");
    assert_eq!(editor.receive()["error"]["code"], -32700);
    editor.bytes(b"Content-Length: 2\r\n\r\n[]");
    assert_eq!(editor.receive()["error"]["code"], -32700);
    // The session goes on.
    assert_eq!(editor.leave(), 0);
    let endless = format!("X: {}", "y".repeat(1 << 16));
    let huge = "Content-Length: 99999999999999999999\r\n\r\n";
    for (bytes, why) in [
        ("X: y\r\n\r\n", "without Content-Length"),
        ("nonsense\r\n\r\n", "without a colon"),
        ("Content-Length: -1\r\n\r\n", "no number"),
        (huge, "no number"),
        ("Content-Length: 9999999999\r\n\r\nx", "ended within a message"),
        (endless.as_str(), "does not end"),
    ] {
        let mut editor = Editor::raw();
        // It may be gone before all is written.
        let _ = editor.to.as_mut().unwrap().write_all(bytes.as_bytes());
        drop(editor.to.take());
        let output = editor.child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why), "{bytes:.40}: {said}");
    }
}

/// No script of the project that runs is said to be wrong.
#[test]
fn scripts_that_run_have_no_diagnostics() {
    let session = convscope_dsl::Session::new(convscope_engine::Job::new(), std::sync::Arc::new(convscope_dsl::Silent));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::fs::read_to_string(root.join("scripts/canon/canon.rhai")).unwrap();
    let mut wrong = String::new();
    for folder in ["scripts", "scripts/canon", "docs", "tests/lang/ok"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().flatten().map(|e| e.path());
        for path in entries.filter(|p| p.extension().is_some_and(|e| e == "rhai")) {
            let mut text = std::fs::read_to_string(&path).unwrap();
            // What the program joins to a paper's script: the shared functions, and how the nets take photos.
            if folder.ends_with("canon") {
                text += "\nfn options() { #{} }\nfn other_options() { #{} }\n";
                if !path.ends_with("canon.rhai") {
                    text += &shared;
                }
            }
            for said in session.check(&path.display().to_string(), &text) {
                wrong += &format!("{said}\n");
            }
        }
    }
    // One script shows what a call that cannot be says.
    let wrong: Vec<&str> = wrong.split("error: ").filter(|w| !w.is_empty() && !w.contains("nothing")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
