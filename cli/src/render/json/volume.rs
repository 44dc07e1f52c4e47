//! The objects of volumes, subvolumes and stream files.

use butterdock_dbus::{StreamRow, SubvolumeRow, VolumeProperties};
use serde::Serialize;

use super::{hex, non_empty};

/// A volume.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeObject<'a> {
    name: &'a str,
    mounted: bool,
    size: Option<u64>,
    free: Option<u64>,
}

impl<'a> VolumeObject<'a> {
    pub(crate) fn new(volume: &'a VolumeProperties) -> Self {
        let known = |bytes| volume.mounted.then_some(bytes);
        Self { name: &volume.name, mounted: volume.mounted, size: known(volume.size), free: known(volume.free) }
    }
}

/// A subvolume.
#[derive(Debug, Serialize)]
pub(crate) struct SubvolumeObject<'a> {
    name: String,
    name_hex: String,
    id: u64,
    uuid: &'a str,
    received_uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    read_only: bool,
    created: Option<u64>,
}

impl<'a> SubvolumeObject<'a> {
    pub(crate) fn new(row: &'a SubvolumeRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            id: row.id,
            uuid: &row.uuid,
            received_uuid: row.received_uuid.as_deref(),
            parent_uuid: row.parent_uuid.as_deref(),
            read_only: row.read_only,
            created: row.created,
        }
    }
}

/// A stream file on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct StreamObject<'a> {
    name: String,
    name_hex: String,
    size: u64,
    subvolume: String,
    uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    problem: Option<&'a str>,
}

impl<'a> StreamObject<'a> {
    pub(crate) fn new(row: &'a StreamRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            size: row.size,
            subvolume: String::from_utf8_lossy(&row.subvolume).into_owned(),
            uuid: non_empty(&row.uuid),
            parent_uuid: row.parent_uuid.as_deref(),
            problem: row.problem.as_deref(),
        }
    }
}
