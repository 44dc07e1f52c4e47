//! Whether the kernel's clock is synchronised.

#![expect(unsafe_code, reason = "no crate that is kept wraps adjtimex(2)")]

use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::libc;

use crate::error::{Result, retry};

/// `adjtimex(2)` with no mode, which changes nothing and needs no capability — whether the wall clock is synchronised by a
/// time service: the state is not `TIME_ERROR` and `STA_UNSYNC` is not set. Setting the clock by hand sets `STA_UNSYNC`.
///
/// # Errors
/// `EPERM` where a filter of system calls refuses it, as systemd's `ProtectClock=` does.
pub fn is_synchronised() -> Result<bool> {
    let mut raw = MaybeUninit::<libc::timex>::zeroed();
    let state = retry("adjtimex", || {
        // SAFETY: all bytes 0 are a valid timex with no mode; the kernel reads and writes one timex and keeps no pointer.
        let answer = unsafe { libc::adjtimex(raw.as_mut_ptr()) };
        Errno::result(answer)
    })?;
    // SAFETY: it was zeroed, which is a valid timex, and written by the kernel.
    let status = unsafe { raw.assume_init() }.status;
    Ok(state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_whether_its_clock_is_synchronised() {
        // Which of the two it is depends on the machine.
        assert!(is_synchronised().is_ok());
    }
}
