//! Encodes commands to bytes.

use crate::frame::{FRAME, Frame, MAGIC, checksum};
use crate::{Attribute, Command, Compression, Extent, Identity, Time, Uuid, Version};

/// Writes a stream into memory, each command as the kernel does: with its attributes in the kernel's order.
///
/// The caller decides the order of the commands, of the header and END too.
#[derive(Debug, Clone)]
pub struct Encoder {
    version: Version,
    out: Vec<u8>,
}

/// A command that cannot be written in the stream's version, or that a decoder would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum EncodeError {
    /// Only a later version has the command.
    #[error("{command} does not exist in version {} of the stream", *version as u32)]
    CommandOfLaterVersion { command: &'static str, version: Version },
    /// Only a later version has the attribute (OTIME).
    #[error("the attribute {attribute} does not exist in version {} of the stream", *version as u32)]
    AttributeOfLaterVersion { attribute: Attribute, version: Version },
    /// An attribute's length has 16 bits (DATA from version 2 on excepted).
    #[error("the attribute {attribute} would be {len} bytes long, at most 65535 are possible")]
    AttributeTooLong { attribute: Attribute, len: usize },
    /// A command's length has 32 bits.
    #[error("the command would be {len} bytes long, at most 4294967295 are possible")]
    CommandTooLong { len: usize },
    /// A decoder refuses the name, because the kernel would cut it at the NUL.
    #[error("the name in the attribute {attribute} contains a NUL byte")]
    NameWithNul { attribute: Attribute },
    /// The stream has numbers for LZO with the sector sizes 4096 to 65536.
    #[error("LZO with a sector size of {0} has no number in the stream")]
    UnknownSectorSize(u32),
}

impl Encoder {
    /// An encoder with nothing written, for a stream of this version.
    pub fn new(version: Version) -> Self {
        Self { version, out: Vec::new() }
    }

    /// Writes the stream's header.
    pub fn header(&mut self) {
        self.out.extend_from_slice(MAGIC);
        self.out.extend_from_slice(&(self.version as u32).to_le_bytes());
    }

    /// Writes one command. On an error it writes nothing.
    ///
    /// # Errors
    /// The stream's version does not have the command, or a decoder would refuse it.
    pub fn command(&mut self, command: &Command<'_>) -> Result<(), EncodeError> {
        if command.since() > self.version {
            return Err(EncodeError::CommandOfLaterVersion { command: command.name(), version: self.version });
        }
        let start = self.out.len();
        self.out.extend_from_slice(&[0; FRAME]);
        let written = Payload::new(self.version, &mut self.out).command(command);
        let sealed = written.and_then(|()| self.seal(start, command.number()));
        if sealed.is_err() {
            self.out.truncate(start);
        }
        sealed
    }

    /// Writes a command with any number and any payload and with a correct checksum; for tests of decoders.
    ///
    /// # Errors
    /// The length of the payload does not fit into 32 bits.
    pub fn raw(&mut self, command: u16, payload: &[u8]) -> Result<(), EncodeError> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; FRAME]);
        self.out.extend_from_slice(payload);
        self.seal(start, command)
    }

    /// The bytes written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// The bytes written, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Removes the bytes written and keeps the memory.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Fills in the header of the command that begins at `start`.
    fn seal(&mut self, start: usize, number: u16) -> Result<(), EncodeError> {
        let command = self.out.get_mut(start..).unwrap_or_default();
        let Some((frame, payload)) = command.split_first_chunk_mut::<FRAME>() else { return Ok(()) };
        let Ok(len) = u32::try_from(payload.len()) else {
            return Err(EncodeError::CommandTooLong { len: payload.len() });
        };
        *frame = Frame { len, command: number, crc: checksum(len, number, payload) }.to_bytes();
        Ok(())
    }
}

/// The attributes of the command that is written, and the first error among them.
struct Payload<'a> {
    version: Version,
    out: &'a mut Vec<u8>,
    error: Option<EncodeError>,
}

impl<'a> Payload<'a> {
    /// Appends to `out`, in the form of this version.
    fn new(version: Version, out: &'a mut Vec<u8>) -> Self {
        Self { version, out, error: None }
    }

