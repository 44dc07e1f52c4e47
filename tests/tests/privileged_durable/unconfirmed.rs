//! A filesystem that fails between the new name and the last sync.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_receive::{Control, ErrorKind, Observer, Options, Phase, Publication, receive};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Sandbox, TIMEOUT, run};

use crate::source::names;

/// Makes the filesystem read-only when the subvolume has its name, as an error of the device does.
struct BecomesReadOnly(PathBuf);

impl Observer for BecomesReadOnly {
    #[expect(clippy::expect_used, reason = "an observer cannot fail; the test does")]
    fn phase(&self, phase: Phase) {
        if phase == Phase::Settling {
            let mut remount = Command::new("mount");
            remount.args(["-o", "remount,ro"]).arg(&self.0);
            run(&mut remount, TIMEOUT).expect("run").success().expect("remounted");
        }
    }
}

#[test]
fn a_name_that_is_not_confirmed_is_reported_as_that() -> Result<()> {
    let sandbox = Sandbox::new()?;
    for (name, publication) in [("rename", Publication::Rename), ("snapshot", Publication::Snapshot)] {
        let volume = sandbox.plain_volume(name)?;
        let mut input = tempfile::tempfile()?;
        input.write_all(Stream::new(2).subvol("s0").mkfile("f").write("f", 0, b"x").end().bytes())?;
        input.rewind()?;
        let options = Options { publication, ..Options::default() };
        let (control, destination) = (Control::new()?, File::open(volume.path())?);
        let observer = BecomesReadOnly(volume.path().to_owned());
        let outcome = receive(input.as_fd(), destination.as_fd(), &options, &control, &observer);
        let failure = outcome.err().context("nothing failed")?;
        ensure!(failure.error.kind() == ErrorKind::ReadOnly && failure.published.is_empty(), "{failure}");
        let (visible, _) = names(volume.path())?;
        ensure!(visible == ["s0"], "{name}: {visible:?}");
        let told = failure.to_string();
        ensure!(told.contains("has its name") && told.contains("\"s0\""), "{name}: {told}");
    }
    Ok(())
}
