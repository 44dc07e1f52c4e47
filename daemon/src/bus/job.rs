//! A job on the bus, `org.butterdock.Butterdock1.Job`: its methods and properties, and the contents of its signals
//! `PropertiesChanged` and `Completed`, which `publisher` emits.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::names::interface::JOB;
use butterdock_dbus::path::{NONE, drive_path, volume_path};
use butterdock_dbus::{Error, ErrorDetails, Options, no_options};
use tokio::sync::watch;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedObjectPath, Variant, interface};

use super::authority::Question;
use super::destination::path_of_destination;
use super::mapping::{self, ForCaller as _, job_kind, job_state, total_source};
use super::server::BusServer;
use butterdock_service::DestinationKind;
use butterdock_service::jobs::Job;

/// A job on the bus.
#[derive(Debug)]
pub(super) struct JobObject {
    server: Arc<BusServer>,
    job: watch::Receiver<Job>,
}

impl JobObject {
    pub(super) fn new(server: Arc<BusServer>, job: watch::Receiver<Job>) -> Self {
        Self { server, job }
    }

    fn now(&self) -> watch::Ref<'_, Job> {
        self.job.borrow()
    }

    fn question(&self, method: &'static str) -> Question {
        let job = self.now();
        let mut question = Question::new(JOB, method);
        if let Some(volume) = &job.about.volume {
            question = question.about("volume", volume.as_str());
        }
        if let Some(drive) = &job.about.drive {
            question = question.about("drive", &drive.label).about("drive_id", &drive.id.to_string());
        }
        question.about("job", &job.id.to_string()).owned_by(job.uid())
    }
}

#[interface(name = "org.butterdock.Butterdock1.Job", introspection_docs = false)]
impl JobObject {
    async fn cancel(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        no_options(&options)?;
        let question = self.question("Cancel");
        self.server.authority.allow(&header, &question).await?;
        let id = self.now().id;
        self.server.service.jobs().cancel(id).await.for_caller()
    }

