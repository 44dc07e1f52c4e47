//! The attributes that commands are made of.

use std::fmt;

/// An attribute of a command (`BTRFS_SEND_A_*` of `fs/btrfs/send.h`), with its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
#[expect(missing_docs, reason = "these are the kernel's names")]
pub enum Attribute {
    Uuid = 1,
    Ctransid = 2,
    Ino = 3,
    Size = 4,
    Mode = 5,
    Uid = 6,
    Gid = 7,
    Rdev = 8,
    Ctime = 9,
    Mtime = 10,
    Atime = 11,
    Otime = 12,
    XattrName = 13,
    XattrData = 14,
    Path = 15,
    PathTo = 16,
    PathLink = 17,
    FileOffset = 18,
    Data = 19,
    CloneUuid = 20,
    CloneCtransid = 21,
    ClonePath = 22,
    CloneOffset = 23,
    CloneLen = 24,
    FallocateMode = 25,
    Fileattr = 26,
    UnencodedFileLen = 27,
    UnencodedLen = 28,
    UnencodedOffset = 29,
    Compression = 30,
    Encryption = 31,
    VerityAlgorithm = 32,
    VerityBlockSize = 33,
    VeritySaltData = 34,
    VeritySigData = 35,
}

impl Attribute {
    /// All of them; the one with number `n` stands at `n - 1`.
    pub const ALL: [Self; 35] = [
        Self::Uuid,
        Self::Ctransid,
        Self::Ino,
        Self::Size,
        Self::Mode,
        Self::Uid,
        Self::Gid,
        Self::Rdev,
        Self::Ctime,
        Self::Mtime,
        Self::Atime,
        Self::Otime,
        Self::XattrName,
        Self::XattrData,
        Self::Path,
        Self::PathTo,
        Self::PathLink,
        Self::FileOffset,
        Self::Data,
        Self::CloneUuid,
        Self::CloneCtransid,
        Self::ClonePath,
        Self::CloneOffset,
        Self::CloneLen,
        Self::FallocateMode,
        Self::Fileattr,
        Self::UnencodedFileLen,
        Self::UnencodedLen,
        Self::UnencodedOffset,
        Self::Compression,
        Self::Encryption,
        Self::VerityAlgorithm,
        Self::VerityBlockSize,
        Self::VeritySaltData,
        Self::VeritySigData,
    ];

    /// The attribute with this number on the wire.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }

    /// The kernel's name, without `BTRFS_SEND_A_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uuid => "UUID",
            Self::Ctransid => "CTRANSID",
            Self::Ino => "INO",
            Self::Size => "SIZE",
            Self::Mode => "MODE",
            Self::Uid => "UID",
            Self::Gid => "GID",
            Self::Rdev => "RDEV",
            Self::Ctime => "CTIME",
            Self::Mtime => "MTIME",
            Self::Atime => "ATIME",
            Self::Otime => "OTIME",
            Self::XattrName => "XATTR_NAME",
            Self::XattrData => "XATTR_DATA",
            Self::Path => "PATH",
            Self::PathTo => "PATH_TO",
            Self::PathLink => "PATH_LINK",
            Self::FileOffset => "FILE_OFFSET",
            Self::Data => "DATA",
            Self::CloneUuid => "CLONE_UUID",
            Self::CloneCtransid => "CLONE_CTRANSID",
            Self::ClonePath => "CLONE_PATH",
            Self::CloneOffset => "CLONE_OFFSET",
            Self::CloneLen => "CLONE_LEN",
            Self::FallocateMode => "FALLOCATE_MODE",
            Self::Fileattr => "FILEATTR",
            Self::UnencodedFileLen => "UNENCODED_FILE_LEN",
            Self::UnencodedLen => "UNENCODED_LEN",
            Self::UnencodedOffset => "UNENCODED_OFFSET",
            Self::Compression => "COMPRESSION",
            Self::Encryption => "ENCRYPTION",
            Self::VerityAlgorithm => "VERITY_ALGORITHM",
            Self::VerityBlockSize => "VERITY_BLOCK_SIZE",
            Self::VeritySaltData => "VERITY_SALT_DATA",
            Self::VeritySigData => "VERITY_SIG_DATA",
        }
    }

    /// Its length in bytes, where it has only one.
    pub(crate) const fn length(self) -> Option<u8> {
        match self {
            Self::VerityAlgorithm => Some(1),
            Self::FallocateMode | Self::Compression | Self::Encryption | Self::VerityBlockSize => Some(4),
            Self::Ctransid
            | Self::Ino
            | Self::Size
            | Self::Mode
            | Self::Uid
            | Self::Gid
            | Self::Rdev
            | Self::FileOffset
            | Self::CloneCtransid
            | Self::CloneOffset
            | Self::CloneLen
            | Self::Fileattr
            | Self::UnencodedFileLen
            | Self::UnencodedLen
            | Self::UnencodedOffset => Some(8),
            Self::Ctime | Self::Mtime | Self::Atime | Self::Otime => Some(12),
            Self::Uuid | Self::CloneUuid => Some(16),
            Self::XattrName
            | Self::XattrData
            | Self::Path
            | Self::PathTo
            | Self::PathLink
            | Self::Data
            | Self::ClonePath
            | Self::VeritySaltData
            | Self::VeritySigData => None,
        }
    }

    /// Whether it goes to the kernel as a C string, so that a NUL would cut it short.
    pub(crate) const fn is_name(self) -> bool {
        matches!(self, Self::XattrName | Self::Path | Self::PathTo | Self::PathLink | Self::ClonePath)
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_stands_at_its_number() {
        for (number, attribute) in (1u16..).zip(Attribute::ALL) {
            assert_eq!(attribute as u16, number, "{attribute}");
            assert_eq!(Attribute::from_number(number), Some(attribute));
        }
        assert_eq!(Attribute::from_number(0), None);
        assert_eq!(Attribute::from_number(36), None);
    }
}
