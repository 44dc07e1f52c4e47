//! The fake Manager.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use butterdock_dbus::names::interface::JOB;
use butterdock_dbus::path::job_path;
use butterdock_dbus::{
    BackupRow, Error, ErrorName, HistoryEntry, ListBackupsOptions, Options, ReceiveOptions, Warning, no_options,
};
use uuid::Uuid;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedFd, OwnedObjectPath, Variant, interface};

use super::{About, Fixture, job, volume};

#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) fixture: Arc<Fixture>,
}

#[interface(name = "org.butterdock.Butterdock1.Manager")]
impl Manager {
    #[zbus(out_args("job"))]
    async fn receive(
        &self,
        volume: String,
        stream: OwnedFd,
        options: &Options,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let read = ReceiveOptions::from_options(options)?;
        self.fixture.asked.lock().expect("unpoisoned").push(format!("{volume} {read:?}"));
        if volume == "locked" {
            return Err(Error::new(ErrorName::NotAuthorized, "you may not receive into the volume \"locked\""));
        }
        // While a person types a password, another job goes on and says so: more often than a connection holds signals.
        if volume == "patient" {
            chatter(connection, 500).await?;
            let stream = File::from(std::os::fd::OwnedFd::from(stream));
            let about = About { volume: Some("tank".to_owned()), ..About::default() };
            return Ok(job::begin(connection, Arc::clone(&self.fixture), about, stream, read.total).await?);
        }
        if !volume::NAMES.contains(&volume.as_str()) {
            return Err(Error::new(ErrorName::NotFound, format!("there is no volume \"{volume}\"")));
        }
        let stream = File::from(std::os::fd::OwnedFd::from(stream));
        let about = About { volume: Some(volume), ..About::default() };
        Ok(job::begin(connection, Arc::clone(&self.fixture), about, stream, read.total).await?)
    }

    #[zbus(out_args("entries"))]
    fn list_history(&self, options: &Options) -> Result<Vec<HistoryEntry>, Error> {
        no_options(options)?;
        Ok(self.fixture.history.lock().expect("unpoisoned").iter().rev().cloned().collect())
    }

    #[zbus(out_args("backups"))]
    fn list_backups(&self, options: &Options) -> Result<Vec<BackupRow>, Error> {
        let estimate = ListBackupsOptions::from_options(options)?.estimate;
        let row = |drive: &str, label: &str, last| BackupRow {
            name: "home".to_owned(),
            due: last == 0,
            drive: Some(drive.to_owned()),
            drive_label: Some(label.to_owned()),
            attached: Some(drive != "gone"),
            last_good: Some(last),
            estimate: estimate.then_some(5 << 20),
            incremental: estimate.then_some(last != 0),
            note: (estimate && last == 0).then(|| "the drive has no snapshot of it yet\u{1b}[2J".to_owned()),
            ..BackupRow::default()
        };
        let problem = Some("no drive is enrolled for it".to_owned());
        let warning = Warning { code: "clock-ahead".to_owned(), english: "the clock is ahead\u{1b}[2J".to_owned() };
        let lonely =
            BackupRow { warnings: Some(vec![warning]), name: "photos".to_owned(), problem, ..BackupRow::default() };
        Ok(vec![row("3f2a", "Attic", 1_700_000_000_000_000), row("gone", "Lost", 0), lonely])
    }

    fn forget_drive(&self, drive: &str, options: &Options) -> Result<(), Error> {
        no_options(options)?;
        self.fixture.asked.lock().expect("unpoisoned").push(format!("forget {drive}"));
        let none = || Error::new(ErrorName::NotFound, format!("no drive {drive:?} is enrolled"));
        if drive == "gone" { Ok(()) } else { Err(none()) }
    }

    fn reload(&self, options: &Options) -> Result<(), Error> {
        no_options(options)
    }

    fn trust_clock(&self, options: &Options) -> Result<(), Error> {
        no_options(options)?;
        self.fixture.asked.lock().expect("unpoisoned").push("trust-clock".to_owned());
        Ok(())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        "0.0.0".to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> Vec<String> {
        vec!["played".to_owned()]
    }
}

/// What a job that is nobody's here says of its progress, so many times.
pub(super) async fn chatter(connection: &Connection, times: u64) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, job_path(Uuid::new_v4()))?;
    for bytes in 0..times {
        let changed = HashMap::from([("BytesReceived", Variant::from(bytes))]);
        let interface = InterfaceName::from_static_str_unchecked(JOB);
        Properties::properties_changed(&emitter, interface, changed, (&[][..]).into()).await?;
    }
    Ok(())
}
