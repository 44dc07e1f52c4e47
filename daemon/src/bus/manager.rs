//! `org.butterdock.Butterdock1.Manager`.

use std::sync::Arc;

use butterdock_dbus::names::interface::MANAGER;
use butterdock_dbus::{BackupRow, Error, ErrorName, HistoryEntry, ListBackupsOptions, Options, Warning, no_options};
use tokio::sync::{mpsc, oneshot};
use zbus::message::Header;
use zbus::{OwnedObjectPath, interface};

use super::authority::Question;
use super::estimates;
use super::fd_table::PassedFd;
use super::hall::Hall;
use super::receive;
use crate::drives::DriveId;
use crate::jobs::Record;

/// Somebody wants the configuration read again; answered with what came of it, in a sentence.
pub(crate) type Reload = oneshot::Sender<Result<(), String>>;

/// The object at the root.
#[derive(Debug)]
pub(super) struct Manager {
    hall: Arc<Hall>,
    reload: mpsc::Sender<Reload>,
}

impl Manager {
    pub(super) fn new(hall: Arc<Hall>, reload: mpsc::Sender<Reload>) -> Self {
        Self { hall, reload }
    }
}

#[interface(name = "org.butterdock.Butterdock1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(out_args("job"))]
    async fn receive(
        &self,
        volume: String,
        stream: PassedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let volume = self.hall.volume(&volume)?;
        receive::receive(&self.hall, MANAGER, (volume, stream), &options, &header).await
    }

    #[zbus(out_args("entries"))]
    async fn list_history(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<HistoryEntry>, Error> {
        no_options(&options)?;
        self.hall.authority.allow(&header, &Question::new(MANAGER, "ListHistory")).await?;
        Ok(self.hall.jobs.history().into_iter().map(entry).collect())
    }

    #[zbus(out_args("backups"))]
    async fn list_backups(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<BackupRow>, Error> {
        let wish = ListBackupsOptions::from_options(&options)?;
        self.hall.authority.allow(&header, &Question::new(MANAGER, "ListBackups").with(&options)).await?;
        let mut rows = self.hall.dock.backups();
        if wish.estimate {
            estimates::fill(&self.hall, &mut rows).await;
        }
        if let Some(stop) = self.hall.clock.stop().await {
            let warning = Warning { code: stop.reason.code().to_owned(), english: stop.to_string() };
            rows.iter_mut().for_each(|row| row.warnings.get_or_insert_default().push(warning.clone()));
        }
        Ok(rows)
    }

    async fn forget_drive(
        &self,
        drive: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        no_options(&options)?;
        let id = DriveId(drive);
        let title = self.hall.dock.title(&id).unwrap_or_default();
        let question = Question::new(MANAGER, "ForgetDrive").about("drive", &title).about("drive_id", &id.0);
        self.hall.authority.allow(&header, &question).await?;
        self.hall.dock.forget(&id).await
    }

    async fn reload(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        no_options(&options)?;
        self.hall.authority.allow(&header, &Question::new(MANAGER, "Reload")).await?;
        let failed = |text: String| Error::new(ErrorName::Failed, text);
        let ended = || failed("the service is ending; it reads the configuration when it starts".to_owned());
        let (reply, answer) = oneshot::channel();
        self.reload.send(reply).await.map_err(|_gone| ended())?;
        answer.await.map_err(|_gone| ended())?.map_err(failed)
    }

    async fn trust_clock(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        no_options(&options)?;
        self.hall.authority.allow(&header, &Question::new(MANAGER, "TrustClock")).await?;
        let clock = self.hall.clock.clone();
        let written = tokio::task::spawn_blocking(move || clock.trust()).await;
        written.unwrap_or_else(|lost| Err(std::io::Error::other(lost))).map_err(|error| {
            let text = "check the disk of the state directory, then try again";
            Error::new(ErrorName::Failed, format!("that the clock is right cannot be written down: {error}; {text}"))
        })
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> Vec<String> {
        ["drives", "backups", "clock"].map(str::to_owned).to_vec()
    }
}

fn entry(record: Record) -> HistoryEntry {
    HistoryEntry {
        id: record.id.to_string(),
        kind: record.kind,
        volume: record.volume,
        drive: record.drive,
        drive_label: record.drive_label,
        backup: record.backup,
        note: record.note,
        started_by_uid: record.started_by_uid,
        start_time: record.start_time,
        end_time: record.end_time,
        result: record.state.to_string(),
        bytes_received: record.bytes_received,
        bytes_durable: record.bytes_durable,
        encoded_writes: record.encoded_writes,
        fallback_writes: record.fallback_writes,
        error_name: record.error_name,
        error_message: record.error_message,
    }
}
