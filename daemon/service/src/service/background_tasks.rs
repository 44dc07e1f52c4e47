//! The tasks of the service: each waits for its changes or its time, and acts.

use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::Service;
use crate::clock::{Clock, ClockTrust};
use crate::drives::{AwaitedBackup, DriveId, NotBegun, PlugEvent, Plugged};
use crate::supervisor::Heartbeat;
use crate::time_trigger::{self, Beginning, DueJob};
use crate::types::{Attempt, BackupOptions, Error, ErrorCode, Trigger};

/// The clocks are read and written down so often, beside each backup.
const CLOCK_CHECK: Duration = Duration::from_secs(3600);
/// The sources are looked at so often.
const SOURCE_CHECK: Duration = Duration::from_secs(60);
/// A backup of a plug that has not begun after this time is shown as a problem; other jobs may have to end before.
const PLUG_PATIENCE: Duration = Duration::from_secs(300);
const PLUG_RETRY: Duration = Duration::from_secs(1);
/// The shortest time between two looks at all backups: each reads the records of all drives.
const BACKUPS_GAP: Duration = Duration::from_millis(200);

/// Begins the backups that are due because a drive was plugged in, and records those that a plug did not begin.
pub(super) async fn follow_plugs(
    service: Service,
    mut plugs: mpsc::UnboundedReceiver<PlugEvent>,
    mut heartbeat: Heartbeat,
) -> anyhow::Error {
    while let Some(event) = heartbeat.during(plugs.recv()).await {
        match event {
            PlugEvent::Due(plugged) => drop(tokio::spawn(begin_plugged(service.clone(), plugged))),
            PlugEvent::NotBegun(NotBegun { drive, backups, error }) => {
                backups.iter().for_each(|backup| service.not_begun(&drive, backup, Trigger::Plug, &error));
            }
        }
    }
    anyhow!("internal error: its channel is closed")
}

/// Begins the backups of one plug, and ends when all are jobs: one may have to wait for the end of the job of the plug
/// before, or for room in the queue.
async fn begin_plugged(service: Service, plugged: Plugged) {
    let Plugged { drive, mut backups, mut reservation, mut gone } = plugged;
    if backups.is_empty() {
        // The drive is released as after its backups.
        reservation.set_of_job();
    } else {
        tracing::info!(BUTTERDOCK_DRIVE = drive.as_str(), "the backups {} are due on the drive", backups.join(", "));
    }
    let manager = &service.0.manager;
    let until = Instant::now() + PLUG_PATIENCE;
    let mut is_late = false;
    loop {
        let mut waiting = Vec::new();
        for (backup, begun) in service.begin_each(&drive, backups, BackupOptions::default(), Trigger::Plug).await {
            match begun {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::Busy => waiting.push((backup, error)),
                Err(error) => service.not_begun(&drive, &backup, Trigger::Plug, &error),
            }
        }
        if waiting.is_empty() {
            // Queued behind the backups: the drive is released after both.
            if manager.is_verify_due(&drive) && manager.is_beginning(&drive, &gone) {
                service.begin_verify(&drive).await;
            }
            manager.set_served(&drive, &gone);
            break;
        }
        let is_gone = timeout(PLUG_RETRY, gone.wait_for(|gone| *gone)).await.is_ok();
        if is_gone || !manager.is_beginning(&drive, &gone) {
            for (backup, error) in waiting {
                let unplugged = "the drive was unplugged before the backup could begin; plug it in again";
                let error = if is_gone { Error::new(ErrorCode::DeviceGone, unplugged) } else { error };
                service.not_begun(&drive, &backup, Trigger::Plug, &error);
            }
            break;
        }
        if Instant::now() >= until && !is_late {
            is_late = true;
            for (backup, error) in &waiting {
                manager.backup_not_done(&drive, backup, Attempt::not_begun(service.clock().micros(), error));
            }
        }
        backups = waiting.into_iter().map(|(backup, _)| backup).collect();
    }
    drop(reservation);
}

