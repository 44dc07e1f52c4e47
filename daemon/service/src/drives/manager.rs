//! The manager of the drives: what all that is done with them has in common. `handle` has what other modules call.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::drive_lock::{self, DriveLock, DriveLockGuard};
use super::entry::DriveEntry;
use super::problem::{away, busy, failed, no_such_drive};
use super::table::DriveTable;
use super::{Drive, DriveId, PlugEvent};
use crate::blocking::BlockingQueues;
use crate::clock::Clock;
use crate::config::Config;
use crate::destination_list::DestinationList;
use crate::device::Devices;
use crate::enrolment::{Enrolment, EnrolmentStore};
use crate::hooks::{Event, Hooks, Kind};
use crate::types::{DriveState, Error, Problem};

/// Manages the drives. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DriveManager(pub(super) Arc<Shared>);

/// What all that is done with drives has in common.
#[derive(Debug)]
pub(super) struct Shared {
    table: Mutex<DriveTable>,
    pub(super) devices: Arc<dyn Devices>,
    pub(super) clock: Clock,
    pub(super) register: EnrolmentStore,
    pub(super) run: std::path::PathBuf,
    pub(super) state: std::path::PathBuf,
    /// Changes at each review of the table.
    pub(super) reviewed: watch::Sender<()>,
    /// Changes when a drive is shown that was not.
    pub(super) arrived: watch::Sender<()>,
    pub(super) plugs: mpsc::UnboundedSender<PlugEvent>,
    /// Changes when a source may have appeared.
    pub(super) sources: watch::Sender<()>,
    pub(super) hooks: Hooks,
    pub(super) destinations: DestinationList,
    pub(super) operations: BlockingQueues<DriveId>,
    pub(super) reads: BlockingQueues<DriveId>,
    /// The service ends.
    pub(super) ending: AtomicBool,
}

impl DriveManager {
    /// Knows of no device yet.
    pub(super) fn new(
        config: &Config,
        (devices, clock): (Arc<dyn Devices>, Clock),
        (hooks, destinations): (Hooks, DestinationList),
        register: EnrolmentStore,
        enrolments: Vec<Enrolment>,
    ) -> (Self, mpsc::UnboundedReceiver<PlugEvent>) {
        let (plugs, received) = mpsc::unbounded_channel();
        let manager = Self(Arc::new(Shared {
            table: Mutex::new(DriveTable::new(config.clone(), enrolments, clock.clone(), register.machine())),
            devices,
            clock,
            register,
            run: config.run.clone(),
            state: config.state.clone(),
            reviewed: watch::Sender::new(()),
            arrived: watch::Sender::new(()),
            plugs,
            sources: watch::Sender::new(()),
            hooks,
            destinations,
            operations: drive_lock::operations(),
            reads: drive_lock::reads(),
            ending: AtomicBool::new(false),
        }));
        manager.note_unreadable();
        (manager, received)
    }

    /// The drive, attached or away, where it is shown.
    pub fn drive(&self, id: &DriveId) -> Option<Drive> {
        self.lock().shown.get(id).map(|shown| shown.borrow().clone())
    }

    /// Takes over which enrolments cannot be read now.
    pub(super) fn note_unreadable(&self) {
        self.lock().unreadable = self.0.register.unreadable();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, DriveTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the hooks of a drive. Not to be called with the lock held: it is taken here.
    pub(super) fn tell(&self, kind: Kind, id: &DriveId) {
        let label = {
            let table = self.lock();
            let away = || table.enrolment(id).map(|enrolment| enrolment.label().to_owned());
            table.shown.get(id).map(|shown| shown.borrow().label.clone()).or_else(away)
        };
        self.0.hooks.tell(Event::of(kind, id.as_str(), &label.unwrap_or_default()));
    }

    /// Waits for the lock of an attached drive.
    pub(super) async fn lock_drive(&self, id: &DriveId) -> Result<DriveLockGuard, Error> {
        let lock: Option<DriveLock> = self.lock().entries.get(id).map(|entry| entry.lock.clone());
        lock.ok_or_else(|| self.not_attached(id))?.acquire().await
    }

    /// The error for a drive that is not attached.
    pub(crate) fn not_attached(&self, id: &DriveId) -> Error {
        let Some(drive) = self.drive(id).filter(|drive| drive.state == DriveState::Away) else {
            return no_such_drive(id);
        };
        match drive.problems.iter().find(|problem| matches!(problem, Problem::EnrolmentUnreadable { .. })) {
            Some(problem) => failed(problem.to_string()),
            None => away(&drive.label),
        }
    }

    /// Ends the lock, and reviews the table.
    pub(super) fn done(&self, guard: DriveLockGuard) {
        drop(guard);
        self.review();
    }

    /// Changes what is going on with a drive, where it is still there.
    pub(super) fn entry<T>(&self, id: &DriveId, change: impl FnOnce(&mut DriveEntry) -> T) -> Option<T> {
        self.lock().entries.get_mut(id).map(change)
    }

    /// Refuses a drive that a job holds.
    pub(super) fn free(&self, id: &DriveId) -> Result<(), Error> {
        if self.entry(id, |entry| entry.leased).is_some_and(|leased| leased > 0) {
            return Err(busy("a job uses the drive; wait for it, or cancel it first"));
        }
        Ok(())
    }
}
