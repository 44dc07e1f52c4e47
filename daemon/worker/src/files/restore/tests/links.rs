//! Links: symbolic ones are restored and never followed, hard ones stay links.

use super::*;

#[test]
fn links_on_the_way_to_the_original_place_are_not_followed() {
    let fixture = Fixture::new();
    fixture.write("dir/file", "x");
    fixture.write("link", "y");
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::write(elsewhere.path().join("victim"), "untouched").expect("written");
    symlink(elsewhere.path(), fixture.target("dir")).expect("linked");
    symlink(elsewhere.path().join("victim"), fixture.target("link")).expect("linked");
    for conflict in [Conflict::Replace, Conflict::KeepBoth] {
        let error = fixture.restore("dir/file", conflict).expect_err("refused");
        assert_eq!(error.cause, Some(FileCause::TargetOutside));
    }
    fixture.restore("link", Conflict::Replace).expect("the link is replaced, not followed");
    assert!(fixture.target("link").symlink_metadata().expect("facts").is_file());
    assert_eq!(fs::read_dir(elsewhere.path()).expect("read").count(), 1);
    assert_eq!(fs::read_to_string(elsewhere.path().join("victim")).expect("read"), "untouched");
}

#[test]
fn links_in_the_snapshot_are_restored_and_not_followed() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.snapshot("dir")).expect("made");
    symlink("/etc", fixture.snapshot("dir/etc")).expect("linked");
    nix::unistd::mkfifo(&fixture.snapshot("dir/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    let error = fixture.restore("dir/etc/passwd", Conflict::Fail).expect_err("refused");
    assert_eq!(error.cause, Some(FileCause::Outside));
    assert_eq!(fixture.restore("dir", Conflict::Fail).expect("restored").files, 2);
    assert_eq!(fs::read_link(fixture.target("dir/etc")).expect("a link"), Path::new("/etc"));
    assert_eq!(fixture.names(), ["dir", "dir/etc", "dir/pipe"]);
}

#[test]
fn hard_links_stay_links() {
    let fixture = Fixture::new();
    fixture.write("dir/one", "same");
    fixture.write("other/place", "x");
    for name in ["dir/two", "other/three"] {
        fs::hard_link(fixture.snapshot("dir/one"), fixture.snapshot(name)).expect("linked");
    }
    let (done, restored) = fixture.restore_to(&[b"dir", b"other"], RestoreTo::Original, Conflict::Fail);
    done.expect("restored");
    assert_eq!(restored.files, 4);
    let inodes =
        ["dir/one", "dir/two", "other/three"].map(|name| fixture.target(name).metadata().expect("facts").ino());
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
    let (done, _) =
        fixture.restore_to(&[b"dir", b"other"], RestoreTo::Folder(FilePath(b"new".to_vec())), Conflict::Fail);
    done.expect("restored");
    let inodes = ["new/dir/one", "new/other/three"].map(|name| fixture.target(name).metadata().expect("facts").ino());
    assert_eq!(inodes[0], inodes[1]);
}
