//! This room knows the stream files on a drive: which there are, what each brings, and in which order they go into a
//! volume. It works in a worker, which reads what somebody may have put there to do harm.
//!
//! ```text
//! files    opens them, before the worker is locked in      head    what the first command says
//! order    each behind what it builds on (pure)            import  receives them, one after another
//! walk     where in a file its subvolumes begin          feed    gives a file to the receiver, from one of them on
//! ```
//!
//! Of a file its first subvolume is known, because that is in its first bytes; to know of more, all of it has to be read.
//! So a file whose parent is not found is no mistake yet: it comes last, and the receiver says what is missing. And only a
//! file whose first subvolume is in the volume already is read for others, when it is its turn: it may bring more, where
//! its import was interrupted.

mod feed;
mod files;
mod head;
mod import;
mod order;
mod row;
mod walk;

use butterdock_stream::Identity;

pub(crate) use files::{Files, open};
pub(crate) use import::{Import, ImportError, list};
pub use row::{Row, StreamFileEvent};

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
