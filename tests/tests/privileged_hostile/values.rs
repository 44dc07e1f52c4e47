//! Numbers and attributes that a careless receiver cuts to what fits, or hands to the kernel with another meaning.

use butterdock_tests::wire::{Attribute, Attributes, command};

use crate::case::{Case, v1, v2, v3};
use crate::framing::verity;

pub(crate) fn rows() -> Vec<Case> {
    let mut rows = owners_and_times();
    rows.extend(ranges());
    rows.extend(xattrs());
    rows
}

fn owners_and_times() -> Vec<Case> {
    let made = || v1().mkfile("f");
    vec![
        Case::new("an owner of 2^32, which would be root", made().chown("f", 1 << 32, 0).end()),
        Case::new("a group of 2^32", made().chown("f", 0, 1 << 32).end()),
        Case::new("an owner that means 'leave as it is'", made().chown("f", 0xffff_ffff, 0).end()),
        Case::new("an owner of 2^64 - 1", made().chown("f", u64::MAX, u64::MAX).end()),
        Case::new("a mode of 2^32", made().chmod("f", (1 << 32) | 0o644).end()),
        Case::new("a nanosecond that means 'now'", made().utimes("f", 1, (1 << 30) - 1).end()),
        Case::new("a nanosecond that means 'leave as it is'", made().utimes("f", 1, (1 << 30) - 2).end()),
        Case::new("a second in nanoseconds", made().utimes("f", 1, 1_000_000_000).end()),
        Case::new("all bits of a nanosecond", made().utimes("f", 1, u32::MAX).end()),
    ]
}

fn ranges() -> Vec<Case> {
    let made = || v1().mkfile("f");
    let made2 = || v2().mkfile("f");
    vec![
        Case::new("a size of 2^63", made().truncate("f", 1 << 63).end()),
        Case::new("a size of 2^64 - 1", made().truncate("f", u64::MAX).end()),
        Case::new("a write at 2^64 - 1", made().write("f", u64::MAX, "xy").end()),
        Case::new("a write that ends past 2^63", made().write("f", (1 << 63) - 1, "xy").end()),
        Case::new("a hole that ends past 2^64", made2().fallocate("f", 3, u64::MAX - 10, 4096).end()),
        Case::new("a hole of no length", made2().fallocate("f", 3, 0, 0).end()),
        Case::new("a fallocate mode that is unknown", made2().fallocate("f", 0x8000_0000, 0, 4096).end()),
        Case::new("a fallocate that collapses", made2().fallocate("f", 8, 0, 4096).end()),
        Case::new("fs-verity with an algorithm that is unknown", {
            let odd = Attributes::path("f")
                .bytes_of(Attribute::VerityAlgorithm, [99])
                .u32(Attribute::VerityBlockSize, 4096)
                .bytes_of(Attribute::VeritySaltData, [])
                .bytes_of(Attribute::VeritySigData, []);
            v3().mkfile("f").command(command::ENABLE_VERITY, &odd).end()
        }),
        Case::new("fs-verity on nothing", v3().command(command::ENABLE_VERITY, &verity()).end()),
        Case::new("inode flags of nothing", {
            v2().command(command::FILEATTR, &Attributes::path("f").u64(Attribute::Fileattr, 0x40)).end()
        }),
    ]
}

fn xattrs() -> Vec<Case> {
    let set =
        |name: &'static str, key: &[u8], value: &[u8]| Case::new(name, v1().mkfile("f").xattr("f", key, value).end());
    let long = [&b"user."[..], &[b'k'; 251]].concat();
    vec![
        set("an xattr without a name", b"", b"x"),
        set("an xattr without a namespace", b"nothing", b"x"),
        set("an xattr of an unknown namespace", b"nobody.knows", b"x"),
        set("an xattr with only a namespace", b"user.", b"x"),
        set("an xattr name with NUL", b"user.a\0b", b"x"),
        set("an xattr name of 256 bytes", &long, b"x"),
        set("an xattr larger than btrfs can hold", b"user.large", &[b'x'; 60_000]),
        set("a capability of noise", b"security.capability", &[0xee; 20]),
        set("an access list of noise", b"system.posix_acl_access", &[0xee; 33]),
        set("a default list on a file", b"system.posix_acl_default", &[2, 0, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0]),
        set("a compression that is unknown", b"btrfs.compression", b"rot13"),
        set("a property that is unknown", b"btrfs.unknown", b"x"),
        Case::new("the removal of an xattr from nothing", {
            let attributes = Attributes::path("f").bytes_of(Attribute::XattrName, "user.x");
            v1().command(command::REMOVE_XATTR, &attributes).end()
        }),
        Case::new("an update of an extent in a stream without data", {
            let attributes = Attributes::path("missing").u64(Attribute::FileOffset, 0).u64(Attribute::Size, 4096);
            v1().command(command::UPDATE_EXTENT, &attributes).end()
        }),
    ]
}
