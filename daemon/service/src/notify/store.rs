//! The notifications that wait, in `notifications` of the state directory: a file each.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::notification::Notification;
use crate::durable::{self, Loaded};

/// The largest record.
const LARGEST: u64 = 64 << 10;

/// The records. Cheap to clone; all calls block.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The records in a state directory, the oldest first. One that cannot be read is moved aside.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(super) fn open(state: &Path) -> io::Result<(Self, Vec<Notification>)> {
        let folder = state.join("notifications");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        durable::sweep(&folder)?;
        let mut all = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match durable::load(&path, LARGEST, |bytes| Ok(serde_json::from_slice::<Notification>(bytes)?)) {
                Ok(Loaded::Read(notification)) => all.push(notification),
                Ok(Loaded::Missing | Loaded::SetAside) => {}
                Ok(Loaded::Unreadable { error, aside }) => tracing::error!(
                    "a notification that was not sent cannot be read: {error}; it is not sent; the file is {} now",
                    aside.display()
                ),
                Err(error) => tracing::error!("a notification that was not sent cannot be read: {error}"),
            }
        }
        all.sort_by_key(|notification| (notification.time, notification.id));
        Ok((Self { folder }, all))
    }

    /// Records a notification, or its attempts.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, notification: &Notification) -> io::Result<()> {
        durable::write(&self.file(notification.id), &serde_json::to_vec(notification)?)
    }

    /// One is sent, or dropped.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(&self, id: Uuid) -> io::Result<()> {
        durable::remove(&self.file(id))
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}
