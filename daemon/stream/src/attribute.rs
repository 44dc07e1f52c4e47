//! The attributes of commands: their numbers and types; and the attributes of one command, found and checked but not yet
//! converted.

use std::fmt;

use crate::layout::{Layout, Rule, SLOTS};
use crate::{ErrorKind, Identity, Time, Uuid, Version};

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
    /// All attributes; the one with number `n` is at index `n - 1`.
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

    /// Its length in bytes; none if it has no fixed length.
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

    /// Whether the receiver passes it to the kernel as a C string, which a NUL would cut.
    pub(crate) const fn is_name(self) -> bool {
        matches!(self, Self::XattrName | Self::Path | Self::PathTo | Self::PathLink | Self::ClonePath)
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One command's attributes by slot (their index in [`Layout::attributes`]).
///
/// [`Attributes::collect`] has checked the length of each, and that no required one is missing, so reading one cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Attributes<'a> {
    slots: [&'a [u8]; SLOTS],
    present: u8,
}

impl<'a> Attributes<'a> {
    /// Finds the attributes of a command in its payload. They may be in any order.
    ///
    /// From version 2 on DATA has no length: it ends at the end of the command.
    #[inline]
    pub(crate) fn collect(&mut self, layout: &Layout, version: Version, payload: &'a [u8]) -> Result<(), ErrorKind> {
        let mut rest = payload;
        while let Some((number, tail)) = rest.split_first_chunk::<2>() {
            let number = u16::from_le_bytes(*number);
            let rule = match layout.rules.get(usize::from(number)) {
                Some(rule) if rule.bit & !self.present != 0 => rule,
                Some(_) | None => return Err(misplaced(layout, number, self.present)),
            };
            let value;
            if number == Attribute::Data as u16 && version > Version::V1 {
                (value, rest) = (tail, [].as_slice());
            } else {
                (value, rest) = sized(tail).ok_or(ErrorKind::AttributeOverrun { command: layout.name })?;
            }
            if rule.length != Rule::ANY && value.len() != usize::from(rule.length) || rule.name && holds_nul(value) {
                return Err(misshapen(layout, rule, value));
            }
            self.present |= rule.bit;
            if let Some(slot) = self.slots.get_mut(usize::from(rule.slot)) {
                *slot = value;
            }
        }
        if !rest.is_empty() {
            return Err(ErrorKind::AttributeOverrun { command: layout.name });
        }
        if layout.required & !self.present != 0 {
            return Err(missing(layout, self.present));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn has(&self, slot: usize) -> bool {
        u32::try_from(slot).is_ok_and(|slot| u32::from(self.present).wrapping_shr(slot) & 1 == 1)
    }

    #[inline]
    pub(crate) fn bytes(&self, slot: usize) -> &'a [u8] {
        self.slots.get(slot).copied().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn u64(&self, slot: usize) -> u64 {
        self.bytes(slot).first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn u32(&self, slot: usize) -> u32 {
        self.bytes(slot).first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn u8(&self, slot: usize) -> u8 {
        self.bytes(slot).first().copied().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn uuid(&self, slot: usize) -> Uuid {
        Uuid(self.bytes(slot).first_chunk().copied().unwrap_or_default())
    }

    /// A uuid and, in the next slot, its ctransid.
    #[inline]
    pub(crate) fn identity(&self, slot: usize) -> Identity {
        Identity { uuid: self.uuid(slot), ctransid: self.u64(slot.saturating_add(1)) }
    }

    #[inline]
    pub(crate) fn time(&self, slot: usize) -> Time {
        let bytes = self.bytes(slot);
        Time {
            seconds: bytes.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes)),
            nanoseconds: bytes.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)),
        }
    }
}

/// Splits off a value that follows its le16 length.
#[inline]
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, tail) = bytes.split_first_chunk::<2>()?;
    tail.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// Whether a name has a NUL in it. Most names are short: two overlapping steps are faster than a search.
#[inline]
fn holds_nul(name: &[u8]) -> bool {
    match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) if name.len() <= 16 => any_nul(first) | any_nul(last),
        (Some(_), Some(_)) => {
            let ends = name.last_chunk::<16>().is_some_and(any_nul);
            ends | name.chunks_exact(16).any(|chunk| chunk.first_chunk::<16>().is_some_and(any_nul))
        }
        _ => name.contains(&0),
    }
}

/// Compares all bytes without an early end: one vector instruction instead of a branch for each byte.
#[inline]
fn any_nul<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(false, |found, byte| found | (*byte == 0))
}

#[cold]
fn misplaced(layout: &Layout, number: u16, present: u8) -> ErrorKind {
    let Some(attribute) = Attribute::from_number(number) else { return ErrorKind::UnknownAttribute(number) };
    let command = layout.name;
    match layout.rules.get(usize::from(number)) {
        Some(rule) if present & rule.bit != 0 => ErrorKind::DuplicateAttribute { command, attribute },
        Some(_) | None => ErrorKind::UnexpectedAttribute { command, attribute },
    }
}

#[cold]
fn misshapen(layout: &Layout, rule: &Rule, value: &[u8]) -> ErrorKind {
    match layout.attributes.get(usize::from(rule.slot)) {
        Some(&attribute) if rule.length == Rule::ANY => ErrorKind::NameWithNul { attribute },
        Some(&attribute) => {
            ErrorKind::AttributeLength { attribute, expected: usize::from(rule.length), found: value.len() }
        }
        None => ErrorKind::AttributeOverrun { command: layout.name },
    }
}

#[cold]
fn missing(layout: &Layout, present: u8) -> ErrorKind {
    let absent = layout.required & !present;
    let slot = usize::try_from(absent.trailing_zeros()).unwrap_or(SLOTS);
    match layout.attributes.get(slot) {
        Some(&attribute) => ErrorKind::MissingAttribute { command: layout.name, attribute },
        None => ErrorKind::AttributeOverrun { command: layout.name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_found_by_its_number() {
        for (number, attribute) in (1u16..).zip(Attribute::ALL) {
            assert_eq!(attribute as u16, number, "{attribute}");
            assert_eq!(Attribute::from_number(number), Some(attribute));
        }
        assert_eq!(Attribute::from_number(0), None);
        assert_eq!(Attribute::from_number(36), None);
    }

    #[test]
    fn a_nul_is_found_at_any_place() {
        for len in 0..70 {
            let mut name = vec![b'n'; len];
            assert!(!holds_nul(&name), "{len}");
            for place in 0..len {
                name.splice(place..=place, [0]);
                assert!(holds_nul(&name), "{place} of {len}");
                name.splice(place..=place, [0xff]);
            }
        }
    }
}
