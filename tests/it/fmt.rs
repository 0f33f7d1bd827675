//! `convscope fmt`: over every script of the project and over generated ones the tokens stay, the parser reads the same tree,
//! and formatting again changes nothing; a script that cannot be read is left alone.
#![allow(clippy::unwrap_used)]

use convscope_dsl::source::tokens;
use convscope_dsl::{Session, Silent};
use convscope_engine::Job;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn session() -> Session {
    Session::new(Job::new(), Arc::new(Silent))
}

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["scripts", "scripts/canon", "docs", "examples", "tests/lang/ok", "tests/lang/error"] {
        let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten().map(|e| e.path());
        found.extend(entries.filter(|p| p.extension().is_some_and(|e| e == "rhai")));
    }
    found.sort();
    assert!(found.len() > 100);
    found
}

/// The tokens, without places: white space is all that may differ.
fn texts(source: &str) -> Vec<&str> {
    tokens(source).into_iter().map(|t| &source[t.at]).collect()
}

/// What a tree consists of, without the places in it and what follows from them: the names of closures, and with these the
/// order in which functions are listed.
fn without_places(tree: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for word in tree.split_inclusive(|c: char| !(c.is_alphanumeric() || c == ':' || c == '_' || c == '$')) {
        let core = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        // Whole numbers are among the tokens, which are compared as they stand.
        let place = core.chars().all(|c| c.is_ascii_digit() || c == ':');
        if !place && !core.is_empty() && !core.contains("anon$") {
            out.push(core);
        }
    }
    out.sort_unstable();
    out
}

fn check(session: &Session, name: &str, source: &str) {
    let Ok(laid) = session.format(name, source) else {
        assert!(session.parsed(name, source).is_err(), "{name}: it can be read, and was not formatted");
        return;
    };
    assert_eq!(texts(source), texts(&laid), "{name}");
    assert_eq!(session.format(name, &laid).unwrap(), laid, "{name} changes when formatted again");
    let [before, after] = [source, &laid].map(|source| session.tree(name, source).unwrap());
    assert_eq!(without_places(&before), without_places(&after), "{name}");
}

#[test]
fn texts_that_go_on_in_the_next_line_keep_what_they_say() {
    let session = session();
    let sources = [
        "if true {\nlet a = \"one \\\n        two\";\n}\n",
        "let long = [\"first \\\n             second\", \"third \\\n  fourth\"];\n",
        "        let a = \"far \\\n                     in\"; let b = \"x \\\n   y\";\n",
        "fn f() { #{ a: \"one \\\n  two\" } }\n",
    ];
    for source in sources {
        let laid = session.format("s", source).unwrap();
        assert_eq!(session.format("s", &laid).unwrap(), laid, "{source}");
        let [before, after] = [source, &laid].map(|source| session.tree("s", source).unwrap());
        assert_eq!(without_places(&before), without_places(&after), "{source} became {laid}");
    }
}

#[test]
fn every_script_stays_the_same_script() {
    let session = session();
    for path in scripts() {
        check(&session, &path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
    }
}

/// Programs from a grammar, by a counter-based stream, with white space and comments strewn between the tokens.
#[test]
fn generated_programs_stay_the_same_programs() {
    let session = session();
    let mut read = 0;
    for seed in 0..1000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let mut program = String::new();
        for _ in 0..1 + random.below(6) {
            random.statement(&mut program, 3);
        }
        read += usize::from(session.parsed("generated", &program).is_ok());
        check(&session, &format!("seed {seed}:\n{program}"), &program);
    }
    assert!(read > 300, "{read} of 1000 programs could be read");
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn gap(&mut self) -> &'static str {
        ["", " ", "  ", "\n", "\n\n\n", "\t", " /* c */ ", " /* a /* b */ */\n", " // c\n", "\n// own line\n"]
            [[0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9][self.below(14) as usize]]
    }

    fn put(&mut self, out: &mut String, text: &str) {
        let gap = self.gap();
        let joins = |c: char| c.is_alphanumeric() || c == '_' || "\"'`.<>=!&|+-*/%#$?~^:".contains(c);
        out.push_str(gap);
        if gap.is_empty() && out.ends_with(joins) && text.starts_with(joins) {
            out.push(' ');
        }
        out.push_str(text);
    }

    fn statement(&mut self, out: &mut String, depth: u64) {
        match self.below(if depth == 0 { 3 } else { 8 }) {
            0 => self.put(out, "let x ="),
            1 => self.put(out, "y +="),
            2 => self.put(out, "z[0] ="),
            3 => {
                self.put(out, "if");
                self.value(out, depth - 1);
                self.block(out, depth - 1);
                if self.below(2) == 0 {
                    self.put(out, "else");
                    self.block(out, depth - 1);
                }
                return;
            }
            4 => {
                self.put(out, "for i in");
                self.value(out, depth - 1);
                return self.block(out, depth - 1);
            }
            5 => {
                self.put(out, "switch x {");
                self.put(out, "1 | 2 =>");
                self.value(out, depth - 1);
                self.put(out, ", _ =>");
                self.block(out, depth - 1);
                return self.put(out, "}");
            }
            6 => {
                self.put(out, "try");
                self.block(out, depth - 1);
                self.put(out, "catch (e)");
                return self.block(out, depth - 1);
            }
            _ => {}
        }
        self.value(out, depth);
        self.put(out, ";");
    }

    fn block(&mut self, out: &mut String, depth: u64) {
        self.put(out, "{");
        for _ in 0..self.below(3) {
            self.statement(out, depth);
        }
        self.put(out, "}");
    }

    fn value(&mut self, out: &mut String, depth: u64) {
        match self.below(if depth == 0 { 6 } else { 13 }) {
            0 => self.put(out, "name"),
            1 => self.put(out, "1.5e-3"),
            2 => self.put(out, "\"a text // with /* marks\""),
            3 => self.put(out, "`a ${ x  +  1 } text\n  of two lines`"),
            4 => self.put(out, "'c'"),
            5 => self.put(out, "-7"),
            6 => {
                self.value(out, depth - 1);
                let operator = ["+", "-", "*", "&&", "||", "==", "**", "??", "<"][self.below(9) as usize];
                self.put(out, operator);
                self.value(out, depth - 1);
            }
            7 => self.list(out, "[", "]", "", depth - 1),
            8 => self.list(out, "#{", "}", "key:", depth - 1),
            9 => self.list(out, "f(", ")", "", depth - 1),
            10 => {
                self.put(out, "net.layers");
                for _ in 0..1 + self.below(4) {
                    self.put(out, ".map(|a, b|");
                    self.value(out, depth - 1);
                    self.put(out, ")");
                }
            }
            11 => {
                self.put(out, "(");
                self.value(out, depth - 1);
                self.put(out, ")");
            }
            _ => self.put(out, "!ready"),
        }
    }

    fn list(&mut self, out: &mut String, open: &str, close: &str, key: &str, depth: u64) {
        self.put(out, open);
        for i in 0..self.below(9) {
            if i > 0 {
                self.put(out, ",");
            }
            if !key.is_empty() {
                self.put(out, &format!("{}{i}:", key.trim_end_matches(':')));
            }
            self.value(out, depth);
        }
        self.put(out, close);
    }
}

