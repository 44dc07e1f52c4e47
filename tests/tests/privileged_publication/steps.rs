//! Each step of a receive, with a user who tries to open the subvolume between the steps.

use std::fs::{self, File, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::{roots, subvolume};
use butterdock_fixtures::Wait;
use butterdock_receive::{Control, Observer, Options, Phase, Publication, Published, receive};
use butterdock_tests::snapshot;
use butterdock_tests::wire::{Stream, UUID};
use butterdock_tests::{Layout, Sandbox, Volume, intrude_once, names};

use crate::{USER, is_as_sent, stream};

const TRANSID: u64 = 7;

/// Tries at each step.
struct Tries {
    folder: PathBuf,
    opened: Mutex<Vec<(String, u64)>>,
}

impl Tries {
    #[expect(clippy::expect_used, reason = "an observer cannot fail; the test does")]
    fn at(&self, step: &str) {
        let opened = intrude_once(&self.folder, USER).expect("another user");
        self.opened.lock().expect("whole").push((step.to_owned(), opened));
    }
}

impl Observer for Tries {
    fn phase(&self, phase: Phase) {
        self.at(&format!("{phase:?}"));
    }

    fn published(&self, _subvolume: &Published) {
        self.at("Published");
    }
}

fn receive_into(
    folder: &Path,
    stream: &Stream,
    publication: Publication,
    observer: &dyn Observer,
) -> Result<Published> {
    let (mut reader, bytes) = (tempfile::tempfile()?, stream.bytes());
    std::io::Write::write_all(&mut reader, bytes)?;
    std::io::Seek::rewind(&mut reader)?;
    let options = Options { publication, ..Options::default() };
    let (control, destination) = (Control::new()?, File::open(folder)?);
    let outcome = receive(reader.as_fd(), destination.as_fd(), &options, &control, observer);
    outcome.map_err(|failure| anyhow::anyhow!("{failure}"))?.subvolumes.pop().context("nothing was published")
}

fn open_volume(sandbox: &Sandbox) -> Result<Volume> {
    fs::set_permissions(sandbox.path(), Permissions::from_mode(0o711))?;
    sandbox.plain_volume("ours")
}

/// What he could open at which step.
fn opened(volume: &Volume, stream: &Stream, publication: Publication) -> Result<Vec<(String, u64)>> {
    let tries = Tries { folder: volume.path().to_owned(), opened: Mutex::default() };
    receive_into(volume.path(), stream, publication, &tries)?;
    Ok(tries.opened.into_inner()?)
}

#[test]
fn users_cannot_open_a_subvolume_before_publication() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = open_volume(&sandbox)?;
    let increment =
        Stream::new(2).snapshot("s1", UUID, TRANSID).mkfile("new").chown("new", USER.into(), USER.into()).end();
    for stream in [stream(), increment] {
        let opened = opened(&volume, &stream, Publication::Snapshot)?;
        ensure!(opened.len() == 8 && opened.iter().all(|(_, opened)| *opened == 0), "{opened:?}");
    }
    is_as_sent(&volume.join("s0"))
}

/// Why a rename is not for directories that others can reach; and that these tests see what there is to see.
#[test]
fn a_renamed_subvolume_is_open_before_read_only() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = open_volume(&sandbox)?;
    let opened = opened(&volume, &stream(), Publication::Rename)?;
    let at: Vec<&str> = opened.iter().filter(|(_, opened)| *opened > 0).map(|(step, _)| step.as_str()).collect();
    ensure!(at == ["ReadOnly"], "{opened:?}");
    Ok(())
}

