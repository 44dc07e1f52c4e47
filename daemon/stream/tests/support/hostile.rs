//! Streams that the decoder must refuse, and the messages of its errors.

use butterdock_stream::{Encoder, Version};

/// Name, bytes and the message of the first error.
pub(crate) type Row = (&'static str, Vec<u8>, &'static str);

/// All of them.
pub(crate) fn rows() -> Vec<Row> {
    [headers(), frames(), attributes(), values()].concat()
}

/// Headers of streams that are damaged, cut short or of an unknown version.
fn headers() -> Vec<Row> {
    let good = empty();
    vec![
        ("empty", vec![], "command 1 at byte 0: the input is empty: no btrfs send stream arrived"),
        (
            "one-byte",
            b"b".to_vec(),
            "command 1 at byte 0: the input ends here, before the END command (1 of the next 17 bytes are there): the stream is cut short",
        ),
        (
            "half-a-header",
            good[..15].to_vec(),
            "command 1 at byte 0: the input ends here, before the END command (15 of the next 17 bytes are there): the stream is cut short",
        ),
        ("something-else", b"PK\x03\x04 a zip archive".to_vec(), NOT_A_STREAM),
        ("magic-without-its-nul", b"btrfs-stream \x01\0\0\0".to_vec(), NOT_A_STREAM),
        ("version-0", header(0), "command 1 at byte 0: the stream has version 0, known are 1 to 3"),
        ("version-4", header(4), "command 1 at byte 0: the stream has version 4, known are 1 to 3"),
        (
            "version-big-endian",
            header(1 << 24),
            "command 1 at byte 0: the stream has version 16777216, known are 1 to 3",
        ),
        (
            "only-a-header",
            header(2),
            "command 1 at byte 17: the input ends here, before the END command (0 of the next 10 bytes are there): the stream is cut short",
        ),
        (
            "padding-behind-the-end",
            [good.as_slice(), &[0; 16]].concat(),
            "command 2 at byte 27: this is not a btrfs send stream (the words \"btrfs-stream\" are missing)",
        ),
        (
            "second-stream-cut-short",
            [good.as_slice(), &good[..17]].concat(),
            "command 2 at byte 44: the input ends here, before the END command (0 of the next 10 bytes are there): the stream is cut short",
        ),
    ]
}

/// Commands that are damaged, cut short, restarted or unknown.
fn frames() -> Vec<Row> {
    let good = stream(2, &[(15, WRITE)]);
    let restarted = |cut: usize| [&good[..cut], &good].concat();
    let declared = |len: u32| {
        let mut bytes = good.clone();
        bytes.splice(17..21, len.to_le_bytes());
        bytes
    };
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    vec![
        (
            "half-a-command-header",
            good[..20].to_vec(),
            "command 1 at byte 17: the input ends here, before the END command (3 of the next 10 bytes are there): the stream is cut short",
        ),
        (
            "half-a-command",
            good[..40].to_vec(),
            "command 1 at byte 17: the input ends here, before the END command (23 of the next 35 bytes are there): the stream is cut short",
        ),
        (
            "without-end",
            good[..52].to_vec(),
            "command 2 at byte 52: the input ends here, before the END command (0 of the next 10 bytes are there): the stream is cut short",
        ),
        (
            "length-of-4-gib",
            declared(0xffff_fff0),
            "command 1 at byte 17: the command says it is 4294967280 bytes long, at most 524288 are allowed",
        ),
        (
            "length-over-the-cap",
            declared(524_289),
            "command 1 at byte 17: the command says it is 524289 bytes long, at most 524288 are allowed",
        ),
        (
            "length-over-the-cap-of-v1",
            frame(1, 131_073),
            "command 1 at byte 17: the command says it is 131073 bytes long, at most 131072 are allowed",
        ),
        (
            "length-one-short",
            declared(24),
            "command 1 at byte 17: the checksum is wrong (stored 0x786ce4ed, computed 0xa0cbaaf9): the stream is damaged",
        ),
        (
            "bit-flip-in-the-data",
            flipped(51),
            "command 1 at byte 17: the checksum is wrong (stored 0x786ce4ed, computed 0x8a0767ee): the stream is damaged",
        ),
        (
            "bit-flip-in-the-number",
            flipped(21),
            "command 1 at byte 17: the checksum is wrong (stored 0x786ce4ed, computed 0x00cb8460): the stream is damaged",
        ),
        (
            "bit-flip-in-the-checksum",
            flipped(23),
            "command 1 at byte 17: the checksum is wrong (stored 0x786ce4ec, computed 0x786ce4ed): the stream is damaged",
        ),
        (
            "restarted-between-commands",
            restarted(52),
            "command 2 at byte 52: a stream header stands inside the command: the sender's ioctl was restarted by a signal and began again; send once more",
        ),
        ("restarted-inside-a-command", restarted(30), RESTARTED),
        ("restarted-behind-a-command-header", restarted(27), RESTARTED),
        ("restarted-inside-a-long-command", [frame(2, 100_000), good].concat(), RESTARTED),
        ("command-0", stream(2, &[(0, b"")]), "command 1 at byte 17: unknown command number 0"),
        ("command-27", stream(3, &[(27, b"")]), "command 1 at byte 17: unknown command number 27"),
        ("command-65535", stream(2, &[(65_535, b"")]), "command 1 at byte 17: unknown command number 65535"),
        (
            "encoded-write-in-v1",
            stream(1, &[(25, b"")]),
            "command 1 at byte 17: ENCODED_WRITE does not exist in version 1 of the stream",
        ),
        (
            "fallocate-in-v1",
            stream(1, &[(23, b"")]),
            "command 1 at byte 17: FALLOCATE does not exist in version 1 of the stream",
        ),
        (
            "verity-in-v2",
            stream(2, &[(26, b"")]),
            "command 1 at byte 17: ENABLE_VERITY does not exist in version 2 of the stream",
        ),
    ]
}

