//! Streams that are broken on the wire.

use butterdock_tests::wire::{Attribute, Attributes, Stream, UUID, command};

use crate::case::{Case, Fault, v1, v2};

const CUT: &[&str] = &["truncated", "cut", "ends", "ended", "end of"];

pub(crate) fn rows() -> Vec<Case> {
    let mut rows = headers();
    rows.extend(ends());
    rows.extend(commands());
    rows.extend(attributes());
    rows
}

fn headers() -> Vec<Case> {
    vec![
        Case::new("nothing at all", Stream::default()).nowhere().says(&["empty"]),
        Case::new("text", Stream::default().raw(b"this is no stream of btrfs, only text\n"))
            .nowhere()
            .says(&["stream"]),
        Case::new("half a header", Stream::default().raw(b"btrfs-")).nowhere(),
        Case::new("a header without its version", Stream::default().raw(b"btrfs-stream\0\x01")).nowhere().says(CUT),
        Case::new("another magic", Stream::default().raw(b"btrfs-strean\0\x01\0\0\0").subvol("sub").end()).nowhere(),
        Case::new("version 0", Stream::new(0).subvol("sub").mkfile("a").end())
            .nowhere()
            .says(&["version 0"])
            .standard(Fault::ExitsZero),
        Case::new("version 4", Stream::new(4).subvol("sub").end()).nowhere().says(&["version 4"]),
        Case::new("the highest version", Stream::new(u32::MAX).subvol("sub").end()).nowhere().says(&["version"]),
        Case::new("a command before any subvolume", Stream::new(1).mkfile("a").end()),
    ]
}

fn ends() -> Vec<Case> {
    let begun = || v1().mkfile("a").write("a", 0, [7; 5000]);
    vec![
        Case::new("no END", begun()).says(CUT).standard(Fault::LeavesAPart),
        Case::new("no END, errors allowed", begun().cut(3))
            .with(&["-E", "0"])
            .says(CUT)
            .several()
            .standard(Fault::Hangs),
        Case::new("cut in a command's header", begun().end().cut(4)).says(CUT),
        Case::new("cut in a payload", begun().cut(4000)).says(CUT),
        Case::new("cut after the subvolume", v1()).says(CUT),
        Case::new("a second header, cut", Stream::new(1).subvol("sub").mkfile("a").mkfile("a").end().raw(b"btrfs-str")),
        Case::new(
            "a stream that begins again inside a write",
            v1().mkfile("a")
                .command_header(30_000, command::WRITE, 0)
                .raw(&[0; 300])
                .raw(v1().bytes())
                .raw(&[0; 29_000]),
        )
        .says(&["again", "signal", "restart"]),
        Case::new("a stream that begins again between commands", v1().mkfile("a").raw(v1().mkfile("a").end().bytes()))
            .says(&["again", "signal", "restart"]),
    ]
}

fn commands() -> Vec<Case> {
    vec![
        Case::new("a command of 4 GiB", v1().command_header(0xffff_fff0, command::WRITE, 0).raw(&[0; 100])),
        Case::new("a command over the cap of the wire", v2().command_header((16 << 20) + 1, command::WRITE, 0)),
        Case::new("a command over the cap of version 1", v1().command_header((128 << 10) + 1, command::WRITE, 0)),
        Case::new("a command over the cap of version 2", v2().command_header((512 << 10) + 1, command::WRITE, 0)),
        Case::new("command 0", v1().payload(0, &[]).end()).says(&["unknown", "command"]),
        Case::new("command 27", v2().payload(27, &[]).end()).says(&["27"]).standard(Fault::ExitsZero),
        Case::new("command 65535", v1().payload(65_535, &[]).end()).says(&["65535"]),
        Case::new("a wrong CRC of a file", v1().mkfile("a").spoil(1).end()).says(&["crc", "checksum"]),
        Case::new("a wrong CRC of END", v1().mkfile("a").end().spoil(1)).says(&["crc", "checksum"]),
        Case::new("a flipped bit in data", v1().mkfile("a").write("a", 0, [1; 40_000]).spoil(20_000).end())
            .says(&["crc", "checksum"]),
        Case::new("a version-2 command in version 1", v1().mkfile("a").fallocate("a", 3, 0, 4096).end())
            .says(&["version"]),
        Case::new("an encoded write in version 1", v1().mkfile("a").encoded("a", 0, (4096, 4096, 0), 1, [0; 20]).end())
            .says(&["version"]),
        Case::new(
            "a version-3 command in version 2",
            v2().mkfile("a").command(command::ENABLE_VERITY, &verity()).end(),
        )
        .says(&["version"]),
        Case::new("END with a payload", v1().command(command::END, &Attributes::path("a"))),
    ]
}

pub(crate) fn verity() -> Attributes {
    Attributes::path("a")
        .bytes_of(Attribute::VerityAlgorithm, [1])
        .u32(Attribute::VerityBlockSize, 4096)
        .bytes_of(Attribute::VeritySaltData, [])
        .bytes_of(Attribute::VeritySigData, [])
}

fn attributes() -> Vec<Case> {
    let made = || v1().mkfile("a");
    let size = |attributes: Attributes| v1().mkfile("a").command(command::TRUNCATE, &attributes).end();
    vec![
        Case::new("a file without a path", v1().command(command::MKFILE, &Attributes::new()).end()).says(&["path"]),
        Case::new("no size", size(Attributes::path("a"))).says(&["size"]),
        Case::new("a size of four bytes", size(Attributes::path("a").u32(Attribute::Size, 1))).says(&["size"]),
        Case::new("two sizes", size(Attributes::path("a").u64(Attribute::Size, 1).u64(Attribute::Size, 2)))
            .says(&["size"]),
        Case::new("two paths", size(Attributes::path("a").bytes_of(Attribute::Path, "b").u64(Attribute::Size, 1)))
            .says(&["path"]),
        Case::new("attribute 36", size(Attributes::path("a").u64(Attribute::Size, 1).numbered(36, [1]))).says(&["36"]),
        Case::new("attribute 0", size(Attributes::path("a").u64(Attribute::Size, 1).numbered(0, []))),
        Case::new("an attribute past the end", made().payload(command::UNLINK, &[15, 0, 200, 0, b'a']).end()),
        Case::new("half an attribute header", made().payload(command::UNLINK, &[15, 0, 1, 0, b'a', 15, 0, 1]).end()),
        Case::new("a payload of noise", made().payload(command::WRITE, &[0xee; 333]).end()),
        Case::new(
            "a subvolume without a uuid",
            Stream::new(1).command(command::SUBVOL, &Attributes::path("sub").u64(Attribute::Ctransid, 1)).end(),
        )
        .says(&["uuid"]),
        Case::new(
            "a uuid of 15 bytes",
            Stream::new(1)
                .command(
                    command::SUBVOL,
                    &Attributes::path("sub").bytes_of(Attribute::Uuid, &UUID[..15]).u64(Attribute::Ctransid, 1),
                )
                .end(),
        )
        .says(&["uuid"]),
        Case::new(
            "a write without data",
            made().command(command::WRITE, &Attributes::path("a").u64(Attribute::FileOffset, 0)).end(),
        )
        .says(&["data"]),
        Case::new(
            "a time of eight bytes",
            made()
                .command(
                    command::UTIMES,
                    &Attributes::path("a").time(Attribute::Atime, 1, 1).u64(Attribute::Mtime, 1).time(
                        Attribute::Ctime,
                        1,
                        1,
                    ),
                )
                .end(),
        )
        .says(&["mtime"]),
    ]
}
