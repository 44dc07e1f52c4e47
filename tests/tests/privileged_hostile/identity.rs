//! What a stream says of the subvolume itself and of its parent.

use std::os::unix::ffi::OsStrExt as _;

use butterdock_tests::wire::{Attribute, Attributes, Stream, UUID, command};

use crate::case::{Case, Fault};
use crate::fixture::{CHANGED, Fixture, PARENT, REFROZEN};

pub(crate) fn rows(fixture: &Fixture) -> Vec<Case> {
    let mut rows = names(fixture);
    rows.extend(parents(fixture));
    rows
}

fn names(fixture: &Fixture) -> Vec<Case> {
    let named = |name, path: &[u8]| Case::new(name, Stream::new(1).subvol(path).mkfile("f").end());
    let absolute = fixture.outside().join("sub");
    let of_parent =
        |name, path: &[u8]| Case::new(name, Stream::new(1).snapshot(path, PARENT.0, PARENT.1).mkfile("f").end());
    vec![
        named("no name", b""),
        named("the name .", b"."),
        named("the name ..", b".."),
        named("a name that climbs", b"../sub"),
        named("a name with a slash", b"a/b"),
        named("a name that ends in a slash", b"a/"),
        named("an absolute name", absolute.as_os_str().as_bytes()),
        named("a name with NUL", b"a\0b"),
        named("a name of 256 bytes", &[b'n'; 256]),
        named("a hidden name of ours", b".butterdock-00112233445566778899aabbccddeeff"),
        named("the beginning of a hidden name", b".butterdock-"),
        of_parent("an increment with a name that climbs", b"../sub"),
        of_parent("an increment with a hidden name", b".butterdock-00112233445566778899aabbccddeeff"),
    ]
}

fn parents(fixture: &Fixture) -> Vec<Case> {
    let from = |name, (uuid, transid)| Case::new(name, Stream::new(1).snapshot("sub", uuid, transid).mkfile("f").end());
    let own = fixture.own();
    let without_parent = Attributes::path("sub").bytes_of(Attribute::Uuid, UUID).u64(Attribute::Ctransid, 1);
    vec![
        from("a parent that is not there", ([0xcd; 16], 3)).says(&["cdcdcdcd-cdcd"]),
        from("no parent's uuid", ([0; 16], 3)),
        from("a parent of another transaction", (PARENT.0, PARENT.1 + 5)).with(&["--strict-parent"]),
        from("a parent that was made writable and changed", CHANGED).standard(Fault::ExitsZero),
        from("a parent that was changed and made read-only", REFROZEN),
        from("a parent that is being written", fixture.writable()),
        from("a snapshot of another transaction", (own.0, own.1 + 1)).with(&["--strict-parent"]),
        from("a parent of another transaction that was changed", (REFROZEN.0, REFROZEN.1 + 5)),
        Case::new("an increment without a parent", Stream::new(1).command(command::SNAPSHOT, &without_parent).end()),
        Case::new("a command that fails in an increment", {
            Stream::new(1).snapshot("sub", PARENT.0, PARENT.1).unlink("missing").end()
        }),
        Case::new("an increment that moves a file out", {
            Stream::new(1).snapshot("sub", PARENT.0, PARENT.1).rename("src", "../src").end()
        }),
        Case::new("an increment that goes through the parent's symlink", {
            Stream::new(1).snapshot("sub", PARENT.0, PARENT.1).write("link", 0, "x").end()
        }),
    ]
}
