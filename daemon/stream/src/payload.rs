//! Writes the attributes of a command in the order of the kernel.

use Attribute as A;

use crate::{Attribute, Command, Compression, EncodeError, Extent, Identity, Time, Uuid, Version};

/// The attributes of the command being written, and the first fault among them.
pub(crate) struct Payload<'a> {
    version: Version,
    out: &'a mut Vec<u8>,
    fault: Option<EncodeError>,
}

impl<'a> Payload<'a> {
    /// Writes behind what is in `out`, in the form of this version.
    pub(crate) fn new(version: Version, out: &'a mut Vec<u8>) -> Self {
        Self { version, out, fault: None }
    }

    /// Writes all attributes of one command, or says why it cannot.
    pub(crate) fn command(mut self, command: &Command<'_>) -> Result<(), EncodeError> {
        match *command {
            Command::Subvol { path, uuid, ctransid } => {
                self.put(A::Path, path).uuid(A::Uuid, uuid).u64(A::Ctransid, ctransid)
            }
            Command::Snapshot { path, uuid, ctransid, parent } => {
                self.put(A::Path, path).uuid(A::Uuid, uuid).u64(A::Ctransid, ctransid).identity(parent)
            }
            Command::Mkfile { path, ino } | Command::Mkdir { path, ino } => self.put(A::Path, path).ino(ino),
            Command::Mknod { path, ino, rdev, mode }
            | Command::Mkfifo { path, ino, rdev, mode }
            | Command::Mksock { path, ino, rdev, mode } => {
                self.put(A::Path, path).ino(ino).u64(A::Rdev, rdev).u64(A::Mode, mode)
            }
            Command::Symlink { path, ino, target } => self.put(A::Path, path).ino(ino).put(A::PathLink, target),
            Command::Rename { path, to } => self.put(A::Path, path).put(A::PathTo, to),
            Command::Link { path, existing } => self.put(A::Path, path).put(A::PathLink, existing),
            Command::Unlink { path } | Command::Rmdir { path } => self.put(A::Path, path),
            Command::SetXattr { path, name, data } => {
                self.put(A::Path, path).put(A::XattrName, name).put(A::XattrData, data)
            }
            Command::RemoveXattr { path, name } => self.put(A::Path, path).put(A::XattrName, name),
            Command::Write { path, offset, data } => self.put(A::Path, path).u64(A::FileOffset, offset).data(data),
            Command::Clone { path, offset, len, source, source_path, source_offset } => self
                .u64(A::FileOffset, offset)
                .u64(A::CloneLen, len)
                .put(A::Path, path)
                .identity(source)
                .put(A::ClonePath, source_path)
                .u64(A::CloneOffset, source_offset),
            Command::Truncate { path, size } => self.put(A::Path, path).u64(A::Size, size),
            Command::Chmod { path, mode } => self.put(A::Path, path).u64(A::Mode, mode),
            Command::Chown { path, uid, gid } => self.put(A::Path, path).u64(A::Uid, uid).u64(A::Gid, gid),
            Command::Utimes { path, atime, mtime, ctime, otime } => {
                self.put(A::Path, path).time(A::Atime, atime).time(A::Mtime, mtime).time(A::Ctime, ctime).otime(otime)
            }
            Command::End => &mut self,
            Command::UpdateExtent { path, offset, len } => {
                self.put(A::Path, path).u64(A::FileOffset, offset).u64(A::Size, len)
            }
            Command::Fallocate { path, mode, offset, len } => {
                self.put(A::Path, path).u32(A::FallocateMode, mode).u64(A::FileOffset, offset).u64(A::Size, len)
            }
            Command::Fileattr { path, attr } => self.put(A::Path, path).u64(A::Fileattr, attr),
            Command::EncodedWrite { path, extent, data } => self.put(A::Path, path).extent(&extent).data(data),
            Command::EnableVerity { path, algorithm, block_size, salt, signature } => self
                .put(A::Path, path)
                .put(A::VerityAlgorithm, &[algorithm])
                .u32(A::VerityBlockSize, block_size)
                .put(A::VeritySaltData, salt)
                .put(A::VeritySigData, signature),
        };
        self.fault.map_or(Ok(()), Err)
    }

    fn put(&mut self, attribute: A, value: &[u8]) -> &mut Self {
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

    /// DATA: from version 2 on it has no length and is the last attribute.
    fn data(&mut self, value: &[u8]) -> &mut Self {
        if self.version == Version::V1 {
            return self.put(A::Data, value);
        }
        self.out.extend_from_slice(&(A::Data as u16).to_le_bytes());
        self.out.extend_from_slice(value);
        self
    }

    fn u64(&mut self, attribute: A, value: u64) -> &mut Self {
        self.put(attribute, &value.to_le_bytes())
    }

    fn u32(&mut self, attribute: A, value: u32) -> &mut Self {
        self.put(attribute, &value.to_le_bytes())
    }

    fn uuid(&mut self, attribute: A, value: Uuid) -> &mut Self {
        self.put(attribute, &value.0)
    }

    fn identity(&mut self, value: Identity) -> &mut Self {
        self.uuid(A::CloneUuid, value.uuid).u64(A::CloneCtransid, value.ctransid)
    }

    fn ino(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(ino) => self.u64(A::Ino, ino),
            None => self,
        }
    }

    fn time(&mut self, attribute: A, value: Time) -> &mut Self {
        let [a, b, c, d, e, f, g, h] = value.seconds.to_le_bytes();
        let [i, j, k, l] = value.nanoseconds.to_le_bytes();
        self.put(attribute, &[a, b, c, d, e, f, g, h, i, j, k, l])
    }

    fn otime(&mut self, value: Option<Time>) -> &mut Self {
        match value {
            Some(_) if self.version == Version::V1 => {
                self.fail(EncodeError::AttributeOfLaterVersion { attribute: A::Otime, version: self.version })
            }
            Some(time) => self.time(A::Otime, time),
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
        self.u64(A::FileOffset, extent.file_offset)
            .u64(A::UnencodedFileLen, extent.file_len)
            .u64(A::UnencodedLen, extent.decoded_len)
            .u64(A::UnencodedOffset, extent.decoded_offset)
            .u32(A::Compression, compression)
            .u32(A::Encryption, extent.encryption)
    }

    fn fail(&mut self, fault: EncodeError) -> &mut Self {
        self.fault.get_or_insert(fault);
        self
    }
}
