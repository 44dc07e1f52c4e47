//! The commands that streams are mostly made of.

use super::{Attribute, Attributes, Stream, UUID, command};

impl Stream {
    /// A full subvolume begins.
    #[must_use]
    pub fn subvol(self, name: impl AsRef<[u8]>) -> Self {
        self.command(
            command::SUBVOL,
            &Attributes::path(name).bytes_of(Attribute::Uuid, UUID).u64(Attribute::Ctransid, 7),
        )
    }

    /// An incremental one begins.
    #[must_use]
    pub fn snapshot(self, name: impl AsRef<[u8]>, parent: [u8; 16], transid: u64) -> Self {
        let attributes = Attributes::path(name)
            .bytes_of(Attribute::Uuid, *b"butterdock-child")
            .u64(Attribute::Ctransid, 9)
            .bytes_of(Attribute::CloneUuid, parent)
            .u64(Attribute::CloneCtransid, transid);
        self.command(command::SNAPSHOT, &attributes)
    }

    /// A new file.
    #[must_use]
    pub fn mkfile(self, path: impl AsRef<[u8]>) -> Self {
        self.command(command::MKFILE, &Attributes::path(path).u64(Attribute::Ino, 257))
    }

    /// A new directory.
    #[must_use]
    pub fn mkdir(self, path: impl AsRef<[u8]>) -> Self {
        self.command(command::MKDIR, &Attributes::path(path).u64(Attribute::Ino, 257))
    }

    /// A fifo, a socket or a device, by the number of its command.
    #[must_use]
    pub fn node(self, number: u16, path: impl AsRef<[u8]>, mode: u64, rdev: u64) -> Self {
        let attributes =
            Attributes::path(path).u64(Attribute::Ino, 257).u64(Attribute::Rdev, rdev).u64(Attribute::Mode, mode);
        self.command(number, &attributes)
    }

    /// A symlink.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let attributes = Attributes::path(path).u64(Attribute::Ino, 257).bytes_of(Attribute::PathLink, target);
        self.command(command::SYMLINK, &attributes)
    }

    /// RENAME.
    #[must_use]
    pub fn rename(self, path: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        self.command(command::RENAME, &Attributes::path(path).bytes_of(Attribute::PathTo, to))
    }

    /// LINK: `path` becomes another name of `existing`.
    #[must_use]
    pub fn link(self, path: impl AsRef<[u8]>, existing: impl AsRef<[u8]>) -> Self {
        self.command(command::LINK, &Attributes::path(path).bytes_of(Attribute::PathLink, existing))
    }

    /// UNLINK.
    #[must_use]
    pub fn unlink(self, path: impl AsRef<[u8]>) -> Self {
        self.command(command::UNLINK, &Attributes::path(path))
    }

    /// RMDIR.
    #[must_use]
    pub fn rmdir(self, path: impl AsRef<[u8]>) -> Self {
        self.command(command::RMDIR, &Attributes::path(path))
    }

    /// `SET_XATTR`.
    #[must_use]
    pub fn xattr(self, path: impl AsRef<[u8]>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let attributes =
            Attributes::path(path).bytes_of(Attribute::XattrName, name).bytes_of(Attribute::XattrData, value);
        self.command(command::SET_XATTR, &attributes)
    }

    /// WRITE.
    #[must_use]
    pub fn write(self, path: impl AsRef<[u8]>, offset: u64, data: impl AsRef<[u8]>) -> Self {
        let attributes = Attributes::path(path).u64(Attribute::FileOffset, offset).bytes_of(Attribute::Data, data);
        self.command(command::WRITE, &attributes)
    }

    /// CLONE; `source` is its uuid and transaction, its path and offset.
    #[must_use]
    pub fn clone_from(
        self,
        path: impl AsRef<[u8]>,
        offset: u64,
        len: u64,
        source: (([u8; 16], u64), impl AsRef<[u8]>, u64),
    ) -> Self {
        let ((uuid, transid), source_path, source_offset) = source;
        let attributes = Attributes::new()
            .u64(Attribute::FileOffset, offset)
            .u64(Attribute::CloneLen, len)
            .bytes_of(Attribute::Path, path)
            .bytes_of(Attribute::CloneUuid, uuid)
            .u64(Attribute::CloneCtransid, transid)
            .bytes_of(Attribute::ClonePath, source_path)
            .u64(Attribute::CloneOffset, source_offset);
        self.command(command::CLONE, &attributes)
    }

    /// TRUNCATE.
    #[must_use]
    pub fn truncate(self, path: impl AsRef<[u8]>, size: u64) -> Self {
        self.command(command::TRUNCATE, &Attributes::path(path).u64(Attribute::Size, size))
    }

    /// CHMOD.
    #[must_use]
    pub fn chmod(self, path: impl AsRef<[u8]>, mode: u64) -> Self {
        self.command(command::CHMOD, &Attributes::path(path).u64(Attribute::Mode, mode))
    }

    /// CHOWN.
    #[must_use]
    pub fn chown(self, path: impl AsRef<[u8]>, uid: u64, gid: u64) -> Self {
        let attributes = Attributes::path(path).u64(Attribute::Uid, uid).u64(Attribute::Gid, gid);
        self.command(command::CHOWN, &attributes)
    }

    /// UTIMES, the same instant three times.
    #[must_use]
    pub fn utimes(self, path: impl AsRef<[u8]>, seconds: i64, nanoseconds: u32) -> Self {
        let attributes = Attributes::path(path)
            .time(Attribute::Atime, seconds, nanoseconds)
            .time(Attribute::Mtime, seconds, nanoseconds)
            .time(Attribute::Ctime, seconds, nanoseconds);
        self.command(command::UTIMES, &attributes)
    }

    /// FALLOCATE.
    #[must_use]
    pub fn fallocate(self, path: impl AsRef<[u8]>, mode: u32, offset: u64, len: u64) -> Self {
        let attributes = Attributes::path(path)
            .u32(Attribute::FallocateMode, mode)
            .u64(Attribute::FileOffset, offset)
            .u64(Attribute::Size, len);
        self.command(command::FALLOCATE, &attributes)
    }

    /// `ENCODED_WRITE` at `offset`; `lengths` are those of the file's range, of the decoded data, and the offset in it.
    #[must_use]
    pub fn encoded(
        self,
        path: impl AsRef<[u8]>,
        offset: u64,
        lengths: (u64, u64, u64),
        compression: u32,
        data: impl AsRef<[u8]>,
    ) -> Self {
        let (file_len, decoded_len, decoded_offset) = lengths;
        let attributes = Attributes::path(path)
            .u64(Attribute::FileOffset, offset)
            .u64(Attribute::UnencodedFileLen, file_len)
            .u64(Attribute::UnencodedLen, decoded_len)
            .u64(Attribute::UnencodedOffset, decoded_offset)
            .u32(Attribute::Compression, compression)
            .u32(Attribute::Encryption, 0)
            .bytes_of(Attribute::Data, data);
        self.command(command::ENCODED_WRITE, &attributes)
    }

    /// END.
    #[must_use]
    pub fn end(self) -> Self {
        self.payload(command::END, &[])
    }
}
