//! The proxy of the `Volume` interface.

use std::collections::HashMap;

use zbus::{Fd, OwnedObjectPath, Variant, proxy};

use crate::error::Error;
use crate::volume::SubvolumeRow;

/// A filesystem to receive into.
#[proxy(
    interface = "org.butterdock.Butterdock1.Volume",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Volume {
    /// Receives a stream into this volume; returns the job, which may be queued. The options are
    /// [`ReceiveOptions`](crate::ReceiveOptions).
    #[zbus(allow_interactive_auth)]
    fn receive(&self, stream: Fd<'_>, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// The subvolumes in the volume's directory. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn list_subvolumes(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<SubvolumeRow>, Error>;

    /// The configured name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;

    /// Size of the filesystem in bytes; 0 while it is not mounted.
    #[zbus(property)]
    fn size(&self) -> zbus::Result<u64>;

    /// Free bytes; 0 while it is not mounted. Up to one second old when read.
    #[zbus(property)]
    fn free(&self) -> zbus::Result<u64>;

    /// Whether the filesystem is mounted.
    #[zbus(property)]
    fn mounted(&self) -> zbus::Result<bool>;
}
