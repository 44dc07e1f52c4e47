//! This room keeps the descriptors that callers pass.
//!
//! A descriptor is what somebody else made it. To close one may wait for whoever made it, for ever: a filesystem in user
//! space (FUSE) is asked to flush at each close(2), also at those of a process that ends or executes another program; a
//! TCP socket may linger; a pipe's lock may be held by a writer whose buffer never comes. So:
//!
//! * while it waits for its use it is no descriptor of this process: it is [`QuarantinedFd`] inside a socket, which nothing that
//!   forks copies, and from which it is dropped without a flush;
//! * where it was one for a moment it is closed by a thread that does nothing else ([`close`]);
//! * it is looked at by threads that may be lost, so many for each user ([`borrow`]);
//! * it is counted for its user until it is closed ([`FdShare`]).
//!
//! # The end of the service
//! Nothing ends a thread that such a filesystem holds in close(2): that question waits for its answer whatever signals come
//! (`FR_FORCE` in fs/fuse/dev.c), and a process is there until its last thread is gone. So a service that is told to end does
//! so in all but that: its jobs, its drives and its name are given up in time, its main thread has ended, and whoever waits for
//! the process waits for the filesystem. No order of ending helps: exit(2) closes what is open in the same way.

mod closing;
mod looking;
mod quarantined;
mod share;

pub use closing::close;
pub(crate) use looking::{Lost, borrow};
pub use quarantined::QuarantinedFd;
pub use share::FdShare;
