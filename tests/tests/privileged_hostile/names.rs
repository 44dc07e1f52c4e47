//! Names that lead out of the subvolume, or nowhere.

use std::os::unix::ffi::OsStrExt as _;

use butterdock_tests::wire::{Stream, command};

use crate::case::{Case, Fault, v1};
use crate::fixture::Fixture;

pub(crate) fn rows(fixture: &Fixture) -> Vec<Case> {
    let mut rows = climbing();
    rows.extend(absolute(fixture));
    rows.extend(through_symlinks(fixture));
    rows.extend(malformed());
    rows.extend(in_the_way());
    rows
}

fn climbing() -> Vec<Case> {
    let inside = || v1().mkdir("d").mkfile("f");
    vec![
        Case::new("a file one up", v1().mkfile("../x").end()).standard(Fault::WritesOutside),
        Case::new("a file two up", v1().mkfile("../../x").end()).standard(Fault::WritesOutside),
        Case::new("a file out of a directory", inside().mkfile("d/../../../x").end()),
        Case::new("a directory one up", v1().mkdir("../x").end()),
        Case::new("a fifo one up", v1().node(command::MKFIFO, "../x", 0o010_600, 0).end()),
        Case::new("a symlink one up", v1().symlink("../x", "y").end()),
        Case::new("a move out", inside().rename("f", "../../beside/f").end()),
        Case::new("a move in", v1().rename("../../beside/secret", "mine").end()),
        Case::new("a link to what lies outside", v1().link("mine", "../../beside/secret").end()),
        Case::new("a link out", inside().link("../../beside/mine", "f").end()),
        Case::new("an unlink outside", v1().unlink("../../beside/secret").end()),
        Case::new("an rmdir outside", v1().rmdir("../../beside/folder").end()),
        Case::new("a write outside", v1().write("../../beside/secret", 0, "overwritten").end()),
        Case::new("a truncation outside", v1().truncate("../../beside/secret", 0).end()),
        Case::new("a mode outside", v1().chmod("../../beside/secret", 0o777).end()),
        Case::new("an owner outside", v1().chown("../../beside/secret", 9, 9).end()),
        Case::new("times outside", v1().utimes("../../beside/secret", 9, 9).end()),
        Case::new("an xattr outside", v1().xattr("../../beside/secret", "user.x", "y").end()),
        Case::new("times of the destination", v1().utimes("..", 9, 9).end()),
    ]
}

fn absolute(fixture: &Fixture) -> Vec<Case> {
    let outside = fixture.outside();
    let victim = outside.join("victim");
    let (victim, new) = (victim.as_os_str().as_bytes(), [outside.as_os_str().as_bytes(), b"/new"].concat());
    vec![
        Case::new("an absolute file", v1().mkfile(&new).end()),
        Case::new("a write to an absolute name", v1().write(victim, 0, "overwritten").end()),
        Case::new("an unlink of an absolute name", v1().unlink(victim).end()),
        Case::new("a move to an absolute name", v1().mkfile("f").rename("f", victim).end()),
    ]
}

fn through_symlinks(fixture: &Fixture) -> Vec<Case> {
    let outside = fixture.outside();
    let outside = outside.as_os_str().as_bytes();
    let victim = [outside, b"/victim"].concat();
    let to_file = || v1().symlink("s", &victim);
    let to_folder = || v1().symlink("s", outside);
    vec![
        Case::new("a write through a symlink", to_file().write("s", 0, "overwritten").end()),
        Case::new("a write through a symlink that climbs", v1().symlink("s", "../../new").write("s", 0, "x").end()),
        Case::new("a file over a dangling symlink", v1().symlink("s", "../../new").mkfile("s").end())
            .standard(Fault::WritesOutside),
        Case::new("a file over a symlink", to_file().mkfile("s").end()),
        Case::new("a file below a symlink", to_folder().mkfile("s/x").end()),
        Case::new("a directory below a symlink", to_folder().mkdir("s/x").end()),
        Case::new("an unlink below a symlink", to_folder().unlink("s/victim").end()),
        Case::new("an rmdir below a symlink", to_folder().rmdir("s/folder").end()),
        Case::new("a move below a symlink", to_folder().mkfile("f").rename("f", "s/victim").end()),
        Case::new("a link to what lies below a symlink", to_folder().link("mine", "s/victim").end()),
        Case::new("a truncation through a symlink", to_file().truncate("s", 0).end()),
        Case::new("a mode through a symlink", to_file().chmod("s", 0o777).end()),
        Case::new("an xattr through a symlink", to_file().xattr("s", "user.x", "y").end()),
        Case::new("a symlink in the middle of a path", v1().mkdir("d").symlink("d/up", "../..").mkfile("d/up/x").end()),
        Case::new("a directory that becomes a symlink", {
            v1().mkdir("d").write_into("d/f").rename("d", "e").symlink("d", outside).write("d/victim", 0, "x").end()
        }),
    ]
}

