//! The attributes of a command.

/// Numbers of attributes (`enum btrfs_send_attr`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names of the kernel's header")]
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

/// Attributes in the order in which they are given.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    list: Vec<(u16, Vec<u8>)>,
}

impl Attributes {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// PATH and nothing else.
    #[must_use]
    pub fn path(path: impl AsRef<[u8]>) -> Self {
        Self::new().bytes_of(Attribute::Path, path)
    }

    /// A value as it is.
    #[must_use]
    pub fn bytes_of(self, attribute: Attribute, value: impl AsRef<[u8]>) -> Self {
        self.numbered(attribute as u16, value)
    }

    /// An attribute that need not exist.
    #[must_use]
    pub fn numbered(mut self, number: u16, value: impl AsRef<[u8]>) -> Self {
        self.list.push((number, value.as_ref().to_vec()));
        self
    }

    /// 8 bytes.
    #[must_use]
    pub fn u64(self, attribute: Attribute, value: u64) -> Self {
        self.bytes_of(attribute, value.to_le_bytes())
    }

    /// 4 bytes.
    #[must_use]
    pub fn u32(self, attribute: Attribute, value: u32) -> Self {
        self.bytes_of(attribute, value.to_le_bytes())
    }

    /// Seconds and nanoseconds.
    #[must_use]
    pub fn time(self, attribute: Attribute, seconds: i64, nanoseconds: u32) -> Self {
        let mut value = seconds.to_le_bytes().to_vec();
        value.extend(nanoseconds.to_le_bytes());
        self.bytes_of(attribute, value)
    }

    /// As they stand in a stream of `version`: from 2 on DATA has no length and takes the rest of the command.
    #[must_use]
    pub fn bytes(&self, version: u32) -> Vec<u8> {
        let mut all = Vec::new();
        for (number, value) in &self.list {
            all.extend(number.to_le_bytes());
            if version < 2 || *number != Attribute::Data as u16 {
                // A length that does not fit is cut, as a hostile writer would.
                all.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
            }
            all.extend_from_slice(value);
        }
        all
    }
}
