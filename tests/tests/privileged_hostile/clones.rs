//! Clone sources that are missing, changed, outside, or no ranges of a file.

use butterdock_tests::wire::{Stream, UUID};

use crate::case::{Case, v1};
use crate::fixture::{CHANGED, Fixture, PARENT, REFROZEN};

/// This very subvolume, as [`Stream::subvol`] names it.
const THIS: ([u8; 16], u64) = (UUID, 7);
const MISSING: &[&str] = &["uuid", "parent", "source", "not found", "missing", "no subvolume"];

pub(crate) fn rows(fixture: &Fixture) -> Vec<Case> {
    let mut rows = sources(fixture);
    rows.extend(paths());
    rows.extend(ranges());
    rows
}

fn target() -> Stream {
    v1().mkfile("f")
}

fn sources(fixture: &Fixture) -> Vec<Case> {
    let from = |name, source| Case::new(name, target().clone_from("f", 0, 65_536, (source, "src", 0)).end());
    let own = fixture.own();
    vec![
        from("from a subvolume that is not there", ([0xab; 16], 5)).says(MISSING),
        from("from no uuid", ([0; 16], 5)),
        from("from a parent of another transaction", (PARENT.0, PARENT.1 + 1)).with(&["--strict-parent"]),
        from("from a parent that was changed", CHANGED),
        from("from a parent that was changed and made read-only", REFROZEN),
        from("from a subvolume that is being written", fixture.writable()),
        from("from a snapshot of another transaction", (own.0, own.1 + 1)).with(&["--strict-parent"]),
        from("from a missing file of this subvolume", THIS),
    ]
}

fn paths() -> Vec<Case> {
    let from = |name, path: &str| Case::new(name, target().clone_from("f", 0, 65_536, (PARENT, path, 0)).end());
    vec![
        from("from a name that climbs", "../secret"),
        from("from a name that climbs into another", "../live/src"),
        from("from an absolute name", "/etc/passwd"),
        from("from a symlink of the parent", "link"),
        from("from a directory of the parent", "folder"),
        from("from the parent's root", ""),
        from("from a missing file of the parent", "missing"),
        Case::new(
            "from a name that climbs, in a chroot",
            target().clone_from("f", 0, 65_536, (PARENT, "../live/src", 0)).end(),
        )
        .with(&["-C"]),
        Case::new("onto a name that climbs", target().clone_from("../f", 0, 65_536, (PARENT, "src", 0)).end()),
        Case::new("onto a name that climbs far", {
            target().clone_from("../../beside/secret", 0, 65_536, (PARENT, "src", 0)).end()
        }),
        Case::new("onto a symlink", v1().symlink("s", "../../x").clone_from("s", 0, 65_536, (PARENT, "src", 0)).end()),
        Case::new("onto nothing", v1().clone_from("missing", 0, 65_536, (PARENT, "src", 0)).end()),
        Case::new("onto the parent itself", {
            v1().symlink("s", "../../beside/good/src").clone_from("s", 0, 4096, (PARENT, "src", 4096)).end()
        }),
    ]
}

fn ranges() -> Vec<Case> {
    let part = |name, offset, len, source_offset| {
        Case::new(name, target().clone_from("f", offset, len, (PARENT, "src", source_offset)).end())
    };
    vec![
        part("of no bytes", 0, 0, 0),
        part("past the end of the source", 0, 65_536, 61_440),
        part("from far past the end", 0, 4096, 1 << 40),
        part("4 GiB and a block of a small file", 0, (1 << 32) + 4096, 0),
        part("2^63 bytes", 0, 1 << 63, 0),
        part("all bytes", 0, u64::MAX, 0),
        part("to an offset that overflows", u64::MAX - 4095, 8192, 0),
        part("from an offset that overflows", 0, 8192, u64::MAX - 4095),
        Case::new("onto itself", {
            target().write("f", 0, [1; 16_384]).clone_from("f", 4096, 8192, (THIS, "f", 0)).end()
        }),
    ]
}
