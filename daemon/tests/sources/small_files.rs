//! A file holds one noun with all that belongs to it. One with fewer than 50 lines is usually half of a noun: it has a reason here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::modules::sources;

const FEWEST: usize = 50;

/// The folders of these crates, from the root of the repository. The programs of the desktop are not covered.
const PRODUCT: &[&str] = &["cli", "daemon", "dbus"];

/// These are no product files.
const OTHERS: &[&str] = &["tests", "benches", "fuzz", "scenarios", "simulated"];

/// The list of the modules of a folder, or the beginning of a program, is as long as it is.
const ROOTS: &[&str] = &["mod.rs", "lib.rs", "main.rs", "build.rs"];

/// The small files, and why each is one.
const SMALL: &[(&str, &str)] = &[
    ("daemon/net/src/authorities.rs", "mail and http both need it, and neither imports the other"),
    ("daemon/receive/src/payload/zlib.rs", "one file for each compression"),
    ("daemon/service/src/destinations/source_folder.rs", "one file for each kind of destination"),
    ("daemon/service/src/drives/shared_records.rs", "the table of drives and the records both need it"),
    ("daemon/service/src/notify/program.rs", "the way to another process; tests put another one in its place"),
    ("daemon/service/src/text.rs", "hooks, notifications and explanations all need it"),
    ("dbus/src/proxy/volume.rs", "one file for each interface"),
];

#[test]
fn a_small_file_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut files: Vec<PathBuf> = Vec::new();
    PRODUCT.iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let is_product =
        |path: &Path| !path.iter().any(|part| OTHERS.iter().any(|other| part.to_string_lossy() == **other));
    let mut small = BTreeSet::new();
    for file in &files {
        let path = file.strip_prefix(root).expect("below it");
        let name = path.file_name().expect("a name").to_string_lossy();
        let is_test = name.contains("test") || name.starts_with("privileged");
        if is_product(path) && !is_test && !ROOTS.contains(&&*name) {
            let lines = fs::read_to_string(file).expect("read").lines().count();
            if lines < FEWEST {
                small.insert(path.to_str().expect("text").to_owned());
            }
        }
    }
    assert!(files.len() > 500, "{}", files.len());
    let explained: BTreeSet<String> = SMALL.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert!(SMALL.iter().all(|(_, reason)| !reason.is_empty()));
    assert_eq!(small, explained, "merge it with the file of its noun, or give the reason");
}
