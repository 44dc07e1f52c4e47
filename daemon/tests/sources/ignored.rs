//! Forbids ignored tests: no run shows that they still pass.

use std::fs;
use std::path::Path;

use super::modules::sources;

#[test]
fn no_test_is_ignored() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for part in ["cli", "daemon", "dbus", "tests"] {
        sources(&workspace.join(part), &mut files);
    }
    // In two pieces, so that this file does not match.
    let ignored =
        |file: &&std::path::PathBuf| fs::read_to_string(file).expect("read").contains(concat!("#[", "ignore"));
    let found: Vec<_> = files.iter().filter(ignored).collect();
    assert!(files.len() > 100 && found.is_empty(), "{} files, and ignored tests in {found:#?}", files.len());
}
