//! Drives that another program has mounted: a desktop mounts a new drive the moment it is plugged in.
//!
//! The kernel mounts a filesystem for the service only where no other program has it mounted, so that no other program changes it
//! meanwhile. The policy waits until such a mount is gone. Where it is, is for root and for the user whose mount it is.
//!
//! A mount in a mount namespace that the service does not see (a container, a unit with `PrivateMounts=`) is noticed when the kernel
//! refuses something because of it. No event reports its end: udev has none for an unmount. So the service asks the kernel from time
//! to time whether the filesystem is mounted at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::DriveId;
use super::drive_lock::blocking;
use super::manager::DriveManager;
use super::problem::{busy, failed, no_such_drive};
use super::table::DriveTable;
use crate::blocking::local;
use crate::device::{BlockDevice, OtherMount};
use crate::types::{EnrolOptions, Error};

/// Mounts that the service does not see are looked at so often, while any is known of.
pub(super) const UNSEEN_CHECK: Duration = Duration::from_secs(60);

impl DriveManager {
    /// Reads which drives other programs have mounted; answers whether that changed.
    pub(super) async fn look_at_mounts(&self) -> bool {
        let (devices, run) = (Arc::clone(&self.0.devices), self.0.run.clone());
        match local(move || devices.other_mounts(&run)).await {
            Ok(Ok(mounts)) => {
                let mut table = self.lock();
                let is_new = table.other_mounts != mounts;
                table.other_mounts = mounts;
                is_new
            }
            Ok(Err(error)) => {
                tracing::warn!("cannot read which drives other programs have mounted: {error}");
                false
            }
            // The service ends.
            Err(_) => false,
        }
    }

    /// Something with the drive failed. Perhaps because it is mounted in a mount namespace that the service does not see, such as that of
    /// a container: then the end of that mount is not reported.
    pub(super) async fn note_unseen_mount(&self, id: &DriveId) {
        let Some(filesystem) = self.lock().enrolment(id).map(|enrolment| enrolment.filesystem) else { return };
        let is_mounted = self.is_mounted(filesystem).await;
        self.entry(id, |entry| entry.mounted_unseen = is_mounted && entry.mount.is_none());
    }

    /// Whether the end of such a mount is waited for.
    pub(super) fn has_unseen_mounts(&self) -> bool {
        self.lock().entries.values().any(|entry| entry.mounted_unseen)
    }

    /// Looks whether such mounts have ended: then what failed because of them is tried again.
    pub(super) async fn look_at_unseen_mounts(&self) {
        let unseen: Vec<(DriveId, Uuid)> = {
            let table = self.lock();
            let unseen = table.entries.iter().filter(|(_, entry)| entry.mounted_unseen);
            unseen.filter_map(|(id, _)| Some((id.clone(), table.enrolment(id)?.filesystem))).collect()
        };
        for (id, filesystem) in unseen {
            if !self.is_mounted(filesystem).await {
                self.entry(&id, |entry| {
                    entry.mounted_unseen = false;
                    entry.tried.clear();
                    entry.failed_with.iter_mut().for_each(Vec::clear);
                });
            }
        }
        self.review();
    }

    async fn is_mounted(&self, filesystem: Uuid) -> bool {
        let devices = Arc::clone(&self.0.devices);
        local(move || devices.is_mounted(filesystem)).await.unwrap_or(false)
    }

