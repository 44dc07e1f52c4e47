//! A fake Job.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use butterdock_dbus::names::{BUS_NAME, interface};
use butterdock_dbus::path::job_path;
use butterdock_dbus::{
    Error, ErrorDetails, ErrorName, HistoryEntry, JobKind, JobProperties, JobResult, JobState, Options, TotalSource,
    no_options,
};
use tokio::sync::Notify;
use uuid::Uuid;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, OwnedObjectPath, Variant, interface};

use super::{About, Fixture};

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Succeed,
    Fail,
    FailInTheDark,
    Stall,
    Die,
}

#[derive(Debug, Clone)]
pub(crate) struct Job {
    now: Arc<Mutex<JobProperties>>,
    ending: Arc<Mutex<Option<Ending>>>,
    cancelled: Arc<Notify>,
    gone: Arc<Notify>,
}

/// Serves a job and begins its work.
pub(crate) async fn begin(
    connection: &Connection,
    fixture: Arc<Fixture>,
    about: About,
    stream: File,
    total: Option<u64>,
) -> zbus::Result<OwnedObjectPath> {
    let facts = stream.metadata().expect("facts");
    let total = total.or_else(|| facts.is_file().then_some(facts.len()));
    let id = Uuid::new_v4();
    let path = job_path(id);
    let now = about.properties(total);
    let job =
        Job { now: Arc::new(Mutex::new(now)), ending: Arc::default(), cancelled: Arc::default(), gone: Arc::default() };
    connection.object_server().at(path.clone(), job.clone()).await?;
    let emitter = SignalEmitter::new(connection, path.clone())?.into_owned();
    let (connection, volume, drive) = (connection.clone(), about.volume.unwrap_or_default(), about.drive);
    drop(tokio::spawn(async move {
        let result = job.work(&emitter, stream).await;
        if job.ending() == Some(Ending::Die) {
            connection.release_name(BUS_NAME).await.expect("released");
            return;
        }
        let (kind, backup, error_name, error_message) = job
            .get(|now| (now.kind.to_string(), now.backup.clone(), now.error_name.clone(), now.error_message.clone()));
        fixture.history.lock().expect("unpoisoned").push(HistoryEntry {
            id: id.to_string(),
            kind,
            volume,
            drive,
            backup: Some(backup).filter(|name| !name.is_empty()),
            started_by_uid: 1000,
            start_time: 1_700_000_000_000_000,
            end_time: 1_700_000_065_000_000,
            result: result.to_string(),
            error_name: Some(error_name).filter(|name| !name.is_empty()),
            error_message: Some(error_message).filter(|message| !message.is_empty()),
            ..HistoryEntry::default()
        });
        Job::completed(&emitter, result.as_str(), HashMap::new()).await.expect("told");
        job.gone.notify_one();
    }));
    Ok(path)
}

impl Job {
    async fn work(&self, emitter: &SignalEmitter<'_>, mut stream: File) -> JobResult {
        self.change(emitter, |now| now.state = JobState::Running).await;
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            drop(stream.read_to_end(&mut text));
            text
        });
        let text = reading.await.expect("read");
        let ending = match text.split(|byte| *byte == b' ').next() {
            Some(b"fail") => Ending::Fail,
            Some(b"dark") => Ending::FailInTheDark,
            Some(b"stall") => Ending::Stall,
            Some(b"die") => Ending::Die,
            _ => Ending::Succeed,
        };
        *self.ending.lock().expect("unpoisoned") = Some(ending);
        let count = text.len() as u64;
        self.change(emitter, |now| (now.bytes_received, now.rate, now.progress) = (count / 2, 5 << 20, 0.5)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.change(emitter, |now| (now.state, now.bytes_received) = (JobState::Flushing, count)).await;
        if ending == Ending::Stall {
            self.cancelled.notified().await;
        }
        let (state, error) = match ending {
            Ending::Succeed | Ending::Die => (JobState::Succeeded, None),
            Ending::Fail | Ending::FailInTheDark => (JobState::Failed, Some(ErrorName::NoSpace)),
            Ending::Stall => (JobState::Cancelled, Some(ErrorName::Cancelled)),
        };
        self.change(emitter, |now| {
            (now.state, now.cancelable) = (state.clone(), false);
            if let Some(error) = error {
                (now.error_name, now.error_message) = (error.to_string(), "it went wrong at command 7".to_owned());
            } else {
                now.bytes_durable = count;
            }
        })
        .await;
        state.result().expect("an end")
    }

    fn ending(&self) -> Option<Ending> {
        *self.ending.lock().expect("unpoisoned")
    }

    async fn change(&self, emitter: &SignalEmitter<'_>, change: impl FnOnce(&mut JobProperties)) {
        let now = {
            let mut now = self.now.lock().expect("unpoisoned");
            change(&mut now);
            now.clone()
        };
        let changed = HashMap::from([
            ("State", Variant::from(now.state.to_string())),
            ("BytesReceived", now.bytes_received.into()),
            ("BytesDurable", now.bytes_durable.into()),
            ("Rate", now.rate.into()),
            ("Progress", now.progress.into()),
            ("ErrorName", now.error_name.into()),
            ("ErrorMessage", now.error_message.into()),
        ]);
        let interface = InterfaceName::from_static_str_unchecked(interface::JOB);
        Properties::properties_changed(emitter, interface, changed, (&[][..]).into()).await.expect("told");
    }

    fn get<T>(&self, read: impl FnOnce(&JobProperties) -> T) -> T {
        read(&self.now.lock().expect("unpoisoned"))
    }
}

