//! Commands that are damaged, cut short, restarted or unknown.

use super::{RESTARTED, Row, WRITE, frame, stream};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
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