/// Attributes that are unknown, missing, doubled or too long.
fn attributes() -> Vec<Row> {
    vec![
        ("unknown-attribute", stream(1, &[(11, b"\x24\0\0\0")]), "command 1 at byte 17: unknown attribute number 36"),
        ("attribute-0", stream(1, &[(11, b"\0\0\0\0")]), "command 1 at byte 17: unknown attribute number 0"),
        (
            "attribute-65535",
            stream(1, &[(11, b"\xff\xff\0\0")]),
            "command 1 at byte 17: unknown attribute number 65535",
        ),
        (
            "attribute-of-another-command",
            stream(1, &[(11, b"\x05\0\x08\0\0\0\0\0\0\0\0\0")]),
            "command 1 at byte 17: UNLINK has an attribute MODE, which does not belong to it",
        ),
        (
            "attribute-twice",
            stream(1, &[(11, b"\x0f\0\x01\0a\x0f\0\x01\0b")]),
            "command 1 at byte 17: UNLINK has two attributes PATH",
        ),
        (
            "attribute-missing",
            stream(1, &[(9, b"\x0f\0\x01\0a")]),
            "command 1 at byte 17: RENAME lacks its attribute PATH_TO",
        ),
        ("all-attributes-missing", stream(1, &[(16, b"")]), "command 1 at byte 17: CLONE lacks its attribute PATH"),
        (
            "attribute-past-the-end",
            stream(1, &[(11, b"\x0f\0\x02\0a")]),
            "command 1 at byte 17: an attribute of UNLINK reaches past the end of the command",
        ),
        (
            "attribute-of-64-kib",
            stream(1, &[(11, b"\x0f\0\xff\xffa")]),
            "command 1 at byte 17: an attribute of UNLINK reaches past the end of the command",
        ),
        (
            "half-an-attribute-header",
            stream(1, &[(11, b"\x0f\0\x01\0a\x0f\0")]),
            "command 1 at byte 17: UNLINK has two attributes PATH",
        ),
        (
            "attribute-without-a-length",
            stream(1, &[(9, b"\x0f\0\x01\0a\x10\0")]),
            "command 1 at byte 17: an attribute of RENAME reaches past the end of the command",
        ),
        (
            "one-byte-left-over",
            stream(1, &[(11, b"\x0f\0\x01\0a\x0f")]),
            "command 1 at byte 17: an attribute of UNLINK reaches past the end of the command",
        ),
        (
            "end-with-an-attribute",
            stream(1, &[(21, b"\x0f\0\x01\0a")]),
            "command 1 at byte 17: END has an attribute PATH, which does not belong to it",
        ),
        (
            "data-in-the-middle-of-v2",
            stream(2, &[(15, b"\x0f\0\x01\0a\x13\0x\x12\0\x08\0\0\0\0\0\0\0\0\0")]),
            "command 1 at byte 17: WRITE lacks its attribute FILE_OFFSET",
        ),
        (
            "data-without-a-length-in-v1",
            stream(1, &[(15, WRITE)]),
            "command 1 at byte 17: an attribute of WRITE reaches past the end of the command",
        ),
    ]
}

