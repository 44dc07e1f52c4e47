//! The methods that hold and delete snapshots, for the destinations and for the sources of backups.

use std::sync::Arc;

use butterdock_dbus::{DELETED_MAX, DeleteOptions, DeletionEstimate, Error, LostIncrement, Options, REASON_MAX};
use butterdock_service::SnapshotPlace;
use zbus::OwnedObjectPath;
use zbus::message::Header;

use super::authority::Question;
use super::mapping::ForCaller as _;
use super::server::BusServer;

// The limits of the contract are those of the service.
const _: () = assert!(DELETED_MAX == butterdock_service::DELETED_MAX && REASON_MAX == butterdock_service::REASON_MAX);

/// The snapshots at a place; `question` asks who may do what with them.
#[derive(Debug)]
pub(super) struct Snapshots<'s> {
    pub(super) server: &'s Arc<BusServer>,
    pub(super) place: SnapshotPlace,
    pub(super) question: Question,
}

impl Snapshots<'_> {
    /// `EstimateDeletion`.
    pub(super) async fn estimate(
        self,
        snapshots: &[String],
        options: &Options,
        header: &Header<'_>,
    ) -> Result<DeletionEstimate, Error> {
        butterdock_dbus::no_options(options)?;
        self.server.authority.allow(header, &self.question).await?;
        let estimate = self.server.service.estimate_deletion(&self.place, snapshots).await.for_caller()?;
        let lost = estimate.lost_parents.into_iter().map(|lost| LostIncrement {
            backup: lost.backup,
            destination: lost.destination,
            full: lost.is_full,
            bytes: lost.bytes,
        });
        Ok(DeletionEstimate { bytes: estimate.bytes, lost: lost.collect() })
    }

    /// `DeleteSnapshots`.
    pub(super) async fn delete(
        self,
        snapshots: &[String],
        options: &Options,
        header: &Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let DeleteOptions { force } = DeleteOptions::from_options(options)?;
        let uid = self.server.authority.allow(header, &self.question.with(options)).await?.uid;
        let taken = self.server.service.delete_snapshots(&self.place, snapshots, force, uid).await;
        self.server.publish_job(taken.for_caller()?).await
    }

    /// `HoldSnapshot`.
    pub(super) async fn hold(
        self,
        snapshot: &str,
        reason: &str,
        options: &Options,
        header: &Header<'_>,
    ) -> Result<(), Error> {
        butterdock_dbus::no_options(options)?;
        self.server.authority.allow(header, &self.question).await?;
        self.server.service.hold_snapshot(&self.place, snapshot, reason).await.for_caller()
    }

    /// `ReleaseSnapshot`.
    pub(super) async fn release(self, snapshot: &str, options: &Options, header: &Header<'_>) -> Result<(), Error> {
        butterdock_dbus::no_options(options)?;
        self.server.authority.allow(header, &self.question).await?;
        self.server.service.release_snapshot(&self.place, snapshot).await.for_caller()
    }
}
