//! The object of a channel for notifications.

use butterdock_dbus::NotificationChannel;
use serde::Serialize;

use super::problem::ProblemObject;

/// A channel for notifications.
#[derive(Debug, Serialize)]
pub(crate) struct NotificationObject<'a> {
    name: &'a str,
    kind: &'a str,
    queued: u64,
    dropped: u64,
    last_delivered: Option<u64>,
    problems: Vec<ProblemObject<'a>>,
}

impl<'a> NotificationObject<'a> {
    pub(crate) fn new(row: &'a NotificationChannel) -> Self {
        let NotificationChannel { name, kind, queued, dropped, last_delivered, problems } = row;
        let problems = problems.iter().flatten().map(ProblemObject::new).collect();
        Self { name, kind, queued: *queued, dropped: *dropped, last_delivered: *last_delivered, problems }
    }
}
