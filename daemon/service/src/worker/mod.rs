//! Starts workers and receives their reports: the service's end of [`butterdock_worker`].

mod handle;
#[cfg(test)]
mod simulated;
mod spawner;

pub(crate) use butterdock_worker::protocol::{Order, Report, WorkerError};
pub(crate) use butterdock_worker::{
    IoPriority, Priority, Subject, UNCONFIRMED, public_of_backup, public_of_deletion, public_of_files,
    public_of_import, public_of_restore, public_of_transfer, public_sentence,
};
pub(crate) use handle::Worker;
#[cfg(test)]
pub(crate) use simulated::SimulatedWorker;
pub(crate) use spawner::{Spawner, WorkerFds};
