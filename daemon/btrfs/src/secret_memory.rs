//! Memory for secrets: it is not swapped out, is not part of a core dump, and is overwritten at its end.

#![expect(unsafe_code, reason = "no crate that is maintained wraps all of mmap(2), mlock(2) and madvise(2) safely")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use nix::libc;

use crate::error::{Errno, Error, Result, best_effort};

/// Bytes of a fixed room, which never moves: a buffer that grows leaves its bytes behind.
pub struct SecretMemory {
    at: NonNull<u8>,
    capacity: usize,
    length: usize,
}

// SAFETY: the value owns its pages, and gives references to them only with its own borrows.
unsafe impl Send for SecretMemory {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for SecretMemory {}

impl SecretMemory {
    /// `mmap(2)`, `madvise(2)` with `MADV_DONTDUMP` (Linux 3.4) and `mlock(2)` — zeros, up to `capacity` bytes. Where the limit of
    /// locked memory is lower, the pages may be swapped out.
    ///
    /// # Errors
    /// `ENOMEM`; `EINVAL` for a capacity of 0.
    pub fn zeroed(capacity: usize) -> Result<Self> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping, at a place that the kernel chooses, changes no memory that is in use.
        let at = unsafe { libc::mmap(ptr::null_mut(), capacity, access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(Error { call: "mmap", errno: Errno::last() });
        }
        let at = NonNull::new(at.cast::<u8>()).ok_or(Error { call: "mmap", errno: Errno::ENOMEM })?;
        // SAFETY: the range is the mapping that was made above; the advice changes no content.
        best_effort(Errno::result(unsafe { libc::madvise(at.as_ptr().cast(), capacity, libc::MADV_DONTDUMP) }));
        // SAFETY: the range is the mapping that was made above.
        best_effort(Errno::result(unsafe { libc::mlock(at.as_ptr().cast(), capacity) }));
        Ok(Self { at, capacity, length: capacity })
    }

    /// The same with these bytes, which stay where they are, too.
    ///
    /// # Errors
    /// As for [`Self::zeroed`].
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut memory = Self::zeroed(bytes.len())?;
        memory.copy_from_slice(bytes);
        Ok(memory)
    }

    /// Shortens it. What is cut off is overwritten with the rest.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl Deref for SecretMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has at least `length` bytes, all of them initialised, and lives as long as the value.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.length) }
    }
}

impl DerefMut for SecretMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and no other reference exists while the value is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.length) }
    }
}

impl Drop for SecretMemory {
    fn drop(&mut self) {
        self.length = self.capacity;
        for byte in &mut **self {
            // SAFETY: a reference is valid for a write. The compiler keeps volatile writes although the pages go.
            unsafe { ptr::write_volatile(byte, 0) };
        }
        // SAFETY: the mapping was made by `zeroed`, and nothing refers to it any more. Its lock ends with it.
        best_effort(Errno::result(unsafe { libc::munmap(self.at.as_ptr().cast(), self.capacity) }));
    }
}

impl fmt::Debug for SecretMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretMemory")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The flags of the mapping that has this address, as `/proc/self/smaps` has them.
    fn flags(at: usize) -> Vec<String> {
        let smaps = fs::read_to_string("/proc/self/smaps").expect("read");
        let mut is_it = false;
        for line in smaps.lines() {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let bound = |text: &str| usize::from_str_radix(text, 16).ok();
            if let Some((Some(begin), Some(end))) = range.map(|(begin, end)| (bound(begin), bound(end))) {
                is_it = (begin..end).contains(&at);
            } else if let (true, Some(flags)) = (is_it, line.strip_prefix("VmFlags:")) {
                return flags.split_whitespace().map(str::to_owned).collect();
            }
        }
        Vec::new()
    }

    #[test]
    fn a_secret_is_locked_and_not_dumped() {
        let mut memory = SecretMemory::copy_of(b"correct horse").expect("mapped");
        assert_eq!(&*memory, b"correct horse");
        let flags = flags(memory.as_ptr() as usize);
        for flag in ["lo", "dd"] {
            assert!(flags.iter().any(|known| known == flag), "{flags:?}");
        }
        memory.truncate(7);
        assert_eq!((&*memory, format!("{memory:?}").as_str()), (&b"correct"[..], "SecretMemory"));
        memory.truncate(9);
        assert_eq!(memory.len(), 7);
    }

    #[test]
    fn no_room_is_an_error() {
        assert_eq!(SecretMemory::zeroed(0).expect_err("empty").errno, Errno::EINVAL);
    }
}
