//! What a source can have that the kernel does not send: an active swapfile, a long path, flags of new files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::flags::{Flags, flags, set_flags};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::{Scenario, TIMEOUT, contains_all, no_options, run};
use rustix::fs::{Mode, OFlags, mkdirat, openat};

/// Switches it off.
struct Swap(PathBuf);

impl Swap {
    fn on(path: &Path) -> Result<Self> {
        let file = File::create(path)?;
        set_flags(&file, Flags::NO_COW)?;
        fs::write(path, vec![0; 4 << 20])?;
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        run(Command::new("mkswap").arg("-q").arg(path), TIMEOUT)?.success()?;
        run(Command::new("swapon").arg(path), TIMEOUT)?.success()?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        drop(run(Command::new("swapoff").arg(&self.0), TIMEOUT));
    }
}

/// The public message and the one for those who may see names, of a backup that fails.
fn refused(scenario: &Scenario) -> Result<(String, String)> {
    let job = scenario.start_backup()?;
    let (state, _, message) = scenario.end_of_backup(&job)?;
    ensure!(state == "failed", "{state}: {message}");
    scenario.drive("safe", &DriveState::Safe)?;
    Ok((scenario.fixture.client.get(&job, JOB, "ErrorMessage")?, message))
}

#[test]
fn what_cannot_be_sent_is_named_with_the_way_out() -> Result<()> {
    let scenario = Scenario::begin()?;
    let swap = Swap::on(&scenario.source.join("my swap"))?;
    let (public, message) = refused(&scenario)?;
    contains_all(&public, &["the source has an active swapfile", "swapoff"])?;
    contains_all(&message, &["/home/my swap\": the source has an active swapfile"])?;
    drop(swap);
    fs::remove_file(scenario.source.join("my swap"))?;

    let name = "d".repeat(240);
    let mut directory = File::open(&scenario.source)?;
    for _ in 0..18 {
        mkdirat(&directory, name.as_str(), Mode::RWXU)?;
        directory = openat(&directory, name.as_str(), OFlags::DIRECTORY, Mode::empty())?.into();
    }
    drop(directory);
    let (public, message) = refused(&scenario)?;
    contains_all(&public, &["a path of the source is longer than 4095 bytes", "rename a directory"])?;
    contains_all(&message, &[&format!("\"{name}/{name}/")])?;
    fs::remove_dir_all(scenario.source.join(&name))?;

    let file = File::create(scenario.source.join("immutable"))?;
    set_flags(&file, flags(&file)?.with(Flags::IMMUTABLE))?;
    let done = scenario.job("Backup", &no_options());
    set_flags(&file, flags(&file)?.without(Flags::IMMUTABLE))?;
    let note: String = scenario.fixture.client.get(&done.context("the backup")?, JOB, "Note")?;
    contains_all(&note, &["flags of chattr that btrfs send does not send for new files"])
}
