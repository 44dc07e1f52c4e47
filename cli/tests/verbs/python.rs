//! Runs the Python example of dbus/README.md, if python3-dbus and python3-gi are installed.

use std::path::Path;
use std::process::Command;

use crate::run::{Fixture, Ran};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dbus/README.md");

fn example() -> String {
    let readme = std::fs::read_to_string(README).expect("the README");
    let code = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    code.expect("an example").to_owned()
}

fn run(fixture: &Fixture, folder: &Path) -> Option<Ran> {
    let mut python = Command::new("/usr/bin/python3");
    let available = python.args(["-c", "import dbus, gi"]).output().is_ok_and(|done| done.status.success());
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(example()).current_dir(folder).env("DBUS_SYSTEM_BUS_ADDRESS", fixture.bus.address());
    available.then(|| Ran::of(&mut python))
}

#[test]
fn the_example_follows_a_job_to_its_end() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    std::fs::write(folder.join("monday.stream"), "ok alone 11").expect("written");
    let Some(ran) = run(&fixture, folder) else { return };
    assert!(ran.out.ends_with("succeeded\n") && ran.out.contains("11 bytes"), "{ran:?}");
    std::fs::write(folder.join("monday.stream"), "fail alone").expect("written");
    let Some(ran) = run(&fixture, folder) else { return };
    assert!(ran.out.contains("failed\norg.butterdock.Butterdock1.Error.NoSpace cannot write"), "{ran:?}");
}
