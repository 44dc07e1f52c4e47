//! The I/O priority of the calling thread.

#![expect(unsafe_code, reason = "no crate that is kept wraps ioprio_set(2)")]

use nix::errno::Errno;
use nix::libc;

use crate::error::{Error, Result, retry};

/// How a thread's requests stand beside those of others, where the device's scheduler cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// Shared, from level 0, the first, to 7, the last (`IOPRIO_CLASS_BE`).
    BestEffort(u8),
    /// Only when the device is otherwise idle (`IOPRIO_CLASS_IDLE`).
    Idle,
}

/// `ioprio_set(2)` (`IOPRIO_WHO_PROCESS`) — for the calling thread and those that it starts from then on.
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
    fn an_io_level_out_of_range_is_refused() {
        // In a thread of its own: the weight is the thread's.
        let taken = std::thread::spawn(|| [IoClass::BestEffort(7), IoClass::Idle].map(set_io_class)).join();
        assert_eq!(taken.ok(), Some([Ok(()), Ok(())]));
        assert_eq!(set_io_class(IoClass::BestEffort(8)), Err(Error { call: "ioprio_set", errno: Errno::EINVAL }));
    }
}