/// Begins the backups and verifies that are due by their times.
pub(super) async fn follow_times(service: Service, clock: Clock, heartbeat: Heartbeat) -> anyhow::Error {
    let manager = service.0.manager.clone();
    let begin = |drive: DriveId, job: DueJob| -> Beginning {
        let service = service.clone();
        Box::pin(async move {
            match job {
                DueJob::Backup(backup) => service.begin_due(&drive, backup).await,
                DueJob::Verify => service.begin_verify(&drive).await,
            }
        })
    };
    let trust = service.clock().clone();
    time_trigger::follow(manager, (clock, trust), begin, heartbeat).await
}

/// Begins the backups of attached drives whose source was not there, when it appears.
pub(super) async fn follow_sources(service: Service, mut heartbeat: Heartbeat) -> anyhow::Error {
    let mut changed = service.0.manager.sources_changed();
    while heartbeat.during(changed.changed()).await.is_ok() {
        for awaited in service.0.manager.awaited() {
            tokio::spawn(begin_when_there(service.clone(), awaited));
        }
    }
    anyhow!("internal error: its channel is closed")
}

async fn begin_when_there(service: Service, awaited: AwaitedBackup) {
    let AwaitedBackup { drive, rule, problem, ours } = awaited;
    let (manager, jobs) = (&service.0.manager, &service.0.jobs);
    let backup = rule.name.as_str().to_owned();
    if !jobs.source_has_appeared(rule, problem, ours).await {
        return;
    }
    let Some(reservation) = manager.take_awaited(&drive, &backup) else { return };
    tracing::info!(BUTTERDOCK_DRIVE = drive.as_str(), "the source of the backup \"{backup}\" has appeared");
    for (backup, begun) in service.begin_each(&drive, vec![backup], BackupOptions::default(), Trigger::Plug).await {
        match begun {
            Ok(_) => {}
            Err(error) if error.code() == ErrorCode::Busy && service.is_running(&drive, &backup) => {}
            Err(error) if error.code() == ErrorCode::Busy => {
                sleep(PLUG_RETRY).await;
                manager.await_source(&drive, &backup, problem);
            }
            Err(error) => service.not_begun(&drive, &backup, Trigger::Plug, &error),
        }
    }
    drop(reservation);
}

/// Looks at the backups after every change of what their states are made from.
pub(super) async fn follow_backups(service: Service, mut heartbeat: Heartbeat) -> anyhow::Error {
    let (mut reviewed, mut spaces) = (service.0.manager.reviewed(), service.0.jobs.source_spaces_changed());
    loop {
        service.look_at_backups();
        heartbeat.during(sleep(BACKUPS_GAP)).await;
        let changed = async {
            tokio::select! {
                reviewed = reviewed.changed() => reviewed.is_ok(),
                spaces = spaces.changed() => spaces.is_ok(),
            }
        };
        if !heartbeat.during(changed).await {
            return anyhow!("internal error: its channel is closed");
        }
    }
}

/// Looks at the sources from time to time: they may run full while their drives are away, and one that is awaited may have been moved to
/// its place, which is not reported.
pub(super) async fn follow_source_space(service: Service, mut heartbeat: Heartbeat) -> anyhow::Error {
    loop {
        heartbeat.during(sleep(SOURCE_CHECK)).await;
        heartbeat.during(service.check_sources()).await;
        service.0.manager.look_for_sources();
    }
}

/// Begins deletions again that the end of the service or an unplug interrupted.
pub(super) async fn follow_deletions(service: Service, mut heartbeat: Heartbeat) -> anyhow::Error {
    let (mut drives, mut waiting) = (service.0.manager.reviewed(), service.0.deletions.changed());
    loop {
        heartbeat.during(service.begin_deletions()).await;
        let next = async {
            tokio::select! {
                changed = drives.changed() => changed.is_ok(),
                changed = waiting.changed() => changed.is_ok(),
            }
        };
        if !heartbeat.during(next).await {
            return anyhow!("internal error: its channel is closed");
        }
    }
}

/// Reads the clocks from time to time.
pub(super) async fn follow_clocks(clock: ClockTrust, mut heartbeat: Heartbeat) -> anyhow::Error {
    let tick = async || {
        sleep(CLOCK_CHECK).await;
        Some(())
    };
    // The disk that the record is on may be slow.
    heartbeat.during(clock.follow(tick)).await;
    anyhow!("the thread that reads them was lost")
}
