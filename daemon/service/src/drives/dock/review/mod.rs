//! Looks at the picture anew: what is shown, and what is next with each drive.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::types::DriveState;
use tokio::sync::watch;
use uuid::Uuid;

use super::fault::PULLED;
use super::handle::Dock;
use super::journal::Entry;
use super::picture::{Card, Mount, Picture};
use super::{Drive, DriveId, Plugged, replaced, shown};
use crate::catalogue;
use crate::config::Schedule;
use crate::drives::{Cryptsetup, Result};
use crate::hooks::Kind;
use crate::policy::{Order, Verdict};

/// What has to be done, once the lock is not held any more.
#[derive(Debug, Default)]
struct Next {
    /// Next step with these.
    steps: Vec<DriveId>,
    /// Pulled out.
    pulled: Vec<(DriveId, Arc<Mount>)>,
    /// Backups are due.
    plugged: Vec<Plugged>,
    /// Something is shown that was not.
    arrived: bool,
    /// For the journal.
    told: Vec<Entry>,
    /// Containers to be closed: their devices went.
    stale: Vec<Uuid>,
}

impl Dock {
    /// After every event and every step.
    pub(super) fn review(&self) {
        let next = look(&mut self.lock());
        for entry in &next.told {
            entry.log();
            self.0.hooks.tell(entry.event());
        }
        for (id, mount) in next.pulled {
            tracing::warn!(
                MESSAGE_ID = catalogue::DRIVE_PULLED,
                BUTTERDOCK_DRIVE = id.as_str(),
                "the drive was pulled out while it was mounted"
            );
            self.tell(Kind::Pulled, &id);
            mount.gone.send_replace(true);
            tokio::task::spawn_blocking(move || clear(&id, &mount));
        }
        for luks in next.stale {
            tokio::task::spawn_blocking(move || close(luks));
        }
        for id in next.steps {
            let dock = self.clone();
            tokio::spawn(async move { dock.step(&id).await });
        }
        for plugged in next.plugged {
            self.plugged(plugged);
        }
        if next.arrived {
            self.0.arrived.send_replace(());
        }
        self.0.reviewed.send_replace(());
    }

    /// The next step with a drive, by itself.
    async fn step(&self, id: &DriveId) {
        let Ok(turn) = self.turn(id).await else { return };
        // What goes wrong is the drive's problem, and is in the journal.
        self.step_on(id).await.unwrap_or_default();
        self.done(turn);
    }
}

fn look(picture: &mut Picture) -> Next {
    let mut next = Next { pulled: pulled(picture), ..Next::default() };
    let mut verdicts = picture.verdicts(None);
    let there: BTreeSet<DriveId> = verdicts.iter().map(|verdict| DriveId::from(&verdict.id)).collect();
    // What was made of a drive's last stay says nothing of this one.
    let again = picture.cards.iter_mut().filter(|(id, card)| card.absent && there.contains(*id));
    if again.map(|(_, card)| card.replug()).count() != 0 {
        verdicts = picture.verdicts(None);
    }
    for verdict in &verdicts {
        let id = DriveId::from(&verdict.id);
        let mut card = picture.cards.remove(&id).unwrap_or_else(Card::new);
        order(picture, verdict, &id, &mut card, &mut next);
        let drive = shown::of(picture, verdict, &card);
        next.told.extend(picture.journal.note(&verdict.order, &drive));
        next.arrived |= show(picture, drive);
        picture.cards.insert(id, card);
    }
    picture.journal.keep(&there);
    leave(picture, &there);
    let orphans = picture.orphans();
    next.stale = orphans.difference(&picture.stale).copied().collect();
    picture.stale = orphans;
    next
}

/// Takes out what is mounted and not there any more.
fn pulled(picture: &mut Picture) -> Vec<(DriveId, Arc<Mount>)> {
    let Picture { cards, devices, .. } = picture;
    let mut all = Vec::new();
    for (id, card) in cards {
        if let Some(mount) = card.mount.take_if(|mount| !mount.stands(devices)) {
            card.problem = PULLED.to_owned();
            all.push((id.clone(), mount));
        }
    }
    all
}

/// What the policy orders for one drive.
fn order(picture: &Picture, verdict: &Verdict, id: &DriveId, card: &mut Card, next: &mut Next) {
    match &verdict.order {
        Order::Unlock(_) | Order::Mount(_) if !card.lane.taken() && card.tried != verdict.devices => {
            card.tried.clone_from(&verdict.devices);
            next.steps.push(id.clone());
        }
        Order::Backup => {
            card.served = true;
            let enrolment = picture.enrolment(id);
            let goes = |rule: &&crate::config::BackupRule| {
                rule.schedule == Schedule::OnPlug && enrolment.is_some_and(|drive| super::picture::goes(rule, drive))
            };
            let names = picture.config.backups.iter().filter(goes).map(|rule| rule.name.as_str().to_owned()).collect();
            next.plugged.push(Plugged { drive: id.clone(), backups: names });
        }
        Order::Unlock(_) | Order::Mount(_) | Order::Show | Order::Leave | Order::Refuse(_) | Order::AwaitSecret(_) => {}
    }
}

/// Shows it as it is; answers whether it was not shown.
fn show(picture: &mut Picture, drive: Drive) -> bool {
    if let Some(known) = picture.shown.get(&drive.id) {
        known.send_if_modified(|known| {
            let other = *known != drive;
            if other {
                *known = drive;
            }
            other
        });
        return false;
    }
    picture.shown.insert(drive.id.clone(), watch::Sender::new(drive));
    true
}

/// What is not there any more is not shown, unless it was made safe a while ago.
fn leave(picture: &mut Picture, there: &BTreeSet<DriveId>) {
    let now = Instant::now();
    let Picture { config, enrolments, cards, shown, .. } = picture;
    for (id, card) in cards.iter_mut().filter(|(id, _)| !there.contains(*id)) {
        card.absent = true;
        if card.expires().is_some_and(|at| at > now) {
            if let Some(shown) = shown.get(id) {
                let known = id.enrolment().and_then(|id| enrolments.iter().find(|other| other.id == id));
                let replaced = known.map(|known| shown::replaced(config, known)).unwrap_or_default();
                shown.send_if_modified(|drive| {
                    let other = !drive.is.device.is_empty();
                    drive.is.device.clear();
                    drive.is.state = DriveState::Safe;
                    drive.is.problem = replaced::after(card.condition.sentence().to_owned(), replaced);
                    other
                });
            }
        } else if !(card.released && card.lane.taken()) {
            // One that is being switched off goes before it is known to be safe; the review after that decides.
            card.safe = None;
            shown.remove(id);
        }
    }
    cards.retain(|_, card| !card.absent || card.safe.is_some() || card.lane.taken() || card.leased > 0);
    shown.retain(|id, _| cards.contains_key(id));
}

/// Takes a pulled drive's mount out of sight, and closes its containers when nobody uses them any more.
fn clear(id: &DriveId, mount: &Mount) {
    let told = |done: Result<()>| {
        if let Err(error) = done {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "after the drive was pulled out: {error}");
        }
    };
    told(mount.mounted.detach());
    for luks in &mount.luks {
        told(Cryptsetup::find().and_then(|tool| tool.close_deferred(*luks)));
    }
}

/// Closes what was open when its device was pulled, and not mounted.
fn close(luks: Uuid) {
    if let Err(error) = Cryptsetup::find().and_then(|tool| tool.close_deferred(luks)) {
        tracing::warn!("after a drive was pulled out: {error}");
    }
}

#[cfg(test)]
mod tests;
