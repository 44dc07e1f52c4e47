//! Looks at the picture anew: what is shown, and what is next with each drive.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use butterdock_dbus::DriveState;
use tokio::sync::watch;

use super::handle::Dock;
use super::journal::Entry;
use super::picture::{Card, Mount, Picture};
use super::{Drive, DriveId, Plugged, shown};
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
    next
}

/// Takes out what is mounted and not there any more.
fn pulled(picture: &mut Picture) -> Vec<(DriveId, Arc<Mount>)> {
    let Picture { cards, devices, .. } = picture;
    let mut all = Vec::new();
    for (id, card) in cards {
        if let Some(mount) = card.mount.take_if(|mount| !mount.stands(devices)) {
            card.problem =
                "it was pulled out while it was in use; plug it in again, and what was lost is made up for".to_owned();
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
    let Picture { cards, shown, .. } = picture;
    for (id, card) in cards.iter_mut().filter(|(id, _)| !there.contains(*id)) {
        card.absent = true;
        if card.expires().is_some_and(|at| at > now) {
            if let Some(shown) = shown.get(id) {
                shown.send_if_modified(|drive| {
                    let other = !drive.is.device.is_empty();
                    drive.is.device.clear();
                    drive.is.state = DriveState::Safe;
                    drive.is.problem.clear();
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use uuid::Uuid;

    use super::*;
    use crate::config::Config;
    use crate::drives::{Bus, Content, Enrolment, Facts, Member};

    /// A USB disk with filesystem 10 on its device 11.
    fn disk() -> Facts {
        let text = |number| Uuid::from_u128(number).to_string();
        let content =
            Content { kind: "btrfs".to_owned(), uuid: text(10), sub_uuid: text(11), label: "Blue".to_owned() };
        Facts {
            node: Path::new("/dev/sdb").to_owned(),
            devnum: 1,
            syspath: Path::new("/sys/devices/x/block/sdb").to_owned(),
            diskseq: 1,
            bus: Bus::Usb,
            removable: false,
            model: "Disk".to_owned(),
            serial: "S".to_owned(),
            id_path: String::new(),
            size: 1000,
            partition: None,
            content: Some(content),
            mapping: None,
            loop_file: None,
        }
    }

    fn picture(enrolled: bool) -> Picture {
        let member = Member { device: Uuid::from_u128(11), luks: None, serial: "S".to_owned(), size: 1000 };
        let enrolment = Enrolment::new(Uuid::from_u128(10), "Blue".to_owned(), vec![member], 1);
        let mut picture = Picture::new(Config::default(), if enrolled { vec![enrolment] } else { Vec::new() });
        picture.devices.insert(disk().syspath, disk());
        picture
    }

    #[test]
    fn an_unknown_drive_is_shown_until_it_goes_and_nothing_is_done_with_it() {
        let mut picture = picture(false);
        let next = look(&mut picture);
        assert!(next.arrived && next.steps.is_empty());
        let shown = picture.shown.values().next().expect("shown").subscribe();
        assert_eq!((shown.borrow().label.as_str(), shown.borrow().device.as_str()), ("Blue", "sdb"));
        assert!(!look(&mut picture).arrived);
        picture.devices.clear();
        look(&mut picture);
        assert!(shown.has_changed().is_err() && picture.cards.is_empty());
    }

    #[test]
    fn what_failed_is_tried_again_only_when_something_else_is_there() {
        let mut picture = picture(true);
        assert_eq!(look(&mut picture).steps.len(), 1);
        assert!(look(&mut picture).steps.is_empty());
        let devices = std::mem::take(&mut picture.devices);
        look(&mut picture);
        picture.devices = devices;
        assert_eq!(look(&mut picture).steps.len(), 1);
    }

    #[tokio::test]
    async fn a_drive_whose_node_goes_while_it_is_switched_off_stays_until_it_is_safe() {
        let mut picture = picture(true);
        look(&mut picture);
        let id = DriveId::from(picture.enrolments[0].id);
        let lane = picture.cards[&id].lane.clone();
        let turn = lane.turn().await.expect("the turn");
        picture.cards.get_mut(&id).expect("a card").released = true;
        picture.devices.clear();
        look(&mut picture);
        let shown = picture.shown[&id].subscribe();
        picture.cards.get_mut(&id).expect("a card").safe = Some(Instant::now());
        drop(turn);
        look(&mut picture);
        assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, ""));
    }

    #[test]
    fn what_went_wrong_before_is_not_told_of_a_drive_that_is_safe_and_gone() {
        let mut picture = picture(true);
        look(&mut picture);
        let id = DriveId::from(picture.enrolments[0].id);
        picture.cards.get_mut(&id).expect("a card").problem = "sdb is in use".to_owned();
        look(&mut picture);
        let shown = picture.shown[&id].subscribe();
        assert_eq!(shown.borrow().problem, "sdb is in use");
        let card = picture.cards.get_mut(&id).expect("a card");
        (card.safe, card.released, card.problem) = (Some(Instant::now()), true, String::new());
        picture.devices.clear();
        look(&mut picture);
        assert_eq!((&shown.borrow().state, shown.borrow().problem.as_str()), (&DriveState::Safe, ""));
    }

    #[test]
    fn a_safe_drive_stays_when_it_is_unplugged_and_is_another_when_it_comes_again() {
        let mut picture = picture(true);
        look(&mut picture);
        let id = DriveId::from(picture.enrolments[0].id);
        let card = picture.cards.get_mut(&id).expect("a card");
        (card.safe, card.released) = (Some(Instant::now()), true);
        assert!(look(&mut picture).steps.is_empty());
        let shown = picture.shown[&id].subscribe();
        assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, "sdb"));
        let devices = std::mem::take(&mut picture.devices);
        look(&mut picture);
        assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, ""));
        assert!(picture.cards[&id].expires().is_some());
        picture.devices = devices;
        let next = look(&mut picture);
        assert_eq!((next.steps.len(), &shown.borrow().state), (1, &DriveState::Present));
    }
}