    /// Where other programs have the drive mounted; none for a place that this user may not know.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn mounts_of(&self, id: &DriveId, uid: u32) -> Result<Vec<Option<PathBuf>>, Error> {
        let mounts = {
            let table = self.lock();
            let decision = table.decision(id).ok_or_else(|| no_such_drive(id))?;
            table.mounts_over(&table.behind(&decision.devices))
        };
        let user = self.user_name(uid).await;
        let may_know = |mount: &OtherMount| is_theirs(mount, uid, user.as_deref());
        Ok(mounts.into_iter().map(|mount| may_know(&mount).then_some(mount.at)).collect())
    }

    async fn user_name(&self, uid: u32) -> Option<String> {
        let devices = Arc::clone(&self.0.devices);
        local(move || devices.user_name(uid)).await.ok().flatten()
    }

    /// Sees to it that no other program has the device mounted that is to be enrolled, and none of its partitions.
    ///
    /// # Errors
    /// `Busy`: it is mounted, and is not to be unmounted; the message says where, if the user may know. Or a program uses it.
    /// `Failed`: it is not the user's mount.
    pub(super) async fn unmount_others(
        &self,
        id: &DriveId,
        device: &BlockDevice,
        options: &EnrolOptions,
    ) -> Result<(), Error> {
        self.look_at_mounts().await;
        let mounts = {
            let table = self.lock();
            let parts = table.devices.values().filter(|part| part.disk() == device.node);
            table.mounts_over(&parts.chain([device]).collect::<Vec<_>>())
        };
        if mounts.is_empty() {
            return Ok(());
        }
        let user = self.user_name(options.uid).await;
        let theirs = |mount: &OtherMount| is_theirs(mount, options.uid, user.as_deref());
        if !options.unmount {
            let all = mounts.iter().map(|mount| (mount, theirs(mount)));
            return Err(busy(refusal(&all.collect::<Vec<_>>(), options.uid)));
        }
        if !mounts.iter().all(theirs) {
            return Err(failed(format!(
                "{} is mounted, and not by udisks for you: only root may unmount it; run this as root",
                device.name()
            )));
        }
        // A later mount may lie on an earlier one.
        for mount in mounts.into_iter().rev() {
            let devices = Arc::clone(&self.0.devices);
            tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "unmounting {} to enrol it", mount.at.display());
            blocking(&self.0.operations, id, move || devices.unmount_other(&mount)).await?;
        }
        self.look_at_mounts().await;
        Ok(())
    }
}

impl DriveTable {
    /// The mounts of other programs over these devices, and over the mappings on them.
    pub(super) fn mounts_over(&self, devices: &[&BlockDevice]) -> Vec<OtherMount> {
        let is_over = |facts: &BlockDevice, device: &BlockDevice| {
            facts.mapping.as_ref().is_some_and(|mapping| mapping.over.as_deref() == Some(device.name()))
        };
        let is_it = |node: &Path| {
            devices.iter().any(|device| device.node == node)
                || self.devices.at(node).is_some_and(|facts| devices.iter().any(|device| is_over(facts, device)))
        };
        self.other_mounts.iter().filter(|mount| mount.nodes.iter().any(|node| is_it(node))).cloned().collect()
    }
}

fn is_theirs(mount: &OtherMount, uid: u32, user: Option<&str>) -> bool {
    uid == 0 || user.is_some_and(|user| mount.is_of(user))
}

/// That drives are mounted: where, if the user may know that of each, and what to do.
fn refusal(mounts: &[(&OtherMount, bool)], uid: u32) -> String {
    let name = |mount: &OtherMount| {
        let name = mount.nodes.first().and_then(|node| node.file_name()).unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let Some((first, _)) = mounts.iter().find(|(_, may_know)| !may_know).or(mounts.first()) else {
        return String::new();
    };
    let first = name(first);
    if mounts.iter().any(|(_, may_know)| !may_know) {
        return format!(
            "{first} is mounted by another program, in a place that only root and the user who mounted it may know; unmount it \
             there, or run this as root with --unmount"
        );
    }
    let place = |mount: &OtherMount| format!("\"{}\"", mount.at.to_string_lossy().escape_debug());
    let known: Vec<String> = mounts.iter().map(|(mount, _)| place(mount)).collect();
    let command =
        if uid == 0 { format!("umount {}", known.join(" ")) } else { format!("udisksctl unmount -b /dev/{first}") };
    format!(
        "{first} is mounted by another program at {}; unmount it ({command}) and try again, or let butterdock do that \
         (butterdock enrol --unmount)",
        known.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_mount_and_the_command() {
        let mount = OtherMount { id: 36, at: "/media/anna/Blue".into(), nodes: vec!["/dev/sdb1".into()] };
        let root = refusal(&[(&mount, true)], 0);
        assert!(root.contains("sdb1 is mounted by another program at \"/media/anna/Blue\""), "{root}");
        assert!(root.contains("(umount \"/media/anna/Blue\")"), "{root}");
        let anna = refusal(&[(&mount, true)], 1000);
        assert!(anna.contains("/media/anna/Blue") && anna.contains("udisksctl unmount -b /dev/sdb1"), "{anna}");
        for mounts in [&[(&mount, false)][..], &[(&mount, true), (&mount, false)]] {
            let other = refusal(mounts, 1001);
            assert!(!other.contains("media") && other.contains("--unmount"), "{other}");
        }
    }
}
