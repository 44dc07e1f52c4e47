//! Commands whose frame is right and whose attributes are not.

use super::{Row, WRITE, encoded, stream};

/// Attributes that are unknown, missing, doubled or overlong.
pub(super) fn rows() -> Vec<Row> {
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
pub(super) fn values() -> Vec<Row> {
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
