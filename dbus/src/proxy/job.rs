//! The proxy of the `Job` interface.

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, Variant, proxy};

use crate::error::Error;
use crate::job::{ErrorDetails, JobKind, JobResult, JobState, TotalSource, Trigger};

/// One piece of work with progress and an end.
#[proxy(
    interface = "org.butterdock.Butterdock1.Job",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Job {
    /// Cancels the job; returns when the work has stopped and no incomplete subvolume is left. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn cancel(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// The job's error, including names that properties must not contain. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn get_error_details(&self, options: HashMap<&str, Variant<'_>>) -> Result<ErrorDetails, Error>;

    /// The job has ended. Emitted exactly once while the service runs.
    #[zbus(signal)]
    fn completed(&self, result: JobResult, details: HashMap<String, OwnedVariant>) -> zbus::Result<()>;

    /// The job's kind.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> zbus::Result<JobKind>;

    /// Its volume; [`path::NONE`](crate::path::NONE) without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn volume(&self) -> zbus::Result<OwnedObjectPath>;

    /// Its drive; [`path::NONE`](crate::path::NONE) without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn drive(&self) -> zbus::Result<OwnedObjectPath>;

    /// The label of its drive at the request; empty without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn drive_label(&self) -> zbus::Result<String>;

    /// The destination of backups that it writes to or reads from; [`path::NONE`](crate::path::NONE) without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn destination(&self) -> zbus::Result<OwnedObjectPath>;

    /// The name of the configured backup; empty unless the kind is `backup`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn backup_name(&self) -> zbus::Result<String>;

    /// Why it began.
    #[zbus(property(emits_changed_signal = "const"))]
    fn trigger(&self) -> zbus::Result<Trigger>;

    /// The user who started it; root unless the trigger is `user`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_by_uid(&self) -> zbus::Result<u32>;

    /// The time of the request, in microseconds since 1970.
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> zbus::Result<u64>;

    /// The job's state.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<JobState>;

    /// 0 to 1; never goes back.
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<f64>;

    /// Whether a total is known, and so whether the progress is valid.
    #[zbus(property)]
    fn progress_valid(&self) -> zbus::Result<bool>;

    /// Bytes read of the stream.
    #[zbus(property)]
    fn bytes_received(&self) -> zbus::Result<u64>;

    /// Bytes of the stream that are safe on disk if the drive is unplugged now.
    #[zbus(property)]
    fn bytes_durable(&self) -> zbus::Result<u64>;

    /// Bytes of the whole stream; 0 if unknown.
    #[zbus(property)]
    fn bytes_total(&self) -> zbus::Result<u64>;

    /// The source of the total.
    #[zbus(property)]
    fn total_source(&self) -> zbus::Result<TotalSource>;

    /// Bytes per second, over the last few seconds.
    #[zbus(property)]
    fn rate(&self) -> zbus::Result<u64>;

    /// The limit of the rate now, in bytes per second; 0 without one.
    #[zbus(property)]
    fn max_rate(&self) -> zbus::Result<u64>;

    /// The estimated end, in microseconds since 1970; 0 if unknown.
    #[zbus(property)]
    fn expected_end_time(&self) -> zbus::Result<u64>;

    /// Compressed extents that were written without decompressing them.
    #[zbus(property)]
    fn encoded_writes(&self) -> zbus::Result<u64>;

    /// Compressed extents that were decompressed because the kernel refused the encoded write, and clones that were copied.
    #[zbus(property)]
    fn fallback_writes(&self) -> zbus::Result<u64>;

    /// Whether the current transfer is an increment.
    #[zbus(property)]
    fn incremental(&self) -> zbus::Result<bool>;

    /// A remark in English; empty without a remark.
    #[zbus(property)]
    fn note(&self) -> zbus::Result<String>;

    /// Whether the job can still be cancelled.
    #[zbus(property)]
    fn cancelable(&self) -> zbus::Result<bool>;

    /// The error's name with its prefix; empty without an error.
    #[zbus(property)]
    fn error_name(&self) -> zbus::Result<String>;

    /// An English sentence without file names; empty without an error.
    #[zbus(property)]
    fn error_message(&self) -> zbus::Result<String>;
}
