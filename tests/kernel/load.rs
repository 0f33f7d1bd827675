//! Runaway scripts, many clients and many cells.

use crate::front_end::FrontEnd;
use crate::front_end::others::Client;
use std::time::Instant;

#[test]
fn runaway_scripts_end_with_an_error() {
    let mut front = FrontEnd::start();
    front.run("let kept = 7;");
    for (code, says) in [
        ("fn f(n) { f(n + 1) } f(0)", "too deeply"),
        ("let f = |g, n| g.call(g, n + 1); f.call(f, 0)", "too deeply"),
        ("let a = [0]; loop { a += a; }", "grew too large"),
        ("let t = \"x\"; loop { t += t; }", "grew too large"),
        ("zeros([1000000, 1000000])", ""),
        ("shapes(1)[0].resize(1000000, 1000000)", ""),
        (&format!("{}1{}", "(".repeat(5000), ")".repeat(5000)), "nested too deeply"),
    ] {
        let reply = front.run(code).reply;
        assert_eq!(reply["status"], "error", "{code:.60}");
        assert!(reply["evalue"].as_str().unwrap().contains(says), "{code:.60}: {}", reply["evalue"]);
        assert_eq!(front.value("kept"), "7");
    }
}

#[test]
fn variables_that_are_set_again_leave_nothing_behind() {
    let mut front = FrontEnd::start();
    let code = "let net = load_model(\"shapes\"); let big = net.forward(shapes(1)[0]); let list = [big, net];
        let large = zeros([1000, 1000]); let f = |x| x + large[0][0];";
    for _ in 0..50 {
        front.run(code);
    }
    let before = front.megabytes();
    for _ in 0..5000 {
        front.run("let large = zeros([1000, 1000]);");
    }
    for _ in 0..50 {
        front.run(code);
    }
    let after = front.megabytes();
    assert!(after < before + 100, "{before} MB became {after} MB");
}

#[test]
fn twenty_clients_get_the_answers_to_two_thousand_cells() {
    let front = FrontEnd::start();
    let begun = Instant::now();
    // Who joins later does not hear what was said before.
    let joined = std::sync::Barrier::new(20);
    std::thread::scope(|scope| {
        for client in 0..20 {
            let (ports, joined) = (&front.ports, &joined);
            scope.spawn(move || {
                let mut own = Client::to(ports);
                joined.wait();
                for cell in 0..100 {
                    assert_eq!(own.value(&format!("{client} * 1000 + {cell}")), (client * 1000 + cell).to_string());
                }
                own.hear(2000);
            });
        }
    });
    println!("20 clients, 2,000 cells: {:.1} s, {} MB", begun.elapsed().as_secs_f64(), front.megabytes());
}

#[test]
fn cells_leave_no_memory_behind() {
    let mut front = FrontEnd::start();
    let cells = if crate::front_end::under_load() { 5000 } else { 1000 };
    let run = |front: &mut FrontEnd| {
        for i in 0..cells {
            assert_eq!(
                front.value(&format!("let list = [{i}, `text`, #{{ a: 1 }}]; print(list); list[0]")),
                i.to_string()
            );
        }
        front.megabytes()
    };
    let before = run(&mut front);
    let after = run(&mut front);
    println!("{cells} cells: {before} MB, {} cells: {after} MB", 2 * cells);
    // What is kept of a cell: its line of the history, and its signature, so that it is not run twice.
    assert!(after <= before + 8, "{before} MB became {after} MB");
}
