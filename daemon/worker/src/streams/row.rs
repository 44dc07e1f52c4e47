//! What a worker tells of stream files.

use butterdock_stream::Identity;
use serde::{Deserialize, Serialize};

use super::{Found, Head};
use crate::bytes;

/// One file, for whoever may know names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The name, as bytes.
    #[serde(with = "bytes")]
    pub name: Vec<u8>,
    /// In bytes.
    pub size: u64,
    /// The name that the stream gives its subvolume; empty where it cannot be read.
    #[serde(with = "bytes")]
    pub subvolume: Vec<u8>,
    /// The sender's uuid of it.
    pub uuid: Option<[u8; 16]>,
    /// The sender's uuid of what it builds on.
    pub parent: Option<[u8; 16]>,
    /// Why it cannot be received.
    pub problem: Option<String>,
}

/// What is told of files while they are received, or instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFileEvent {
    /// A file that could be received; told where only a list is wanted, in the order in which they would be.
    File(Row),
    /// So many bytes will be received.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// Of so many files, so many bring what is there already.
    Planned {
        /// How many files.
        files: u64,
        /// How many of them are in the volume already.
        known: u64,
    },
}

impl From<Found> for Row {
    fn from(found: Found) -> Self {
        let Found { name, size, head } = found;
        let row = Self { name, size, ..Self::default() };
        match head {
            Ok(Head { name, identity, parent }) => {
                let uuid = |identity: Identity| identity.uuid.0;
                Self { subvolume: name, uuid: Some(uuid(identity)), parent: parent.map(uuid), ..row }
            }
            Err(problem) => Self { problem: Some(problem), ..row },
        }
    }
}