#[test]
fn a_published_snapshot_has_the_received_uuid_and_its_own() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = open_volume(&sandbox)?;
    for publication in [Publication::Rename, Publication::Snapshot] {
        let published = receive_into(volume.path(), &stream(), publication, &butterdock_receive::Silent)?;
        let root = File::open(volume.join("s0"))?;
        let info = subvolume::info(&root)?;
        let item = roots::root_item(&root, info.id)?.context("a root item")?;
        ensure!(published.id == info.id, "{publication:?}: told {}, is {}", published.id, info.id);
        ensure!(info.received_uuid == UUID && info.stransid == TRANSID, "{publication:?}: {info:?}");
        ensure!(info.rtransid != 0 && item.rtime.0 != 0, "{publication:?}: {item:?}");
        ensure!(item.ctransid <= item.rtransid, "{publication:?}: changed after it was marked: {item:?}");
        ensure!(subvolume::is_read_only(&root)?, "{publication:?}: it can be written");
        ensure!(fs::metadata(volume.join("s0"))?.permissions().mode() & 0o7777 == 0o755, "{publication:?}: its mode");
        let is_snapshot = info.parent_uuid != [0; 16];
        ensure!(is_snapshot == (publication == Publication::Snapshot), "{publication:?}: {info:?}");
        let (visible, hidden) = names(volume.path())?;
        ensure!(visible == ["s0"] && hidden.is_empty(), "{publication:?}: {visible:?} {hidden:?}");
        snapshot::delete(&volume.join("s0"))?;
    }
    Ok(())
}

/// Whatever has the name: it stays, and nothing half-made does.
#[test]
fn no_name_that_exists_is_taken_by_a_snapshot() -> Result<()> {
    struct Quicker(PathBuf);
    impl Observer for Quicker {
        fn phase(&self, phase: Phase) {
            if phase == Phase::Publishing {
                fs::create_dir(&self.0).expect("made");
            }
        }
    }
    let sandbox = Sandbox::new()?;
    let volume = open_volume(&sandbox)?;
    let quicker = Quicker(volume.join("s0"));
    for observer in [&quicker as &dyn Observer, &butterdock_receive::Silent] {
        let refused = receive_into(volume.path(), &stream(), Publication::Snapshot, observer);
        let refused = refused.err().context("it was taken")?.to_string();
        ensure!(refused.contains("exists"), "{refused}");
        let (visible, hidden) = names(volume.path())?;
        ensure!(visible == ["s0"] && hidden.is_empty(), "{visible:?} {hidden:?}");
        ensure!(fs::read_dir(volume.join("s0"))?.next().is_none(), "it was replaced");
    }
    Ok(())
}

#[test]
fn a_staging_directory_that_others_can_enter_is_not_used() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = open_volume(&sandbox)?;
    let staging = volume.join(".butterdock-staging");
    let makers: [(&dyn Fn() -> std::io::Result<()>, &str); 3] = [
        (&|| fs::set_permissions(&staging, Permissions::from_mode(0o711)), "open to other users"),
        (&|| std::os::unix::fs::chown(&staging, Some(USER), None), "another user"),
        (&|| fs::remove_dir(&staging).and_then(|()| fs::write(&staging, "mine")), "not a directory"),
    ];
    fs::create_dir(&staging)?;
    for (make, word) in makers {
        make()?;
        let refused = receive_into(volume.path(), &stream(), Publication::Snapshot, &butterdock_receive::Silent);
        let refused = refused.err().context("it was used")?.to_string();
        ensure!(refused.contains(word) && refused.contains("rename or delete"), "{refused}");
    }
    Ok(())
}

struct Silent;

impl Observer for Silent {}

/// The volume commits once an hour, so that the kernel does not delete the original by itself in the meantime.
///
/// The kernel may miss that it is woken, while its thread is about to sleep (`transaction_kthread` of Linux 6.18 decides that before
/// it says so); then the original waits for the next time that it is woken. So a few more are received, which leave originals too.
#[test]
fn publication_by_snapshot_deletes_the_original_at_once() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.volume("hourly", &Layout::mounted("commit=3600"))?;
    let directory = File::open(volume.path())?;
    let mut wait = Wait::new("the kernel has deleted the originals");
    for look in 0_u32.. {
        if look % 50 == 0 && look < 250 {
            let folder = volume.path().join(look.to_string());
            fs::create_dir(&folder)?;
            receive_into(&folder, &stream(), Publication::Snapshot, &Silent)?;
        }
        if subvolume::all(&directory)?.iter().all(|found| found.item.refs != 0) {
            break;
        }
        wait.pause("not yet")?;
    }
    Ok(())
}
