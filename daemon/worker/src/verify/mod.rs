//! This room verifies a drive, in a worker: the kernel's scrub of each of its devices, all at the same time, as each is as
//! slow as it is.
//!
//! The kernel scrubs inside one call that only [`cancel`] ends, and that for all devices at once. So a thread a
//! device makes the call, and this one watches: it tells how far they are, and cancels when somebody wants the end.

mod found;

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, Scope, scope};
use std::time::Duration;

use butterdock_btrfs::scrub::{Scrubbed, cancel, progress, scrub};
use butterdock_btrfs::space::{Kind, space};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, filesystem};
use butterdock_receive::Control;

pub(crate) use found::VerifyError;
pub use found::{Found, VerifyEvent};

/// The time between two looks at how far it is.
const TICK: Duration = Duration::from_millis(250);

/// A drive to be verified.
#[derive(Clone, Copy)]
pub(crate) struct Verify<'v> {
    /// The top of its filesystem, mounted writable.
    pub root: BorrowedFd<'v>,
    pub control: &'v Control,
    pub tell: &'v dyn Fn(VerifyEvent),
}

/// What came of one device.
type Done = (u64, Result<Scrubbed, Fault>);

impl Verify<'_> {
    /// Reads all of it; what was found is told last, and is no trouble of the call's.
    pub(crate) fn run(&self) -> Result<(), VerifyError> {
        let devices = self.devices()?;
        for &devid in &devices {
            // Cancelling ours would end that one too.
            if progress(self.root, devid)?.is_some() {
                return Err(VerifyError::Scrubbed);
            }
        }
        (self.tell)(VerifyEvent::Total { bytes: self.in_use()? });
        let ends = scope(|threads| {
            let done = self.begin(threads, &devices)?;
            Ok::<_, VerifyError>(self.watch(&devices, &done))
        })?;
        let found = ends.values().flatten().copied().fold(Scrubbed::default(), Scrubbed::and);
        let failed = ends.into_values().find_map(Result::err);
        match failed {
            Some(Fault { errno: Errno::ECANCELED, .. }) if self.control.is_cancelled() => Err(VerifyError::Cancelled),
            Some(fault) => Err(fault.into()),
            None => {
                (self.tell)(VerifyEvent::Found(Found::of(&found)));
                Ok(())
            }
        }
    }

    fn devices(&self) -> Result<Vec<u64>, Fault> {
        let mut devices = Vec::new();
        for devid in 1..=filesystem::info(self.root)?.max_id {
            if filesystem::device_info(self.root, devid)?.is_some() {
                devices.push(devid);
            }
        }
        Ok(devices)
    }

    /// Bytes that will be read: each copy is.
    fn in_use(&self) -> Result<u64, Fault> {
        let space = space(self.root)?;
        let of = |kind: Kind| kind.used.saturating_mul(kind.copies.max(1));
        let mixed = space.data == space.metadata;
        Ok(if mixed { of(space.data) } else { of(space.data).saturating_add(of(space.metadata)) })
    }

    fn begin<'scope, 'env>(
        &'env self,
        threads: &'scope Scope<'scope, 'env>,
        devices: &[u64],
    ) -> Result<Receiver<Done>, VerifyError> {
        let (ended, done) = channel();
        for &devid in devices {
            let (ended, root) = (ended.clone(), self.root);
            let work = move || ended.send((devid, scrub(root, devid))).unwrap_or_default();
            let begun = Builder::new().name(format!("scrub {devid}")).spawn_scoped(threads, work);
            if let Err(error) = begun {
                // Those that have begun are waited for.
                self.stop();
                return Err(VerifyError::NoThread(error.to_string()));
            }
        }
        Ok(done)
    }

    /// Until every device is done.
    fn watch(&self, devices: &[u64], done: &Receiver<Done>) -> BTreeMap<u64, Result<Scrubbed, Fault>> {
        let mut ends = BTreeMap::new();
        while ends.len() < devices.len() {
            match done.recv_timeout(TICK) {
                Ok((devid, end)) => drop(ends.insert(devid, end)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return ends,
            }
            if self.control.is_cancelled() {
                self.stop();
            }
            // What cannot be asked is told with its end.
            let now = |devid: &u64| match ends.get(devid) {
                Some(end) => end.unwrap_or_default(),
                None => progress(self.root, *devid).ok().flatten().unwrap_or_default(),
            };
            let bytes = devices.iter().map(now).fold(0, |sum: u64, one| sum.saturating_add(one.bytes));
            (self.tell)(VerifyEvent::Read { bytes });
        }
        ends
    }

    /// Again at every tick while one is left: a scrub may only be about to begin.
    fn stop(&self) {
        // It fails where none runs.
        best_effort(cancel(self.root));
    }
}
