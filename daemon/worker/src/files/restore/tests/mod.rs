//! Restores between two directories: the rules do not depend on btrfs.

mod links;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;

struct Fixture {
    folder: tempfile::TempDir,
    control: Control,
}

impl Fixture {
    fn new() -> Self {
        let fixture =
            Self { folder: tempfile::tempdir().expect("a folder"), control: Control::new().expect("a control") };
        for name in ["snapshot", "target"] {
            fs::create_dir(fixture.folder.path().join(name)).expect("made");
        }
        fixture
    }

    fn snapshot(&self, path: &str) -> PathBuf {
        self.folder.path().join("snapshot").join(path)
    }

    fn target(&self, path: &str) -> PathBuf {
        self.folder.path().join("target").join(path)
    }

    /// Writes a file into the snapshot, with its directories.
    fn write(&self, path: &str, text: &str) {
        let at = self.snapshot(path);
        fs::create_dir_all(at.parent().expect("a directory")).expect("made");
        fs::write(at, text).expect("written");
    }

    fn restore_to(&self, paths: &[&[u8]], to: RestoreTo, conflict: Conflict) -> (Result<(), FileError>, Restored) {
        let paths = paths.iter().map(|path| StreamPath::new(path).expect("a path")).collect();
        let selection = Selection { paths, to, conflict, day: b"2026-11-28".to_vec() };
        let open = |name: &str| File::open(self.folder.path().join(name)).expect("opened");
        let (snapshot, target, last) = (open("snapshot"), open("target"), RefCell::new(Restored::default()));
        let report = |event| {
            if let FileEvent::Restored(restored) = event {
                *last.borrow_mut() = restored;
            }
        };
        let request = RestoreFiles {
            snapshot: Tree::new(snapshot.as_fd()).expect("a tree"),
            target: Tree::new(target.as_fd()).expect("a tree"),
            selection: &selection,
            is_user: false,
            control: &self.control,
            report: &report,
        };
        let done = request.run();
        (done, last.into_inner())
    }

    fn restore(&self, path: &str, conflict: Conflict) -> Result<Restored, FileError> {
        let (done, restored) = self.restore_to(&[path.as_bytes()], RestoreTo::Original, conflict);
        done.map(|()| restored)
    }

    /// The names below the target, also hidden ones.
    fn names(&self) -> Vec<String> {
        fn below(directory: &Path, top: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(directory).expect("read") {
                let path = entry.expect("an entry").path();
                names.push(path.strip_prefix(top).expect("below").to_string_lossy().into_owned());
                if path.symlink_metadata().expect("facts").is_dir() {
                    below(&path, top, names);
                }
            }
        }
        let (top, mut names) = (self.target(""), Vec::new());
        below(&top, &top, &mut names);
        names.sort();
        names
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.target(path)).expect("read")
    }
}

#[test]
fn missing_directories_are_restored_with_their_attributes() {
    let fixture = Fixture::new();
    fixture.write("a/b/c/file", "x");
    fs::write(fixture.snapshot("a/other"), "y").expect("written");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for (path, mode) in [("a/b/c/file", 0o640), ("a/b/c", 0o500), ("a/b", 0o751)] {
        fs::set_permissions(fixture.snapshot(path), Permissions::from_mode(mode)).expect("set");
        File::open(fixture.snapshot(path)).expect("opened").set_modified(long_ago).expect("set");
    }
    fs::create_dir(fixture.target("a")).expect("made");
    let restored = fixture.restore("a/b/c/file", Conflict::Fail).expect("restored");
    assert_eq!((restored.files, restored.directories, restored.bytes), (1, 2, 1));
    assert_eq!(fixture.names(), ["a", "a/b", "a/b/c", "a/b/c/file"]);
    for (path, mode) in [("a/b/c/file", 0o640), ("a/b/c", 0o500), ("a/b", 0o751)] {
        let facts = fixture.target(path).metadata().expect("facts");
        assert_eq!(facts.mode() & 0o7777, mode, "{path}");
        assert_eq!(facts.modified().expect("a time"), long_ago, "{path}");
    }
}

