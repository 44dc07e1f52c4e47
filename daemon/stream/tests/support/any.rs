//! Random commands for proptest.

use butterdock_stream::{Command, Compression, Extent, Identity, Time, Uuid, Version};
use proptest::collection::vec;
use proptest::prelude::*;

/// A command that owns its bytes: its number, and values for all fields that a command can have.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    number: u16,
    names: [Vec<u8>; 3],
    data: Vec<u8>,
    numbers: [u64; 4],
    small: u32,
    uuids: [[u8; 16]; 2],
    times: [(i64, u32); 4],
    present: bool,
}

/// A version and commands that it has.
pub(crate) fn commands(longest: usize) -> impl Strategy<Value = (Version, Vec<Owned>)> {
    let version = prop_oneof![Just(Version::V1), Just(Version::V2), Just(Version::V3)];
    version.prop_flat_map(move |version| (Just(version), vec(command(version, longest), 0..20)))
}

fn command(version: Version, longest: usize) -> impl Strategy<Value = Owned> {
    let numbers: Vec<u16> = match version {
        Version::V1 => (1..=22).filter(|number| *number != 21).collect(),
        Version::V2 => (1..=25).filter(|number| *number != 21).collect(),
        Version::V3 => (1..=26).filter(|number| *number != 21).collect(),
    };
    let name = || vec(1..=255u8, 0..80);
    let values = (any::<[u64; 4]>(), any::<u32>(), any::<[[u8; 16]; 2]>(), any::<[(i64, u32); 4]>());
    let bytes = ([name(), name(), name()], vec(any::<u8>(), 0..longest));
    (proptest::sample::select(numbers), bytes, values, any::<bool>()).prop_map(
        move |(number, (names, data), (numbers, small, uuids, times), present)| Owned {
            number,
            names,
            data,
            numbers,
            small,
            uuids,
            times,
            present: present && (number != 20 || version > Version::V1),
        },
    )
}

impl Owned {
    pub(crate) fn command(&self) -> Command<'_> {
        let [path, other, third] = self.names.each_ref().map(Vec::as_slice);
        let [a, b, c, d] = self.numbers;
        let [uuid, second] = self.uuids.map(Uuid);
        let [atime, mtime, ctime, otime] = self.times.map(|(seconds, nanoseconds)| Time { seconds, nanoseconds });
        let ino = self.present.then_some(a);
        let data = self.data.as_slice();
        let identity = Identity { uuid: second, ctransid: b };
        match self.number {
            1 => Command::Subvol { path, uuid, ctransid: a },
            2 => Command::Snapshot { path, uuid, ctransid: a, parent: identity },
            3 => Command::Mkfile { path, ino },
            4 => Command::Mkdir { path, ino },
            5 => Command::Mknod { path, ino, rdev: b, mode: c },
            6 => Command::Mkfifo { path, ino, rdev: b, mode: c },
            7 => Command::Mksock { path, ino, rdev: b, mode: c },
            8 => Command::Symlink { path, ino, target: other },
            9 => Command::Rename { path, to: other },
            10 => Command::Link { path, existing: other },
            11 => Command::Unlink { path },
            12 => Command::Rmdir { path },
            13 => Command::SetXattr { path, name: other, data },
            14 => Command::RemoveXattr { path, name: other },
            15 => Command::Write { path, offset: a, data },
            16 => {
                let (source_path, source_offset) = (other, d);
                Command::Clone { path, offset: a, len: c, source: identity, source_path, source_offset }
            }
            17 => Command::Truncate { path, size: a },
            18 => Command::Chmod { path, mode: a },
            19 => Command::Chown { path, uid: a, gid: b },
            20 => Command::Utimes { path, atime, mtime, ctime, otime: self.present.then_some(otime) },
            22 => Command::UpdateExtent { path, offset: a, len: b },
            23 => Command::Fallocate { path, mode: self.small, offset: a, len: b },
            24 => Command::Fileattr { path, attr: a },
            25 => Command::EncodedWrite { path, extent: self.extent(), data },
            _ => {
                let algorithm = u8::try_from(a & 0xff).unwrap();
                Command::EnableVerity { path, algorithm, block_size: self.small, salt: other, signature: third }
            }
        }
    }

    fn extent(&self) -> Extent {
        let [file_offset, file_len, decoded_len, decoded_offset] = self.numbers;
        let compression = match self.small % 8 {
            0 => Compression::None,
            1 => Compression::Zlib,
            2 => Compression::Zstd,
            other => Compression::Lzo { sector_size: 512 << other },
        };
        let encryption = self.small;
        Extent { file_offset, file_len, decoded_len, decoded_offset, compression, encryption }
    }
}
