//! One subvolume of a volume.

use zbus::{DeserializeDict, SerializeDict, Type};

/// More than this `ListSubvolumes` does not tell: an answer has to fit a message.
pub const SUBVOLUMES_MAX: usize = 10_000;

/// What `ListSubvolumes` says of one subvolume in the volume's directory.
///
/// A reader skips keys that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SubvolumeRow {
    /// Its name: bytes, as on disk.
    pub name: Vec<u8>,
    /// Its id on this filesystem.
    pub id: u64,
    /// Its UUID.
    pub uuid: String,
    /// The sender's UUID of it, where it was received whole.
    pub received_uuid: Option<String>,
    /// The UUID of what it is a snapshot of.
    pub parent_uuid: Option<String>,
    /// Whether it is read-only.
    pub read_only: bool,
    /// When it was made, in microseconds since 1970, where that is known.
    pub created: Option<u64>,
}
