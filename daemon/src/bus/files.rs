//! The methods about files in snapshots, which `Destination` and `Backup` have alike.

use std::sync::Arc;

use butterdock_dbus::{
    self as contract, Error, ErrorName, FileRow, FileVersionRow, FileVersionsOptions, ListFilesOptions,
    ListSnapshotsOptions, OpenFileOptions, Options, RestoreFilesOptions, SnapshotRow,
};
use butterdock_service::{Conflict, RestoreFilesRequest, Rights, SnapshotOnDrive, SnapshotPlace};
use zbus::message::Header;
use zbus::{OwnedFd, OwnedObjectPath};

use super::authority::Question;
use super::mapping::{self, ForCaller as _};
use super::server::BusServer;

/// A call about files in snapshots.
#[derive(Debug)]
pub(super) struct FilesCall<'c> {
    pub server: &'c Arc<BusServer>,
    pub at: SnapshotPlace,
    /// The call, without its options.
    pub question: Question,
    pub options: &'c Options,
    pub header: &'c Header<'c>,
}

impl FilesCall<'_> {
    /// `ListSnapshots`.
    pub(super) async fn snapshots(self) -> Result<Vec<SnapshotRow>, Error> {
        let ListSnapshotsOptions { own } = ListSnapshotsOptions::from_options(self.options)?;
        let service = &self.server.service;
        if own {
            let (rights, _uid) = self.rights(false).await?;
            return Ok(snapshot_rows(service.list_own_snapshots(&self.at, &rights).await.for_caller()?));
        }
        self.server.authority.allow(self.header, &self.question.clone().with(self.options)).await?;
        Ok(snapshot_rows(service.list_snapshots_at(&self.at).await.for_caller()?))
    }

    /// `ListFiles`.
    pub(super) async fn list(self, snapshot: &str, path: Vec<u8>) -> Result<(Vec<FileRow>, bool), Error> {
        let ListFilesOptions { after, limit, as_root } = ListFilesOptions::from_options(self.options)?;
        let (rights, _uid) = self.rights(as_root).await?;
        let service = &self.server.service;
        let listed = service.list_files(&self.at, snapshot, trimmed(path), (after, limit), &rights).await;
        let list = listed.for_caller()?;
        Ok((list.rows.into_iter().map(mapping::file_row).collect(), list.more))
    }

    /// `FileVersions`.
    pub(super) async fn versions(self, path: Vec<u8>) -> Result<Vec<FileVersionRow>, Error> {
        let FileVersionsOptions { backup, as_root } = FileVersionsOptions::from_options(self.options)?;
        let (rights, _uid) = self.rights(as_root).await?;
        let service = &self.server.service;
        // As it is, the future of the whole call would be large.
        let found = Box::pin(service.file_versions(&self.at, trimmed(path), backup.as_deref(), &rights));
        let found = found.await.for_caller()?;
        Ok(found.into_iter().map(mapping::file_version_row).collect())
    }

    /// `OpenFile`.
    pub(super) async fn open(self, snapshot: &str, path: Vec<u8>) -> Result<(OwnedFd, OwnedObjectPath), Error> {
        let OpenFileOptions { as_root } = OpenFileOptions::from_options(self.options)?;
        let (rights, uid) = self.rights(as_root).await?;
        let opened = self.server.service.open_file(&self.at, snapshot, trimmed(path), (&rights, uid)).await;
        let (file, job) = opened.for_caller()?;
        Ok((file.into(), self.server.publish_job(job).await?))
    }

    /// `RestoreFiles`.
    pub(super) async fn restore(self, snapshot: String, paths: Vec<Vec<u8>>) -> Result<OwnedObjectPath, Error> {
        let RestoreFilesOptions { target, folder, conflict, as_root } =
            RestoreFilesOptions::from_options(self.options)?;
        let (rights, uid) = self.rights(as_root).await?;
        let volume = match target.as_deref() {
            None | Some(RestoreFilesOptions::ORIGINAL) => None,
            Some(volume) => Some(self.server.service.volume(volume).for_caller()?),
        };
        let conflict = match conflict {
            Some(contract::Conflict::KeepBoth) | None => Conflict::KeepBoth,
            Some(contract::Conflict::Replace) => Conflict::Replace,
            Some(contract::Conflict::Fail) => Conflict::Fail,
        };
        let paths = paths.into_iter().map(trimmed).collect();
        let at = self.at;
        let request = RestoreFilesRequest { at, snapshot, paths, volume, folder, conflict, rights, uid };
        self.server.publish_job(self.server.service.restore_files(request).await.for_caller()?).await
    }

    /// Whose rights decide, after polkit has allowed the call; and the user.
    async fn rights(&self, as_root: bool) -> Result<(Rights, u32), Error> {
        let question = self.question.clone().with(self.options);
        let uid = self.server.authority.allow(self.header, &question).await?.uid;
        if uid == 0 || as_root {
            return Ok((Rights::Root, uid));
        }
        let sender = self.header.sender().map(ToString::to_string).unwrap_or_default();
        let groups = self.server.callers.groups(&sender).await.map_err(|error| {
            tracing::warn!("the bus does not report the groups of a caller: {error}");
            let text =
                "the bus does not report your groups, which decide what you may read; ask an administrator (--as-root)";
            Error::new(ErrorName::NotAuthorized, text)
        })?;
        Ok((Rights::User { uid, groups }, uid))
    }
}

/// The answer of `ListSnapshots`.
fn snapshot_rows(found: Vec<SnapshotOnDrive>) -> Vec<SnapshotRow> {
    found.into_iter().map(mapping::snapshot_row).collect()
}

/// Some bindings end `ay` with a NUL.
fn trimmed(mut path: Vec<u8>) -> Vec<u8> {
    if path.last() == Some(&0) {
        path.pop();
    }
    path
}