#[test]
fn both_are_kept_under_new_names() {
    let fixture = Fixture::new();
    fixture.write("dir/file", "old");
    fs::create_dir(fixture.target("dir")).expect("made");
    fs::write(fixture.target("dir/file"), "new").expect("written");
    for _ in 0..2 {
        assert_eq!(fixture.restore("dir/file", Conflict::KeepBoth).expect("restored").beside, 1);
    }
    fixture.restore("dir", Conflict::KeepBoth).expect("restored");
    assert_eq!(
        fixture.names(),
        [
            "dir",
            "dir.restored-2026-11-28",
            "dir.restored-2026-11-28/file",
            "dir/file",
            "dir/file.restored-2026-11-28",
            "dir/file.restored-2026-11-28-2"
        ]
    );
    assert_eq!(
        (fixture.read("dir/file"), fixture.read("dir/file.restored-2026-11-28-2")),
        ("new".into(), "old".into())
    );
}

#[test]
fn nothing_is_restored_if_one_of_the_names_is_taken() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    fixture.write("b", "2");
    fs::write(fixture.target("b"), "present").expect("written");
    let (done, _) = fixture.restore_to(&[b"a", b"b"], RestoreTo::Original, Conflict::Fail);
    assert_eq!(done.expect_err("refused").cause, Some(FileCause::Occupied));
    assert_eq!((fixture.names(), fixture.read("b")), (vec!["b".to_owned()], "present".to_owned()));
}

#[test]
fn replacing_a_directory_keeps_files_that_the_snapshot_lacks() {
    let fixture = Fixture::new();
    fixture.write("dir/sub/file", "old");
    fixture.write("dir/missing", "x");
    fs::create_dir_all(fixture.target("dir/sub")).expect("made");
    fs::write(fixture.target("dir/sub/file"), "new").expect("written");
    fs::write(fixture.target("dir/sub/young"), "kept").expect("written");
    let open = File::open(fixture.target("dir/sub/file")).expect("opened");
    fixture.restore("dir", Conflict::Replace).expect("restored");
    assert_eq!(fixture.names(), ["dir", "dir/missing", "dir/sub", "dir/sub/file", "dir/sub/young"]);
    assert_eq!(fixture.read("dir/sub/file"), "old");
    let mut text = [0; 3];
    open.read_at(&mut text, 0).expect("read");
    assert_eq!(&text, b"new", "the old file was not overwritten");
}

#[test]
fn a_directory_is_not_replaced_by_a_file() {
    let fixture = Fixture::new();
    fixture.write("a", "x");
    fixture.write("b/file", "x");
    fs::create_dir(fixture.target("a")).expect("made");
    fs::write(fixture.target("b"), "x").expect("written");
    for path in ["a", "b"] {
        assert_eq!(fixture.restore(path, Conflict::Replace).expect_err("refused").cause, Some(FileCause::OtherType));
    }
    assert_eq!(fixture.names(), ["a", "b"]);
}

#[test]
fn a_sparse_file_of_5_gib_stays_sparse() {
    const SIZE: u64 = 5 << 30;
    let fixture = Fixture::new();
    let file = File::create(fixture.snapshot("sparse")).expect("created");
    file.set_len(SIZE).expect("set");
    for at in [0, 3 << 30] {
        file.write_at(b"data", at).expect("written");
    }
    let restored = fixture.restore("sparse", Conflict::Fail).expect("restored");
    assert_eq!((restored.bytes, fixture.control.progress().bytes), (SIZE, SIZE));
    let facts = fixture.target("sparse").metadata().expect("facts");
    assert!(facts.len() == SIZE && facts.blocks() < 1 << 11, "{} blocks", facts.blocks());
    let mut text = [0; 4];
    File::open(fixture.target("sparse")).expect("opened").read_at(&mut text, 3 << 30).expect("read");
    assert_eq!(&text, b"data");
}

