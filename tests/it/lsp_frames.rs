//! Mutants of an editor's messages through the language server, in this process: seeded, with right and wrong frames. Whatever
//! comes, the server ends, panics nowhere, and answers with frames. `CONVSCOPE_MUTANTS=20000` runs so many,
//! `CONVSCOPE_MUTANTS_FROM` goes on from a number.

use convscope_engine::random::Stream;
use convscope_lsp::{Frame, read, serve};
use serde_json::{Value, json};
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Sessions, where nothing else is asked for.
const SESSIONS: u64 = 60;

/// Scripts as editors have them: whole, halves, with wide characters, and with what they import.
const SCRIPTS: [&str; 6] = [
    "let net = load_model(\"shapes\");\nlet image = shapes(1)[0];\nshow(gradient().run(net.class(\"circle\"), image));\n",
    "fn twice(x) {\r\n  x * 2 // \u{e9}\u{1f389}\r\n}\r\nprint(twice(3));\r",
    "import \"../x\" as m;\nm::f(1);\nimport \"/etc/hostname\" as h; h::x();",
    "let \u{e9} = `${1 + `${2}`}`; /* /* */ */ show(",
    "grad_cam(#{ layer: \"a\", : }).run(; let a = |x, y| x[y].",
    "",
];

/// What is written, to be looked at when all is over.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn pick<'a, T: ?Sized>(rng: &mut Stream, of: &[&'a T]) -> &'a T {
    of[rng.next_below(of.len() as u64) as usize]
}

fn place(rng: &mut Stream) -> Value {
    let mut number = || [0, 1, 2, 3, 9, 40, 65_536, 2_147_483_648, u64::from(u32::MAX)][rng.next_below(9) as usize];
    json!({ "line": number(), "character": number() })
}

fn range(rng: &mut Stream) -> Value {
    json!({ "start": place(rng), "end": place(rng) })
}

/// A session's messages: opened, changed, asked about, left.
fn session(rng: &mut Stream) -> Vec<Value> {
    let uri = "file:///nowhere/a.rhai";
    let mut all = vec![
        json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "capabilities": {} } }),
        json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": { "textDocument":
            { "uri": uri, "languageId": "rhai", "version": 1, "text": pick(rng, &SCRIPTS) } } }),
    ];
    let asked = [
        "completion",
        "hover",
        "signatureHelp",
        "definition",
        "references",
        "documentHighlight",
        "prepareRename",
        "rename",
        "documentSymbol",
        "formatting",
    ];
    for id in 1..2 + rng.next_below(12) {
        all.push(match rng.next_below(5) {
            0 => json!({ "jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
                "textDocument": { "uri": uri, "version": id },
                "contentChanges": [{ "range": range(rng), "text": pick(rng, &SCRIPTS) }] } }),
            1 => json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id } }),
            _ => json!({ "jsonrpc": "2.0", "id": id, "method": format!("textDocument/{}", pick(rng, &asked)), "params": {
                "textDocument": { "uri": uri }, "position": place(rng), "newName": pick(rng, &["a", "x1", "fn", "\u{e9}", ""]),
                "context": { "includeDeclaration": true }, "options": { "tabSize": 4, "insertSpaces": true } } }),
        });
    }
    all.push(json!({ "jsonrpc": "2.0", "id": "z", "method": "shutdown" }));
    all.push(json!({ "jsonrpc": "2.0", "method": "exit" }));
    all
}

