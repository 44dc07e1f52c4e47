//! Which commands are folded, which are not, and which are refused.

use butterdock_stream::{Command, Compression, Extent, Identity, Position, Shared, Time, Uuid};

use super::planner::{MAX_BYTES, MAX_CHANGES};
use super::{Action, Change, NewInode, Planner, Step, Work};
use crate::error::Cause;

const THERE: Identity = Identity { uuid: Uuid([2; 16]), ctransid: 9 };
const TIME: Time = Time { seconds: -1, nanoseconds: 999_999_999 };
const MK: Command<'_> = Command::Mkfile { path: b"o257-1-0", ino: None };
const TO: Command<'_> = Command::Rename { path: b"o257-1-0", to: b"d/f" };

fn push(planner: &mut Planner, n: usize, command: &Command<'_>, steps: &mut Vec<Step>) -> Result<(), crate::Error> {
    let place = Position { command: n as u64, at: n as u64 * 100 };
    planner.push(place, command, |part| Shared::from(part.to_vec()), steps)
}

/// One window over all commands; the first has the number 1.
fn plan(commands: &[Command<'_>]) -> Vec<Step> {
    let (mut planner, mut steps) = (Planner::default(), Vec::new());
    for (n, command) in commands.iter().enumerate() {
        push(&mut planner, n + 1, command, &mut steps).unwrap();
    }
    planner.flush(&mut steps);
    steps
}

/// The works of a plan that has no other actions.
fn works(commands: &[Command<'_>]) -> Vec<Work> {
    let works = plan(commands).into_iter().map(|step| {
        let Action::Work(work) = step.action else { panic!("{:?}", step.action) };
        work
    });
    works.collect()
}

/// The one work of a plan.
fn work(commands: &[Command<'_>]) -> Work {
    let [work] = <[Work; 1]>::try_from(works(commands)).unwrap();
    work
}

fn chmod(path: &[u8], mode: u64) -> Command<'_> {
    Command::Chmod { path, mode }
}

fn write(offset: u64, data: &[u8]) -> Command<'_> {
    Command::Write { path: b"f", offset, data }
}

/// Offset, parts and length of each write.
fn written(commands: &[Command<'_>]) -> Vec<(u64, usize, usize)> {
    let changes = works(commands).into_iter().flat_map(|work| work.changes);
    let writes = changes.filter_map(|(_, change)| {
        let Change::Write { offset, parts } = &change else { return None };
        Some((*offset, parts.len(), change.weight()))
    });
    writes.collect()
}

#[test]
fn every_kind_of_inode_is_created_under_its_final_name() {
    let path = b"o257-1-0".as_slice();
    for (command, new) in [
        (MK, NewInode::File),
        (Command::Mkdir { path, ino: None }, NewInode::Directory),
        (Command::Symlink { path, ino: None, target: b"t" }, NewInode::Symlink { target: b"t".as_slice().into() }),
        (Command::Mkfifo { path, ino: None, rdev: 0, mode: 0 }, NewInode::Fifo),
        (Command::Mksock { path, ino: None, rdev: 0, mode: 0 }, NewInode::Socket),
        (Command::Mknod { path, ino: None, rdev: 259, mode: 0o020_600 }, NewInode::CharDevice { rdev: 259 }),
        (Command::Mknod { path, ino: None, rdev: 7, mode: 0o060_600 }, NewInode::BlockDevice { rdev: 7 }),
    ] {
        let Work { creation, path, changes } = work(&[command, TO]);
        let creation = creation.unwrap();
        assert_eq!((path.as_bytes(), creation.temporary.as_bytes()), (&b"d/f"[..], &b"o257-1-0"[..]));
        assert_eq!((creation.new, creation.mode, changes.len()), (new, None, 0));
        assert_eq!(creation.renamed, Some(Position { command: 2, at: 200 }));
    }
}

#[test]
fn changes_under_the_final_name_join_the_creation() {
    let truncate = Command::Truncate { path: b"d/f", size: 5 };
    let work = work(&[MK, TO, truncate, Command::Chown { path: b"d/f", uid: 1, gid: 2 }]);
    let numbers: Vec<u64> = work.changes.iter().map(|(place, _)| place.command).collect();
    assert_eq!(numbers, [3, 4]);
    assert_eq!(work.changes[1].1, Change::Chown { uid: 1, gid: 2 });
}

#[test]
fn only_an_immediate_rename_of_a_temporary_name_folds() {
    let below = Command::Rename { path: b"o257-1-0", to: b"o257-1-0/x" };
    let plain = [Command::Mkfile { path: b"a", ino: None }, Command::Rename { path: b"a", to: b"b" }];
    let again =
        [MK, Command::Rename { path: b"o257-1-0", to: b"o9-9-0" }, Command::Rename { path: b"o9-9-0", to: b"b" }];
    let other = [MK, Command::Rename { path: b"o258-1-0", to: b"b" }];
    for commands in [&[MK, chmod(b"o257-1-0", 0), TO][..], &[MK, below], &plain, &again, &other] {
        let steps = plan(commands);
        assert_eq!(steps.len(), 2, "{steps:?}");
        assert!(matches!(steps[1].action, Action::Rename { .. }), "{steps:?}");
        assert_eq!(steps[1].place.command, commands.len() as u64);
    }
}

#[test]
fn one_chmod_of_a_new_inode_joins_its_creation() {
    let work = work(&[MK, TO, write_to(b"d/f"), chmod(b"d/f", 0o104_755)]);
    assert_eq!(work.creation.unwrap().mode, Some(0o4755));
    assert_eq!(work.changes.len(), 1);
}

fn write_to(path: &[u8]) -> Command<'_> {
    Command::Write { path, offset: 0, data: b"x" }
}

#[test]
fn a_mode_with_another_or_an_acl_is_not_folded() {
    let path = b"d/f".as_slice();
    let acl = Command::SetXattr { path, name: b"system.posix_acl_access", data: b"" };
    let no_acl = Command::RemoveXattr { path, name: b"system.posix_acl_default" };
    let link = Command::Symlink { path: b"o257-1-0", ino: None, target: b"t" };
    let mode = chmod(path, 0o600);
    for commands in [&[MK, TO, mode, mode][..], &[MK, TO, acl, mode], &[MK, TO, mode, no_acl], &[link, TO, mode]] {
        let work = work(commands);
        assert_eq!(work.creation.unwrap().mode, None);
        assert_eq!(work.changes.len(), commands.len() - 2);
    }
    assert_eq!(work(&[mode]).changes.len(), 1);
}

#[test]
fn a_mode_after_the_window_is_a_change() {
    let works = works(&[MK, TO, chmod(b"other", 0), chmod(b"d/f", 0o644)]);
    assert_eq!(works.len(), 3);
    assert_eq!(works[0].creation.as_ref().unwrap().mode, None);
    assert_eq!(works[2].changes[0].1, Change::Chmod { mode: 0o644 });
}

#[test]
fn adjacent_writes_become_one() {
    assert_eq!(written(&[write(5, b"abc"), write(8, b"de"), write(10, b""), write(10, b"f")]), [(5, 4, 6)]);
}

#[test]
fn writes_that_are_not_adjacent_stay_apart() {
    let cut = Command::Truncate { path: b"f", size: 3 };
    let elsewhere = Command::Write { path: b"g", offset: 3, data: b"xyz" };
    assert_eq!(written(&[write(0, b"abc"), write(4, b"d")]), [(0, 1, 3), (4, 1, 1)]);
    assert_eq!(written(&[write(0, b"abc"), write(2, b"d")]), [(0, 1, 3), (2, 1, 1)]);
    assert_eq!(written(&[write(3, b"abc"), write(0, b"def")]), [(3, 1, 3), (0, 1, 3)]);
    assert_eq!(written(&[write(0, b"abc"), cut, write(3, b"d")]), [(0, 1, 3), (3, 1, 1)]);
    assert_eq!(written(&[write(0, b"abc"), elsewhere, write(3, b"d")]), [(0, 1, 3), (3, 1, 3), (3, 1, 1)]);
}

#[test]
fn changes_of_names_keep_their_order_between_works() {
    let link = Command::Link { path: b"l", existing: b"f" };
    let begin = Command::Subvol { path: b"s", uuid: Uuid::default(), ctransid: 1 };
    let commands = [
        begin,
        write(0, b"a"),
        link,
        write(1, b"b"),
        Command::Unlink { path: b"l" },
        Command::Rmdir { path: b"d" },
        Command::End,
    ];
    let steps = plan(&commands);
    let places: Vec<u64> = steps.iter().map(|step| step.place.command).collect();
    assert_eq!(places, [1, 2, 3, 4, 5, 6, 7]);
    assert!(matches!(&steps[0].action, Action::Begin(begin) if begin.parent.is_none()));
    assert!(matches!(steps[6].action, Action::End));
    let snapshot = Command::Snapshot { path: b"s", uuid: Uuid::default(), ctransid: 1, parent: THERE };
    assert!(matches!(&plan(&[snapshot])[0].action, Action::Begin(begin) if begin.parent == Some(THERE)));
}

#[test]
fn a_full_window_is_closed() {
    let changes = works(&vec![Command::Truncate { path: b"f", size: 1 }; MAX_CHANGES * 2 + 1]);
    assert_eq!(changes.iter().map(|work| work.changes.len()).collect::<Vec<_>>(), [MAX_CHANGES, MAX_CHANGES, 1]);

    let piece = vec![0; MAX_BYTES / 4];
    let writes: Vec<_> =
        (0..9).map(|n| Command::Write { path: b"f", offset: n * piece.len() as u64, data: &piece }).collect();
    let weights = works(&writes).into_iter().map(|work| work.changes.iter().map(|(_, change)| change.weight()).sum());
    assert_eq!(weights.collect::<Vec<usize>>(), [MAX_BYTES, MAX_BYTES, MAX_BYTES / 4]);
}

fn verity<'a>(salt: &'a [u8], signature: &'a [u8]) -> Command<'a> {
    Command::EnableVerity { path: b"f", algorithm: 1, block_size: 4096, salt, signature }
}

#[test]
fn a_window_with_many_copied_bytes_is_closed() {
    let path = [b"d".repeat(200), b"f".repeat(200)].join(&b'/');
    let source_path = [&path[..]; 9].join(&b'/');
    let clone =
        Command::Clone { path: b"f", offset: 0, len: 1, source: THERE, source_path: &source_path, source_offset: 0 };
    for command in [verity(&[0; 32], &[0; 16_128]), clone] {
        for work in works(&vec![command; MAX_CHANGES * 2]) {
            let weight: usize = work.changes.iter().map(|(_, change)| change.weight()).sum();
            assert!(weight > 3000 && weight <= MAX_BYTES, "{weight}");
        }
    }
}

#[test]
fn an_invalid_command_is_refused_with_place_and_name() {
    let p = b"f".as_slice();
    let extent = Extent {
        file_offset: 0,
        file_len: 1,
        decoded_len: 1,
        decoded_offset: 0,
        compression: Compression::None,
        encryption: 0,
    };
    let clone = |offset, source_offset, source_path| {
        let len = 4096;
        Command::Clone { path: p, offset, len, source: THERE, source_path, source_offset }
    };
    let nothing = Command::Clone { path: p, offset: 0, len: 0, source: THERE, source_path: b"s", source_offset: 0 };
    let large = vec![0; 65_537];
    let long = [b'n'; 256];
    let late = Time { seconds: 0, nanoseconds: 1_000_000_000 };
    let end = i64::MAX.unsigned_abs();
    for (command, text) in [
        (Command::Mkfile { path: b"../x", ino: None }, "climbs out"),
        (nothing, "has no bytes"),
        (Command::Mkdir { path: b"", ino: None }, "empty path"),
        (Command::Rename { path: p, to: b"/x" }, "absolute"),
        (Command::Rename { path: p, to: b"" }, "empty path"),
        (Command::Link { path: p, existing: b"a//b" }, "empty part"),
        (Command::Unlink { path: b"" }, "empty path"),
        (Command::Rmdir { path: b"." }, "\".\""),
        (Command::EncodedWrite { path: b"a/../b", extent, data: b"x" }, "climbs out"),
        (Command::Symlink { path: p, ino: None, target: b"" }, "symbolic link"),
        (Command::Symlink { path: p, ino: None, target: b"a\0b" }, "symbolic link"),
        (Command::Symlink { path: p, ino: None, target: &[b't'; 4096] }, "symbolic link"),
        (Command::Mknod { path: p, ino: None, rdev: 1 << 32, mode: 0o020_000 }, "device number"),
        (Command::Mknod { path: p, ino: None, rdev: 1, mode: 0o100_000 }, "no device"),
        (Command::Write { path: p, offset: end, data: b"x" }, "a write ends"),
        (Command::Write { path: p, offset: u64::MAX, data: b"x" }, "a write ends"),
        (clone(end, 0, p), "a clone ends"),
        (clone(0, end, p), "a clone ends"),
        (clone(0, 0, b"../f"), "climbs out"),
        (clone(0, 0, b""), "empty path"),
        (Command::Truncate { path: p, size: end + 1 }, "a size"),
        (Command::Chown { path: p, uid: u64::from(u32::MAX), gid: 0 }, "32-bit id"),
        (Command::Chown { path: p, uid: 0, gid: 1 << 32 }, "32-bit id"),
        (Command::Utimes { path: p, atime: late, mtime: TIME, ctime: TIME, otime: None }, "nanoseconds"),
        (Command::Utimes { path: p, atime: TIME, mtime: late, ctime: TIME, otime: None }, "nanoseconds"),
        (Command::SetXattr { path: p, name: b"", data: b"" }, "extended attribute"),
        (Command::SetXattr { path: p, name: &long, data: b"" }, "extended attribute"),
        (Command::SetXattr { path: p, name: b"user.a", data: &large }, "64 KiB"),
        (Command::RemoveXattr { path: p, name: b"user.\0" }, "extended attribute"),
        (Command::Fallocate { path: p, mode: 0, offset: 0, len: 1 }, "fallocate"),
        (Command::Fallocate { path: p, mode: 3, offset: 0, len: 0 }, "hole"),
        (Command::Fallocate { path: p, mode: 3, offset: end, len: 1 }, "hole"),
        (verity(&[0; 33], b""), "too long"),
        (verity(b"", &[0; 16_129]), "too long"),
        (Command::UpdateExtent { path: p, offset: 0, len: 1 }, "without file data"),
    ] {
        let (mut planner, mut steps) = (Planner::default(), Vec::new());
        push(&mut planner, 1, &write(0, b"a"), &mut steps).unwrap();
        let error = push(&mut planner, 2, &command, &mut steps).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(text) && message.contains("at command 2 (byte 200)"), "{command:?}: {message}");
        assert!(error.name.is_some() && matches!(error.cause, Cause::Name(_) | Cause::Value(_) | Cause::WithoutData));

        // The changes in the window are not lost.
        push(&mut planner, 3, &write(1, b"b"), &mut steps).unwrap();
        planner.flush(&mut steps);
        assert_eq!(steps.len(), 1, "{command:?}");
    }
}

#[test]
fn a_value_at_its_limit_is_accepted() {
    let p = b"f".as_slice();
    let end = i64::MAX.unsigned_abs();
    let large = vec![0; 65_536];
    for command in [
        Command::Write { path: p, offset: end - 1, data: b"x" },
        Command::Truncate { path: p, size: end },
        Command::Chown { path: p, uid: u64::from(u32::MAX - 1), gid: 0 },
        Command::Utimes { path: b"", atime: TIME, mtime: TIME, ctime: TIME, otime: None },
        Command::SetXattr { path: b"", name: &[b'n'; 255], data: &large },
        Command::Fallocate { path: p, mode: 3, offset: 0, len: end },
        Command::Symlink { path: p, ino: None, target: &[b't'; 4095] },
        verity(&[0; 32], &[0; 16_128]),
        Command::Clone { path: p, offset: 0, len: 5 << 30, source: THERE, source_path: b"s", source_offset: 0 },
    ] {
        assert_eq!(plan(&[command]).len(), 1, "{command:?}");
    }
}
