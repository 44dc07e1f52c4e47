//! Writes that a kill interrupts at each step.

use std::cell::RefCell;

use super::*;

/// The calls of the kernel, recorded; from one of them on all fail, as after a kill.
struct Recorded {
    calls: RefCell<Vec<String>>,
    killed_at: usize,
}

impl Recorded {
    fn killed_at(killed_at: usize) -> Self {
        Self { calls: RefCell::default(), killed_at }
    }

    /// Records a call on this path.
    fn call(&self, what: &str, path: &Path) -> io::Result<()> {
        let mut calls = self.calls.borrow_mut();
        let name = path.file_name().expect("a name").to_str().expect("text");
        calls.push(format!("{what} {name}"));
        if calls.len() > self.killed_at { Err(io::Error::other("killed")) } else { Ok(()) }
    }
}

impl Calls for Recorded {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.call("make", folder).and_then(|()| Kernel.make_folder(folder))
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call("write", path).and_then(|()| Kernel.write_synced(path, bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename", from).and_then(|()| Kernel.rename(from, to))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call("sync", folder).and_then(|()| Kernel.sync_folder(folder))
    }

    fn discard(&self, temporary: &Path) {
        if self.call("discard", temporary).is_ok() {
            Kernel.discard(temporary);
        }
    }
}

fn text(bytes: &[u8]) -> io::Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(io::Error::other)
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("text");
    let mut names: Vec<String> = fs::read_dir(folder).expect("listed").map(name).collect();
    names.sort();
    names
}

#[test]
fn a_record_is_synced_before_and_after_it_has_its_name() {
    let state = tempfile::tempdir().expect("a folder");
    let calls = Recorded::killed_at(usize::MAX);
    let folder = state.path().join("a/b");
    write_with(&calls, &folder.join("record"), b"new").expect("written");
    let above = state.path().file_name().expect("a name").to_str().expect("text");
    let made = ["make a", &format!("sync {above}"), "make b", "sync a"].map(str::to_owned);
    let written = ["write .record.tmp", "rename .record.tmp", "sync b"].map(str::to_owned);
    assert_eq!(calls.calls.take(), [made.as_slice(), written.as_slice()].concat());
    write_with(&calls, &folder.join("record"), b"newer").expect("written");
    assert_eq!(calls.calls.take(), written);
}

#[test]
fn a_kill_between_two_steps_leaves_one_record_whole() {
    for killed_at in 0..3 {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("record");
        write(&path, b"old").expect("written");
        write_with(&Recorded::killed_at(killed_at), &path, b"new").expect_err("killed");
        let expected = if killed_at < 2 { "old" } else { "new" };
        assert_eq!(read(&path, 10).expect("read").as_deref(), Some(expected.as_bytes()), "after {killed_at} steps");
    }
}

#[test]
fn a_temporary_file_is_overwritten_or_swept_and_never_read() {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().join("record");
    fs::write(state.path().join(".record.tmp"), "a half-written record").expect("written");
    assert_eq!(read(&path, 30).expect("read"), None);
    write(&path, b"new").expect("written");
    assert_eq!(names(state.path()), ["record"]);
    for name in [".record.tmp", ".hidden", "notes.tmp"] {
        fs::write(state.path().join(name), "half").expect("written");
    }
    sweep(state.path()).expect("swept");
    assert_eq!(names(state.path()), [".hidden", "notes.tmp", "record"]);
}

#[test]
fn an_unreadable_record_is_set_aside_until_one_is_written() {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().join("record");
    assert!(matches!(load(&path, 10, text), Ok(Loaded::Missing)));
    fs::write(&path, [0xff]).expect("written");
    let loaded = load(&path, 10, text).expect("set aside");
    assert!(matches!(loaded, Loaded::Unreadable { aside, .. } if fs::read(&aside).expect("kept") == [0xff]));
    // A restart before a new record is written does not make it a missing one.
    assert!(matches!(load(&path, 10, text), Ok(Loaded::SetAside)));
    write(&path, b"new").expect("written");
    assert!(matches!(load(&path, 10, text), Ok(Loaded::Read(record)) if record == "new"));
    assert_eq!(names(state.path()), ["record", "record.unreadable"]);
}

#[test]
fn a_large_or_special_record_is_an_error() {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().join("record");
    write(&path, b"two").expect("written");
    assert!(read(&path, 3).is_ok() && read(&path, 2).is_err());
    std::os::unix::fs::symlink("/dev/zero", state.path().join("link")).expect("linked");
    assert!(read(&state.path().join("link"), 10).is_err());
    assert!(read(state.path(), 10).is_err());
}

#[test]
fn a_replaced_file_keeps_its_mode_unless_it_was_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/file");
    let access = Access { mode: 0o640, owner: None };
    let same = |is: bool| replace(&path, b"new", access, &move || Ok(is)).expect("written");
    assert_eq!(same(false), Replaced::Changed);
    assert_eq!(names(&folder.path().join("new")), [""; 0]);
    assert_eq!(same(true), Replaced::Done);
    let mode = fs::metadata(&path).expect("facts").permissions().mode();
    assert_eq!((mode & 0o7777, fs::read(&path).expect("read")), (0o640, b"new".to_vec()));
    assert!(replace(&path, b"newer", access, &|| Err(io::Error::other("gone"))).is_err());
    assert_eq!(fs::read(&path).expect("read"), b"new");
}

#[test]
fn removing_a_missing_record_is_an_error() {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().join("record");
    write(&path, b"one").expect("written");
    remove(&path).expect("removed");
    assert_eq!(read(&path, 10).expect("read"), None);
    assert_eq!(remove(&path).expect_err("missing").kind(), ErrorKind::NotFound);
}
