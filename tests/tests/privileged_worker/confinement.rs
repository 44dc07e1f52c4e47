//! The confinement of a running worker, as /proc shows it.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::filesystem;
use butterdock_tests::{Sandbox, TIMEOUT, WorkerProcess, butterdockd, run};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use crate::capabilities::KEPT;
use crate::fixture::Stalled;

/// A word of `/proc/…/status`.
fn status(of: &Path, word: &str) -> Result<String> {
    let text = fs::read_to_string(of.join("status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {word} in {}", of.display()))?.trim().to_owned())
}

fn process(worker: &WorkerProcess) -> PathBuf {
    PathBuf::from(format!("/proc/{}", worker.id()))
}

#[test]
fn every_thread_has_exactly_eight_capabilities() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let stalled = Stalled::new(volume.path())?;
    let kept = format!("{:016x}", KEPT.bits());
    let none = "0".repeat(16);
    ensure!(KEPT.bits().count_ones() == 8, "{kept}");
    let mut threads = 0;
    for thread in fs::read_dir(process(&stalled.worker).join("task"))? {
        let thread = thread?.path();
        for (word, wanted) in
            [("CapEff", &kept), ("CapPrm", &kept), ("CapBnd", &none), ("CapInh", &none), ("CapAmb", &none)]
        {
            let found = status(&thread, word)?;
            ensure!(found == *wanted, "{word} is {found}, not {wanted}");
        }
        ensure!(status(&thread, "NoNewPrivs")? == "1", "it may get new privileges");
        ensure!(status(&thread, "Umask")? == "0000", "it has an umask");
        threads += 1;
    }
    ensure!(threads >= 3, "only {threads} threads: too early to be seen at work");
    Ok(())
}

#[test]
fn a_worker_has_its_own_namespaces_and_no_network() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let stalled = Stalled::new(volume.path())?;
    let process = process(&stalled.worker);
    for name in ["mnt", "net", "ipc", "uts"] {
        let (own, theirs) =
            (fs::read_link(format!("/proc/thread-self/ns/{name}"))?, fs::read_link(process.join("ns").join(name))?);
        ensure!(own != theirs, "it shares {name}");
    }
    let interfaces = fs::read_to_string(process.join("net/dev"))?;
    let names: Vec<&str> = interfaces.lines().skip(2).filter_map(|line| line.trim().split(':').next()).collect();
    ensure!(names == ["lo"], "{names:?}");
    Ok(())
}

#[test]
fn an_unmount_reaches_the_worker() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let (drives, drive) = (sandbox.join("drives"), sandbox.join("drives/one"));
    fs::create_dir_all(&drive)?;
    // As a booted system has its mounts: what changes below a shared one changes below all that are its slaves.
    mount(Some(&drives), &drives, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    mount(None::<&str>, &drives, None::<&str>, MsFlags::MS_SHARED, None::<&str>)?;
    mount(Some("butterdock-sandbox"), &drive, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    let has_it = |worker: &WorkerProcess| -> Result<bool> {
        let mounts = fs::read_to_string(process(worker).join("mountinfo"))?;
        Ok(mounts.lines().any(|line| line.split(' ').nth(4).map(Path::new) == Some(&drive)))
    };
    let stalled = Stalled::new(volume.path())?;
    let before = has_it(&stalled.worker);
    let unmounted = umount2(&drive, MntFlags::empty());
    let after = has_it(&stalled.worker);
    if unmounted.is_err() {
        umount2(&drive, MntFlags::MNT_DETACH)?;
    }
    umount2(&drives, MntFlags::MNT_DETACH)?;
    unmounted.context("the worker keeps another drive busy")?;
    ensure!(before?, "it never had the drive: this shows nothing");
    ensure!(!after?, "it still has the drive");
    Ok(())
}

#[test]
fn a_worker_has_only_the_descriptors_it_was_given() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let ours = filesystem::info(File::open(volume.path())?)?.fsid;
    let marker = sandbox.join("marker");
    let inherited = File::create(&marker)?;
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty())?;
    let stalled = Stalled::new(volume.path());
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::CLOEXEC)?;
    let stalled = stalled?;
    for entry in fs::read_dir(process(&stalled.worker).join("fd"))? {
        let entry = entry?.path();
        let target = fs::read_link(&entry)?;
        let shown = target.to_string_lossy();
        let kernels = ["socket:", "pipe:", "anon_inode:", "/dev/null"].iter().any(|head| shown.starts_with(head));
        // Through a mount of its own, so not by a path that is known here.
        let same = |file: &File| filesystem::info(file).is_ok_and(|info| info.fsid == ours);
        let volumes = !kernels && File::open(&entry).is_ok_and(|file| same(&file));
        ensure!(kernels || volumes, "{} is {shown}", entry.display());
    }
    Ok(())
}

#[test]
fn a_worker_has_its_configured_priorities() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let (reader, input) = std::io::pipe()?;
    let directory = File::open(volume.path())?;
    let start = json!({"order": butterdock_tests::receive(), "priority": {"nice": 7, "io": {"best_effort": 6}}});
    let mut worker =
        WorkerProcess::with_order(&butterdockd()?, start.to_string().as_bytes(), &[reader.as_fd(), directory.as_fd()])?;
    worker.wait_for("confined")?;
    let process = process(&worker);
    ensure!(fs::read_to_string(process.join("oom_score_adj"))?.trim() == "500", "it is not chosen first");
    ensure!(fs::read_to_string(process.join("comm"))?.trim() == "butterdock-work", "it has no name");
    for thread in fs::read_dir(process.join("task"))? {
        let thread = thread?.path();
        let stat = fs::read_to_string(thread.join("stat"))?;
        let nice = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(16)).map(str::to_owned);
        ensure!(nice.as_deref() == Some("7"), "nice is {nice:?}");
        let id = thread.file_name().context("a thread's number")?.to_owned();
        let shown = run(Command::new("ionice").arg("-p").arg(&id), TIMEOUT)?.success()?.out();
        ensure!(shown.trim() == "best-effort: prio 6", "{shown}");
    }
    let limits = fs::read_to_string(process.join("limits"))?;
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).context("a limit")?.split_whitespace().collect();
    ensure!(files.get(3) == files.get(4), "the limit of open files is low: {files:?}");
    drop(input);
    Ok(())
}