/// Attributes with values that they cannot have.
fn values() -> Vec<Row> {
    vec![
        (
            "short-mode",
            stream(1, &[(18, b"\x0f\0\x01\0a\x05\0\x04\0\xa4\x01\0\0")]),
            "command 1 at byte 17: the attribute MODE is 4 bytes long instead of 8",
        ),
        (
            "long-mode",
            stream(1, &[(18, b"\x0f\0\x01\0a\x05\0\x09\0\xa4\x01\0\0\0\0\0\0\0")]),
            "command 1 at byte 17: the attribute MODE is 9 bytes long instead of 8",
        ),
        (
            "empty-mode",
            stream(1, &[(18, b"\x0f\0\x01\0a\x05\0\0\0")]),
            "command 1 at byte 17: the attribute MODE is 0 bytes long instead of 8",
        ),
        (
            "short-uuid",
            stream(1, &[(1, b"\x0f\0\x01\0a\x01\0\x0f\0aaaaaaaaaaaaaaa")]),
            "command 1 at byte 17: the attribute UUID is 15 bytes long instead of 16",
        ),
        (
            "long-time",
            stream(1, &[(20, b"\x0f\0\0\0\x0b\0\x10\0aaaaaaaaaaaaaaaa")]),
            "command 1 at byte 17: the attribute ATIME is 16 bytes long instead of 12",
        ),
        (
            "nul-in-a-path",
            stream(1, &[(11, b"\x0f\0\x03\0a\0b")]),
            "command 1 at byte 17: the name in the attribute PATH contains a NUL byte",
        ),
        (
            "nul-at-the-end-of-a-path",
            stream(1, &[(11, b"\x0f\0\x02\0a\0")]),
            "command 1 at byte 17: the name in the attribute PATH contains a NUL byte",
        ),
        (
            "nul-in-a-long-path",
            stream(1, &[(11, b"\x0f\0\x14\0aaaaaaaaaaaaaaaaaa\0b")]),
            "command 1 at byte 17: the name in the attribute PATH contains a NUL byte",
        ),
        (
            "nul-in-a-target",
            stream(1, &[(10, b"\x0f\0\x01\0a\x11\0\x02\0b\0")]),
            "command 1 at byte 17: the name in the attribute PATH_LINK contains a NUL byte",
        ),
        (
            "nul-in-the-name-of-an-xattr",
            stream(1, &[(14, b"\x0f\0\x01\0a\x0d\0\x02\0b\0")]),
            "command 1 at byte 17: the name in the attribute XATTR_NAME contains a NUL byte",
        ),
        ("compression-8", encoded(8), "command 1 at byte 17: unknown compression 8 (known are 0 to 7)"),
        (
            "compression-of-4-bytes",
            encoded(u32::MAX),
            "command 1 at byte 17: unknown compression 4294967295 (known are 0 to 7)",
        ),
    ]
}

const NOT_A_STREAM: &str =
    "command 1 at byte 0: this is not a btrfs send stream (the words \"btrfs-stream\" are missing)";
const RESTARTED: &str = "command 1 at byte 17: a stream header stands inside the command: the sender's ioctl was restarted by a signal and began again; send once more";

/// A WRITE of version 2: path "a", offset 0, data "data!!".
const WRITE: &[u8] = b"\x0f\0\x01\0a\x12\0\x08\0\0\0\0\0\0\0\0\0\x13\0data!!";

fn encoded(compression: u32) -> Vec<u8> {
    let mut payload = b"\x0f\0\x01\0a".to_vec();
    for attribute in [18, 27, 28, 29] {
        payload.extend([attribute, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    payload.extend([30, 0, 4, 0]);
    payload.extend(compression.to_le_bytes());
    payload.extend(b"\x13\0data");
    stream(2, &[(25, &payload)])
}

fn header(version: u32) -> Vec<u8> {
    [butterdock_stream::MAGIC.as_slice(), &version.to_le_bytes()].concat()
}

/// A header and the beginning of a command that says it is this long.
fn frame(version: u32, len: u32) -> Vec<u8> {
    [header(version), len.to_le_bytes().to_vec(), vec![15, 0, 1, 2, 3, 4]].concat()
}

fn empty() -> Vec<u8> {
    stream(1, &[])
}

/// A stream of commands given by number and payload, with right checksums, and END.
fn stream(version: u32, commands: &[(u16, &[u8])]) -> Vec<u8> {
    let mut encoder = Encoder::new(Version::V3);
    for (number, payload) in commands {
        encoder.raw(*number, payload).unwrap();
    }
    encoder.raw(21, b"").unwrap();
    [header(version), encoder.into_bytes()].concat()
}
