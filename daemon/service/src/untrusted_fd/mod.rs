//! Descriptors that callers pass.
//!
//! A caller controls what a descriptor refers to. Closing it may block for ever: a filesystem in user space (FUSE)
//! gets a flush request at each close(2), also when a process exits or executes another program; a TCP socket may
//! linger; another process may hold a pipe's lock. So:
//!
//! * an unused descriptor is not in this process's table: it is queued as a [`QuarantinedFd`] inside a socket, which
//!   no fork copies, and from which it is dropped without a flush;
//! * a descriptor that was in the table for a moment is closed by a dedicated thread ([`close`]);
//! * threads that may block examine it, up to a limit for each user ([`borrow`]);
//! * it counts for its user until it is closed ([`FdShare`]).
//!
//! # The end of the service
//! A thread that such a filesystem blocks in close(2) cannot be ended: the request waits for its answer whatever
//! signals arrive (`FR_FORCE` in fs/fuse/dev.c), and a process exists until its last thread has ended. So a stopping
//! service ends everything else: it ends its jobs, releases its drives, gives up its name in time, and ends its main
//! thread; a program that waits for the process waits for the filesystem. No other order helps: exit(2) closes open
//! descriptors in the same way.

mod quarantined;
mod share;

pub(crate) use quarantined::{Lost, borrow};
pub use quarantined::{QuarantinedFd, close};
pub use share::FdShare;
