//! Which module may use which: every `crate::…` in the sources, against one table for each crate.
//!
//! Cargo guards the directions between crates. Within a crate only this does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module, and the modules of its crate that it may use.
type Table = &'static [(&'static str, &'static [&'static str])];

const PROGRAM: Table = &[
    ("app", &["args", "output", "receive", "serve"]),
    ("args", &[]),
    ("bus", &[]),
    ("main", &[]),
    ("output", &[]),
    ("receive", &["args", "output"]),
    ("serve", &["args", "bus", "output"]),
];

const SERVICE: Table = &[
    ("backup_list", &["types"]),
    ("backups", &["configured", "system_directories"]),
    ("blocking", &[]),
    ("catalogue", &[]),
    ("checkpoint_key", &["config", "durable"]),
    ("clock", &["blocking", "catalogue", "durable"]),
    ("config", &["backups", "configured", "schedule"]),
    ("configured", &[]),
    ("destination_list", &["types"]),
    ("deletion_orders", &["backups", "durable"]),
    ("destinations", &["backups", "dir_handle", "drives", "types", "volumes", "worker"]),
    ("device", &["types"]),
    ("dir_handle", &["blocking"]),
    (
        "drives",
        &[
            "backups",
            "blocking",
            "catalogue",
            "clock",
            "config",
            "destination_list",
            "device",
            "dir_handle",
            "durable",
            "enrolment",
            "hooks",
            "policy",
            "schedule",
            "supervisor",
            "types",
            "untrusted_fd",
            "volumes",
        ],
    ),
    ("durable", &[]),
    ("enrolment", &["device", "durable", "types"]),
    ("explain", &["backups", "config", "text", "volumes"]),
    (
        "files",
        &[
            "backups",
            "config",
            "destinations",
            "drives",
            "jobs",
            "own_files",
            "service",
            "snapshots",
            "types",
            "volumes",
        ],
    ),
    ("hooks", &["config", "text", "types"]),
    ("notify", &["blocking", "catalogue", "clock", "config", "durable", "hooks", "supervisor", "text"]),
    (
        "jobs",
        &[
            "backups",
            "blocking",
            "catalogue",
            "clock",
            "config",
            "destinations",
            "dir_handle",
            "drives",
            "durable",
            "hooks",
            "prune_locks",
            "supervisor",
            "types",
            "untrusted_fd",
            "volumes",
            "worker",
        ],
    ),
    ("lib", &[]),
    ("mounts", &["blocking", "config", "device", "drives", "jobs", "supervisor", "volumes", "worker"]),
    ("own_files", &["backups", "jobs", "service", "types"]),
    ("policy", &["config", "device", "enrolment", "types"]),
    ("queries", &["backups", "blocking", "destinations", "drives", "jobs", "service", "types"]),
    ("renames", &["blocking", "config", "durable"]),
    ("rename_requests", &["blocking", "renames", "service", "types"]),
    (
        "requests",
        &[
            "backups",
            "blocking",
            "drives",
            "jobs",
            "service",
            "snapshots",
            "stream_input",
            "types",
            "untrusted_fd",
            "volumes",
        ],
    ),
    ("schedule", &[]),
    (
        "scenarios",
        &[
            "backups",
            "clock",
            "config",
            "destinations",
            "device",
            "dir_handle",
            "drives",
            "files",
            "jobs",
            "notify",
            "own_files",
            "schedule",
            "service",
            "snapshots",
            "supervisor",
            "types",
            "worker",
        ],
    ),
    (
        "service",
        &[
            "backup_list",
            "blocking",
            "catalogue",
            "clock",
            "config",
            "destination_list",
            "deletion_orders",
            "device",
            "drives",
            "hooks",
            "jobs",
            "mounts",
            "notify",
            "renames",
            "supervisor",
            "time_trigger",
            "types",
            "volumes",
            "worker",
        ],
    ),
    (
        "settings",
        &[
            "backups",
            "blocking",
            "config",
            "configured",
            "drives",
            "durable",
            "service",
            "system_directories",
            "types",
            "volumes",
        ],
    ),
    ("snapshots", &["backups", "blocking", "config", "deletion_orders", "drives", "jobs", "service", "types"]),
    ("prune_locks", &[]),
    ("stream_input", &["jobs", "types", "untrusted_fd"]),
    ("supervisor", &[]),
    ("system_directories", &[]),
    ("text", &[]),
    ("time_trigger", &["clock", "drives", "supervisor"]),
    ("types", &[]),
    ("untrusted_fd", &["blocking"]),
    ("volumes", &["blocking", "config", "configured", "dir_handle", "system_directories", "types"]),
    ("worker", &["dir_handle", "untrusted_fd"]),
];

