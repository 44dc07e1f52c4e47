//! `org.butterdock.Butterdock1.Job`.

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, Variant, proxy};

use crate::details::ErrorDetails;
use crate::error::Error;
use crate::job::{JobKind, JobResult, JobState, TotalSource};

/// One piece of work with progress and an end.
#[proxy(
    interface = "org.butterdock.Butterdock1.Job",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Job {
    /// Cancels the job; answers when it is in effect: nothing half-made is left. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn cancel(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// What went wrong, with the names that properties must not tell. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn get_error_details(&self, options: HashMap<&str, Variant<'_>>) -> Result<ErrorDetails, Error>;

    /// The job has ended: the last that is heard of it, exactly once while the service lives.
    #[zbus(signal)]
    fn completed(&self, result: JobResult, details: HashMap<String, OwnedVariant>) -> zbus::Result<()>;

    /// What it does.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> zbus::Result<JobKind>;

    /// Its volume; [`path::NONE`](crate::path::NONE) where it has none.
    #[zbus(property(emits_changed_signal = "const"))]
    fn volume(&self) -> zbus::Result<OwnedObjectPath>;

    /// Its drive; [`path::NONE`](crate::path::NONE) where it has none.
    #[zbus(property(emits_changed_signal = "const"))]
    fn drive(&self) -> zbus::Result<OwnedObjectPath>;

    /// The name of the configured backup; empty unless it is one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn backup(&self) -> zbus::Result<String>;

    /// Who started it.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_by_uid(&self) -> zbus::Result<u32>;

    /// When it was asked for, in microseconds since 1970.
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> zbus::Result<u64>;

    /// Where it stands.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<JobState>;

    /// 0 to 1; never goes back.
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<f64>;

    /// Whether a total is known, and so whether the progress means anything.
    #[zbus(property)]
    fn progress_valid(&self) -> zbus::Result<bool>;

    /// Bytes of the stream that were read.
    #[zbus(property)]
    fn bytes_received(&self) -> zbus::Result<u64>;

    /// Bytes of the stream that would survive pulling the plug now.
    #[zbus(property)]
    fn bytes_durable(&self) -> zbus::Result<u64>;

    /// Bytes of the whole stream; 0 unknown.
    #[zbus(property)]
    fn bytes_total(&self) -> zbus::Result<u64>;

    /// Who knew the total.
    #[zbus(property)]
    fn total_source(&self) -> zbus::Result<TotalSource>;

    /// Bytes per second, over the last few seconds.
    #[zbus(property)]
    fn rate(&self) -> zbus::Result<u64>;

    /// When it will probably end, in microseconds since 1970; 0 unknown.
    #[zbus(property)]
    fn expected_end_time(&self) -> zbus::Result<u64>;

    /// Extents that went to disk compressed, as they came.
    #[zbus(property)]
    fn encoded_writes(&self) -> zbus::Result<u64>;

    /// Extents that had to be decompressed first.
    #[zbus(property)]
    fn fallback_writes(&self) -> zbus::Result<u64>;

    /// Whether what is in work builds on a subvolume that is there already.
    #[zbus(property)]
    fn incremental(&self) -> zbus::Result<bool>;

    /// How it does its work, for a person; empty while there is nothing to say.
    #[zbus(property)]
    fn note(&self) -> zbus::Result<String>;

    /// Whether `Cancel` can still do something.
    #[zbus(property)]
    fn cancelable(&self) -> zbus::Result<bool>;

    /// The error's name with its prefix; empty while there is none.
    #[zbus(property)]
    fn error_name(&self) -> zbus::Result<String>;

    /// A sentence without any name of a file; empty while there is none.
    #[zbus(property)]
    fn error_message(&self) -> zbus::Result<String>;
}