/// Shorthand of this table.
trait Made {
    fn write_into(self, path: &str) -> Self;
}

impl Made for Stream {
    fn write_into(self, path: &str) -> Self {
        self.mkfile(path).write(path, 0, "content")
    }
}

fn malformed() -> Vec<Case> {
    let long = [b'n'; 256];
    let deep = b"d/".repeat(2100);
    vec![
        Case::new("a file without a name", v1().mkfile("").end()),
        Case::new("a directory without a name", v1().mkdir("").end()),
        Case::new("the name .", v1().mkfile(".").end()),
        Case::new("the name ..", v1().mkdir("..").end()),
        Case::new("an empty part", v1().mkdir("d").mkfile("d//f").end()),
        Case::new("a part .", v1().mkdir("d").mkfile("d/./f").end()),
        Case::new("a slash at the end", v1().mkfile("f/").end()),
        Case::new("only a slash", v1().mkdir("/").end()),
        Case::new("a name with NUL", v1().mkfile(b"f\0g").end()).says(&["nul"]),
        Case::new("a name that is NUL", v1().mkfile(b"\0").end()).says(&["nul"]),
        Case::new("a name of 256 bytes", v1().mkfile(long).end()),
        Case::new("a path of 4200 bytes", v1().mkfile(deep).end()),
        Case::new("an unlink of the root", v1().unlink("").end()),
        Case::new("an rmdir of the root", v1().rmdir("").end()),
        Case::new("a move of the root", v1().rename("", "x").end()),
        Case::new("a move onto the root", v1().mkdir("d").rename("d", "").end()),
        Case::new("a write to the root", v1().write("", 0, "x").end()),
        Case::new("a symlink to nothing", v1().symlink("s", "").end()),
        Case::new("a symlink with NUL", v1().symlink("s", b"a\0b").end()),
        Case::new("a symlink of 5000 bytes", v1().symlink("s", [b't'; 5000]).end()),
    ]
}

fn in_the_way() -> Vec<Case> {
    let both = || v1().mkdir("d").write_into("d/f").write_into("f");
    vec![
        Case::new("a file twice", both().mkfile("f").end()),
        Case::new("a directory twice", both().mkdir("d").end()),
        Case::new("a symlink over a file", both().symlink("f", "x").end()),
        Case::new("a link over a file", both().link("d/f", "f").end()),
        Case::new("a link to a directory", both().link("e", "d").end()),
        Case::new("an unlink of a directory", both().unlink("d").end()),
        Case::new("an rmdir of a file", both().rmdir("f").end()),
        Case::new("an rmdir of a full directory", both().rmdir("d").end()),
        Case::new("a move onto a full directory", both().mkdir("e").rename("e", "d").end()),
        Case::new("a directory into itself", both().rename("d", "d/e").end()),
        Case::new("a write to nothing", v1().write("missing", 0, "x").end()).standard(Fault::LeavesAPart),
        Case::new("a write to nothing, errors allowed", v1().write("missing", 0, "x").end())
            .with(&["-e", "-E", "0"])
            .several()
            .standard(Fault::ExitsZero),
        Case::new("an unlink of nothing", v1().unlink("missing").end()),
        Case::new("a move of nothing", v1().rename("missing", "x").end()),
        Case::new("a mode of nothing", v1().chmod("missing", 0o600).end()),
        Case::new("a file below a file", both().mkfile("f/x").end()),
        Case::new("a file below nothing", v1().mkfile("missing/x").end()),
    ]
}