const WORKER: Table = &[
    ("backups", &["clock", "file_parts", "hex"]),
    ("clock", &[]),
    ("caller", &["hex"]),
    ("confine", &["caller"]),
    ("descriptors", &["packet"]),
    ("file_parts", &[]),
    ("files", &["backups", "caller", "descriptors", "hex"]),
    ("hex", &[]),
    ("job", &["backups", "files", "streams", "verify"]),
    ("lib", &[]),
    ("packet", &[]),
    ("priority", &[]),
    ("protocol", &["backups", "caller", "files", "hex", "packet", "priority", "streams", "verify", "worker_error"]),
    ("report_writer", &[]),
    ("public_sentence", &["backups", "worker_error"]),
    ("run", &["priority"]),
    ("streams", &["hex"]),
    ("verify", &["backups", "file_parts", "hex"]),
    ("worker_error", &["backups", "files", "streams", "verify"]),
];

pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a source names after `crate::`, alone or in braces; comments do not count.
fn used(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.concat();
    let mut modules = BTreeSet::new();
    for behind in code.split("crate::").skip(1) {
        let Some(list) = behind.strip_prefix('{') else {
            modules.insert(word(behind));
            continue;
        };
        let mut depth = 0_usize;
        let mut at_a_name = true;
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_a_name = true,
                _ if at_a_name && !letter.is_whitespace() => {
                    modules.insert(word(&list[at..]));
                    at_a_name = false;
                }
                _ => {}
            }
        }
    }
    modules
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn modules_use_only_those_that_the_design_allows() {
    for (folder, table) in [("src", PROGRAM), ("service/src", SERVICE), ("worker/src", WORKER)] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files = Vec::new();
        sources(&root, &mut files);
        let mut wrong = Vec::new();
        for file in files {
            let within = file.strip_prefix(&root).expect("below it");
            let first = within.components().next().expect("a name").as_os_str();
            let module = Path::new(first).file_stem().expect("a name").to_str().expect("text");
            let allowed = table.iter().find(|(name, _)| *name == module);
            let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is missing in the table of {folder}"));
            for other in used(&fs::read_to_string(&file).expect("read")) {
                if other != module && !allowed.contains(&other.as_str()) {
                    wrong.push(format!("{}: {other}", within.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "modules of {folder} that must not be used there: {wrong:#?}");
    }
}

#[test]
fn no_module_uses_one_that_uses_it() {
    for table in [PROGRAM, SERVICE, WORKER] {
        // Remove modules that use no other remaining module; the rest is in a circle.
        let mut left: Vec<_> = table.to_vec();
        loop {
            let before = left.len();
            let names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
            left.retain(|(_, used)| used.iter().any(|used| names.contains(used)));
            if left.len() == before {
                break;
            }
        }
        assert!(left.is_empty(), "modules in a circle: {left:#?}");
    }
}

#[test]
fn a_module_is_found_alone_in_braces_and_over_lines() {
    let modules =
        used("use crate::app::USAGE;\nuse crate::{\n    bus::{self, BusServer}, output,\n};\n// crate::serve\n");
    assert_eq!(modules, ["app", "bus", "output"].map(str::to_owned).into());
}
