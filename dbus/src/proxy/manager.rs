//! `org.butterdock.Butterdock1.Manager`.

use std::collections::HashMap;

use zbus::{Fd, OwnedObjectPath, Variant, proxy};

use crate::backup::BackupRow;
use crate::error::Error;
use crate::history::HistoryEntry;

/// Start jobs by a volume's name, read the history, see which backups are due.
#[proxy(
    interface = "org.butterdock.Butterdock1.Manager",
    default_service = "org.butterdock.Butterdock1",
    default_path = "/org/butterdock/Butterdock1"
)]
pub trait Manager {
    /// Receives a stream into the volume of this name; returns the job, which may be queued. The options are those of
    /// [`ReceiveOptions`](crate::ReceiveOptions).
    #[zbus(allow_interactive_auth)]
    fn receive(
        &self,
        volume: &str,
        stream: Fd<'_>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<OwnedObjectPath, Error>;

    /// The jobs that ended, the newest first. There are no options yet.
    fn list_history(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<HistoryEntry>, Error>;

    /// The configured backups, each with each of its drives. The options are those of
    /// [`ListBackupsOptions`](crate::ListBackupsOptions); with an estimate it may take minutes.
    #[zbus(allow_interactive_auth)]
    fn list_backups(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<BackupRow>, Error>;

    /// Forgets an enrolled drive by its id, also one that is away. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn forget_drive(&self, drive: &str, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Reads the configuration again. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn reload(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Says that the clock is right, so that old snapshots are deleted again. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn trust_clock(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// The service's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// What this service can do beyond the first version of the contract.
    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> zbus::Result<Vec<String>>;
}
