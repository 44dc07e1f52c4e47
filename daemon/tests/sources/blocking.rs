//! Threads for blocking calls are started in one module of the service; every other thread has a reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::modules::sources;

/// By which a thread is started.
const STARTING: &[&str] = &["spawn_blocking", "thread::Builder", "thread::spawn", "Builder::new().name("];

/// The files that start threads, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("service/src/blocking/closer.rs", "the threads that close descriptors"),
    ("service/src/blocking/mod.rs", "short local work on the runtime's pool"),
    ("service/src/blocking/queue.rs", "the threads of blocking calls, up to a limit for each owner"),
    ("service/src/hooks/mod.rs", "one thread runs the hooks in order, as long as the service"),
    ("service/src/supervisor.rs", "a test of a supervised thread"),
    ("service/src/worker/spawner/mod.rs", "one thread is the parent of all workers; one waits for each process"),
    ("src/receive/signals.rs", "the command `receive` has no runtime; one thread waits for its signals"),
];

/// How many threads a source starts; comments may name them.
fn started(source: &str) -> usize {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(|line| STARTING.iter().any(|word| line.contains(word)) && !line.trim_start().starts_with("use "))
        .count()
}

#[test]
fn threads_for_blocking_calls_have_one_module() {
    let daemon = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for part in ["src", "service/src"] {
        let mut files = Vec::new();
        sources(&daemon.join(part), &mut files);
        assert!(files.len() > 10, "{part}");
        for file in files {
            if started(&fs::read_to_string(&file).expect("read")) > 0 {
                let name = file.strip_prefix(daemon).expect("below it").to_str().expect("text").to_owned();
                found.insert(name, file);
            }
        }
    }
    let allowed: Vec<&str> = ALLOWED.iter().map(|(file, _)| *file).collect();
    let found: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(found, allowed, "blocking calls go through crate::blocking; a long-lived thread gives its reason here");
}

#[test]
fn a_started_thread_is_found() {
    assert_eq!(started("    let done = tokio::task::spawn_blocking(move || work()).await;\n"), 1);
    assert_eq!(started("use tokio::task::spawn_blocking;\n// spawn_blocking\nthread::scope(|threads| {});\n"), 0);
    assert_eq!(started("    Builder::new().name(name).spawn(work)\n"), 1);
}
