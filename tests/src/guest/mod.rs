//! This room makes a machine that boots: QEMU without KVM, systemd as PID 1, a shell on a serial port, and USB drives that are
//! plugged in and pulled out through QMP.
//!
//! ```text
//! Machine  QEMU; a disk of its own for the root, another for the source; a power cut is the end of its process
//! Console  the shell of root's on the second serial port; each step has a limit
//! Qmp      QEMU's own door
//! Stick    a USB drive: a file out here, which is compared with what it was
//! ```
//! QEMU dies with the thread that started it, also when the test itself is killed.

mod console;
mod machine;
mod qmp;
mod stick;

pub use console::{Console, Said};
pub use machine::{Machine, Place};
pub use qmp::Qmp;
pub use stick::Stick;
