//! Names, types and depths of files that are legal and rare: listed, read and restored, on a drive and beside the source.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::JOB;
use butterdock_dbus::{DriveState, ErrorDetails};
use butterdock_tests::{Options, Scenario, contains_all, no_options};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use zbus::Variant;

use super::files::Calls;

const LONGEST: [u8; 255] = [0xff; 255];

/// Names of files with their own names as content.
const NAMES: [&[u8]; 9] =
    [&LONGEST, b"\xff\xfe", b"a\nb", b"\x1b[2J", b"-rf", b" ", b"...", b"a\\b", "e\u{301}\u{202e}".as_bytes()];

fn into_tank(folder: &str) -> Options<'static> {
    Options::from([("target", Variant::from("tank")), ("folder", Variant::from(folder.to_owned()))])
}

/// The whole message of a job that failed.
fn failure(scenario: &Scenario, job: &str) -> Result<String> {
    let (state, _) = scenario.fixture.client.end_of(job)?;
    ensure!(state == "failed", "{state}");
    let details = scenario.fixture.client.call(job, (JOB, "GetErrorDetails"), &no_options())?.body();
    Ok(details.deserialize::<ErrorDetails>()?.message)
}

fn with_odd_files() -> Result<Scenario> {
    let scenario = Scenario::begin()?;
    let odd = scenario.source.join("odd");
    fs::create_dir(&odd)?;
    for name in NAMES {
        fs::write(odd.join(OsStr::from_bytes(name)), name)?;
    }
    drop(UnixListener::bind(odd.join("socket"))?);
    mknod(&odd.join("disk"), SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IROTH, makedev(7, 0))?;
    nix::unistd::mkfifo(&odd.join("pipe"), Mode::S_IRWXU)?;
    symlink("../deep", odd.join("link"))?;
    let deep: PathBuf = scenario.source.join("deep").join(vec!["d"; 300].join("/"));
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("bottom"), "bottom")?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("released", &DriveState::Safe)?;
    Ok(scenario)
}

/// Lists, reads and restores them.
fn all_is_there(scenario: &Scenario, calls: &Calls<'_>, folder: &str) -> Result<()> {
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    let (rows, more) = calls.list(&uuid, b"odd", &no_options())?;
    let special: [(&[u8], &str); 4] =
        [(b"disk", "block-device"), (b"link", "symlink"), (b"pipe", "fifo"), (b"socket", "socket")];
    let mut expected: Vec<(&[u8], &str)> = NAMES.map(|name| (name, "file")).into_iter().chain(special).collect();
    expected.sort_unstable();
    let found: Vec<(&[u8], &str)> = rows.iter().map(|row| (row.name.as_slice(), row.kind.as_str())).collect();
    ensure!(found == expected && !more, "{rows:?}");
    for name in NAMES.into_iter().filter(|name| std::str::from_utf8(name).is_ok()) {
        let (text, _) = calls.read(&uuid, &[b"odd/", name].concat())?;
        ensure!(text.as_bytes() == name, "{}: {text}", name.escape_ascii());
    }
    ensure!(calls.versions(&[b"odd/".as_slice(), &LONGEST].concat())?.len() == 1);
    let too_long = [b"odd/".as_slice(), &[b'x'; 256]].concat();
    ensure!(calls.list(&uuid, &too_long, &no_options()).is_err(), "a name of 256 bytes");
    for path in [&b"odd/socket"[..], b"odd/disk", b"odd/pipe", b"odd/link", b"odd/link/d"] {
        let (text, (state, error)) = calls.read(&uuid, path)?;
        ensure!(text.is_empty() && state == "failed" && error == "Failed", "{}: {state} {error}", path.escape_ascii());
    }
    let job = calls.begin_restore(&uuid, &[b"odd"], &into_tank(folder))?;
    scenario.succeeds(&job)?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    contains_all(&note, &["1 device is not restored"])?;
    let restored = scenario.tank.join(folder).join("odd");
    for name in NAMES {
        ensure!(fs::read(restored.join(OsStr::from_bytes(name)))? == name, "{}", name.escape_ascii());
    }
    let kind = |name: &str| Ok::<_, anyhow::Error>(fs::symlink_metadata(restored.join(name))?.file_type());
    ensure!(kind("socket")?.is_socket() && kind("pipe")?.is_fifo() && kind("link")?.is_symlink());
    ensure!(kind("disk").is_err(), "a device was made");
    Ok(())
}

#[test]
fn odd_names_and_types_are_listed_read_and_restored() -> Result<()> {
    let scenario = with_odd_files()?;
    all_is_there(&scenario, &Calls::new(&scenario)?, "from-drive")?;
    let beside = Calls::of_source(&scenario);
    all_is_there(&scenario, &beside, "from-source")?;
    // Beside a file with the longest name there is no room for a longer one.
    let uuid = beside.snapshots()?.pop().context("a snapshot")?;
    let path = [b"odd/".as_slice(), &LONGEST].concat();
    beside.restore(&uuid, &[&path], &[])?;
    let names = fs::read_dir(scenario.source.join("odd"))?.flatten().map(|entry| entry.file_name());
    let beside: Vec<_> = names.filter(|name| name.as_bytes().starts_with(b"\xff\xff\xff")).collect();
    ensure!(beside.len() == 2 && beside.iter().all(|name| name.len() <= 255), "{beside:?}");
    Ok(())
}

#[test]
fn a_tree_that_is_too_deep_is_restored_in_parts() -> Result<()> {
    let scenario = with_odd_files()?;
    let calls = Calls::new(&scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    let bottom = format!("deep/{}", vec!["d"; 300].join("/"));
    let (rows, _) = calls.list(&uuid, bottom.as_bytes(), &no_options())?;
    ensure!(rows.len() == 1 && rows[0].name == b"bottom", "{rows:?}");
    ensure!(calls.read(&uuid, format!("{bottom}/bottom").as_bytes())?.0 == "bottom");
    let job = calls.begin_restore(&uuid, &[b"deep"], &into_tank("deep"))?;
    let message = failure(&scenario, &job)?;
    contains_all(&message, &["more than 256 levels below the selected", "select a directory further down"])?;
    let left: Vec<_> = fs::read_dir(scenario.tank.path())?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.is_empty(), "{left:?}");
    // The way out that the message names.
    let middle = format!("deep/{}", vec!["d"; 200].join("/"));
    let job = calls.begin_restore(&uuid, &[middle.as_bytes()], &into_tank("middle"))?;
    scenario.succeeds(&job)?;
    let file = File::open(scenario.tank.join("middle").join(bottom).join("bottom"))?;
    ensure!(file.metadata()?.len() == 6, "{:?}", file.metadata());
    scenario.no_worker_is_left()
}