#[test]
fn names_that_are_not_utf_8_are_restored() {
    let fixture = Fixture::new();
    let names: [&[u8]; 4] = [b"\xff\xfe", b"a\nb", b"-rf *", "é".as_bytes()];
    for name in names {
        fs::write(fixture.snapshot("").join(OsStr::from_bytes(name)), name).expect("written");
    }
    let (done, restored) = fixture.restore_to(&names, RestoreTo::Original, Conflict::Fail);
    done.expect("restored");
    assert_eq!(restored.files, 4);
    for name in names {
        assert_eq!(fs::read(fixture.target("").join(OsStr::from_bytes(name))).expect("read"), name);
    }
}

#[test]
fn a_new_folder_has_the_paths_and_a_free_name() {
    let fixture = Fixture::new();
    fixture.write("a/b/file", "x");
    fixture.write("a/c", "y");
    for (folder, number) in [("files", None), ("files-2", Some(2))] {
        let to = RestoreTo::Folder(FilePath(b"files".to_vec()));
        let (done, restored) = fixture.restore_to(&[b"a/b/file", b"a/c"], to, Conflict::Fail);
        done.expect("restored");
        assert_eq!(restored.folder_number, number);
        assert_eq!(fixture.read(&format!("{folder}/a/b/file")), "x");
        assert_eq!(fixture.target(folder).metadata().expect("facts").mode() & 0o7777, 0o700);
    }
    assert_eq!(fixture.names().iter().filter(|name| !name.contains('/')).count(), 2, "{:?}", fixture.names());
}

#[test]
fn a_cancelled_restore_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.write("dir/file", "x");
    fixture.control.cancel();
    assert_eq!(
        fixture.restore("dir", Conflict::Fail).expect_err("cancelled").kind,
        butterdock_receive::ErrorKind::Cancelled
    );
    assert!(fixture.names().is_empty(), "{:?}", fixture.names());
}

#[test]
fn an_error_midway_leaves_no_incomplete_directory() {
    let fixture = Fixture::new();
    fixture.write("dir/a", "x");
    // A path that the kernel cannot open as a whole.
    let mut path = fixture.snapshot("dir");
    let mut directory = File::open(&path).expect("opened");
    for _ in 0..17 {
        let name = "x".repeat(250);
        rustix::fs::mkdirat(&directory, &name, rustix::fs::Mode::RWXU).expect("made");
        let flags = rustix::fs::OFlags::DIRECTORY;
        directory = rustix::fs::openat(&directory, &name, flags, rustix::fs::Mode::empty()).expect("opened").into();
        path.push(name);
    }
    let error = fixture.restore("dir", Conflict::Fail).expect_err("too deep");
    assert_eq!(error.cause, Some(FileCause::TooDeep), "{}", error.message);
    assert!(fixture.names().is_empty(), "{:?}", fixture.names());
    // The folder cannot be removed by its path.
    empty_and_remove(&fixture.snapshot("dir"));
}