    /// Writes all attributes of one command.
    fn command(mut self, command: &Command<'_>) -> Result<(), EncodeError> {
        match *command {
            Command::Subvol { path, uuid, ctransid } => {
                self.put(Attribute::Path, path).uuid(Attribute::Uuid, uuid).u64(Attribute::Ctransid, ctransid)
            }
            Command::Snapshot { path, uuid, ctransid, parent } => self
                .put(Attribute::Path, path)
                .uuid(Attribute::Uuid, uuid)
                .u64(Attribute::Ctransid, ctransid)
                .identity(parent),
            Command::Mkfile { path, ino } | Command::Mkdir { path, ino } => self.put(Attribute::Path, path).ino(ino),
            Command::Mknod { path, ino, rdev, mode }
            | Command::Mkfifo { path, ino, rdev, mode }
            | Command::Mksock { path, ino, rdev, mode } => {
                self.put(Attribute::Path, path).ino(ino).u64(Attribute::Rdev, rdev).u64(Attribute::Mode, mode)
            }
            Command::Symlink { path, ino, target } => {
                self.put(Attribute::Path, path).ino(ino).put(Attribute::PathLink, target)
            }
            Command::Rename { path, to } => self.put(Attribute::Path, path).put(Attribute::PathTo, to),
            Command::Link { path, existing } => self.put(Attribute::Path, path).put(Attribute::PathLink, existing),
            Command::Unlink { path } | Command::Rmdir { path } => self.put(Attribute::Path, path),
            Command::SetXattr { path, name, data } => {
                self.put(Attribute::Path, path).put(Attribute::XattrName, name).put(Attribute::XattrData, data)
            }
            Command::RemoveXattr { path, name } => self.put(Attribute::Path, path).put(Attribute::XattrName, name),
            Command::Write { path, offset, data } => {
                self.put(Attribute::Path, path).u64(Attribute::FileOffset, offset).data(data)
            }
            Command::Clone { path, offset, len, source, source_path, source_offset } => self
                .u64(Attribute::FileOffset, offset)
                .u64(Attribute::CloneLen, len)
                .put(Attribute::Path, path)
                .identity(source)
                .put(Attribute::ClonePath, source_path)
                .u64(Attribute::CloneOffset, source_offset),
            Command::Truncate { path, size } => self.put(Attribute::Path, path).u64(Attribute::Size, size),
            Command::Chmod { path, mode } => self.put(Attribute::Path, path).u64(Attribute::Mode, mode),
            Command::Chown { path, uid, gid } => {
                self.put(Attribute::Path, path).u64(Attribute::Uid, uid).u64(Attribute::Gid, gid)
            }
            Command::Utimes { path, atime, mtime, ctime, otime } => self
                .put(Attribute::Path, path)
                .time(Attribute::Atime, atime)
                .time(Attribute::Mtime, mtime)
                .time(Attribute::Ctime, ctime)
                .otime(otime),
            Command::End => &mut self,
            Command::UpdateExtent { path, offset, len } => {
                self.put(Attribute::Path, path).u64(Attribute::FileOffset, offset).u64(Attribute::Size, len)
            }
            Command::Fallocate { path, mode, offset, len } => self
                .put(Attribute::Path, path)
                .u32(Attribute::FallocateMode, mode)
                .u64(Attribute::FileOffset, offset)
                .u64(Attribute::Size, len),
            Command::Fileattr { path, attr } => self.put(Attribute::Path, path).u64(Attribute::Fileattr, attr),
            Command::EncodedWrite { path, extent, data } => self.put(Attribute::Path, path).extent(&extent).data(data),
            Command::EnableVerity { path, algorithm, block_size, salt, signature } => self
                .put(Attribute::Path, path)
                .put(Attribute::VerityAlgorithm, &[algorithm])
                .u32(Attribute::VerityBlockSize, block_size)
                .put(Attribute::VeritySaltData, salt)
                .put(Attribute::VeritySigData, signature),
        };
        self.error.map_or(Ok(()), Err)
    }

    fn put(&mut self, attribute: Attribute, value: &[u8]) -> &mut Self {
        let Ok(len) = u16::try_from(value.len()) else {
            return self.fail(EncodeError::AttributeTooLong { attribute, len: value.len() });
        };
        if attribute.is_name() && value.contains(&0) {
            return self.fail(EncodeError::NameWithNul { attribute });
        }
        self.out.extend_from_slice(&(attribute as u16).to_le_bytes());
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(value);
        self
    }

    /// From version 2 on DATA has no length and is the last attribute.
    fn data(&mut self, value: &[u8]) -> &mut Self {
        if self.version == Version::V1 {
            return self.put(Attribute::Data, value);
        }
        self.out.extend_from_slice(&(Attribute::Data as u16).to_le_bytes());
        self.out.extend_from_slice(value);
        self
    }

    fn u64(&mut self, attribute: Attribute, value: u64) -> &mut Self {
        self.put(attribute, &value.to_le_bytes())
    }

    fn u32(&mut self, attribute: Attribute, value: u32) -> &mut Self {
        self.put(attribute, &value.to_le_bytes())
    }

    fn uuid(&mut self, attribute: Attribute, value: Uuid) -> &mut Self {
        self.put(attribute, &value.0)
    }

    fn identity(&mut self, value: Identity) -> &mut Self {
        self.uuid(Attribute::CloneUuid, value.uuid).u64(Attribute::CloneCtransid, value.ctransid)
    }

    fn ino(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(ino) => self.u64(Attribute::Ino, ino),
            None => self,
        }
    }

    fn time(&mut self, attribute: Attribute, value: Time) -> &mut Self {
        let [a, b, c, d, e, f, g, h] = value.seconds.to_le_bytes();
        let [i, j, k, l] = value.nanoseconds.to_le_bytes();
        self.put(attribute, &[a, b, c, d, e, f, g, h, i, j, k, l])
    }

    fn otime(&mut self, value: Option<Time>) -> &mut Self {
        match value {
            Some(_) if self.version == Version::V1 => {
                self.fail(EncodeError::AttributeOfLaterVersion { attribute: Attribute::Otime, version: self.version })
            }
            Some(time) => self.time(Attribute::Otime, time),
            None => self,
        }
    }

    fn extent(&mut self, extent: &Extent) -> &mut Self {
        let compression = match extent.compression {
            Compression::None => 0,
            Compression::Zlib => 1,
            Compression::Zstd => 2,
            Compression::Lzo { sector_size: 4096 } => 3,
            Compression::Lzo { sector_size: 8192 } => 4,
            Compression::Lzo { sector_size: 16384 } => 5,
            Compression::Lzo { sector_size: 32768 } => 6,
            Compression::Lzo { sector_size: 65536 } => 7,
            Compression::Lzo { sector_size } => return self.fail(EncodeError::UnknownSectorSize(sector_size)),
        };
        self.u64(Attribute::FileOffset, extent.file_offset)
            .u64(Attribute::UnencodedFileLen, extent.file_len)
            .u64(Attribute::UnencodedLen, extent.decoded_len)
            .u64(Attribute::UnencodedOffset, extent.decoded_offset)
            .u32(Attribute::Compression, compression)
            .u32(Attribute::Encryption, extent.encryption)
    }

    fn fail(&mut self, error: EncodeError) -> &mut Self {
        self.error.get_or_insert(error);
        self
    }
}
