//! Deletes what a crashed run left, and nothing else.

use std::ffi::CStr;

use butterdock_btrfs::{Error as Fault, directory, file, subvolume};

use super::destination::{Destination, HIDDEN};
use crate::error::Error;

const ID_DIGITS: usize = 32;

impl Destination {
    /// Deletes hidden subvolumes that no process works in: of our name's form, owned by root, with their lock free.
    ///
    /// Run under the directory's lock, so that a subvolume which another run has just made is locked already.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        let guard = self.lock()?;
        let left =
            directory::entries_where(self, is_hidden).map_err(|fault| Error::call("list the destination", fault))?;
        for name in left {
            if abandoned(self, &name).unwrap_or(false) {
                // One that cannot be deleted is no reason not to receive: it stays hidden until it can.
                subvolume::destroy(self, &name).unwrap_or_default();
            }
        }
        drop(guard);
        Ok(())
    }
}

fn is_hidden(name: &CStr) -> bool {
    name.to_bytes()
        .strip_prefix(HIDDEN)
        .is_some_and(|id| id.len() == ID_DIGITS && id.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

fn abandoned(destination: &Destination, name: &CStr) -> Result<bool, Fault> {
    let stat = file::stat_at(destination, name)?;
    if !stat.is_dir() || !subvolume::is_root(&stat) {
        return Ok(false);
    }
    let fd = destination.open(name)?;
    let opened = file::stat(&fd)?;
    // A run that died after it gave the root its final owner had it read-only or marked by then.
    let ours = opened.uid == 0 || subvolume::info(&fd)?.received_uuid != [0; 16];
    Ok(opened.dev == stat.dev && ours && file::lock_exclusive(&fd)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_form_are_swept() {
        assert!(is_hidden(c".butterdock-0123456789abcdef0123456789abcdef"));
        for name in [
            c".butterdock-",
            c".butterdock-ckpt-0123456789abcdef0123456789",
            c".butterdock-0123456789ABCDEF0123456789abcdef",
            c".butterdock-0123456789abcdef0123456789abcdef0",
            c"butterdock-0123456789abcdef0123456789abcdef",
        ] {
            assert!(!is_hidden(name), "{name:?}");
        }
    }
}
