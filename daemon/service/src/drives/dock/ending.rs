//! Lets a drive go: everything written, unmounted, locked, switched off. Only then it is safe.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::types::{Error, ErrorCode};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::fault::{PULLED, no_such_drive, told};
use super::handle::Dock;
use super::picture::Mount;
use super::turn::blocking;
use super::{Condition, DriveId, Letting};
use crate::catalogue;
use crate::config::OnFinish;
use crate::drives::power::claim;
use crate::drives::{Cryptsetup, Facts, Power, Result as Done, is_open, power_off};
use crate::hooks::Kind;
use crate::policy::Order;

/// A worker that was killed a moment ago still holds the mount for so long.
const HELD: Duration = Duration::from_secs(2);

/// Those who look at a drive that is being made safe have so long to end.
const LOOKS: Duration = Duration::from_secs(10);

/// What the kernel fails of a drive that is pulled out comes before udev's word that it is, under load so long.
const WORD: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
struct Leaving {
    mount: Option<Arc<Mount>>,
    luks: Vec<uuid::Uuid>,
    /// To be switched off.
    disks: Vec<Facts>,
    /// What nobody else may have mounted.
    nodes: Vec<PathBuf>,
}

impl Dock {
    pub(super) async fn let_go_now(&self, id: &DriveId, letting: Letting) -> Result<Condition, Error> {
        let turn = self.turn(id).await?;
        let is_removal = letting == Letting::Remove;
        if is_removal {
            self.end_looks(id).await;
        }
        let done = self.leave(id, letting).await;
        if is_removal {
            self.card(id, |card| card.removal.send_replace(false));
        }
        if let Err(error) = &done {
            self.card(id, |card| card.problem = error.to_string());
        }
        self.done(turn);
        done
    }

    /// Has those who only look at the drive end. What holds it after that is in the way.
    async fn end_looks(&self, id: &DriveId) {
        let mut reviewed = self.0.reviewed.subscribe();
        self.card(id, |card| card.removal.send_replace(true));
        let ended = async {
            while self.card(id, |card| card.leased).is_some_and(|leased| leased > 0) {
                if reviewed.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(LOOKS, ended).await.unwrap_or_default();
    }

    /// Whoever has the turn calls it.
    async fn leave(&self, id: &DriveId, letting: Letting) -> Result<Condition, Error> {
        self.free(id)?;
        if letting == Letting::AsConfigured && self.lock().verdict(id).is_some_and(|now| now.order == Order::Backup) {
            // Somebody held it before the backups that its plug is for could begin. They begin now, and let it go.
            return Ok(Condition::Sound);
        }
        let on_finish = self.lock().config.drives.on_finish;
        let kept = self.card(id, |card| {
            card.served = true;
            card.kept
        });
        let off = match letting {
            Letting::Remove => true,
            Letting::AsConfigured if on_finish == OnFinish::Keep || kept == Some(true) => return Ok(Condition::Sound),
            Letting::AsConfigured => on_finish == OnFinish::PowerOff,
        };
        let was_mounted = self.card(id, |card| card.mount.is_some()) == Some(true);
        let condition = self.unmount(id, off).await?;
        if let (true, Condition::Unsaved) = (was_mounted, condition) {
            return Err(told(id, &crate::drives::Error::refused(condition.sentence())));
        }
        self.card(id, |card| {
            card.released = true;
            card.kept = false;
            card.safe = Some(Instant::now());
            card.problem.clear();
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
        self.card(id, |card| card.released = true);
        if let Some(mount) = &leaving.mount {
            let written = written_and_unmounted(id, mount).await;
            self.card(id, |card| match &written {
                Ok(is_writable) => {
                    card.mount = None;
                    card.condition = Condition::of_unmounted(*is_writable, card.kept);
                }
                Err(_) => card.released = false,
            });
            written?;
        }
        let power = blocking(id, move || lock_and_switch_off(&leaving)).await?;
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is unmounted ({power:?})");
        let condition = self.card(id, |card| card.condition).unwrap_or_default();
        if condition != Condition::Sound {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "{}", condition.sentence());
        }
        Ok(condition)
    }

    fn leaving(&self, id: &DriveId, off: bool) -> Result<Leaving, Error> {
        let picture = self.lock();
        let verdict = picture.verdict(id).ok_or_else(|| no_such_drive(id))?;
        let mount = picture.cards.get(id).and_then(|card| card.mount.clone());
        let members = picture.enrolment(id).map(|enrolment| enrolment.members.clone()).unwrap_or_default();
        let disks: &[PathBuf] = if off { &verdict.disks } else { &[] };
        // The mapping over a container is no disk.
        let disks = picture.behind(disks).into_iter().filter(|disk| disk.mapping.is_none()).cloned().collect();
        let nodes = verdict.devices;
        Ok(Leaving { nodes, mount, luks: members.iter().filter_map(|member| member.luks).collect(), disks })
    }

    /// Before the service ends, all of them at once: what cannot be unmounted is let go when the next one starts.
    pub(super) async fn unmount_all(&self) {
        let mut unmounting = JoinSet::new();
        for (id, _) in self.mounts() {
            let dock = self.clone();
            unmounting.spawn(async move {
                let Ok(turn) = dock.turn(&id).await else { return };
                // Why not is in the journal.
                drop(dock.unmount(&id, false).await);
                drop(turn);
            });
        }
        unmounting.join_all().await;
    }

    /// What is mounted, and where.
    pub(super) fn mounts(&self) -> Vec<(DriveId, PathBuf)> {
        let picture = self.lock();
        let mounts = picture.cards.iter().filter_map(|(id, card)| Some((id, card.mount.as_ref()?)));
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

fn lock_and_switch_off(leaving: &Leaving) -> Done<Vec<Power>> {
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
