//! Volumes of this machine that backups go to. Other programs mount them; the service opens their directory for each use.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::entry::VolumeEntry;
use super::manager::DriveManager;
use super::problem::failed;
use super::table::{DriveTable, goes};
use super::{DriveId, DriveReservation, Lease, damage, micros, shown};
use crate::blocking::local;
use crate::config::{Config, DestinationPlace, VolumeName, VolumeRule};
use crate::types::{DestinationId, DestinationKind, DestinationProperties, DestinationState, Error, ErrorCode};
use crate::volumes::Volume;

/// Timeout for looking at a volume, and for opening it.
const LOOKING: Duration = Duration::from_secs(3);
const OPENING: Duration = Duration::from_secs(20);

impl DriveTable {
    /// A volume that is configured as before stays what it is. Jobs on others continue.
    fn set_volumes(&mut self, now: Vec<(Uuid, VolumeRule, String)>) {
        let mut before = std::mem::take(&mut self.volumes);
        for (id, rule, problem) in now {
            let known = before.remove(&id).filter(|known| known.volume.rule == rule);
            let volume = known.map_or_else(|| Volume::new(rule), |known| known.volume);
            self.volumes.insert(id, VolumeEntry { volume, problem });
        }
    }

    /// Whether a job, or a caller who looks at it, holds a volume with this filesystem.
    pub(super) fn is_volume_leased(&self, id: Uuid) -> bool {
        self.volume_leases.contains_key(&id)
    }

    /// The volumes as destinations.
    pub(super) fn volume_destinations(&self) -> Vec<DestinationProperties> {
        let of = |(id, entry): (&Uuid, &VolumeEntry)| {
            let record = self.enrolments.iter().find(|record| record.id == *id);
            let rules =
                self.config.backups.iter().filter(|rule| record.is_some_and(|one| goes(&self.config, rule, one)));
            let backups: Vec<String> = rules.map(|rule| rule.name.as_str().to_owned()).collect();
            let of_backups = record.map(|one| shown::of_backups(self, one, backups.iter().map(String::as_str)));
            let problems = record.map(|one| entry.problems(one)).unwrap_or_default();
            let seen = entry.volume.seen();
            DestinationProperties {
                id: DestinationId(entry.name().as_str().to_owned()),
                name: entry.name().as_str().to_owned(),
                kind: DestinationKind::Volume,
                state: match (seen.mounted(), self.is_volume_leased(*id)) {
                    (_, true) => DestinationState::Busy,
                    (true, false) => DestinationState::Present,
                    (false, false) => DestinationState::Away,
                },
                problems: problems
                    .into_iter()
                    .chain(of_backups.into_iter().flatten())
                    .chain(record.and_then(|one| self.verify_overdue(one)))
                    .collect(),
                free: seen.free,
                size: seen.size,
                last_backup: record.map_or(0, |record| record.last_backup),
                last_verify: record.and_then(damage::verified).unwrap_or_default(),
                next_verify: record.and_then(|one| self.next_verify(one)).and_then(micros).unwrap_or_default(),
                next_run: record.and_then(|one| self.next_run(one)).and_then(micros).unwrap_or_default(),
                overdue: record.is_some_and(|one| self.is_any_overdue(one)),
                backups,
                origins: self.origins.get(id).cloned().unwrap_or_default(),
            }
        };
        self.volumes.iter().map(of).collect()
    }

    /// What callers call the destination with this id: a configured volume by its name.
    pub(super) fn destination_id(&self, id: &DriveId) -> DestinationId {
        self.volume(id).map_or_else(|| id.into(), |entry| DestinationId(entry.name().as_str().to_owned()))
    }

    /// The volume with this id.
    pub(super) fn volume(&self, id: &DriveId) -> Option<&VolumeEntry> {
        self.volumes.get(&id.enrolment()?)
    }
}

impl DriveManager {
    /// The id of the destination with this name: of a configured volume that of its filesystem.
    pub(crate) fn named(&self, name: &str) -> DriveId {
        let table = self.lock();
        let volume = table.volumes.iter().find(|(_, entry)| entry.name().as_str() == name);
        volume.map_or_else(|| DriveId(name.to_owned()), |(id, _)| DriveId::from(*id))
    }

    /// The name of the destination with this id, if it is a configured volume.
    pub(crate) fn volume_name(&self, id: &DriveId) -> Option<String> {
        self.lock().volume(id).map(|entry| entry.name().as_str().to_owned())
    }

    /// The label of a drive, attached or away, or the name of a volume. None: there is no such destination.
    pub(crate) fn label(&self, id: &DriveId) -> Option<String> {
        let shown = self.drive(id).map(|drive| drive.label.clone());
        shown.or_else(|| self.lock().enrolment(id).map(|enrolment| enrolment.label().to_owned()))
    }