#[test]
fn a_tree_of_3000_levels_fails_with_its_reason() {
    let fixture = Fixture::new();
    fixture.write("dir/a", "x");
    let mut directory = File::open(fixture.snapshot("dir")).expect("opened");
    for level in 0..3000 {
        rustix::fs::mkdirat(&directory, "d", rustix::fs::Mode::RWXU).expect("made");
        directory = rustix::fs::openat(&directory, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .expect("opened")
            .into();
        if level == 250 {
            let whole = fixture.restore("dir", Conflict::Replace).expect("restored");
            assert_eq!((whole.files, whole.directories), (1, 252));
        }
    }
    let error = fixture.restore("dir", Conflict::KeepBoth).expect_err("too deep");
    assert_eq!(error.cause, Some(FileCause::TooDeep), "{}", error.message);
    assert_eq!(fs::read_dir(fixture.target("")).expect("read").count(), 1, "nothing incomplete is left");
    for path in [fixture.snapshot("dir"), fixture.target("dir")] {
        empty_and_remove(&path);
    }
}

#[test]
fn set_id_bits_are_lost_and_counted() {
    let fixture = Fixture::new();
    fixture.write("dir/program", "x");
    for (path, mode) in [("dir/program", 0o6755), ("dir", 0o2755)] {
        fs::set_permissions(fixture.snapshot(path), Permissions::from_mode(mode)).expect("set");
    }
    let restored = fixture.restore("dir", Conflict::Fail).expect("restored");
    let mode = |path| fixture.target(path).metadata().expect("facts").mode() & 0o7777;
    assert_eq!((mode("dir/program"), mode("dir"), restored.set_ids), (0o755, 0o2755, 1));
    assert!(
        restored.sentence().ends_with("1 file lost its set-id bits or capabilities; set them again if you trust it")
    );
}

fn empty_and_remove(path: &Path) {
    let status = std::process::Command::new("rm").arg("-rf").arg(path).status().expect("rm");
    assert!(status.success());
}

#[test]
fn what_a_killed_worker_left_is_removed_by_the_next() {
    let fixture = Fixture::new();
    fixture.write("file", "x");
    let directory = File::open(fixture.target("")).expect("opened");
    let killed = WorkFolder::create(directory.as_fd()).expect("made");
    let name = killed.name().to_str().expect("a name").to_owned();
    fs::write(fixture.target(&name).join("half"), "x").expect("written");
    // In use: it stays.
    fixture.restore("file", Conflict::KeepBoth).expect("restored");
    assert!(fixture.target(&name).join("half").exists());
    let unmarked = |id: &str| {
        let folder = fixture.target(&format!(".butterdock-restoring-{id}"));
        fs::create_dir(&folder).expect("made");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("set");
        folder
    };
    let of_a_person = unmarked("of-a-person");
    let killed_before_the_mark = unmarked("0123456789abcdef0123456789abcdef");
    let with_a_file = unmarked("0123456789abcdef0123456789abcde0");
    fs::write(with_a_file.join("kept"), "x").expect("written");
    // A killed worker drops nothing, and its lock ends.
    std::mem::forget(killed);
    let leaked = fs::read_dir("/proc/self/fd").expect("read").filter_map(|entry| {
        let entry = entry.expect("an entry");
        let is_it = fs::read_link(entry.path()).is_ok_and(|path| path == fixture.target(&name));
        is_it.then(|| entry.file_name().to_str().and_then(|number| number.parse::<i32>().ok()).expect("a number"))
    });
    for number in leaked.collect::<Vec<_>>() {
        nix::unistd::close(number).expect("closed");
    }
    let root = Tree::new(directory.as_fd()).expect("a tree");
    remove_leftovers(root, &[StreamPath::new(b"gone/file").expect("a path")]);
    assert!(!fixture.target(&name).exists() && of_a_person.exists());
    assert!(!killed_before_the_mark.exists() && with_a_file.join("kept").exists());
}

#[test]
fn the_sentence_says_what_was_restored_and_what_was_not() {
    let restored = Restored { files: 3, directories: 1, beside: 1, owners: 2, attributes: 1, ..Restored::default() };
    assert_eq!(
        restored.sentence(),
        "3 files and 1 directory restored; 1 has .restored- and the day in its name, because its own was not free; 2 have \
         another owner or group than before, because a user cannot give files to others; 1 extended attribute is not restored"
    );
    assert_eq!(Restored { files: 1, ..Restored::default() }.sentence(), "1 file restored");
    let folder = Restored { directories: 2, folder_number: Some(3), ..Restored::default() };
    assert_eq!(
        folder.sentence(),
        "2 directories restored; their folder has -3 at the end of its name, because the name was not free"
    );
}

#[test]
fn a_selected_directory_includes_what_is_below_it() {
    let path = |path: &str| StreamPath::new(path.as_bytes()).expect("a path");
    let kept = without_nested(&["b/c", "a", "a/x", "ab", "a", "b/c/d"].map(path));
    assert_eq!(kept, ["a", "ab", "b/c"].map(path));
}

#[test]
fn a_day_is_in_utc() {
    assert_eq!(day(1_795_824_000), b"2026-11-28");
    assert_eq!(day(1_795_823_999), b"2026-11-27");
}
