//! This room knows the stream files on a drive: which there are, what each brings, and in which order they go into a
//! volume. It works in a worker, which reads what somebody may have put there to do harm.
//!
//! ```text
//! files    opens them, before the worker is locked in      head    what the first command says
//! order    each behind what it builds on (pure)            import  receives them, one after another
//! ```
//!
//! Of a file its first subvolume is known, because that is in its first bytes; to know of more, all of it would have to be
//! read. So a file whose parent is not found is no mistake yet: it comes last, and the receiver says what is missing.

mod files;
mod head;
mod import;
mod order;
mod row;

use butterdock_stream::Identity;

pub(crate) use files::{Files, open};
pub(crate) use import::{Import, Trouble, list};
pub(crate) use row::{Row, Told};

/// What the first command of a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    /// The name of the subvolume.
    name: Vec<u8>,
    /// Which it is.
    identity: Identity,
    /// What it builds on; none for a stream of everything.
    parent: Option<Identity>,
}

/// A file, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// The file's.
    name: Vec<u8>,
    size: u64,
    /// Where it is no stream that can be received, a sentence that says why.
    head: Result<Head, String>,
}
