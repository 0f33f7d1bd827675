//! Tests that a session survives panics, full memory and deep values.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::output::Silent;

fn session() -> Session {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    assert!(session.run_cell("let kept = 7;").error.is_none());
    session
}

fn has_kept(session: &mut Session) -> bool {
    format!("{:?}", session.run_cell("kept").value).contains('7')
}

#[test]
fn a_text_that_would_fill_the_memory_is_not_made() {
    let mut session = session();
    let replaced = session.run_cell("let t = `x-y-x`; t.replace(`x`, `zz`); t.replace('-', `+`); t");
    assert!(format!("{:?}", replaced.value).contains("zz+y+zz"), "{replaced:?}");
    let code = "let t = `a`; for i in 0..22 { t += t; } t.replace(`a`, t);";
    assert_eq!(session.run_cell(code).error.unwrap().message, "a text grew too large");
    assert!(has_kept(&mut session));
}

#[test]
fn a_value_that_grew_too_deep_does_not_end_the_next_cell() {
    let mut session = session();
    let deep = session.run_cell("let kept = 1; let a = 1; for i in 0..100000 { a = [a]; }");
    assert!(deep.error.unwrap().message.starts_with("values are nested more than"));
    let next = session.run_cell("let n = 0; for i in 0..100000 { n += 1; } n");
    assert!(next.error.is_none(), "{next:?}");
}

#[test]
fn lists_follow_the_memory() {
    let mut job = Job::new();
    job.memory = 64 << 20;
    let mut session = Session::new(job, Arc::new(Silent));
    let of = |n: u32| format!("let a = [0]; for i in 0..{n} {{ a += a; }} a.len()");
    assert!(session.run_cell(&of(19)).error.is_none());
    assert_eq!(session.run_cell(&of(22)).error.unwrap().message, "a list grew too large");
}

#[test]
fn a_panic_in_native_code_ends_the_cell_only() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut session = session();
    session.engine.register_fn("crash", || -> i64 { panic!("out of order") });
    let result = session.run_cell("let lost = crash();");
    assert!(result.error.unwrap().message.contains("out of order"));
    assert!(has_kept(&mut session));
}

#[test]
fn a_script_that_fills_the_memory_ends_and_what_it_made_is_gone() {
    let mut session = session();
    *session.watch.lock().unwrap() = Watch::of(crate::memory::resident_bytes().map(|held| held + (20 << 20)));
    let result =
        session.run_cell("let t = `x`; for i in 0..20 { t += t; } let big = []; loop { big.push(t + big.len()); }");
    if crate::memory::resident_bytes().is_some() {
        assert_eq!(result.error.unwrap().message, "the values of the script fill the memory");
        assert_eq!(session.variables(), ["kept"]);
    }
    assert!(has_kept(&mut session));
}

#[test]
fn an_error_is_placed_where_its_function_was_defined() {
    let mut session = session();
    session.run("cell[1]", "let a = 1;\nfn f(n) { n.nope() }");
    let error = session.run("cell[2]", "\n\nf(3)").error.unwrap();
    let spot = error.spot.unwrap();
    assert_eq!((spot.file.as_str(), spot.line, spot.text.as_str()), ("cell[1]", 2, "fn f(n) { n.nope() }"));
    assert_eq!(error.calls, ["in `f`, called from cell[2]:3:1"]);
}

#[test]
fn a_reset_session_is_as_a_new_one() {
    let mut session = session();
    assert!(session.run_cell("fn twice(n) { 2 * n } const C = 1;").error.is_none());
    session.reset();
    assert!(session.variables().is_empty());
    for code in ["kept", "C", "twice(1)"] {
        assert!(session.run_cell(code).error.is_some(), "{code}");
    }
    assert!(session.run_cell("load_model(\"shapes\")").error.is_none());
}

#[test]
fn a_closing_semicolon_keeps_the_value_quiet() {
    let mut session = session();
    assert!(session.run_cell("kept; // said").value.is_none());
    assert!(session.run_cell("kept // said;").value.is_some());
}

