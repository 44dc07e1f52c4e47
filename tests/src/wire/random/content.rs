//! The commands that change what is in an inode.

use super::{BLOCK, Identity, Kind, PARENT, RandomStream};
use crate::trees::Content;
use crate::wire::{Attribute, Attributes, command};

impl RandomStream {
    /// CHOWN and then CHMOD, as the kernel sends it when set-id bits are to stay.
    pub(super) fn rights(&mut self) {
        let Some(name) = self.pick(|kind| kind != Kind::Other) else { return };
        let (uid, mode) = (self.random.below(3) * 1000, [0o600, 0o755, 0o4711, 0o6755, 0o2750]);
        let mode = mode[usize::try_from(self.random.below(5)).unwrap_or(0)];
        self.with(|stream| stream.chown(&name, uid, uid + 1).chmod(&name, mode));
        // A send repeats the capability that the new owner took away.
        if self.inodes[self.names[&name]].1 {
            self.with(|stream| stream.xattr(&name, "security.capability", capability()));
        }
    }

    pub(super) fn xattr(&mut self) {
        let Some(name) = self.pick(|kind| kind != Kind::Other) else { return };
        let inode = self.names[&name];
        let directory = self.inodes[inode].0 == Kind::Directory;
        let value = Content::Text.bytes(usize::try_from(self.random.below(3000)).unwrap_or(0), self.made);
        match self.random.below(5) {
            0 if !directory => {
                self.inodes[inode].1 = true;
                self.with(|stream| stream.xattr(&name, "security.capability", capability()));
            }
            1 => self.with(|stream| stream.xattr(&name, "btrfs.compression", "zlib")),
            2 => self.with(|stream| {
                let attributes = Attributes::path(&name).bytes_of(Attribute::XattrName, "user.gone");
                stream.xattr(&name, "user.gone", "x").command(command::REMOVE_XATTR, &attributes)
            }),
            _ => self.with(|stream| stream.xattr(&name, "user.kept", value)),
        }
    }

    pub(super) fn write(&mut self) {
        let Some(name) = self.pick(|kind| matches!(kind, Kind::File(_))) else { return };
        let inode = self.names[&name];
        let Kind::File(size) = self.inodes[inode].0 else { return };
        // Mostly going on where the file ends, as a send does.
        let offset = if self.random.below(3) == 0 { self.random.below(size + 10_000) } else { size };
        let len = 1 + self.random.below(30_000);
        let data = Content::Mixed.bytes(usize::try_from(len).unwrap_or(1), self.random.number());
        self.with(|stream| stream.write(&name, offset, data));
        self.inodes[inode].0 = Kind::File(size.max(offset + len));
    }

    pub(super) fn truncate(&mut self) {
        let Some(name) = self.pick(|kind| matches!(kind, Kind::File(_))) else { return };
        let size = self.random.below(100_000);
        self.with(|stream| stream.truncate(&name, size));
        let inode = self.names[&name];
        self.inodes[inode].0 = Kind::File(size);
    }

    /// A file to clone from: of this subvolume, or of its parent as that was.
    fn source(&mut self) -> Option<(Identity, String, u64)> {
        let (identity, files) = match self.random.below(2) {
            0 if !self.parent.is_empty() => (PARENT, self.parent.clone()),
            _ => (self.this, self.files()),
        };
        let index = usize::try_from(self.random.below(files.len() as u64)).ok()?;
        files.get(index).map(|(name, size)| (identity, name.clone(), *size))
    }

    pub(super) fn clone_range(&mut self) {
        let (Some((identity, from, size)), Some(to)) = (self.source(), self.pick(|kind| matches!(kind, Kind::File(_))))
        else {
            return;
        };
        let target = self.names[&to];
        let Kind::File(target_size) = self.inodes[target].0 else { return };
        let blocks = size / BLOCK;
        if (identity == self.this && self.names.get(&from) == Some(&target)) || blocks == 0 {
            return;
        }
        let first = self.random.below(blocks);
        let len = (1 + self.random.below(blocks - first)) * BLOCK;
        let offset = self.random.below(target_size / BLOCK + 2) * BLOCK;
        self.with(|stream| stream.clone_from(&to, offset, len, (identity, &from, first * BLOCK)));
        self.inodes[target].0 = Kind::File(target_size.max(offset + len));
    }

    pub(super) fn times(&mut self) {
        let Some(name) = self.pick(|_| true) else { return };
        let (seconds, nanoseconds) = (self.random.below(1 << 31), self.random.below(1_000_000_000));
        self.with(|stream| stream.utimes(&name, seconds.cast_signed(), u32::try_from(nanoseconds).unwrap_or(0)));
    }
}

/// `struct vfs_cap_data` with `CAP_NET_RAW`.
fn capability() -> Vec<u8> {
    [0x0200_0001u32, 1 << 13, 0, 0, 0].map(u32::to_le_bytes).concat()
}
