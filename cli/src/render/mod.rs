//! This room turns answers into text for a person or JSON for a program. It asks nothing.
//!
//! Standard output has the answer, standard error what is only for a person: errors and the bar. Whatever comes from
//! elsewhere (names, sentences of the service) is escaped here, so that it cannot steer a terminal.

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
