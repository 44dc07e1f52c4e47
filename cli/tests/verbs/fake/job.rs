//! The jobs of the fake service. A job is half done until a client has read it, unless its stream has the word `alone`.
//! The first word of its stream decides how it ends: `fail`, `dark` (fails, and the caller
//! may not see the details), `hold` (fails, and the details never come), `stall` (until it is cancelled), `die` (the service disappears); with any other it succeeds.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use butterdock_dbus::names::{BUS_NAME, interface::JOB};
use butterdock_dbus::path::job_path;
use butterdock_dbus::{Error, ErrorDetails, ErrorName, HistoryEntry, JobProperties};
use tokio::sync::Notify;
use uuid::Uuid;
use zbus::{Message, ObjectPath, Variant};

use super::{Answer, Service, answer, contract, name};

/// What a method changes of a job, or says about it as it begins.
pub(super) type About = Vec<(&'static str, Variant<'static>)>;

/// When each job started and ended, in microseconds.
pub(super) const STARTED: u64 = 1_700_000_000_000_000;
const ENDED: u64 = STARTED + 65_000_000;

/// A job, beside its properties.
#[derive(Debug, Default)]
pub(super) struct Job {
    word: OnceLock<String>,
    pub(super) read: Notify,
    cancelled: Notify,
    ended: Notify,
}

impl Service {
    /// Adds a job and begins its work.
    pub(super) async fn begin(
        self: &Arc<Self>,
        call: &Message,
        about: About,
        stream: File,
        total: Option<u64>,
    ) -> Answer {
        let file = stream.metadata().expect("metadata");
        let total = total.or_else(|| file.is_file().then_some(file.len()));
        let mut properties: About = vec![
            ("Kind", "receive".into()),
            ("State", "queued".into()),
            ("Trigger", "user".into()),
            ("StartedByUid", 1000_u32.into()),
            ("StartTime", STARTED.into()),
            ("BytesTotal", total.unwrap_or_default().into()),
            ("TotalSource", if total.is_some() { "file" } else { "unknown" }.into()),
            ("ProgressValid", total.is_some().into()),
            ("Cancelable", true.into()),
        ];
        properties.extend(about);
        let id = Uuid::new_v4();
        let (path, job) = (job_path(id).to_string(), Arc::<Job>::default());
        self.jobs.lock().expect("unpoisoned").insert(path.clone(), Arc::clone(&job));
        self.add(&path, JOB, contract::properties(JOB, &properties)).await;
        let (service, of) = (Arc::clone(self), path.clone());
        drop(tokio::spawn(async move { service.work(id, &of, &job, stream).await }));
        answer(call, &ObjectPath::try_from(path).expect("a path"))
    }

    async fn work(&self, id: Uuid, path: &str, job: &Job, mut stream: File) {
        self.change(path, &[("State", "running".into())]).await;
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("text");
            text
        });
        let text = reading.await.expect("read");
        let word = job.word.get_or_init(|| text.split(' ').next().unwrap_or_default().to_owned());
        let count = text.len() as u64;
        let half = [("BytesReceived", (count / 2).into()), ("Rate", (5_u64 << 20).into()), ("Progress", 0.5.into())];
        self.change(path, &half).await;
        if !text.contains("alone") {
            job.read.notified().await;
        }
        self.change(path, &[("State", "flushing".into()), ("BytesReceived", count.into())]).await;
        let (result, error) = match word.as_str() {
            "stall" => {
                job.cancelled.notified().await;
                ("cancelled", Some(ErrorName::Cancelled))
            }
            "fail" | "dark" | "hold" => ("failed", Some(ErrorName::NoSpace)),
            "die" => {
                self.bus.release_name(BUS_NAME).await.expect("released");
                return;
            }
            _ => ("succeeded", None),
        };
        let error = error.map(|name| (name.as_str(), "it went wrong at command 7"));
        let mut end: About = vec![("State", result.into()), ("Cancelable", false.into())];
        match error {
            Some((name, message)) => end.extend([("ErrorName", name.into()), ("ErrorMessage", message.into())]),
            None => end.push(("BytesDurable", count.into())),
        }
        self.change(path, &end).await;
        self.remember(id, path, result, error);
        self.signal(path, JOB, "Completed", &(result, HashMap::<&str, Variant<'_>>::new())).await;
        job.ended.notify_one();
    }

    fn remember(&self, id: Uuid, path: &str, result: &str, error: Option<(&str, &str)>) {
        let properties = self.objects.lock().expect("unpoisoned")[path][JOB].clone();
        let mut job = JobProperties::default();
        properties.iter().for_each(|(name, value)| job.set(name, value).expect("as in the XML"));
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        self.history.lock().expect("unpoisoned").push(HistoryEntry {
            id: id.to_string(),
            kind: job.kind.to_string(),
            volume: name(&job.volume),
            drive: some(name(&job.drive)),
            backup: some(job.backup_name),
            trigger: Some(job.trigger.to_string()),
            started_by_uid: 1000,
            start_time: STARTED,
            end_time: ENDED,
            result: result.to_owned(),
            error_name: error.map(|(name, _)| name.to_owned()),
            error_message: error.map(|(_, message)| message.to_owned()),
            ..HistoryEntry::default()
        });
    }

    pub(super) async fn cancel(&self, path: &str, call: &Message) -> Answer {
        let job = Arc::clone(&self.jobs.lock().expect("unpoisoned")[path]);
        if !bool::try_from(self.property(path, JOB, "Cancelable")).expect("a truth value") {
            return Err(Error::new(ErrorName::Failed, "the job has ended already"));
        }
        job.cancelled.notify_one();
        job.ended.notified().await;
        answer(call, &())
    }

    pub(super) async fn details(&self, path: &str, call: &Message) -> Answer {
        let job = Arc::clone(&self.jobs.lock().expect("unpoisoned")[path]);
        let word = job.word.get().map(String::as_str);
        if word == Some("hold") {
            std::future::pending::<()>().await;
        }
        match word {
            Some("fail") => answer(
                call,
                &ErrorDetails {
                    error_name: ErrorName::NoSpace.to_string(),
                    message: "cannot write, on \"photos/\u{1b}]0;x\u{7}a.jpg\"; make room and send again".to_owned(),
                    command: Some(7),
                    byte: Some(1234),
                },
            ),
            Some("dark") => Err(Error::new(ErrorName::NotAuthorized, "not yours")),
            _ => answer(call, &ErrorDetails::default()),
        }
    }
}