/// Changes a leaf of a message, or takes a part away.
fn changed(value: &mut Value, rng: &mut Stream) {
    let inner = match value {
        Value::Object(entries) if !entries.is_empty() => {
            let key = entries.keys().nth(rng.next_below(entries.len() as u64) as usize).cloned().unwrap();
            if rng.next_below(12) == 0 {
                entries.remove(&key);
                return;
            }
            entries.get_mut(&key)
        }
        Value::Array(items) if !items.is_empty() => {
            let at = rng.next_below(items.len() as u64) as usize;
            items.get_mut(at)
        }
        _ => None,
    };
    match inner {
        Some(inner) => changed(inner, rng),
        None => {
            *value = match rng.next_below(9) {
                0 => Value::Null,
                1 => json!(-1),
                2 => json!(u64::MAX),
                3 => json!(1.5e300),
                4 => json!("x".repeat(1 << rng.next_below(20))),
                5 => json!("(".repeat(1 << rng.next_below(16))),
                6 => json!(vec![0; 1 << rng.next_below(18)]),
                7 => json!("let a\u{1f389} = 1;\n".repeat(1 << rng.next_below(13))),
                _ => json!({ "uri": "file:///%00/%ff" }),
            }
        }
    }
}

fn sent(rng: &mut Stream) -> Vec<u8> {
    let mut out = Vec::new();
    for mut message in session(rng) {
        if rng.next_below(4) == 0 {
            changed(&mut message, rng);
        }
        let text = message.to_string();
        let length = match rng.next_below(40) {
            0 => "-1".to_string(),
            1 => u64::MAX.to_string(),
            2 => (text.len() + 3).to_string(),
            3 => String::new(),
            _ => text.len().to_string(),
        };
        out.extend(format!("Content-Length: {length}\r\n\r\n{text}").bytes());
    }
    for _ in 0..rng.next_below(3) {
        let at = rng.next_below(out.len() as u64) as usize;
        match rng.next_below(3) {
            0 => out[at] = rng.next_below(256) as u8,
            1 => out.truncate(at.max(1)),
            _ => {
                let part = out[at..(at + 40).min(out.len())].to_vec();
                out.splice(at..at, part);
            }
        }
    }
    out
}

#[test]
fn no_mutant_of_a_message_does_harm() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let (from, many) = (number("CONVSCOPE_MUTANTS_FROM").unwrap_or(0), number("CONVSCOPE_MUTANTS"));
    let mut slowest = Duration::ZERO;
    for at in from..from + many.unwrap_or(SESSIONS) {
        let mut rng = Stream::new(at, "lsp");
        let (bytes, written, begun) = (sent(&mut rng), Written::default(), Instant::now());
        // An error is an honest end, too: of frames that cannot be told apart.
        let _ = serve(Cursor::new(bytes), written.clone());
        slowest = slowest.max(begun.elapsed());
        let told = written.0.lock().unwrap().clone();
        let mut rest = Cursor::new(&told[..]);
        while let Some(frame) = read(&mut rest).unwrap() {
            let Frame::Content(content) = frame else { panic!("session {at}: a frame that is too long") };
            let answer: Value = serde_json::from_slice(&content).unwrap();
            assert!(!answer.to_string().contains("a defect of convscope"), "session {at}: {answer}");
        }
    }
    println!("{} sessions, the slowest in {slowest:?}", many.unwrap_or(SESSIONS));
    assert!(many.is_none() || slowest < Duration::from_secs(10), "{slowest:?}");
}

#[test]
fn a_flood_is_refused_before_it_is_taken_apart() {
    let framed = |text: String| format!("Content-Length: {}\r\n\r\n{text}", text.len());
    let begin = framed(json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} }).to_string());
    let told = |text: String| {
        let written = Written::default();
        serve(Cursor::new((begin.clone() + framed(text).as_str()).into_bytes()), written.clone()).unwrap();
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    };
    let many = |part: &str| format!("{{\"id\":1,\"method\":\"x\",\"params\":[{}0]}}", part.repeat(1 << 19));
    for part in ["0,", "{},", "[],"] {
        assert!(told(many(part)).contains("more than 131072 values"), "{part}");
    }
    // Commas in a text are none between values.
    assert!(
        told(format!("{{\"id\":1,\"method\":\"x\",\"params\":[\"{}\"]}}", ",{".repeat(1 << 19))).contains("no method")
    );
    assert!(told(many(&" ".repeat(20))).contains("at most 4194304 are read"));
}
