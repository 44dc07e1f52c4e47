//! A configured backup on the bus, `org.butterdock.Butterdock1.Backup`.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::names::interface::BACKUP;
use butterdock_dbus::path::{backup_path, destination_id};
use butterdock_dbus::{
    DeletionEstimate, Error, ErrorName, FileRow, FileVersionRow, Options, Problem, RunOptions, SnapshotRow,
};
use butterdock_service::{BackupDestination, BackupProperties, DestinationId, PlacedProblem, SnapshotPlace};
use tokio::sync::watch;
use zbus::message::Header;
use zbus::{OwnedFd, OwnedObjectPath, Variant, interface};

use super::authority::Question;
use super::destination::{destination_title, path_of_destination};
use super::files::FilesCall;
use super::mapping::{ForCaller as _, placed_problem};
use super::object_publisher::PublishedObject;
use super::server::BusServer;
use super::snapshots::Snapshots;

/// A backup on the bus.
#[derive(Debug)]
pub(super) struct BackupObject {
    server: Arc<BusServer>,
    backup: watch::Receiver<BackupProperties>,
}

impl PublishedObject for BackupObject {
    type State = BackupProperties;

    const INTERFACE: &'static str = BACKUP;

    fn new(server: Arc<BusServer>, backup: watch::Receiver<BackupProperties>) -> Self {
        Self { server, backup }
    }

    fn path(backup: &BackupProperties) -> OwnedObjectPath {
        backup_path(&backup.name)
    }

    /// Names every field, so that the compiler requires a new one here.
    fn changing(backup: &BackupProperties) -> Vec<(&'static str, Variant<'static>)> {
        let BackupProperties {
            name: _,
            enabled,
            destinations,
            schedule,
            due,
            next_run,
            overdue,
            problems,
            left_out,
            source_snapshots,
            source_freeable,
        } = backup.clone();
        vec![
            ("Enabled", enabled.into()),
            ("Destinations", paths(&destinations).into()),
            ("Schedule", schedule.into()),
            ("Due", due.into()),
            ("NextRun", next_run.into()),
            ("LastGood", last_good(&destinations).into()),
            ("Overdue", overdue.into()),
            ("Problems", all_problems(&problems).into()),
            ("LeftOut", left_out.into()),
            ("SourceSnapshots", source_snapshots.unwrap_or_default().into()),
            ("SourceFreeable", source_freeable.unwrap_or_default().into()),
        ]
    }
}

impl BackupObject {
    fn now(&self) -> watch::Ref<'_, BackupProperties> {
        self.backup.borrow()
    }

    /// The snapshots beside its source, for this method.
    fn snapshots(&self, method: &'static str) -> Snapshots<'_> {
        let name = self.now().name.clone();
        let question = self.of_source(method);
        Snapshots { server: &self.server, place: SnapshotPlace::Source(name), question }
    }

    /// A call that starts jobs on these destinations.
    fn question(&self, method: &'static str, destinations: &[DestinationId]) -> Question {
        let ids: Vec<&str> = destinations.iter().map(DestinationId::as_str).collect();
        let title = |id| Some(destination_title(&self.server.service, &self.server.service.destinations().get(id)?));
        let titles: Vec<String> = destinations.iter().filter_map(title).collect();
        let question = Question::new(BACKUP, method).about("backup", &self.now().name);
        question.about("destination", &titles.join(", ")).about("destination_id", &ids.join(", "))
    }
}

impl BackupObject {
    /// A call about the snapshots beside the source.
    fn of_source(&self, method: &'static str) -> Question {
        let name = self.now().name.clone();
        let question = Question::new(BACKUP, method).about("backup", &name);
        question.about("destination", &format!("the source of {name}")).about("destination_id", "")
    }

    /// A call about files in these snapshots.
    fn files<'c>(&'c self, method: &'static str, options: &'c Options, header: &'c Header<'c>) -> FilesCall<'c> {
        let at = SnapshotPlace::Source(self.now().name.clone());
        FilesCall { server: &self.server, at, question: self.of_source(method), options, header }
    }
}

