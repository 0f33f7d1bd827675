//! Mutants of small files through every reader: whatever the bytes, the end is a result or an error within bounds.
//!
//! Mutants follow from a seed and know the structure of their format (`mutate`), so that they get past a reader's first
//! checks. They run in processes of their own, which a crash, a hang or too much memory ends and names.
//! `CONVSCOPE_MUTANTS=20000` runs so many, and holds each to 10 seconds. `CONVSCOPE_MUTANTS_FROM` goes on from a number, so
//! that hours can be spent in parts.

mod corpus;
mod mutate;
mod readers;

use crate::own_process;
use convscope_engine::random::Stream;
use readers::READERS;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Mutants of each reader, where nothing else is asked for.
const EACH: u64 = 120;
/// What the process may hold, MB (`--memory`), and what it may come to at most with a file under 1 MB.
const MEMORY: u64 = 256;
const PEAK: u64 = 512;

/// The variables by which a process knows what to do: where to write how far it is and what it found.
const PROGRESS: &str = "CONVSCOPE_MUTANTS_PROGRESS";
const FOUND: &str = "CONVSCOPE_MUTANTS_FOUND";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[ignore = "takes minutes: cargo test --test it mutants -- --ignored"]
fn no_mutant_of_any_file_does_harm() {
    if let Some(part) = own_process::part() {
        return these(&part);
    }
    let asked = number("CONVSCOPE_MUTANTS");
    let each = asked.map_or(EACH, |n| n.div_ceil(READERS.len() as u64));
    let first = number("CONVSCOPE_MUTANTS_FROM").unwrap_or(0);
    let folder = tempfile::tempdir().unwrap();
    let (progress, found) = (folder.path().join("progress"), folder.path().join("found"));
    let mut said = String::new();
    let (mut total, mut crashes) = (0, 0);
    for reader in READERS {
        let mut from = first;
        while from < first + each {
            std::fs::write(&progress, "").unwrap();
            let part = format!("{} {from} {}", reader.name, first + each);
            let mut command = own_process::again("mutants::no_mutant_of_any_file_does_harm", &part);
            let output = command.arg("--ignored").env(PROGRESS, &progress).env(FOUND, &found).output().unwrap();
            if output.status.success() {
                break;
            }
            let at = std::fs::read_to_string(&progress).unwrap().trim().parse::<u64>().unwrap_or(from);
            let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_string();
            said += &format!("{} {at}: ended with {}: {last}\n", reader.name, output.status);
            crashes += 1;
            assert!(crashes < 50, "{said}");
            from = at + 1;
        }
        total += each;
    }
    let found = std::fs::read_to_string(&found).unwrap_or_default();
    println!("{total} mutants of {} readers, {} findings", READERS.len(), crashes + found.lines().count());
    assert!(said.is_empty() && found.is_empty(), "{said}{found}");
}

/// What a process looks at now, and for how long it has.
static AT: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

/// Runs the mutants that `part` names: a reader, the first, the one behind the last.
fn these(part: &str) {
    let words: Vec<&str> = part.split(' ').collect();
    let reader = READERS.iter().find(|r| r.name == words[0]).unwrap();
    let (from, to): (u64, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    let (progress, found) = [PROGRESS, FOUND].map(|v| PathBuf::from(std::env::var_os(v).unwrap())).into();
    convscope_engine::limits::set_memory(MEMORY << 20);
    let say = move |at: u64, what: &str| {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&found).unwrap();
        writeln!(file, "{} {at}: {what}", words[0]).unwrap();
    };
    let patience = Duration::from_secs(if number("CONVSCOPE_MUTANTS").is_some() { 10 } else { 60 });
    std::thread::scope(|scope| {
        scope.spawn(|| watch(patience));
        // The panics themselves are told below, by their number.
        std::panic::set_hook(Box::new(|_| ()));
        for at in from..to {
            std::fs::write(&progress, at.to_string()).unwrap();
            AT.store(at, Ordering::SeqCst);
            one(reader, at, &say);
        }
        let _ = std::panic::take_hook();
        DONE.store(true, Ordering::SeqCst);
    });
}

fn one(reader: &readers::Reader, at: u64, say: &dyn Fn(u64, &str)) {
    let mut rng = Stream::new(at, reader.name);
    let seeds = corpus::of(reader.name);
    let seed = &seeds[rng.next_below(seeds.len() as u64) as usize];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &seed.beside {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let bytes = mutate::mutant(seed, &mut rng);
    let path = folder.path().join(seed.name);
    std::fs::write(&path, &bytes).unwrap();
    reset_peak();
    match std::panic::catch_unwind(|| (reader.read)(&path)) {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            say(at, &format!("panics: {text}"));
        }
        Ok(Err(e)) if e.kind == convscope_engine::Kind::Internal => say(at, &format!("is a defect: {e}")),
        Ok(_) => {}
    }
    if let Some(peak) = peak()
        && peak > PEAK
        && bytes.len() < 1 << 20
    {
        say(at, &format!("takes {peak} MB for {} bytes", bytes.len()));
    }
}

/// Ends the process where one mutant takes longer than `patience`.
fn watch(patience: Duration) {
    let (mut seen, mut since) = (u64::MAX, std::time::Instant::now());
    while !DONE.load(Ordering::SeqCst) {
        let at = AT.load(Ordering::SeqCst);
        if at != seen {
            (seen, since) = (at, std::time::Instant::now());
        }
        if since.elapsed() > patience {
            eprintln!("it takes longer than {patience:?}");
            std::process::exit(3);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Forgets the most memory that the process ever held, where the system can.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that the process held since, MB; nothing where the system does not say.
fn peak() -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
}
