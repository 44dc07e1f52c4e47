//! Which attributes each command has: one table, read by the decoder.

use Attribute as A;

use crate::{Attribute, Command, Version};

/// No command has more attributes (`ENCODED_WRITE` has eight).
pub(crate) const SLOTS: usize = 8;

/// One command's row.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The kernel's name, without `BTRFS_SEND_C_`.
    pub(crate) name: &'static str,
    /// The first version that has it.
    pub(crate) since: Version,
    /// Its attributes; the place of each is its slot.
    pub(crate) attributes: &'static [Attribute],
    /// One bit for each slot that must be filled.
    pub(crate) required: u8,
    /// What to do with each attribute number.
    pub(crate) rules: [Rule; 36],
}

/// What to do with an attribute in a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The slot's bit, 0 if the attribute does not belong to the command.
    pub(crate) bit: u8,
    /// The slot.
    pub(crate) slot: u8,
    /// Its only length, or [`Rule::ANY`].
    pub(crate) length: u8,
    /// Whether a NUL is refused.
    pub(crate) name: bool,
}

impl Rule {
    /// Any length will do.
    pub(crate) const ANY: u8 = u8::MAX;
}

/// The row of a command number.
pub(crate) fn layout(number: u16) -> Option<&'static Layout> {
    LAYOUTS.get(usize::from(number.checked_sub(1)?))
}

impl<'a> Command<'a> {
    /// The command's number on the wire.
    pub fn number(&self) -> u16 {
        match self {
            Self::Subvol { .. } => 1,
            Self::Snapshot { .. } => 2,
            Self::Mkfile { .. } => 3,
            Self::Mkdir { .. } => 4,
            Self::Mknod { .. } => 5,
            Self::Mkfifo { .. } => 6,
            Self::Mksock { .. } => 7,
            Self::Symlink { .. } => 8,
            Self::Rename { .. } => 9,
            Self::Link { .. } => 10,
            Self::Unlink { .. } => 11,
            Self::Rmdir { .. } => 12,
            Self::SetXattr { .. } => 13,
            Self::RemoveXattr { .. } => 14,
            Self::Write { .. } => 15,
            Self::Clone { .. } => 16,
            Self::Truncate { .. } => 17,
            Self::Chmod { .. } => 18,
            Self::Chown { .. } => 19,
            Self::Utimes { .. } => 20,
            Self::End => 21,
            Self::UpdateExtent { .. } => 22,
            Self::Fallocate { .. } => 23,
            Self::Fileattr { .. } => 24,
            Self::EncodedWrite { .. } => 25,
            Self::EnableVerity { .. } => 26,
        }
    }

    /// The kernel's name of the command, without `BTRFS_SEND_C_`.
    pub fn name(&self) -> &'static str {
        layout(self.number()).map_or("", |layout| layout.name)
    }

    /// The first version of the stream that has the command.
    pub fn since(&self) -> Version {
        layout(self.number()).map_or(Version::V1, |layout| layout.since)
    }

    /// What the command is about (`BTRFS_SEND_A_PATH`), empty for the root of the subvolume and for END.
    pub fn path(&self) -> &'a [u8] {
        match self {
            Self::Subvol { path, .. }
            | Self::Snapshot { path, .. }
            | Self::Mkfile { path, .. }
            | Self::Mkdir { path, .. }
            | Self::Mknod { path, .. }
            | Self::Mkfifo { path, .. }
            | Self::Mksock { path, .. }
            | Self::Symlink { path, .. }
            | Self::Rename { path, .. }
            | Self::Link { path, .. }
            | Self::Unlink { path }
            | Self::Rmdir { path }
            | Self::SetXattr { path, .. }
            | Self::RemoveXattr { path, .. }
            | Self::Write { path, .. }
            | Self::Clone { path, .. }
            | Self::Truncate { path, .. }
            | Self::Chmod { path, .. }
            | Self::Chown { path, .. }
            | Self::Utimes { path, .. }
            | Self::UpdateExtent { path, .. }
            | Self::Fallocate { path, .. }
            | Self::Fileattr { path, .. }
            | Self::EncodedWrite { path, .. }
            | Self::EnableVerity { path, .. } => path,
            Self::End => &[],
        }
    }
}

