//! The proxy of the `Manager` interface.

use std::collections::HashMap;

use zbus::{Fd, OwnedObjectPath, Variant, proxy};

use crate::authority::Permission;
use crate::error::Error;
use crate::manager::{BackupRow, HistoryEntry};
use crate::notification::{NotificationChannel, NotificationTest};
use crate::problem::Problem;
use crate::settings::Settings;

/// Start jobs by a volume's name, read the history, list the backups.
#[proxy(
    interface = "org.butterdock.Butterdock1.Manager",
    default_service = "org.butterdock.Butterdock1",
    default_path = "/org/butterdock/Butterdock1"
)]
pub trait Manager {
    /// Receives a stream into the volume with this name; returns the job, which may be queued. The options are
    /// [`ReceiveOptions`](crate::ReceiveOptions).
    #[zbus(allow_interactive_auth)]
    fn receive(
        &self,
        volume: &str,
        stream: Fd<'_>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<OwnedObjectPath, Error>;

    /// A page of the finished jobs, newest first. The options are [`ListHistoryOptions`](crate::ListHistoryOptions).
    fn list_history(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<HistoryEntry>, Error>;

    /// Whether the caller may do what each action guards, by the action's id without the prefix of the service; opens no password
    /// dialog. There are no options yet.
    fn get_permissions(&self, options: HashMap<&str, Variant<'_>>) -> Result<HashMap<String, Permission>, Error>;

    /// The configured backups, one row for each backup and drive. The options are
    /// [`ListBackupsOptions`](crate::ListBackupsOptions); an estimate may take minutes.
    #[zbus(allow_interactive_auth)]
    fn list_backups(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<BackupRow>, Error>;

    /// Reloads the configuration. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn reload(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Confirms that the clock is right, so that pruning resumes. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn trust_clock(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// The settings of both files, and the revision of the administrator's. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn get_settings(&self, options: HashMap<&str, Variant<'_>>) -> Result<(Settings, String), Error>;

    /// Changes keys of a `[[backup]]`, or makes one; returns the file's revision, and warnings. The options are
    /// [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_backup(
        &self,
        name: &str,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(String, Vec<Problem>), Error>;

    /// Removes a `[[backup]]`; returns the file's revision. The options are [`RemoveOptions`](crate::RemoveOptions).
    #[zbus(allow_interactive_auth)]
    fn remove_backup(&self, name: &str, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Changes keys of a `[[volume]]`, or makes one; returns the file's revision, and warnings. The options are
    /// [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_volume(
        &self,
        name: &str,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(String, Vec<Problem>), Error>;

    /// Removes a `[[volume]]`; returns the file's revision. The options are [`RemoveOptions`](crate::RemoveOptions).
    #[zbus(allow_interactive_auth)]
    fn remove_volume(&self, name: &str, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Changes keys of a `[[destination]]`, or makes one; returns the file's revision, and warnings. The options are
    /// [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_destination(
        &self,
        name: &str,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(String, Vec<Problem>), Error>;

    /// Removes a `[[destination]]`; returns the file's revision. The options are [`RemoveOptions`](crate::RemoveOptions).
    #[zbus(allow_interactive_auth)]
    fn remove_destination(&self, name: &str, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Changes keys outside of the lists; returns the file's revision. The options are [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_defaults(
        &self,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<String, Error>;

    /// The channels for notifications. There are no options yet.
    fn list_notifications(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<NotificationChannel>, Error>;

    /// Sends a test over a channel, and answers what happened; it may take some minutes. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn test_notification(&self, name: &str, options: HashMap<&str, Variant<'_>>) -> Result<NotificationTest, Error>;

    /// The service's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// Features beyond the first version of the contract.
    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> zbus::Result<Vec<String>>;

    /// Why notifications are not delivered: one problem for each channel that fails.
    #[zbus(property)]
    fn notification_problems(&self) -> zbus::Result<Vec<Problem>>;

    /// How many jobs have ended: kind, result and number.
    #[zbus(property(emits_changed_signal = "false"))]
    fn jobs_ended(&self) -> zbus::Result<Vec<(String, String, u64)>>;
}