    /// The configured volumes are these from now on. Each gets a record, and is looked at.
    pub(crate) async fn set_volumes(&self, config: &Config) {
        let rules = config.destinations.iter().filter_map(|rule| match &rule.place {
            DestinationPlace::Volume { path, uuid } => {
                let volume = VolumeRule { name: rule.name.clone(), path: path.clone(), uuid: Some(*uuid) };
                Some((uuid.uuid(), volume))
            }
            DestinationPlace::Drive { .. } => None,
        });
        let mut kept = Vec::new();
        for (id, rule) in rules {
            let problem = self.keep_record(id, &rule.name).await.err().unwrap_or_default();
            kept.push((id, rule, problem));
        }
        self.lock().set_volumes(kept);
        // Also where none is left.
        self.review();
        self.look_at_volumes().await;
    }

    /// Keeps an empty record of a volume whose record was forgotten, if it is still configured: it stays a destination.
    pub(super) async fn begin_anew(&self, id: Uuid) -> Result<(), Error> {
        let name = self.lock().volumes.get(&id).map(|entry| entry.name().clone());
        let Some(name) = name else { return Ok(()) };
        let kept = self.keep_record(id, &name).await;
        if let Some(entry) = self.lock().volumes.get_mut(&id) {
            entry.problem = kept.clone().err().unwrap_or_default();
        }
        kept.map_err(failed)
    }

    async fn keep_record(&self, id: Uuid, name: &VolumeName) -> Result<(), String> {
        let (register, now, text) = (self.0.register.clone(), self.0.clock.micros(), name.as_str().to_owned());
        let kept = local(move || register.keep_volume(id, &text, now)).await;
        let record = kept.map_err(|lost| lost.to_string())?.map_err(|error| {
            tracing::warn!("the destination \"{name}\" cannot be used: {error}");
            error.public().to_owned()
        })?;
        self.lock().note(record);
        Ok(())
    }

    /// Mounts may have changed: looks at each volume.
    pub(super) async fn look_at_volumes(&self) {
        let volumes: Vec<Arc<Volume>> = self.lock().volumes.values().map(|entry| Arc::clone(&entry.volume)).collect();
        if volumes.is_empty() {
            return;
        }
        let looks: tokio::task::JoinSet<()> =
            volumes.into_iter().map(|volume| async move { volume.look(LOOKING).await }).collect();
        looks.join_all().await;
        self.review();
    }

    /// Opens a volume, and holds it until the lease is dropped. None: the id is not that of a configured volume.
    pub(super) async fn lease_volume(
        &self,
        id: &DriveId,
        reservation: DriveReservation,
    ) -> Result<Result<Lease, Error>, DriveReservation> {
        let found = self.lock().volume(id).map(|entry| (Arc::clone(&entry.volume), entry.problem.clone()));
        let Some((volume, problem)) = found else { return Err(reservation) };
        if !problem.is_empty() {
            return Ok(Err(failed(problem)));
        }
        Ok(self.open_volume(id, &volume, reservation).await)
    }

    async fn open_volume(&self, id: &DriveId, volume: &Volume, reservation: DriveReservation) -> Result<Lease, Error> {
        let name = &volume.rule.name;
        let opened = volume.open(OPENING).await.map_err(|unanswered| {
            Error::new(ErrorCode::DeviceGone, format!("the destination \"{name}\" does not answer: {unanswered}"))
        })?;
        let opened = opened.map_err(|unusable| {
            Error::new(ErrorCode::DeviceGone, format!("the destination \"{name}\" cannot be used: {unusable}"))
        })?;
        let directory = opened.directory.as_fd().try_clone_to_owned();
        let root = directory.map(File::from).map_err(|error| {
            failed(format!("cannot open the destination ({error}); wait until other jobs have ended, and try again"))
        });
        let (root, mount) = (root?, opened.mount);
        opened.directory.close().await;
        {
            let mut table = self.lock();
            let id = id.enrolment().filter(|id| table.volumes.contains_key(id));
            let id = id.ok_or_else(|| failed("the destination is not configured any more"))?;
            let leased = table.volume_leases.entry(id).or_default();
            *leased = leased.saturating_add(1);
        }
        self.review();
        // Who uses a volume that is unmounted learns that from the kernel.
        Ok(Lease::new(self.clone(), id.clone(), (root, mount), None, reservation))
    }

    /// One fewer holds it. Its free space is another then.
    pub(super) fn end_use_of_volume(&self, id: &DriveId) {
        let volume = {
            let mut table = self.lock();
            let Some(id) = id.enrolment() else { return };
            let Some(leased) = table.volume_leases.get_mut(&id) else { return };
            *leased = leased.saturating_sub(1);
            if *leased == 0 {
                table.volume_leases.remove(&id);
            }
            table.volumes.get(&id).map(|entry| Arc::clone(&entry.volume))
        };
        // Without a runtime the service has ended.
        let (Some(volume), Ok(runtime)) = (volume, tokio::runtime::Handle::try_current()) else { return };
        let manager = self.clone();
        runtime.spawn(async move {
            volume.look(LOOKING).await;
            manager.review();
        });
    }
}
