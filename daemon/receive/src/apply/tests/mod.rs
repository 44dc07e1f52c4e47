//! The order between writer threads, the deferred changes, and which error is reported.

mod parts;

use butterdock_stream::{Command, Identity, Position, Shared, Time, Uuid};

use super::deferred::Deferred;
use super::{ApplyOptions, RunErrors};
use crate::control::Control;
use crate::error::{Cause, Error};
use crate::name::StreamPath;
use crate::plan::{NewInode, Planner, Step};
use crate::tests::memory::MemoryVolume;
use crate::volume::{Inode, Volume};
pub(crate) use parts::{apply_parts, apply_steps};

const OURS: Identity = Identity { uuid: Uuid([1; 16]), ctransid: 1 };
const THEIRS: Identity = Identity { uuid: Uuid([2; 16]), ctransid: 1 };
const IMMUTABLE: u32 = 0x10;
const APPEND: u32 = 0x20;
/// `BTRFS_INODE_IMMUTABLE`, as a stream has it.
const IMMUTABLE_ATTRIBUTE: u64 = 0x40;
const EARLY: Time = Time { seconds: 1, nanoseconds: 0 };
const LATE: Time = Time { seconds: 2, nanoseconds: 0 };

fn plan(commands: &[Command<'_>]) -> Vec<Step> {
    let (mut planner, mut steps) = (Planner::default(), Vec::new());
    for (n, command) in commands.iter().enumerate() {
        let place = Position { command: n as u64 + 1, at: 0 };
        planner.push(place, command, |part| Shared::from(part.to_vec()), &mut steps).unwrap();
    }
    planner.flush(&mut steps);
    steps
}

fn path(path: &[u8]) -> StreamPath {
    StreamPath::new(path).unwrap()
}

fn clone<'a>(path: &'a [u8], source: Identity, source_path: &'a [u8]) -> Command<'a> {
    Command::Clone { path, offset: 0, len: 4096, source, source_path, source_offset: 0 }
}

#[test]
fn a_clone_reads_its_source_before_later_changes() {
    let names: Vec<String> = (0..150).map(|n| format!("clone{n}")).collect();
    let data: Vec<Vec<u8>> = (0..150).map(|n| vec![n; 4096]).collect();
    let sources = [&b"s0"[..], b"s1", b"s2"];
    let mut commands: Vec<_> = sources.iter().map(|path| Command::Mkfile { path, ino: None }).collect();
    for (n, (name, data)) in names.iter().zip(&data).enumerate() {
        let source = sources[n % 3];
        commands.push(Command::Write { path: source, offset: 0, data });
        commands.push(Command::Mkfile { path: name.as_bytes(), ino: None });
        commands.push(clone(name.as_bytes(), OURS, source));
        // The clone is a source itself, and the source changes directly after.
        commands.push(clone(sources[(n + 1) % 3], OURS, name.as_bytes()));
        commands.push(Command::Truncate { path: source, size: 0 });
    }
    for writer_threads in 1..=4 {
        let volume =
            apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), writer_threads).unwrap();
        let view = volume.view();
        for (name, data) in names.iter().zip(&data) {
            assert_eq!(
                *view.names[name.as_bytes()].sectors[&0],
                data[..],
                "{name} with {writer_threads} writer threads"
            );
        }
    }
}

#[test]
fn a_clone_may_read_from_another_existing_subvolume() {
    let file = Command::Mkfile { path: b"f", ino: None };
    let volume = || MemoryVolume::new(OURS).with_source(&THEIRS, b"d/s", &[7; 4096]);
    let found = apply_steps(volume(), plan(&[file, clone(b"f", THEIRS, b"d/s")]), ApplyOptions::default(), 2).unwrap();
    assert_eq!(*found.view().names[&b"f"[..]].sectors[&0], [7; 4096]);
    let missing =
        apply_steps(volume(), plan(&[file, clone(b"f", THEIRS, b"other")]), ApplyOptions::default(), 2).unwrap_err();
    assert_eq!(missing.place.unwrap().command, 2);
}

#[test]
fn directory_times_are_set_again_after_a_later_change() {
    let (mut volume, mut deferred) = (MemoryVolume::new(OURS), Deferred::default());
    let [changed, kept] = [&b"changed"[..], b"kept"].map(|name| {
        let made = volume.create(&path(name), &NewInode::Directory, 0o755).unwrap();
        deferred.times(made.number(), &path(name), EARLY, EARLY);
        made
    });
    assert!(!deferred.wants_touch());
    deferred.spill(&mut volume).unwrap();
    assert_eq!(changed.times().unwrap(), (EARLY, EARLY));
    assert!(deferred.wants_touch());

    deferred.touch(&changed, &path(b"changed")).unwrap();
    changed.set_times(LATE, LATE).unwrap();
    kept.set_times(LATE, LATE).unwrap();
    // A second change of a directory in the table does not replace its times.
    deferred.touch(&changed, &path(b"changed")).unwrap();
    deferred.finish(&mut volume).unwrap();
    assert_eq!(changed.times().unwrap(), (EARLY, EARLY));
    assert_eq!(kept.times().unwrap(), (LATE, LATE));
}