#[test]
fn constants_and_the_latest_values_are_kept() {
    let mut session = session();
    session.run_cell("const C = 1; let x = 1; let x = 2; let y = 3;");
    session.run_cell("let x = 5; let x = 6;");
    assert_eq!(session.variables(), ["C", "kept", "x", "y"]);
    assert!(format!("{:?}", session.run_cell("[C, x, y]").value).contains("[1, 6, 3]"));
    assert!(session.run_cell("C = 2").error.unwrap().message.contains("constant"));
}

#[test]
fn pieces_of_a_text_are_counted_before_they_are_made() {
    let mut job = Job::new();
    // Lists of 1,048,576 entries, texts of 4 MB.
    job.memory = 64 << 20;
    let mut session = Session::new(job, Arc::new(Silent));
    let made = session.run_cell("let t = `ab`; let w = `a `; for i in 0..20 { t += t; w += w; }");
    assert!(made.error.is_none(), "{made:?}");
    let calls = [
        "split(``)",
        "split(`b`)",
        "split('b')",
        "split_rev(`b`)",
        "split_rev('b')",
        "split(`b`, 1000000)",
        "to_chars()",
    ];
    for call in calls.map(|call| format!("t.{call}")).into_iter().chain(["w.split()".to_string()]) {
        let error = session.run_cell(&call).error.unwrap_or_else(|| panic!("{call}"));
        assert_eq!(error.message, "a list grew too large", "{call}");
        assert!(error.hint.is_some_and(|h| h.contains("`--memory`")), "{call}");
    }
    assert!(format!("{:?}", session.run_cell("t.split(`b`, 3).len()").value).contains('3'));
    for call in ["t.pad(5000000, 'x')", "t.pad(2100000, `éé`); t.pad(3500000, 'é')"] {
        assert_eq!(session.run_cell(call).error.unwrap().message, "a text grew too large", "{call}");
    }
}

#[test]
fn lists_whose_text_would_be_too_long_are_not_written() {
    let mut job = Job::new();
    job.memory = 64 << 20;
    let mut session = Session::new(job, Arc::new(Silent));
    assert!(session.run_cell("let a = []; a.pad(1000000, 123456789); let m = #{ a: a };").error.is_none());
    for code in
        ["print(a); 1", "a.to_string(); 1", "`${a}`; 1", "(`` + a).len()", "to_debug(m)", "try { print(a) } catch {} 1"]
    {
        let result = session.run_cell(code);
        assert_eq!(result.error.map(|e| e.message).as_deref(), Some("a text grew too large"), "{code}");
    }
    // The next cell begins anew.
    assert!(format!("{:?}", session.run_cell("a.len()").value).contains("1000000"));
}

#[test]
fn shadowed_values_are_forgotten_whoever_declared_them() {
    let mut session = session();
    assert!(session.run_cell("let a = 1; let b = 2;").error.is_none());
    // As a cell of another language does.
    session.scope.push_dynamic("c", Dynamic::from(3_i64));
    assert!(session.run_cell("let a = 4;").error.is_none());
    assert!(session.run_cell("let c = 5; let d = 6;").error.is_none());
    assert_eq!(session.scope.len(), 5);
    assert!(format!("{:?}", session.run_cell("[kept, a, b, c, d]").value).contains("[7, 4, 2, 5, 6]"));
    session.reset();
    assert!(session.run_cell("let a = 1;").error.is_none());
    assert_eq!(session.variables(), ["a"]);
}

#[test]
fn a_map_that_holds_itself_is_no_json() {
    let mut session = session();
    for call in ["to_json(m)", "m.to_json()"] {
        let error = session.run_cell(&format!("let m = #{{}}; let g = || m; m.a = g; {call}")).error;
        assert!(error.as_ref().is_some_and(|e| e.message.contains("JSON")), "{call}: {error:?}");
    }
    assert!(has_kept(&mut session));
}
