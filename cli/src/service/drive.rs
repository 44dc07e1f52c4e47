//! A drive, and a destination of backups, with their current properties.

use std::collections::HashMap;

use butterdock_dbus::{DestinationProperties, DriveProperties, Problem, path};
use zbus::OwnedVariant;

use crate::failure::Failure;

/// A drive and its current properties.
#[derive(Debug, Clone)]
pub(crate) struct Drive {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) now: DriveProperties,
    /// As a destination, if it is enrolled.
    pub(crate) destination: Option<DestinationProperties>,
    /// Where other programs have it mounted; empty unless the caller asked, and may know it.
    pub(crate) mount_points: Vec<Vec<u8>>,
}

impl Drive {
    /// A drive from its properties; `None` if the path is not a drive's.
    pub(crate) fn read(path: &str, properties: &HashMap<String, OwnedVariant>) -> Result<Option<Self>, Failure> {
        let Some(id) = path::drive_id(path) else { return Ok(None) };
        let mut now = DriveProperties::default();
        for (name, value) in properties {
            now.set(name, value).map_err(|wrong| Failure::own(wrong.to_string()))?;
        }
        Ok(Some(Self { id, path: path.to_owned(), now, destination: None, mount_points: Vec::new() }))
    }

    /// Its label, model or device; `None` if all of them are empty.
    pub(crate) fn title(&self) -> Option<String> {
        let names = [&self.now.label, &self.now.model, &self.now.device];
        names.iter().any(|name| !name.trim().is_empty()).then(|| self.now.title())
    }

    /// Whether `wanted` is one of its names, the first letters of its id, or its device.
    pub(super) fn is_called(&self, wanted: &str) -> bool {
        !wanted.is_empty() && (self.id.starts_with(wanted) || self.has_name(wanted))
    }

    /// Whether `wanted` is one of its names, or its device.
    pub(super) fn has_name(&self, wanted: &str) -> bool {
        let device = wanted.strip_prefix("/dev/").unwrap_or(wanted);
        let mut devices = [&self.now.device, &self.now.disk].into_iter().chain(&self.now.devices);
        self.now.names.iter().any(|name| name == wanted) || devices.any(|name| name == device)
    }

    pub(super) fn is_attached(&self) -> bool {
        !self.now.device.is_empty()
    }

    pub(super) fn is_enrolled(&self) -> bool {
        self.now.enrolled
    }

    /// What is wrong with it, and with the backups to it.
    pub(crate) fn problems(&self) -> &[Problem] {
        self.destination.as_ref().map_or(&self.now.problems, |destination| &destination.problems)
    }
}

/// A destination and its current properties.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) now: DestinationProperties,
}

impl Destination {
    /// A destination from its properties; `None` if the path is not a destination's.
    pub(crate) fn read(path: &str, properties: &HashMap<String, OwnedVariant>) -> Result<Option<Self>, Failure> {
        let Some(id) = path::destination_id(path) else { return Ok(None) };
        let mut now = DestinationProperties::default();
        for (name, value) in properties {
            now.set(name, value).map_err(|wrong| Failure::own(wrong.to_string()))?;
        }
        Ok(Some(Self { id, path: path.to_owned(), now }))
    }
}
