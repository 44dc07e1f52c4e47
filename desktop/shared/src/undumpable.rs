//! Keeps a process that has a secret in its memory from being read: it leaves no core, and no other process of the user may look into
//! it. Portals cannot recognise such a process, so it is not always so.

use std::sync::{Mutex, PoisonError};

use nix::sys::prctl::set_dumpable;

use crate::output::complain;

/// How many exist.
static EXISTING: Mutex<u32> = Mutex::new(0);

/// While at least one exists, the process cannot be dumped.
#[derive(Debug)]
pub struct Undumpable(());

impl Undumpable {
    /// One more.
    #[must_use]
    pub fn new() -> Self {
        let mut existing = EXISTING.lock().unwrap_or_else(PoisonError::into_inner);
        if *existing == 0 {
            set(false);
        }
        *existing = existing.saturating_add(1);
        Self(())
    }
}

impl Default for Undumpable {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Undumpable {
    fn drop(&mut self) {
        let mut existing = EXISTING.lock().unwrap_or_else(PoisonError::into_inner);
        *existing = existing.saturating_sub(1);
        if *existing == 0 {
            set(true);
        }
    }
}

fn set(can_be_dumped: bool) {
    if let Err(error) = set_dumpable(can_be_dumped) {
        complain(&format!("this process could leave a core: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::prctl::get_dumpable;

    use super::*;

    #[test]
    fn the_last_one_ends_it() {
        let (first, second) = (Undumpable::new(), Undumpable::new());
        assert_eq!(get_dumpable(), Ok(false));
        drop(first);
        assert_eq!(get_dumpable(), Ok(false), "another dialog is open");
        drop(second);
        assert_eq!(get_dumpable(), Ok(true));
    }
}
