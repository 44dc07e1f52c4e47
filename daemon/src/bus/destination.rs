//! `org.butterdock.Butterdock1.Destination`: where backups go, of every kind.

use std::sync::Arc;

use butterdock_dbus::names::interface::DESTINATION;
use butterdock_dbus::path::{destination_path, drive_path};
use butterdock_dbus::{
    BackupOptions, DeletionEstimate, Error, FileRow, FileVersionRow, Options, Problem, RestoreOptions, SnapshotRow,
    SnapshotsOfMachine, UnpinOptions, no_options,
};
use butterdock_service::drives::DriveId;
use butterdock_service::jobs::JobHandle;
use butterdock_service::{DestinationId, DestinationKind, DestinationProperties, Service, SnapshotPlace};
use tokio::sync::watch;
use zbus::message::Header;
use zbus::{OwnedFd, OwnedObjectPath, Variant, interface};

use super::authority::Question;
use super::files::FilesCall;
use super::mapping::{self, ForCaller as _, destination_kind, destination_state};
use super::object_publisher::PublishedObject;
use super::server::BusServer;
use super::snapshots::Snapshots;

/// A destination on the bus: on the object of an enrolled drive, or on its own.
#[derive(Debug)]
pub(super) struct DestinationObject {
    server: Arc<BusServer>,
    destination: watch::Receiver<DestinationProperties>,
}

impl PublishedObject for DestinationObject {
    type State = DestinationProperties;

    const INTERFACE: &'static str = DESTINATION;

    fn new(server: Arc<BusServer>, destination: watch::Receiver<DestinationProperties>) -> Self {
        Self { server, destination }
    }

    fn path(destination: &DestinationProperties) -> OwnedObjectPath {
        path_of_destination(&destination.id, destination.kind)
    }

    /// Names every field, so that the compiler requires a new one here.
    fn changing(destination: &DestinationProperties) -> Vec<(&'static str, Variant<'static>)> {
        let DestinationProperties {
            id: _,
            name,
            kind: _,
            state,
            problems,
            free,
            size,
            last_backup,
            last_verify,
            next_verify,
            next_run,
            overdue,
            backups,
            origins,
        } = destination.clone();
        vec![
            ("Name", name.into()),
            ("State", destination_state(state).as_str().to_owned().into()),
            ("Problems", problems.iter().map(mapping::problem).collect::<Vec<_>>().into()),
            ("Free", free.into()),
            ("Size", size.into()),
            ("LastBackup", last_backup.into()),
            ("LastVerify", last_verify.into()),
            ("NextVerify", next_verify.into()),
            ("NextRun", next_run.into()),
            ("Overdue", overdue.into()),
            ("Backups", backups.into()),
            ("Origins", origins.into_iter().map(mapping::origin).collect::<Vec<_>>().into()),
        ]
    }
}

impl DestinationObject {
    fn now(&self) -> watch::Ref<'_, DestinationProperties> {
        self.destination.borrow()
    }

    fn id(&self) -> DestinationId {
        self.now().id.clone()
    }

    fn question(&self, method: &'static str) -> Question {
        let id = self.id();
        Question::new(DESTINATION, method)
            .about("destination", &destination_title(&self.server.service, &self.now()))
            .about("destination_id", id.as_str())
    }

    /// For a method without options and further details.
    async fn allowed(&self, method: &'static str, options: &Options, header: &Header<'_>) -> Result<u32, Error> {
        no_options(options)?;
        let question = self.question(method);
        Ok(self.server.authority.allow(header, &question).await?.uid)
    }

    /// A call about files in snapshots.
    fn files<'c>(&'c self, method: &'static str, options: &'c Options, header: &'c Header<'c>) -> FilesCall<'c> {
        let at = SnapshotPlace::Destination(self.id());
        FilesCall { server: &self.server, at, question: self.question(method), options, header }
    }

    /// The snapshots on it, for this method.
    fn snapshots(&self, method: &'static str) -> Snapshots<'_> {
        let (place, question) = (SnapshotPlace::Destination(self.id()), self.question(method));
        Snapshots { server: &self.server, place, question }
    }

    /// The path of an accepted job.
    async fn published(&self, taken: Result<JobHandle, butterdock_service::Error>) -> Result<OwnedObjectPath, Error> {
        self.server.publish_job(taken.for_caller()?).await
    }
}