    #[zbus(out_args("details"))]
    async fn get_error_details(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<ErrorDetails, Error> {
        no_options(&options)?;
        let question = self.question("GetErrorDetails");
        self.server.authority.allow(&header, &question).await?;
        Ok(details(&self.now()))
    }

    #[zbus(signal)]
    pub(super) async fn completed(
        emitter: &SignalEmitter<'_>,
        result: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> String {
        job_kind(self.now().about.kind).as_str().to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn volume(&self) -> OwnedObjectPath {
        self.now().about.volume.as_ref().map_or_else(no_object, |volume| volume_path(volume.as_str()))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn drive(&self) -> OwnedObjectPath {
        let drive = self.now().about.drive.clone().filter(|drive| drive.kind == DestinationKind::Drive);
        drive.map_or_else(no_object, |drive| drive_path(drive.id.as_str()))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn drive_label(&self) -> String {
        self.now().about.drive.as_ref().map(|drive| drive.label.clone()).unwrap_or_default()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn destination(&self) -> OwnedObjectPath {
        let destination = self.now().about.destination();
        destination.map_or_else(no_object, |(id, kind)| path_of_destination(&id, kind))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn backup_name(&self) -> String {
        self.now().about.backup.clone().unwrap_or_default()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn trigger(&self) -> String {
        mapping::trigger(self.now().trigger).as_str().to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn started_by_uid(&self) -> u32 {
        self.now().uid()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> u64 {
        self.now().started
    }

    #[zbus(property)]
    fn state(&self) -> String {
        job_state(self.now().state).as_str().to_owned()
    }

    #[zbus(property)]
    fn progress(&self) -> f64 {
        self.now().progress()
    }

    #[zbus(property)]
    fn progress_valid(&self) -> bool {
        self.now().progress_valid()
    }

    #[zbus(property)]
    fn bytes_received(&self) -> u64 {
        self.now().bytes_received
    }

    #[zbus(property)]
    fn bytes_durable(&self) -> u64 {
        self.now().bytes_durable
    }

    #[zbus(property)]
    fn bytes_total(&self) -> u64 {
        self.now().total.bytes
    }

    #[zbus(property)]
    fn total_source(&self) -> String {
        total_source(self.now().total.source).as_str().to_owned()
    }

    #[zbus(property)]
    fn rate(&self) -> u64 {
        self.now().rate
    }

    #[zbus(property)]
    fn max_rate(&self) -> u64 {
        self.now().max_rate.unwrap_or_default()
    }

    #[zbus(property)]
    fn expected_end_time(&self) -> u64 {
        self.now().expected_end
    }

    #[zbus(property)]
    fn encoded_writes(&self) -> u64 {
        self.now().encoded_writes
    }

    #[zbus(property)]
    fn fallback_writes(&self) -> u64 {
        self.now().fallback_writes
    }

    #[zbus(property)]
    fn incremental(&self) -> bool {
        self.now().incremental
    }

    #[zbus(property)]
    fn note(&self) -> String {
        self.now().note.clone()
    }

    #[zbus(property)]
    fn cancelable(&self) -> bool {
        !self.now().ending
    }

    #[zbus(property)]
    fn error_name(&self) -> String {
        error_name(&self.now()).to_owned()
    }

    #[zbus(property)]
    fn error_message(&self) -> String {
        self.now().failure.as_ref().map_or_else(String::new, |failure| failure.public.clone())
    }
}

/// The path that means no object, because a property cannot be absent.
fn no_object() -> OwnedObjectPath {
    ObjectPath::from_static_str_unchecked(NONE).into()
}

/// The contents of `PropertiesChanged` for a change from `before` to `now`.
pub(super) fn changed(before: &Job, now: &Job) -> HashMap<&'static str, Variant<'static>> {
    let (old, new) = (changing(before), changing(now));
    old.into_iter().zip(new).filter(|(old, new)| old != new).map(|(_, new)| new).collect()
}

/// The details of `Completed`.
pub(super) fn end_details(job: &Job) -> HashMap<&'static str, Variant<'static>> {
    let mut words = HashMap::from([("bytes_durable", Variant::from(job.bytes_durable))]);
    if let Some(failure) = &job.failure {
        words.insert("error_name", mapping::error_name(failure.name).as_str().into());
        words.insert("error_message", failure.public.clone().into());
    }
    words
}

/// Every property that may change, with its value. The getters above say the same.
fn changing(job: &Job) -> [(&'static str, Variant<'static>); 17] {
    [
        ("State", job_state(job.state).as_str().to_owned().into()),
        ("Progress", job.progress().into()),
        ("ProgressValid", job.progress_valid().into()),
        ("BytesReceived", job.bytes_received.into()),
        ("BytesDurable", job.bytes_durable.into()),
        ("BytesTotal", job.total.bytes.into()),
        ("TotalSource", total_source(job.total.source).as_str().to_owned().into()),
        ("Rate", job.rate.into()),
        ("MaxRate", job.max_rate.unwrap_or_default().into()),
        ("ExpectedEndTime", job.expected_end.into()),
        ("EncodedWrites", job.encoded_writes.into()),
        ("FallbackWrites", job.fallback_writes.into()),
        ("Incremental", job.incremental.into()),
        ("Note", job.note.clone().into()),
        ("Cancelable", (!job.ending).into()),
        ("ErrorName", error_name(job).into()),
        ("ErrorMessage", job.failure.as_ref().map_or_else(String::new, |failure| failure.public.clone()).into()),
    ]
}

fn error_name(job: &Job) -> &'static str {
    job.failure.as_ref().map_or("", |failure| mapping::error_name(failure.name).as_str())
}

fn details(job: &Job) -> ErrorDetails {
    let failure = job.failure.as_ref();
    ErrorDetails {
        error_name: error_name(job).to_owned(),
        message: failure.map_or_else(String::new, |failure| failure.message.clone()),
        command: failure.and_then(|failure| failure.command),
        byte: failure.and_then(|failure| failure.byte),
    }
}

#[cfg(test)]
mod tests {
    use butterdock_service::{ErrorCode, JobState, TotalSource, Trigger};

    use super::*;
    use butterdock_service::config::VolumeName;
    use butterdock_service::jobs::{About, JobError, Total};

    fn job() -> Job {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        Job::new(
            Uuid::new_v4(),
            About::receive(volume),
            Trigger::User(1000),
            7,
            Total { bytes: 0, source: TotalSource::Unknown },
        )
    }

    use uuid::Uuid;

    #[test]
    fn only_changed_properties_are_emitted() {
        let before = job();
        assert!(changed(&before, &before).is_empty());
        let now = Job { bytes_received: 5, state: JobState::Running, ..before.clone() };
        let changes = changed(&before, &now);
        let mut names: Vec<_> = changes.keys().copied().collect();
        names.sort_unstable();
        assert_eq!(names, ["BytesReceived", "State"]);
        assert_eq!(changes.get("State"), Some(&Variant::from("running")));
    }

    #[test]
    fn public_properties_and_signals_have_no_file_name() {
        let before = job();
        let failure = JobError {
            cause: None,
            name: ErrorCode::Exists,
            public: "a name is taken".to_owned(),
            message: "\"secret\" exists".to_owned(),
            command: Some(1),
            byte: Some(17),
        };
        let failed = Job { failure: Some(failure), state: JobState::Failed, ..before.clone() };
        let public = format!("{:?} {:?}", changed(&before, &failed), end_details(&failed));
        assert!(public.contains("a name is taken") && !public.contains("secret"), "{public}");
        assert!(details(&failed).message.contains("secret"));
    }
}
