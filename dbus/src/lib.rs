//! butterdock's D-Bus API, for the service and for its clients: an appliance's page, a desktop's agent, the command line
//! `butterdock`.
//!
//! - [`names`], [`path`]: the bus name, the interfaces; building and parsing object paths.
//! - [`ManagerProxy`], [`DriveProxy`], [`DestinationProxy`], [`BackupProxy`], [`VolumeProxy`], [`JobProxy`]: calls, properties and
//!   signals.
//! - [`ReceiveOptions`], [`JobState`], [`BackupRow`], [`HistoryEntry`] …: their arguments and results, typed.
//! - [`ErrorName`], [`Error`]: errors.
//! - [`authority`]: permissions; the polkit file and the table in `README.md` are made from it.
//! - [`introspection`]: the commented XML of `xml/`, for other languages.
//!
//! # How to follow jobs
//! Subscribe to everything below [`names::ROOT`] (one match rule with `path_namespace`), then call
//! `GetManagedObjects` there: a job that starts in between is not missed. [`JobProperties`] reads both. A job's last
//! signal is [`Completed`], once; if the service dies, clients get `NameOwnerChanged` instead.
//!
//! # Receiving a stream
//! ```no_run
//! use butterdock_dbus::{Error, JobProxy, ManagerProxy, ReceiveOptions};
//!
//! # async fn receive() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = zbus::Connection::system().await?;
//! let stream = std::fs::File::open("monday.stream")?;
//! let options = ReceiveOptions { verify: true, ..ReceiveOptions::default() };
//! let manager = ManagerProxy::new(&bus).await?;
//! match manager.receive("tank", (&stream).into(), options.to_options()).await {
//!     Ok(path) => println!("{}", JobProxy::new(&bus, path).await?.state().await?),
//!     Err(Error::Named(name, why)) => println!("{}: {why}", name.short()),
//!     Err(other) => return Err(other.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Decisions
//! A snapshot on a destination is named by its UUID, since two folders there may hold the same name; a drive by the id that
//! the service gave it, since labels repeat and clones carry the same filesystem UUID. A call that erases a drive must
//! pass its size and serial number, so that neither a mistake nor a reused kernel name erases another drive. `ListBackups` is
//! flat, a row for each backup and drive: a table to show, and no dictionary within a dictionary.
//!
//! An unknown option is an error, so that no option is silently ignored. Clients ignore unknown keys, so that answers can
//! grow. Names of subvolumes are bytes everywhere (`ay`), since btrfs does not require
//! UTF-8.

pub mod authority;
mod backup;
mod deletion;
mod destination;
mod drive;
mod error;
mod files;
mod job;
mod manager;
pub mod names;
mod notification;
mod options;
pub mod path;
mod problem;
mod problem_table;
mod property;
mod proxy;
mod settings;
mod volume;
mod word;

pub use backup::{BackupProperties, RunOptions};
pub use deletion::{DELETED_MAX, DeleteOptions, DeletionEstimate, LostIncrement, REASON_MAX};
pub use destination::{
    BackupOptions, DestinationKind, DestinationProperties, DestinationState, RestoreOptions, SnapshotOrigin,
    SnapshotRow, SnapshotsOfMachine, UnpinOptions,
};
pub use drive::{
    DriveHealth, DriveProperties, DriveState, EnrolEncryptedOptions, EnrolOptions, ImportOptions, MountRow, SECRET_MAX,
    SafelyRemoveOptions, StreamRow,
};
pub use error::{Error, ErrorName, INVALID_ARGS, UnknownErrorName};
pub use files::{
    Conflict, FileKind, FileRow, FileVersionRow, FileVersionsOptions, ListFilesOptions, ListSnapshotsOptions,
    OpenFileOptions, RestoreFilesOptions,
};
pub use job::{ErrorDetails, JobKind, JobProperties, JobResult, JobState, TotalSource, Trigger};
pub use manager::{
    BackupRow, HISTORY_MAX, HISTORY_PAGE, HistoryEntry, ListBackupsOptions, ListHistoryOptions, ReceiveOptions, Warning,
};
pub use names::introspection;
pub use notification::{NotificationChannel, NotificationTest};
pub use options::{Options, none as no_options};
pub use problem::{Problem, ProblemParams, problems_markdown};
pub use problem_table::{PROBLEMS, ProblemRow};
pub use property::WrongProperty;
pub use proxy::{
    BackupProxy, Completed, CompletedArgs, CompletedStream, DestinationProxy, DriveProxy, JobProxy, ManagerProxy,
    VolumeProxy,
};
pub use settings::{RemoveOptions, SetOptions, Settings};
pub use volume::{SUBVOLUMES_MAX, SubvolumeRow, VolumeProperties};
pub use word::UnknownWord;