#[test]
fn deferred_flags_are_set_early_and_cleared_if_needed() {
    let (mut volume, mut deferred) = (MemoryVolume::new(OURS), Deferred::default());
    let made = volume.create(&path(b"d"), &NewInode::Directory, 0o755).unwrap();
    deferred.flags(made.number(), &path(b"d"), IMMUTABLE);
    deferred.times(made.number(), &path(b"d"), EARLY, LATE);
    deferred.spill(&mut volume).unwrap();
    assert_eq!(made.flags().unwrap() & IMMUTABLE, IMMUTABLE);
    let (number, flags) = volume.clear_refusing(&path(b"d")).unwrap().unwrap();
    deferred.cleared(number, &path(b"d"), flags);
    assert_eq!(made.flags().unwrap() & IMMUTABLE, 0);
    deferred.finish(&mut volume).unwrap();
    assert_eq!(made.flags().unwrap() & IMMUTABLE, IMMUTABLE);
    assert_eq!(made.times().unwrap(), (EARLY, LATE));
}

#[test]
fn a_cleared_append_only_flag_stays_cleared() {
    let mut volume = MemoryVolume::new(OURS);
    let made = volume.create(&path(b"d"), &NewInode::Directory, 0o755).unwrap();
    made.set_flags(APPEND).unwrap();
    let commands = [Command::Chown { path: b"d", uid: 7, gid: 7 }, Command::Fileattr { path: b"d", attr: 0 }];
    let volume = apply_steps(volume, plan(&commands), ApplyOptions::default(), 1).unwrap();
    assert_eq!(volume.view().names[&b"d"[..]].flags & APPEND, 0);
}

/// The applier performs a large task itself. A wait for it must not wait for a writer thread, which does not have it.
#[test]
fn a_source_changes_after_a_large_task_cloned_from_it() {
    let data = vec![7; 96 << 10];
    let mut commands = Vec::new();
    for (from, to) in [(&b"a"[..], &b"b"[..]), (b"c", b"d"), (b"e", b"f")] {
        commands.push(Command::Mkfile { path: from, ino: None });
        commands.push(Command::Write { path: from, offset: 0, data: &data });
        commands.push(Command::Mkfile { path: to, ino: None });
        commands.push(Command::Write { path: to, offset: 4096, data: &data });
        commands.push(clone(to, OURS, from));
        commands.push(Command::Truncate { path: from, size: 0 });
    }
    for writer_threads in 1..=4 {
        let volume =
            apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), writer_threads).unwrap();
        let view = volume.view();
        for name in [&b"b"[..], b"d", b"f"] {
            assert_eq!(*view.names[name].sectors[&0], [7; 4096], "{writer_threads} writer threads");
        }
    }
}

#[test]
fn an_inherited_immutable_directory_gets_its_times() {
    let mut volume = MemoryVolume::new(OURS);
    let made = volume.create(&path(b"d"), &NewInode::Directory, 0o755).unwrap();
    let root = volume.open(&StreamPath::root()).unwrap();
    made.set_flags(IMMUTABLE).unwrap();
    root.set_flags(IMMUTABLE).unwrap();
    let times = |path| Command::Utimes { path, atime: EARLY, mtime: LATE, ctime: LATE, otime: None };
    let commands = [times(b"d"), times(b""), Command::Chmod { path: b"", mode: 0o711 }];
    apply_steps(volume, plan(&commands), ApplyOptions::default(), 1).unwrap();
    // An immutable root could not be renamed to its final name.
    for (inode, flags) in [(&made, IMMUTABLE), (&root, 0)] {
        assert_eq!((inode.times().unwrap(), inode.flags().unwrap()), ((EARLY, LATE), flags));
    }
    assert_eq!(root.state().unwrap().mode, 0o711);
}

#[test]
fn deferred_changes_of_a_deleted_inode_are_no_error() {
    let times = Command::Utimes { path: b"d", atime: EARLY, mtime: EARLY, ctime: EARLY, otime: None };
    let commands = [Command::Mkdir { path: b"d", ino: None }, times, Command::Rmdir { path: b"d" }];
    let volume = apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), 1).unwrap();
    assert_eq!(volume.view().names.len(), 1);
}

#[test]
fn the_last_times_of_a_directory_count() {
    let times = |mtime| Command::Utimes { path: b"d", atime: EARLY, mtime, ctime: EARLY, otime: None };
    let file = Command::Mkfile { path: b"d/f", ino: None };
    let commands = [Command::Mkdir { path: b"d", ino: None }, times(EARLY), file, times(LATE)];
    let volume = apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), 2).unwrap();
    assert_eq!(volume.view().names[&b"d"[..]].mtime, Some(LATE));
}

