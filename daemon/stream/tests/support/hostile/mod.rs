//! Streams that must be refused, and in which words.

mod attributes;
mod frames;

use butterdock_stream::{Encoder, Version};

/// Name, bytes and the message of the first error.
pub(crate) type Row = (&'static str, Vec<u8>, &'static str);

/// All of them.
pub(crate) fn rows() -> Vec<Row> {
    [headers(), frames::rows(), attributes::rows(), attributes::values()].concat()
}

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