#[interface(name = "org.butterdock.Butterdock1.Backup", introspection_docs = false)]
impl BackupObject {
    #[zbus(out_args("job"))]
    async fn run(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Error> {
        let RunOptions { destination, full, new_source } = RunOptions::from_options(&options)?;
        let name = self.now().name.clone();
        let only = match destination {
            Some(path) => Some(destination_of(&path)?),
            None => None,
        };
        let destinations = match &only {
            Some(only) => vec![only.clone()],
            None => self.now().destinations.iter().map(|place| place.id.clone()).collect(),
        };
        let question = self.question("Run", &destinations).with(&options);
        let uid = self.server.authority.allow(&header, &question).await?.uid;
        let options = butterdock_service::BackupOptions { full, new_source };
        let taken = self.server.service.run_backup(&name, only.as_ref(), options, uid).await;
        self.server.publish_job(taken.for_caller()?).await
    }

    #[zbus(out_args("snapshots"))]
    async fn list_snapshots(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<SnapshotRow>, Error> {
        self.files("ListSnapshots", &options, &header).snapshots().await
    }

    #[zbus(out_args("files", "more"))]
    async fn list_files(
        &self,
        snapshot: String,
        path: Vec<u8>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(Vec<FileRow>, bool), Error> {
        Box::pin(self.files("ListFiles", &options, &header).list(&snapshot, path)).await
    }

    #[zbus(out_args("versions"))]
    async fn file_versions(
        &self,
        path: Vec<u8>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<FileVersionRow>, Error> {
        self.files("FileVersions", &options, &header).versions(path).await
    }

    #[zbus(out_args("file", "job"))]
    async fn open_file(
        &self,
        snapshot: String,
        path: Vec<u8>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(OwnedFd, OwnedObjectPath), Error> {
        self.files("OpenFile", &options, &header).open(&snapshot, path).await
    }

    #[zbus(out_args("job"))]
    async fn restore_files(
        &self,
        snapshot: String,
        paths: Vec<Vec<u8>>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        Box::pin(self.files("RestoreFiles", &options, &header).restore(snapshot, paths)).await
    }

    #[zbus(out_args("estimate"))]
    async fn estimate_deletion(
        &self,
        snapshots: Vec<String>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<DeletionEstimate, Error> {
        self.snapshots("EstimateDeletion").estimate(&snapshots, &options, &header).await
    }

    #[zbus(out_args("job"))]
    async fn delete_snapshots(
        &self,
        snapshots: Vec<String>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        self.snapshots("DeleteSnapshots").delete(&snapshots, &options, &header).await
    }

    async fn hold_snapshot(
        &self,
        snapshot: String,
        reason: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.snapshots("HoldSnapshot").hold(&snapshot, &reason, &options, &header).await
    }

    async fn release_snapshot(
        &self,
        snapshot: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.snapshots("ReleaseSnapshot").release(&snapshot, &options, &header).await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.now().name.clone()
    }

    #[zbus(property)]
    fn enabled(&self) -> bool {
        self.now().enabled
    }

    #[zbus(property)]
    fn destinations(&self) -> Vec<OwnedObjectPath> {
        paths(&self.now().destinations)
    }

    #[zbus(property)]
    fn schedule(&self) -> Vec<String> {
        self.now().schedule.clone()
    }

    #[zbus(property)]
    fn due(&self) -> bool {
        self.now().due
    }

    #[zbus(property)]
    fn next_run(&self) -> u64 {
        self.now().next_run
    }

    #[zbus(property)]
    fn last_good(&self) -> HashMap<OwnedObjectPath, u64> {
        last_good(&self.now().destinations)
    }

    #[zbus(property)]
    fn overdue(&self) -> bool {
        self.now().overdue
    }

    #[zbus(property)]
    fn problems(&self) -> Vec<Problem> {
        all_problems(&self.now().problems)
    }

    #[zbus(property)]
    fn left_out(&self) -> u64 {
        self.now().left_out
    }

    #[zbus(property)]
    fn source_snapshots(&self) -> u64 {
        self.now().source_snapshots.unwrap_or_default()
    }

    #[zbus(property)]
    fn source_freeable(&self) -> u64 {
        self.now().source_freeable.unwrap_or_default()
    }
}

/// The destination at a path.
fn destination_of(path: &OwnedObjectPath) -> Result<DestinationId, Error> {
    let text = "the option destination is not the path of a destination; the property Destinations has the paths";
    let id = destination_id(path.as_str()).ok_or_else(|| Error::new(ErrorName::NotFound, text))?;
    Ok(DestinationId(id))
}

fn paths(destinations: &[BackupDestination]) -> Vec<OwnedObjectPath> {
    destinations.iter().map(path_of).collect()
}

fn last_good(destinations: &[BackupDestination]) -> HashMap<OwnedObjectPath, u64> {
    let succeeded = destinations.iter().filter(|place| place.last_good != 0);
    succeeded.map(|place| (path_of(place), place.last_good)).collect()
}

fn path_of(destination: &BackupDestination) -> OwnedObjectPath {
    path_of_destination(&destination.id, destination.kind)
}

fn all_problems(problems: &[PlacedProblem]) -> Vec<Problem> {
    problems.iter().map(placed_problem).collect()
}

#[cfg(test)]
mod tests {
    use butterdock_service::DestinationKind;

    use super::*;

    #[test]
    fn changes_have_the_types_of_the_contract() {
        let place = |id: &str, last_good| BackupDestination {
            id: DestinationId(id.to_owned()),
            kind: DestinationKind::Drive,
            last_good,
        };
        let problem = PlacedProblem { destination: None, problem: butterdock_service::Problem::NoDrive };
        let destinations = vec![place("3f2a", 7), place("9a11", 0)];
        let backup =
            BackupProperties { destinations, problems: vec![problem], left_out: 2, ..BackupProperties::default() };
        let mut read = butterdock_dbus::BackupProperties::default();
        for (name, value) in BackupObject::changing(&backup) {
            read.set(name, &value).expect("of the contract's type");
        }
        assert_eq!((read.destinations.len(), read.left_out, read.problems[0].code.as_str()), (2, 2, "no-drive"));
        let blue = butterdock_dbus::path::drive_path("3f2a").to_string();
        assert_eq!(read.last_good, HashMap::from([(blue, 7)]), "one without a success is missing");
    }
}
