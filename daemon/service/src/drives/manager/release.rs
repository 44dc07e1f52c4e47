//! Lets a drive go: everything written, unmounted, locked, switched off. Only then it is safe.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::types::{Error, ErrorCode};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::drive_lock::blocking;
use super::fault::{PULLED, for_caller, no_such_drive};
use super::handle::DriveManager;
use super::table::Mount;
use super::{Condition, DriveId, ReleaseMode};
use crate::catalogue;
use crate::config::OnFinish;
use crate::drives::power::claim;
use crate::drives::{BlockDevice, Cryptsetup, Power, Result as Done, is_open, power_off};
use crate::hooks::Kind;
use crate::policy::Action;

/// A worker that was killed a moment ago still holds the mount for so long.
const HELD: Duration = Duration::from_secs(2);

/// Those who look at a drive that is being made safe have so long to end.
const LOOKS: Duration = Duration::from_secs(10);

/// What the kernel fails of a drive that is pulled out comes before udev's word that it is, under load so long.
const WORD: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
struct ReleasePlan {
    mount: Option<Arc<Mount>>,
    luks: Vec<uuid::Uuid>,
    /// To be switched off.
    disks: Vec<BlockDevice>,
    /// What nobody else may have mounted.
    nodes: Vec<PathBuf>,
}

impl DriveManager {
    pub(super) async fn release_now(&self, id: &DriveId, mode: ReleaseMode) -> Result<Condition, Error> {
        let guard = self.lock_drive(id).await?;
        let is_removal = mode == ReleaseMode::Remove;
        if is_removal {
            self.end_looks(id).await;
        }
        let done = self.release_locked(id, mode).await;
        if is_removal {
            self.entry(id, |entry| entry.removal.send_replace(false));
        }
        if let Err(error) = &done {
            self.entry(id, |entry| entry.problem = error.to_string());
        }
        self.done(guard);
        done
    }