#[interface(name = "org.butterdock.Butterdock1.Job")]
impl Job {
    async fn cancel(&self, options: &Options) -> Result<(), Error> {
        no_options(options)?;
        if self.get(|now| now.state.result().is_some()) {
            return Err(Error::new(ErrorName::Failed, "the job has ended already"));
        }
        self.cancelled.notify_one();
        self.gone.notified().await;
        Ok(())
    }

    #[zbus(out_args("details"))]
    fn get_error_details(&self, options: &Options) -> Result<ErrorDetails, Error> {
        no_options(options)?;
        match self.ending() {
            Some(Ending::Fail) => Ok(ErrorDetails {
                error_name: ErrorName::NoSpace.to_string(),
                message: "cannot write, on \"photos/\u{1b}]0;x\u{7}a.jpg\"; make room and send again".to_owned(),
                command: Some(7),
                byte: Some(1234),
            }),
            Some(Ending::FailInTheDark) => Err(Error::new(ErrorName::NotAuthorized, "not yours")),
            Some(Ending::Succeed | Ending::Stall | Ending::Die) | None => Ok(ErrorDetails::default()),
        }
    }

    #[zbus(signal)]
    async fn completed(
        emitter: &SignalEmitter<'_>,
        result: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> JobKind {
        self.get(|now| now.kind.clone())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn volume(&self) -> OwnedObjectPath {
        self.get(|now| ObjectPath::try_from(now.volume.clone()).expect("a path").into())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn drive(&self) -> OwnedObjectPath {
        self.get(|now| ObjectPath::try_from(now.drive.clone()).expect("a path").into())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn backup(&self) -> String {
        self.get(|now| now.backup.clone())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn started_by_uid(&self) -> u32 {
        self.get(|now| now.started_by_uid)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> u64 {
        self.get(|now| now.start_time)
    }

    #[zbus(property)]
    fn state(&self) -> JobState {
        self.get(|now| now.state.clone())
    }

    #[zbus(property)]
    fn progress(&self) -> f64 {
        self.get(|now| now.progress)
    }

    #[zbus(property)]
    fn progress_valid(&self) -> bool {
        self.get(|now| now.progress_valid)
    }

    #[zbus(property)]
    fn bytes_received(&self) -> u64 {
        self.get(|now| now.bytes_received)
    }

    #[zbus(property)]
    fn bytes_durable(&self) -> u64 {
        self.get(|now| now.bytes_durable)
    }

    #[zbus(property)]
    fn bytes_total(&self) -> u64 {
        self.get(|now| now.bytes_total)
    }

    #[zbus(property)]
    fn total_source(&self) -> TotalSource {
        self.get(|now| now.total_source.clone())
    }

    #[zbus(property)]
    fn rate(&self) -> u64 {
        self.get(|now| now.rate)
    }

    #[zbus(property)]
    fn expected_end_time(&self) -> u64 {
        self.get(|now| now.expected_end_time)
    }

    #[zbus(property)]
    fn encoded_writes(&self) -> u64 {
        self.get(|now| now.encoded_writes)
    }

    #[zbus(property)]
    fn fallback_writes(&self) -> u64 {
        self.get(|now| now.fallback_writes)
    }

    #[zbus(property)]
    fn incremental(&self) -> bool {
        self.get(|now| now.incremental)
    }

    #[zbus(property)]
    fn note(&self) -> String {
        self.get(|now| now.note.clone())
    }

    #[zbus(property)]
    fn cancelable(&self) -> bool {
        self.get(|now| now.cancelable)
    }

    #[zbus(property)]
    fn error_name(&self) -> String {
        self.get(|now| now.error_name.clone())
    }

    #[zbus(property)]
    fn error_message(&self) -> String {
        self.get(|now| now.error_message.clone())
    }
}