/// The path of a destination: that of the drive if it is one.
pub(super) fn path_of_destination(id: &DestinationId, kind: DestinationKind) -> OwnedObjectPath {
    match kind {
        DestinationKind::Drive => drive_path(id.as_str()),
        DestinationKind::Volume => destination_path(id.as_str()),
    }
}

/// A name for password dialogs.
pub(super) fn destination_title(service: &Service, destination: &DestinationProperties) -> String {
    let DestinationProperties { id, name, kind, .. } = destination;
    match kind {
        DestinationKind::Drive => {
            let drive = service.drives().drive(&DriveId::from(id));
            drive.map_or_else(|| name.clone(), |drive| mapping::drive(drive.is).title())
        }
        DestinationKind::Volume => name.clone(),
    }
}

#[interface(name = "org.butterdock.Butterdock1.Destination", introspection_docs = false)]
impl DestinationObject {
    #[zbus(out_args("job"))]
    async fn backup(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Error> {
        let request = BackupOptions::from_options(&options)?;
        let question = self.question("Backup").with(&options);
        let uid = self.server.authority.allow(&header, &question).await?.uid;
        let BackupOptions { backup, full, new_source } = request;
        let options = butterdock_service::BackupOptions { full, new_source };
        self.published(self.server.service.back_up(&self.id(), backup.as_deref(), options, uid).await).await
    }

    #[zbus(out_args("job"))]
    async fn verify(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Error> {
        let uid = self.allowed("Verify", &options, &header).await?;
        self.published(self.server.service.verify(&self.id(), uid).await).await
    }

    #[zbus(out_args("snapshots"))]
    async fn list_snapshots(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<SnapshotRow>, Error> {
        self.files("ListSnapshots", &options, &header).snapshots().await
    }

    #[zbus(out_args("job"))]
    async fn restore(
        &self,
        snapshot: String,
        volume: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let request = RestoreOptions::from_options(&options)?;
        let question = self.question("Restore").about("volume", &volume).with(&options);
        let uid = self.server.authority.allow(&header, &question).await?.uid;
        let volume = self.server.service.volume(&volume).for_caller()?;
        let restored = self.server.service.restore(&self.id(), &snapshot, volume, request.name, uid).await;
        self.published(restored).await
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

    async fn forget(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.allowed("Forget", &options, &header).await?;
        self.server.service.forget(&self.id()).await.for_caller()
    }

    async fn unpin(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let UnpinOptions { backup } = UnpinOptions::from_options(&options)?;
        let question = self.question("Unpin").with(&options);
        self.server.authority.allow(&header, &question).await?;
        self.server.service.unpin(&self.id(), backup.as_deref()).await.for_caller()
    }

    #[zbus(property)]
    fn name(&self) -> String {
        self.now().name.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> String {
        destination_kind(self.now().kind).as_str().to_owned()
    }

    #[zbus(property)]
    fn state(&self) -> String {
        destination_state(self.now().state).as_str().to_owned()
    }

    #[zbus(property)]
    fn problems(&self) -> Vec<Problem> {
        self.now().problems.iter().map(mapping::problem).collect()
    }

    #[zbus(property)]
    fn free(&self) -> u64 {
        self.now().free
    }

    #[zbus(property)]
    fn size(&self) -> u64 {
        self.now().size
    }

    #[zbus(property)]
    fn last_backup(&self) -> u64 {
        self.now().last_backup
    }

    #[zbus(property)]
    fn last_verify(&self) -> u64 {
        self.now().last_verify
    }

    #[zbus(property)]
    fn next_verify(&self) -> u64 {
        self.now().next_verify
    }

    #[zbus(property)]
    fn next_run(&self) -> u64 {
        self.now().next_run
    }

    #[zbus(property)]
    fn overdue(&self) -> bool {
        self.now().overdue
    }

    #[zbus(property)]
    fn backups(&self) -> Vec<String> {
        self.now().backups.clone()
    }

    #[zbus(property)]
    fn origins(&self) -> Vec<SnapshotsOfMachine> {
        self.now().origins.iter().cloned().map(mapping::origin).collect()
    }
}
