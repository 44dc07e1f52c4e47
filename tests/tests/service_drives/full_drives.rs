//! Full drives, and drives with write errors.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{Scenario, TIMEOUT, contains_all, no_options, rounds, run};
use nix::mount::{MntFlags, umount2};

/// A drive whose image lies in a small memory filesystem: when that is full, what is written to the drive fails.
struct Thin {
    scenario: Scenario,
    memory: PathBuf,
}

impl Thin {
    fn begin() -> Result<Self> {
        let mut memory = PathBuf::new();
        let scenario = Scenario::on(&["home"], "", |fixture| {
            memory = fixture.sandbox.join("memory");
            fs::create_dir(&memory)?;
            tmpfs(&memory, "size=1g")?;
            fixture.image("memory/a", "Blue")
        })?;
        Ok(Self { scenario, memory })
    }

    /// Lets it take so many bytes more, and no others.
    ///
    /// A page a request: since Linux 6.16 the loop driver tells a request as done of which its file has taken only the first
    /// part (`lo_complete_rq` looks at the length of reads alone), so a whole request has to fit, or nothing of it.
    fn narrow(&self, more: u64) -> Result<()> {
        fs::write(format!("/sys/block/{}/queue/max_sectors_kb", self.scenario.device()?), "4")?;
        let used = fs::metadata(&self.scenario.image)?.blocks() * 512;
        tmpfs(&self.memory, &format!("remount,size={}", used + more))
    }

    fn heal(&self) -> Result<()> {
        tmpfs(&self.memory, "remount,size=1g")
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        self.heal().ok();
        self.scenario.fixture.stop().ok();
        drop(self.scenario.disk.take());
        umount2(&self.memory, MntFlags::MNT_DETACH).ok();
    }
}

fn tmpfs(at: &Path, options: &str) -> Result<()> {
    run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "butterdock-sandbox"]).arg(at), TIMEOUT)?
        .success()?;
    Ok(())
}

/// Bytes that no filesystem stores in less, others at each call.
fn noise(len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_drive_is_backed_up_after_write_errors_end() -> Result<()> {
    let mut thin = Thin::begin()?;
    thin.scenario.job("Backup", &no_options())?;
    thin.scenario.drive("safe", &DriveState::Safe)?;
    let mut failed = 0;
    for point in (0..20_u64).step_by(rounds(4, 1)) {
        (|| {
            fs::write(thin.scenario.source.join("grown"), noise(6 << 20)?)?;
            thin.narrow(point * (400 << 10))?;
            let job = thin.scenario.start_backup()?;
            let (state, error, message) = thin.scenario.end_of_backup(&job)?;
            thin.heal()?;
            if state != "succeeded" {
                failed += 1;
                ensure!(state == "failed", "{state} {error} {message}");
                ensure!(["DeviceGone", "NoSpace", "ReadOnly"].contains(&error.as_str()), "{error} {message}");
                says_why(&error, &message)?;
                thin.scenario.no_worker_is_left()?;
                // Before the job's end, at it, or never, the filesystem became read-only because it could not commit. In each
                // case the job said that it failed, nothing that was reported as done is missing, and the drive can go.
                let removed = thin.scenario.job("SafelyRemove", &no_options());
                ensure!(removed.is_ok(), "let go: {removed:?}, after {error} {message}");
                thin.scenario.nothing_is_incomplete()?;
            }
            let before = thin.scenario.good_backups()?;
            thin.scenario.drive("let go", &DriveState::Safe)?;
            thin.scenario.unplug()?;
            thin.scenario.plug()?;
            thin.scenario.fixture.client.until("the next backup", |_| Ok(thin.scenario.good_backups()? > before))?;
            thin.scenario.drive("safe", &DriveState::Safe)?;
            ensure!(thin.scenario.newest_is_the_source()?, "no increment");
            Ok(())
        })()
        .with_context(|| format!("point {point}"))?;
    }
    ensure!(failed >= rounds(2, 5), "only {failed} points failed");
    Ok(())
}

/// A drive that cannot be written: what it is like, and what to do.
fn says_why(error: &str, message: &str) -> Result<()> {
    contains_all(message, &["; "])?;
    let next = if error == "NoSpace" { ["room", "larger drive"] } else { ["dmesg", "cable"] };
    ensure!(next.iter().any(|word| message.contains(word)), "not said what to do: {error} {message}");
    Ok(())
}

/// Checks that a backup does not fit, and that the message says how much is missing.
fn does_not_fit(scenario: &Scenario) -> Result<()> {
    let job = scenario.start_backup()?;
    let (state, error, message) = scenario.end_of_backup(&job)?;
    ensure!((state.as_str(), error.as_str()) == ("failed", "NoSpace"), "{state} {error} {message}");
    contains_all(&message, &["the drive is full", "MiB are needed", "larger drive"])?;
    scenario.drive("let go", &DriveState::Safe)?;
    scenario.nothing_is_incomplete()
}

#[test]
fn a_full_drive_is_pruned_once_then_reported() -> Result<()> {
    let scenario =
        Scenario::on(&["home"], "keep = { last = 1 }\nprotect = \"0h\"", |fixture| fixture.image("a", "Blue"))?;
    let large = scenario.source.join("large");
    for seed in 1..=4 {
        // Two have room beside each other, three have not: the oldest makes room.
        fs::write(&large, noise(70 << 20)?)?;
        scenario.job("Backup", &no_options()).with_context(|| format!("backup {seed}"))?;
        scenario.drive("safe", &DriveState::Safe)?;
    }
    let before = scenario.on_drive(|all| Ok(all.to_vec()))?;
    fs::write(&large, noise(300 << 20)?)?;
    does_not_fit(&scenario)?;
    let after = scenario.on_drive(|all| Ok(all.to_vec()))?;
    ensure!(after.last() == before.last(), "the newest is gone: {before:?} {after:?}");
    fs::write(&large, noise(20 << 20)?)?;
    scenario.job("Backup", &no_options())?;
    ensure!(scenario.newest_is_the_source()?, "no increment");
    Ok(())
}

#[test]
fn a_drive_without_metadata_space_is_reported() -> Result<()> {
    let scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let many = scenario.source.join("small files");
    fs::create_dir(&many)?;
    let content = noise(2000)?;
    for number in 0..60_000 {
        fs::write(many.join(number.to_string()), &content)?;
    }
    does_not_fit(&scenario)?;
    fs::remove_dir_all(&many)?;
    fs::write(scenario.source.join("small"), "x")?;
    scenario.job("Backup", &no_options())?;
    ensure!(scenario.newest_is_the_source()?, "no increment");
    Ok(())
}
