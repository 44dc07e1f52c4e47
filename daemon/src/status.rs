//! The exit statuses of this program, by their names in sysexits.h.
//!
//! | status | name | who ends with it, and when |
//! |---|---|---|
//! | 0 | `EX_OK` | done |
//! | 1 | | a stream was not received whole, the service could not be served, a file cannot be read |
//! | 64 | `EX_USAGE` | the command line cannot be understood; a worker that the daemon did not start |
//! | 69 | `EX_UNAVAILABLE` | a worker whose daemon went away |
//! | 71 | `EX_OSERR` | a worker to which the kernel refused a wall, a thread or a descriptor |
//! | 76 | `EX_PROTOCOL` | a worker that did not understand its order |
//! | 77 | `EX_NOPERM` | the caller may not do this |
//! | 78 | `EX_CONFIG` | the service's configuration has a mistake: to start it again would not help, and the unit does not |

/// `EX_USAGE`: a command line that cannot be understood.
pub(crate) const USAGE: u8 = 64;

/// `EX_NOPERM`: something that the caller may not do.
pub(crate) const NOT_ALLOWED: u8 = 77;

/// `EX_CONFIG`: a configuration that cannot be used.
pub(crate) const MISCONFIGURED: u8 = 78;
