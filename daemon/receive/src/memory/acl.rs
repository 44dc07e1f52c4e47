//! POSIX ACLs as extended attributes hold them (`linux/posix_acl_xattr.h`).

use butterdock_btrfs::Errno;

pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const HEADER: [u8; 4] = [2, 0, 0, 0];

/// Who may do what, in the kernel's order: tag, permissions, id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl(Vec<(u16, u16, u32)>);

impl Acl {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        let entries = bytes.strip_prefix(&HEADER).ok_or(Errno::EOPNOTSUPP)?;
        let mut acl = Self(Vec::new());
        for entry in entries.chunks(8) {
            let &[t0, t1, p0, p1, i0, i1, i2, i3] = entry else { return Err(Errno::EINVAL) };
            let named = matches!(u16::from_le_bytes([t0, t1]), USER | GROUP);
            let id = if named { u32::from_le_bytes([i0, i1, i2, i3]) } else { u32::MAX };
            acl.0.push((u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]), id));
        }
        if acl.is_valid() { Ok(acl) } else { Err(Errno::EINVAL) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for (tag, permissions, id) in &self.0 {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    /// The permission bits that say the same, as far as bits can.
    pub(crate) fn mode(&self) -> u32 {
        let group = if self.has(MASK) { MASK } else { GROUP_OBJ };
        self.0.iter().fold(0, |mode, &(tag, permissions, _)| {
            let bits = u32::from(permissions);
            mode | match tag {
                USER_OBJ => bits << 6,
                tag if tag == group => bits << 3,
                OTHER => bits,
                _ => 0,
            }
        })
    }

    /// Whether permission bits say all of it.
    pub(crate) fn is_mode_alone(&self) -> bool {
        self.0.iter().all(|(tag, ..)| matches!(*tag, USER_OBJ | GROUP_OBJ | OTHER))
    }

    /// What `chmod(2)` makes of it.
    pub(crate) fn set_mode(&mut self, mode: u32) {
        self.each_bits(|permissions, bits| *permissions = bits, mode);
    }

    /// What a new inode asked for with `mode` gets of a default ACL.
    pub(crate) fn limit(&mut self, mode: u32) {
        self.each_bits(|permissions, bits| *permissions &= bits, mode);
    }

    fn each_bits(&mut self, set: impl Fn(&mut u16, u16), mode: u32) {
        let group = if self.has(MASK) { MASK } else { GROUP_OBJ };
        let bits = |shift: u32| u16::try_from((mode >> shift) & 7).unwrap_or_default();
        for (tag, permissions, _) in &mut self.0 {
            match *tag {
                USER_OBJ => set(permissions, bits(6)),
                tag if tag == group => set(permissions, bits(3)),
                OTHER => set(permissions, bits(0)),
                _ => {}
            }
        }
    }

    fn has(&self, wanted: u16) -> bool {
        self.0.iter().any(|(tag, ..)| *tag == wanted)
    }

    fn is_valid(&self) -> bool {
        let once = |wanted| self.0.iter().filter(|(tag, ..)| *tag == wanted).count() == 1;
        let known = |tag: &u16| matches!(*tag, USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER);
        let named = self.has(USER) || self.has(GROUP);
        let masks = self.0.iter().filter(|(tag, ..)| *tag == MASK).count();
        self.0.iter().all(|(tag, permissions, _)| known(tag) && *permissions <= 7)
            && self.0.is_sorted_by_key(|(tag, ..)| *tag)
            && once(USER_OBJ)
            && once(GROUP_OBJ)
            && once(OTHER)
            && (masks == 1 || (masks == 0 && !named))
    }
}
