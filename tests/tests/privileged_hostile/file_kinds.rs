//! Commands on what is no regular file: a device must never be opened, a fifo never waited for.

use butterdock_tests::wire::{Attribute, Attributes, Stream, command};

use crate::case::{Case, v1, v2};
use crate::fixture::{Fixture, PARENT};

const BLOCK: u64 = 0o060_600;
const CHARACTER: u64 = 0o020_600;
const FIFO: u64 = 0o010_600;
const SOCKET: u64 = 0o140_600;

pub(crate) fn rows(fixture: &Fixture) -> Vec<Case> {
    let mut rows = devices(fixture.disk().unwrap_or_default());
    rows.extend(waiting());
    rows.extend(directories());
    rows.extend(modes());
    rows
}

fn devices(disk: u64) -> Vec<Case> {
    let block = |stream: Stream| stream.node(command::MKNOD, "disk", BLOCK, packed(disk));
    let all = [0u8; 4096];
    vec![
        Case::new("a write to a disk", block(v1()).write("disk", 0, all).end()),
        Case::new("a write to a disk in a chroot", block(v1()).write("disk", 0, all).end()).with(&["-C"]),
        Case::new("a write to a moved disk", block(v1()).rename("disk", "file").write("file", 0, all).end()),
        Case::new("a write to a linked disk", block(v1()).link("file", "disk").write("file", 0, all).end()),
        Case::new("a truncation of a disk", block(v1()).truncate("disk", 0).end()),
        Case::new("a hole in a disk", block(v2()).fallocate("disk", 3, 0, 65_536).end()),
        Case::new("an encoded write to a disk", block(v2()).encoded("disk", 0, (4096, 4096, 0), 1, zlib()).end()),
        Case::new("a clone onto a disk", block(v1()).clone_from("disk", 0, 4096, (PARENT, "src", 0)).end()),
        Case::new(
            "a clone from a disk",
            block(v1()).mkfile("f").clone_from("f", 0, 4096, ((butterdock_tests::wire::UUID, 7), "disk", 0)).end(),
        ),
        Case::new(
            "a write to /dev/mem's number",
            v1().node(command::MKNOD, "m", CHARACTER, 0x0101).write("m", 0, all).end(),
        ),
        Case::new("a file made over a disk", block(v1()).mkfile("disk").end()),
        Case::new("an xattr on a disk", block(v1()).xattr("disk", "user.x", "y").end()),
    ]
}

fn zlib() -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(&[b'z'; 4096]).and_then(|()| packer.finish()).unwrap_or_default()
}

/// `new_encode_dev` of a number as `stat` gives it.
fn packed(device: u64) -> u64 {
    let (major, minor) = (u64::from(rustix::fs::major(device)), u64::from(rustix::fs::minor(device)));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

fn waiting() -> Vec<Case> {
    let fifo = || v1().node(command::MKFIFO, "p", FIFO, 0);
    let socket = || v1().node(command::MKSOCK, "s", SOCKET, 0);
    let this = (butterdock_tests::wire::UUID, 7);
    vec![
        Case::new("a write to a fifo", fifo().write("p", 0, "x").end()),
        Case::new("a truncation of a fifo", fifo().truncate("p", 1).end()),
        Case::new("a clone from a fifo", fifo().mkfile("f").clone_from("f", 0, 4096, (this, "p", 0)).end()),
        Case::new("a write to a socket", socket().write("s", 0, "x").end()),
        Case::new("a truncation of a socket", socket().truncate("s", 1).end()),
    ]
}

fn directories() -> Vec<Case> {
    let this = (butterdock_tests::wire::UUID, 7);
    vec![
        Case::new("a write to a directory", v1().mkdir("d").write("d", 0, "x").end()),
        Case::new("a truncation of a directory", v1().mkdir("d").truncate("d", 0).end()),
        Case::new(
            "a clone from a directory",
            v1().mkdir("d").mkfile("f").clone_from("f", 0, 4096, (this, "d", 0)).end(),
        ),
        Case::new("a clone onto a directory", v1().mkdir("d").clone_from("d", 0, 4096, (PARENT, "src", 0)).end()),
        Case::new("a hole in a directory", v2().mkdir("d").fallocate("d", 3, 0, 4096).end()),
        Case::new("a directory made over a fifo", v1().node(command::MKFIFO, "p", FIFO, 0).mkdir("p").end()),
    ]
}

/// Nodes whose mode says that they are something else.
fn modes() -> Vec<Case> {
    let node = |name, mode| Case::new(name, v1().node(command::MKNOD, "n", mode, 0x0103).end());
    vec![
        node("a device that is a directory", 0o040_700),
        node("a device that is a symlink", 0o120_777),
        node("a device with a mode over 32 bits", (1 << 32) | CHARACTER),
        Case::new("a device number over 32 bits", v1().node(command::MKNOD, "n", CHARACTER, (1 << 32) | 0x103).end()),
        Case::new(
            "a device without a number",
            v1().command(command::MKNOD, &Attributes::path("n").u64(Attribute::Mode, CHARACTER)).end(),
        )
        .says(&["rdev"]),
    ]
}
