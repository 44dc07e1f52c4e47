//! Calls that are about no filesystem: the state of the clock, random bytes, the I/O priority of the calling thread.

#![expect(unsafe_code, reason = "no crate that is maintained wraps adjtimex(2) and ioprio_set(2)")]

use std::mem::MaybeUninit;

use nix::libc;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{Errno, Error, Result, retry};

/// `adjtimex(2)` with no mode, which changes nothing and needs no capability — whether a time service keeps the wall clock
/// synchronised: the state is not `TIME_ERROR` and `STA_UNSYNC` is not set. Setting the clock by hand sets `STA_UNSYNC`.
///
/// # Errors
/// `EPERM` where a system call filter refuses it, as systemd's `ProtectClock=` does.
pub fn clock_is_synchronised() -> Result<bool> {
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

/// `getrandom(2)` — sixteen random bytes. The call opens no device. Early in the boot it waits until the kernel has
/// gathered enough randomness.
///
/// # Errors
/// None on the supported kernels.
pub fn random_bytes() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    // The kernel returns up to 256 bytes whole or not at all.
    match retry("getrandom", || getrandom(&mut bytes[..], GetRandomFlags::empty()))? {
        16 => Ok(bytes),
        _ => Err(Error { call: "getrandom", errno: Errno::EIO }),
    }
}

/// The priority of a thread's requests, for devices whose I/O scheduler supports priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// Shared, from level 0 (highest) to 7 (`IOPRIO_CLASS_BE`).
    BestEffort(u8),
    /// Only when the device is otherwise idle (`IOPRIO_CLASS_IDLE`).
    Idle,
}

/// `ioprio_set(2)` (`IOPRIO_WHO_PROCESS`) — sets the class of the calling thread and of the threads that it starts afterwards.
///
/// # Errors
/// `EINVAL` for a level above 7, `ENOSYS` from a kernel without block devices.
pub fn set_io_class(class: IoClass) -> Result<()> {
    const CALL: &str = "ioprio_set";
    let value = match class {
        IoClass::BestEffort(level) if level > LAST_LEVEL => return Err(Error { call: CALL, errno: Errno::EINVAL }),
        IoClass::BestEffort(level) => (BEST_EFFORT << CLASS_SHIFT) | libc::c_int::from(level),
        IoClass::Idle => IDLE << CLASS_SHIFT,
    };
    retry(CALL, || {
        // SAFETY: three numbers; nothing is read or written behind a pointer.
        let answer = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, SELF, value) };
        Errno::result(answer)
    })?;
    Ok(())
}

/// `linux/ioprio.h`.
const WHO_PROCESS: libc::c_int = 1;
const SELF: libc::c_int = 0;
const CLASS_SHIFT: libc::c_int = 13;
const BEST_EFFORT: libc::c_int = 2;
const IDLE: libc::c_int = 3;
const LAST_LEVEL: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_whether_its_clock_is_synchronised() {
        // The answer depends on the machine.
        assert!(clock_is_synchronised().is_ok());
    }

    #[test]
    fn random_bytes_differ_from_call_to_call() {
        assert_ne!(random_bytes(), random_bytes());
    }

    #[test]
    fn an_io_level_out_of_range_is_refused() {
        // In a thread of its own, because the class belongs to the thread.
        let taken = std::thread::spawn(|| [IoClass::BestEffort(7), IoClass::Idle].map(set_io_class)).join();
        assert_eq!(taken.ok(), Some([Ok(()), Ok(())]));
        assert_eq!(set_io_class(IoClass::BestEffort(8)), Err(Error { call: "ioprio_set", errno: Errno::EINVAL }));
    }
}