    /// Has those who only look at the drive end. What holds it after that is in the way.
    async fn end_looks(&self, id: &DriveId) {
        let mut reviewed = self.0.reviewed.subscribe();
        self.entry(id, |entry| entry.removal.send_replace(true));
        let ended = async {
            while self.entry(id, |entry| entry.leased).is_some_and(|leased| leased > 0) {
                if reviewed.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(LOOKS, ended).await.unwrap_or_default();
    }

    /// Whoever has the turn calls it.
    async fn release_locked(&self, id: &DriveId, mode: ReleaseMode) -> Result<Condition, Error> {
        self.free(id)?;
        if mode == ReleaseMode::AsConfigured && self.lock().decision(id).is_some_and(|now| now.order == Action::Backup)
        {
            // Somebody held it before the backups that its plug is for could begin. They begin now, and let it go.
            return Ok(Condition::Sound);
        }
        let on_finish = self.lock().config.drives.on_finish;
        let kept = self.entry(id, |entry| {
            entry.served = true;
            entry.kept
        });
        let off = match mode {
            ReleaseMode::Remove => true,
            ReleaseMode::AsConfigured if on_finish == OnFinish::Keep || kept == Some(true) => {
                return Ok(Condition::Sound);
            }
            ReleaseMode::AsConfigured => on_finish == OnFinish::PowerOff,
        };
        let was_mounted = self.entry(id, |entry| entry.mount.is_some()) == Some(true);
        let condition = self.unmount(id, off).await?;
        if let (true, Condition::Unsaved) = (was_mounted, condition) {
            return Err(for_caller(id, &crate::drives::Error::refused(condition.sentence())));
        }
        self.entry(id, |entry| {
            entry.released = true;
            entry.kept = false;
            entry.safe = Some(Instant::now());
            entry.problem.clear();
        });
        tracing::info!(
            MESSAGE_ID = catalogue::DRIVE_SAFE,
            BUTTERDOCK_DRIVE = id.as_str(),
            "the drive is safe to unplug"
        );
        self.tell(Kind::Safe, id);
        Ok(condition)
    }

    /// Unmounts and locks it, and switches it off; what it had come to by then. Whoever has the turn calls it.
    pub(super) async fn unmount(&self, id: &DriveId, off: bool) -> Result<Condition, Error> {
        let leaving = self.leaving(id, off)?;
        // From here on nothing is mounted again by itself, also when not all of it works.
        self.entry(id, |entry| entry.released = true);
        if let Some(mount) = &leaving.mount {
            let written = written_and_unmounted(id, mount).await;
            self.entry(id, |entry| match &written {
                Ok(is_writable) => {
                    entry.mount = None;
                    entry.condition = Condition::of_unmounted(*is_writable, entry.kept);
                }
                Err(_) => entry.released = false,
            });
            written?;
        }
        let power = blocking(id, move || lock_and_switch_off(&leaving)).await?;
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is unmounted ({power:?})");
        let condition = self.entry(id, |entry| entry.condition).unwrap_or_default();
        if condition != Condition::Sound {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "{}", condition.sentence());
        }
        Ok(condition)
    }

    fn leaving(&self, id: &DriveId, off: bool) -> Result<ReleasePlan, Error> {
        let table = self.lock();
        let decision = table.decision(id).ok_or_else(|| no_such_drive(id))?;
        let mount = table.entries.get(id).and_then(|entry| entry.mount.clone());
        let members = table.enrolment(id).map(|enrolment| enrolment.members.clone()).unwrap_or_default();
        let disks: &[PathBuf] = if off { &decision.disks } else { &[] };
        // The mapping over a container is no disk.
        let disks = table.behind(disks).into_iter().filter(|disk| disk.mapping.is_none()).cloned().collect();
        let nodes = decision.devices;
        Ok(ReleasePlan { nodes, mount, luks: members.iter().filter_map(|member| member.luks).collect(), disks })
    }

    /// Before the service ends, all of them at once: what cannot be unmounted is let go when the next one starts.
    pub(super) async fn unmount_all(&self) {
        let mut unmounting = JoinSet::new();
        for (id, _) in self.mounts() {
            let manager = self.clone();
            unmounting.spawn(async move {
                let Ok(guard) = manager.lock_drive(&id).await else { return };
                // Why not is in the journal.
                drop(manager.unmount(&id, false).await);
                drop(guard);
            });
        }
        unmounting.join_all().await;
    }

    /// What is mounted, and where.
    pub(super) fn mounts(&self) -> Vec<(DriveId, PathBuf)> {
        let table = self.lock();
        let mounts = table.entries.iter().filter_map(|(id, entry)| Some((id, entry.mount.as_ref()?)));
        mounts.map(|(id, mount)| (id.clone(), mount.mounted.at.clone())).collect()
    }
}

/// Answers whether it took writes to its end.
async fn written_and_unmounted(id: &DriveId, mount: &Arc<Mount>) -> Result<bool, Error> {
    let same = Arc::clone(mount);
    let is_writable = blocking(id, move || write_out(&same)).await?;
    let mut gone = mount.gone.subscribe();
    if !is_writable && timeout(WORD, gone.wait_for(|gone| *gone)).await.is_ok() {
        return Err(Error::new(ErrorCode::DeviceGone, PULLED));
    }
    let same = Arc::clone(mount);
    blocking(id, move || patiently(|| same.mounted.unmount())).await?;
    Ok(is_writable)
}

fn write_out(mount: &Mount) -> Done<bool> {
    let root = mount.mounted.root()?;
    let written = rustix::fs::syncfs(&root).map_err(crate::drives::Error::system("writing everything to the drive"));
    // btrfs becomes read-only where it cannot commit: then syncfs fails once, and has nothing to write out after that.
    let now = rustix::fs::fstatvfs(&root).map_err(crate::drives::Error::system("looking at the drive"))?;
    if now.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Ok(false);
    }
    written.map(|()| true)
}

/// Tries again for a while where somebody uses it.
fn patiently<T>(mut attempt: impl FnMut() -> Done<T>) -> Done<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(crate::drives::Error::Refused(_)) if begun.elapsed() < HELD => sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
}

fn lock_and_switch_off(leaving: &ReleasePlan) -> Done<Vec<Power>> {
    for luks in &leaving.luks {
        if is_open(*luks) {
            Cryptsetup::find()?.close(*luks)?;
        }
    }
    // The containers of an enrolled drive are locked by now, and what is on an unknown one is nobody's of ours.
    for node in leaving.nodes.iter().filter(|node| node.exists()) {
        // A worker of another drive that begins at this moment has a copy of the mount until it vanishes there too.
        drop(patiently(|| claim(node, None))?);
    }
    leaving.disks.iter().map(power_off).collect()
}
