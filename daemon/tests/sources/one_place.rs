//! Mechanisms that have one place each: threads for blocking calls, wall time, and the store of the records of sources.

use std::fs;
use std::path::Path;

use super::modules::sources;

/// Files, and the reason why each is allowed.
type Allowed = &'static [(&'static str, &'static str)];

/// The calls that start a thread.
const STARTING: &[&str] = &["spawn_blocking", "thread::Builder", "thread::spawn", "Builder::new().name("];

const STARTS_THREADS: Allowed = &[
    ("service/src/blocking/closer.rs", "the threads that close descriptors"),
    ("service/src/blocking/mod.rs", "short local work on the runtime's pool"),
    ("service/src/blocking/queue.rs", "the threads of blocking calls, up to a limit for each owner"),
    ("service/src/hooks/mod.rs", "one thread runs the hooks in order, as long as the service"),
    ("service/src/supervisor.rs", "a test of a supervised thread"),
    ("service/src/worker/spawner/mod.rs", "one thread is the parent of all workers; one waits for each process"),
    ("src/receive/signals.rs", "the command `receive` has no runtime; one thread waits for its signals"),
];

/// The calls that read wall time.
const READING: &[&str] = &["SystemTime::now", "ClockId::Realtime", "Timestamp::now", "Zoned::now"];

const READS_WALL_TIME: Allowed = &[
    ("service/src/clock/mod.rs", "the clock that all others get"),
    ("worker/src/backups/task.rs", "for an order without a time"),
];

const MAKES_SOURCE_STORES: Allowed = &[
    ("service/src/jobs/kinds/backup/tests.rs", "a test"),
    ("service/src/jobs/scheduler/mod.rs", "the one of the service; all others are its clones, which share its lock"),
    ("service/src/jobs/source_store.rs", "its tests"),
];

/// Whether the code of a source contains one of these calls; comments and imports may name them.
fn calls(source: &str, words: &[&str]) -> bool {
    let mut code =
        source.lines().map(str::trim_start).filter(|line| !["//", "use "].iter().any(|it| line.starts_with(it)));
    code.any(|line| words.iter().any(|word| line.contains(word)))
}

fn files_with(words: &[&str], folders: &[&str]) -> Vec<String> {
    let daemon = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in folders {
        let mut files = Vec::new();
        sources(&daemon.join(folder), &mut files);
        assert!(files.len() > 10, "{folder}");
        for file in files.iter().filter(|file| calls(&fs::read_to_string(file).expect("read"), words)) {
            found.push(file.strip_prefix(daemon).expect("below it").to_str().expect("text").to_owned());
        }
    }
    found.sort_unstable();
    found
}

fn names(allowed: Allowed) -> Vec<&'static str> {
    allowed.iter().map(|(file, _)| *file).collect()
}

#[test]
fn threads_for_blocking_calls_have_one_module() {
    let found = files_with(STARTING, &["src", "service/src"]);
    let text = "blocking calls go through crate::blocking; a long-lived thread gives its reason here";
    assert_eq!(found, names(STARTS_THREADS), "{text}");
}

#[test]
fn wall_time_has_one_clock() {
    let found = files_with(READING, &["src", "service/src", "worker/src"]);
    assert_eq!(
        found,
        names(READS_WALL_TIME),
        "the service reads its injected clock; a worker gets the time in its order"
    );
}

#[test]
fn the_records_of_sources_have_one_lock() {
    let found = files_with(&["SourceStore::new("], &["src", "service/src"]);
    assert_eq!(found, names(MAKES_SOURCE_STORES), "another store has another lock: clone the one of the scheduler");
}

#[test]
fn calls_are_found_but_not_in_imports_and_comments() {
    assert!(calls("    let done = tokio::task::spawn_blocking(move || work()).await;\n", STARTING));
    assert!(calls("    Builder::new().name(name).spawn(work)\n", STARTING));
    assert!(!calls("use tokio::task::spawn_blocking;\n// spawn_blocking\nthread::scope(|threads| {});\n", STARTING));
    assert!(calls("    let now = std::time::SystemTime::now();\n", READING));
}
