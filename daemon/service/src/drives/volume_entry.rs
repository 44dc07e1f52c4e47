//! A configured volume in the table of drives.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::damage;
use crate::config::VolumeName;
use crate::enrolment::Enrolment;
use crate::types::Problem;
use crate::volumes::Volume;

/// The configured ones, by their filesystems.
pub(super) type Volumes = BTreeMap<Uuid, VolumeEntry>;

/// A configured volume.
#[derive(Debug)]
pub(super) struct VolumeEntry {
    pub(super) volume: Arc<Volume>,
    /// Why its record cannot be kept; empty where it is.
    pub(super) problem: String,
}

/// How many jobs, and callers who look at it, hold a volume, by its filesystem: also one that is configured otherwise since, or not
/// any more.
pub(super) type VolumeLeases = BTreeMap<Uuid, usize>;

impl VolumeEntry {
    /// Its configured name.
    pub(super) fn name(&self) -> &VolumeName {
        &self.volume.rule.name
    }

    /// What is wrong with it.
    pub(super) fn problems(&self, record: &Enrolment) -> Vec<Problem> {
        let sentence = Some(self.problem.clone()).filter(|sentence| !sentence.is_empty());
        let unwritable = sentence.map(|sentence| Problem::RecordUnwritable { sentence });
        unwritable.into_iter().chain(damage::problem(record)).collect()
    }

    /// Whether it is mounted, as it was seen last.
    pub(super) fn is_there(&self) -> bool {
        self.volume.seen().mounted()
    }
}