#[test]
fn the_style_is_what_people_write() {
    let session = session();
    let laid = |source: &str| session.format("s", source).unwrap();
    assert_eq!(
        laid("let x=-1+ - 2*(a- -b) ;if x>1{y=2;}else{ y=3 }"),
        "let x = -1 + -2 * (a - -b);\nif x > 1 { y = 2; } else { y = 3 }\n"
    );
    assert_eq!(laid("let m=#{a:1,b:[1,2]}; // why\n\n\n\nf( m )"), "let m = #{ a: 1, b: [1, 2] }; // why\n\nf(m)\n");
    assert_eq!(laid("for i in 0 .. 3 {\nshow( i ) }"), "for i in 0..3 {\n    show(i)\n}\n");
    let long =
        "let v = net.layers.filter(|l| l.kind == \"relu\" && l.shape.len() == 3).map(|l| l.name).reduce(|a, b| a + b);";
    let broken = "let v = net.layers\n    .filter(|l| l.kind == \"relu\" && l.shape.len() == 3)\n    .map(|l| l.name)\n    .reduce(|a, b| a + b);\n";
    assert_eq!(laid(long), broken);
    // Cells, also those of another language, a shell's line, text cells and the ends of lines of Windows.
    let cells = "#!/usr/bin/env -S convscope run\n// %% [markdown]\n// #  A   title  \n\n// %%\nlet  x=1\n\n// %%\n%%rust\nlet  y =  2;\n";
    assert_eq!(laid(cells), cells.replace("let  x=1", "let x = 1"));
    assert_eq!(laid("f( 1 );\r\ng( 2 )\r\n"), "f(1);\r\ng(2)\r\n");
    assert_eq!(laid(""), "");
}

#[test]
fn files_folders_and_stdin_are_laid_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("in/deep")).unwrap();
    std::fs::write(path("in/deep/a.rhai"), "f( 1 )\n").unwrap();
    std::fs::write(path("in/b.rhai"), "let x = ;\n").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        let output = command.arg("fmt").args(arguments).current_dir(folder.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = run(&["--check", "in"]);
    assert!(code == 1 && out.contains("a.rhai") && err.contains('^'), "{out}{err}");
    assert_eq!(std::fs::read_to_string(path("in/deep/a.rhai")).unwrap(), "f( 1 )\n");
    let (code, _, err) = run(&["in"]);
    assert!(code == 1 && err.contains("b.rhai:1:9"), "{err}");
    assert_eq!(std::fs::read_to_string(path("in/deep/a.rhai")).unwrap(), "f(1)\n");
    assert_eq!(std::fs::read_to_string(path("in/b.rhai")).unwrap(), "let x = ;\n");
    assert_eq!(run(&["--check", "in/deep"]).0, 0);
    let mut child = Command::new(env!("CARGO_BIN_EXE_convscope"))
        .args(["fmt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"g( 2 )").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"g(2)\n");
}

#[test]
fn manual_pages_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
    assert!(command.args(["man", "--out"]).arg(folder.path()).status().unwrap().success());
    let page = std::fs::read_to_string(folder.path().join("convscope-run.1")).unwrap();
    assert!(page.contains("convscope") && page.contains("seed"), "{page}");
    assert!(folder.path().join("convscope.1").is_file());
}
