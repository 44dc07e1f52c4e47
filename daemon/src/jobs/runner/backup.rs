//! Backs up a source to a drive.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use butterdock_dbus::ErrorName;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::follow::Heard;
use super::receive::no_descriptor;
use super::stay::{Berth, Errand};
use super::{Outcome, Runner, other_than};
use crate::backups::{self, Identity, Task};
use crate::config::BackupRule;
use crate::drives::{Dock, Lease};
use crate::jobs::entry::Ending;
use crate::jobs::job::Trouble;
use crate::jobs::sources::Sources;
use crate::worker::Order;

/// The source and the drive have so long to answer when they are opened.
const OPENING: Duration = Duration::from_secs(30);

/// A source, and the drive it goes to.
#[derive(Debug)]
pub(in crate::jobs) struct Backup {
    pub(in crate::jobs) rule: BackupRule,
    pub(in crate::jobs) sources: Sources,
    /// How many threads write data; one for each core where nothing is said.
    pub(in crate::jobs) lanes: Option<usize>,
}

/// What the worker is handed.
#[derive(Debug)]
pub(in crate::jobs) struct Open {
    /// What the source has to be, where that is known.
    pub(in crate::jobs) source: Option<Identity>,
    /// The source, the folder for its snapshots, the destination on the drive.
    pub(in crate::jobs) places: Vec<OwnedFd>,
    /// The destination once more, to sweep it.
    destination: OwnedFd,
}

impl Errand for Backup {
    type Place = OwnedFd;

    async fn work(&mut self, runner: &mut Runner, berth: &Berth, lease: &Lease) -> Result<(Outcome, OwnedFd), Ending> {
        let root = lease.root().try_clone_to_owned().map_err(|error| Ending::Trouble(no_descriptor(&error)))?;
        let (rule, sources) = (self.rule.clone(), self.sources.clone());
        let opening = timeout(OPENING, spawn_blocking(move || open(&rule, &sources, &root)));
        let opened = tokio::select! {
            opened = opening => opened,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let failed = |name, text: String| Ending::Trouble(Trouble::plain(name, text));
        let Open { source, places, destination } = match opened {
            Ok(Ok(Ok(open))) => open,
            Ok(Ok(Err(text))) => return Err(failed(ErrorName::Failed, text)),
            Ok(Err(error)) => return Err(failed(ErrorName::Failed, format!("{error}; start the job again"))),
            Err(_late) => {
                let text = "the source or the drive does not answer; check both and their cables (dmesg)";
                return Err(failed(ErrorName::DeviceGone, text.to_owned()));
            }
        };
        let task = task(&self.rule, source, (&berth.dock, lease), self.lanes);
        let order = Order::Backup(task.map_err(|text| failed(ErrorName::Failed, text))?);
        let mut outcome = runner.work(order, places, destination.as_fd()).await;
        self.remember(runner, berth, &mut outcome, source).await;
        Ok((outcome, destination))
    }
}

impl Backup {
    /// What the drive needs for the next increment is durable before the job is said to have succeeded.
    async fn remember(&self, runner: &Runner, berth: &Berth, outcome: &mut Outcome, expected: Option<Identity>) {
        let Heard { source, pin, found: _ } = outcome.heard;
        let Some(pin) = pin else { return };
        let Berth { dock, drive } = berth;
        if let Err(error) = dock.backed_up(drive, self.rule.name.as_str(), pin).await {
            outcome.fail(super::stay::trouble(error));
        }
        if let (None, Some(uuid)) = (expected, source) {
            let (sources, rule) = (self.sources.clone(), self.rule.clone());
            let written = spawn_blocking(move || sources.remember(&rule, uuid)).await;
            if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                tracing::warn!(butterdock_job = %runner.id, "cannot write down which subvolume the source is: {error}");
            }
        }
    }
}

/// What the worker is told.
pub(in crate::jobs) fn task(
    rule: &BackupRule,
    source: Option<Identity>,
    (dock, lease): (&Dock, &Lease),
    lanes: Option<usize>,
) -> Result<Task, String> {
    let name = rule.name.as_str();
    Ok(Task {
        name: name.as_bytes().to_vec(),
        source,
        keep: rule.keep,
        protect: rule.protect.as_secs(),
        pins: dock.pins(name)?,
        last: lease.pin(name)?.map(|pin| pin.drive),
        lanes,
        dry_run: false,
    })
}

/// Blocks as long as the source and the drive do.
pub(in crate::jobs) fn open(rule: &BackupRule, sources: &Sources, root: &OwnedFd) -> Result<Open, String> {
    let source = sources.of(rule).map_err(|error| {
        format!("what the source has to be cannot be read: {error}; check the disk of the state directory")
    })?;
    let places = backups::open(&rule.source, &rule.snapshots, root.as_fd(), &rule.folder);
    let places = places.map_err(|closed| closed.to_string())?;
    let destination = places.last().map(OwnedFd::try_clone).transpose();
    match destination {
        Ok(Some(destination)) => Ok(Open { source, places, destination }),
        Ok(None) => Err("the destination on the drive was not opened; start the job again".to_owned()),
        Err(error) => Err(no_descriptor(&error).public),
    }
}
