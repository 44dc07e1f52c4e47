//! Formats answers as text or JSON. Makes no D-Bus calls.
//!
//! Answers go to standard output, errors and progress bars to standard error. Names and the service's messages are
//! escaped here, so that they cannot send control sequences to a terminal.

mod amount;
mod bars;
mod deed;
mod escape;
mod json;
mod json_drive;
mod out;
pub(crate) mod print;
mod screen;
mod table;

pub(crate) use amount::{bytes, duration, moment, now};
pub(crate) use deed::place;
pub(crate) use escape::{escaped, name};
pub(crate) use json::{Ended, HistoryObject, JobObject, Line, SubvolumeObject, VolumeObject};
pub(crate) use json_drive::{BackupObject, Done, DriveObject, SnapshotObject, StreamObject};
pub(crate) use out::Out;
pub(crate) use screen::{Screen, Wrong};
pub(crate) use table::Table;