/// INO is optional because streams of other makers lack it, ENCRYPTION and OTIME because versions do; MODE and RDEV of
/// a fifo or socket are of no use to a receiver, but every kernel sends them.
static LAYOUTS: [Layout; 26] = [
    row("SUBVOL", Version::V1, &[A::Path, A::Uuid, A::Ctransid], 0),
    row("SNAPSHOT", Version::V1, &[A::Path, A::Uuid, A::Ctransid, A::CloneUuid, A::CloneCtransid], 0),
    row("MKFILE", Version::V1, &[A::Path, A::Ino], 1),
    row("MKDIR", Version::V1, &[A::Path, A::Ino], 1),
    row("MKNOD", Version::V1, &[A::Path, A::Rdev, A::Mode, A::Ino], 1),
    row("MKFIFO", Version::V1, &[A::Path, A::Rdev, A::Mode, A::Ino], 1),
    row("MKSOCK", Version::V1, &[A::Path, A::Rdev, A::Mode, A::Ino], 1),
    row("SYMLINK", Version::V1, &[A::Path, A::PathLink, A::Ino], 1),
    row("RENAME", Version::V1, &[A::Path, A::PathTo], 0),
    row("LINK", Version::V1, &[A::Path, A::PathLink], 0),
    row("UNLINK", Version::V1, &[A::Path], 0),
    row("RMDIR", Version::V1, &[A::Path], 0),
    row("SET_XATTR", Version::V1, &[A::Path, A::XattrName, A::XattrData], 0),
    row("REMOVE_XATTR", Version::V1, &[A::Path, A::XattrName], 0),
    row("WRITE", Version::V1, &[A::Path, A::FileOffset, A::Data], 0),
    row("CLONE", Version::V1, CLONE, 0),
    row("TRUNCATE", Version::V1, &[A::Path, A::Size], 0),
    row("CHMOD", Version::V1, &[A::Path, A::Mode], 0),
    row("CHOWN", Version::V1, &[A::Path, A::Uid, A::Gid], 0),
    row("UTIMES", Version::V1, &[A::Path, A::Atime, A::Mtime, A::Ctime, A::Otime], 1),
    row("END", Version::V1, &[], 0),
    row("UPDATE_EXTENT", Version::V1, &[A::Path, A::FileOffset, A::Size], 0),
    row("FALLOCATE", Version::V2, &[A::Path, A::FallocateMode, A::FileOffset, A::Size], 0),
    row("FILEATTR", Version::V2, &[A::Path, A::Fileattr], 0),
    row("ENCODED_WRITE", Version::V2, ENCODED_WRITE, 1),
    row("ENABLE_VERITY", Version::V3, ENABLE_VERITY, 0),
];

const CLONE: &[A] =
    &[A::Path, A::FileOffset, A::CloneLen, A::CloneUuid, A::CloneCtransid, A::ClonePath, A::CloneOffset];

const ENCODED_WRITE: &[A] = &[
    A::Path,
    A::FileOffset,
    A::UnencodedFileLen,
    A::UnencodedLen,
    A::UnencodedOffset,
    A::Compression,
    A::Data,
    A::Encryption,
];

const ENABLE_VERITY: &[A] = &[A::Path, A::VerityAlgorithm, A::VerityBlockSize, A::VeritySaltData, A::VeritySigData];

/// A row whose last `optional` attributes may be absent.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "runs in the compiler, which would stop")]
const fn row(name: &'static str, since: Version, attributes: &'static [A], optional: usize) -> Layout {
    let mut rules = [Rule { bit: 0, slot: 0, length: Rule::ANY, name: false }; 36];
    let mut required = 0;
    let mut bit = 1;
    let mut i = 0;
    let mut slot = 0;
    while i < attributes.len() {
        let attribute = attributes[i];
        let length = match attribute.length() {
            Some(length) => length,
            None => Rule::ANY,
        };
        rules[attribute as usize] = Rule { bit, slot, length, name: attribute.is_name() };
        if i < attributes.len() - optional {
            required |= bit;
        }
        bit = bit.wrapping_shl(1);
        i += 1;
        slot += 1;
    }
    Layout { name, since, attributes, required, rules }
}