#[test]
fn chown_keeps_set_id_bits_and_capabilities() {
    let (name, data) = (b"security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let file = Command::Mkfile { path: b"f", ino: None };
    let capability = Command::SetXattr { path: b"f", name, data };
    let chmod = Command::Chmod { path: b"f", mode: 0o6755 };
    let chown = |uid| Command::Chown { path: b"f", uid, gid: 7 };
    let elsewhere = Command::Mkfile { path: b"g", ino: None };
    for commands in [
        &[file, capability, chmod, chown(1), chown(2)][..],
        &[file, chmod, capability, elsewhere, chown(2)],
        &[file, chown(1), elsewhere, chmod, capability, elsewhere, chown(2)][..5],
    ] {
        let volume = apply_steps(MemoryVolume::new(OURS), plan(commands), ApplyOptions::default(), 2).unwrap();
        let entry = volume.view().names[&b"f"[..]].clone();
        assert_eq!((entry.mode, entry.gid, entry.xattrs.len()), (0o6755, 7, 1), "{commands:?}");
    }
}

#[test]
fn flags_leave_the_compression_property_alone() {
    let property = Command::SetXattr { path: b"f", name: b"btrfs.compression", data: b"zstd" };
    let file = Command::Mkfile { path: b"f", ino: None };
    // BTRFS_INODE_NODUMP | BTRFS_INODE_COMPRESS, and NODUMP alone.
    for attr in [0x900, 0x100] {
        let commands = [file, property, Command::Fileattr { path: b"f", attr }];
        let volume = apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), 2).unwrap();
        let entry = volume.view().names[&b"f"[..]].clone();
        assert_eq!((entry.flags, &entry.xattrs[&b"btrfs.compression"[..]][..]), (0x44, &b"zstd"[..]));
    }
}

#[test]
fn the_last_mode_owner_and_acl_of_the_root_count() {
    let chmod = |mode| Command::Chmod { path: b"", mode };
    let chown = |uid| Command::Chown { path: b"", uid, gid: 5 };
    let commands = [chmod(0o2700), chown(1), chmod(0o750), chown(2)];
    let volume = apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), 1).unwrap();
    let root = &volume.view().names[&b""[..]];
    assert_eq!((root.mode, root.uid, root.gid), (0o750, 2, 5));
}

fn error(command: u64) -> Error {
    Error::new(Cause::Value("a test")).at(Position { command, at: 0 })
}

#[test]
fn the_first_error_of_the_stream_is_reported() {
    let errors = RunErrors::new(1, Control::new().unwrap());
    let place = |command| Position { command, at: 0 };
    assert!(!errors.ends_before(place(u64::MAX)) && !errors.any());
    errors.report(error(50));
    assert!(errors.stopped() && errors.ends_before(place(51)) && !errors.ends_before(place(50)));
    errors.report(error(40));
    errors.report(error(45));
    errors.report(Error::new(Cause::NotBtrfs));
    assert!(errors.ends_before(place(41)) && !errors.ends_before(place(39)));
    assert_eq!(errors.into_error(false).unwrap().place, Some(place(40)));
}

#[test]
fn several_errors_are_counted_and_the_limit_ends_the_run() {
    let errors = RunErrors::new(2, Control::new().unwrap());
    errors.report(error(9));
    assert!(errors.any() && !errors.stopped());
    errors.report(error(7));
    assert!(errors.stopped());
    let found = errors.into_error(false).unwrap();
    assert!(matches!(&found.cause, Cause::Several { count: 2, first } if first.place.unwrap().command == 7));

    let endless = RunErrors::new(0, Control::new().unwrap());
    (1..100).for_each(|command| endless.report(error(command)));
    assert!(!endless.stopped());
    endless.report_fatal(error(100));
    assert!(endless.stopped());
}

#[test]
fn a_writer_threads_error_precedes_a_later_name_error() {
    let unlink = Command::Unlink { path: b"missing" };
    let file = Command::Mkfile { path: b"f", ino: None };
    let acl = Command::SetXattr { path: b"f", name: b"system.posix_acl_access", data: b"\x02\0\0\0\x01" };
    for writer_threads in 1..=4 {
        for (commands, first) in [([file, acl, unlink], 2), ([unlink, file, acl], 1)] {
            let error = apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), writer_threads)
                .unwrap_err();
            assert_eq!(error.place.unwrap().command, first);
        }
    }
}

#[test]
fn changes_before_a_bad_one_are_applied() {
    let file = Command::Mkfile { path: b"f", ino: None };
    let acl = Command::SetXattr { path: b"f", name: b"system.posix_acl_access", data: b"bad" };
    let commands = [file, acl, clone(b"f", OURS, b"missing")];
    let error = apply_steps(MemoryVolume::new(OURS), plan(&commands), ApplyOptions::default(), 1).unwrap_err();
    assert_eq!(error.place.unwrap().command, 2);
}
