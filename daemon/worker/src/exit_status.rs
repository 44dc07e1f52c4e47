//! The exit statuses of a worker, by their names in sysexits.h.

/// `EX_USAGE`: the worker was not started by the daemon.
pub(crate) const USAGE: u8 = 64;

/// `EX_UNAVAILABLE`: the daemon that the worker works for went away.
pub(crate) const UNAVAILABLE: u8 = 69;

/// `EX_OSERR`: the kernel refused a restriction, a thread or a descriptor that the worker cannot do without.
pub(crate) const REFUSED: u8 = 71;

/// `EX_PROTOCOL`: an order that was not understood.
pub(crate) const MISUNDERSTOOD: u8 = 76;
