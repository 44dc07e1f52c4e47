//! The base of tests of the service: a private bus with the shipped policy, the real polkitd with the rules of the
//! test, a daemon with a loop volume, clients of any user, and a recorder of all messages on the bus.
//!
//! ```text
//! Bus       dbus-daemon on its own address; it includes the files that a package installs
//! Polkit    polkitd; its folders of actions and rules are the test's, by bind mounts in its own mount namespace
//! Daemon    butterdockd serve, with a configuration and a state folder in the rig
//! Client    a connection of root's; `python` and `as_nobody` for other languages and users
//! Recorder  a monitor connection, and its `Recording`
//! ```
//!
//! Everything ends when it is dropped, also in a panic; if the test itself is killed, the bus dies with its thread,
//! and the rest with the bus.

mod bus;
mod client;
mod daemon;
mod flood;
mod objects;
mod polkit;
mod python;
mod recorder;
mod recording;
mod shape;
mod silent_polkit;
mod streams;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use butterdock_dbus::names::ROOT;

pub use bus::Bus;
pub use butterdock_fixtures::shipped;
pub use client::{Client, Options, error_name, no_options};
pub use daemon::Daemon;
pub use flood::Flood;
pub use objects::{Object, objects};
pub use polkit::{Polkit, Rules};
pub use python::{answer, as_nobody, as_user, python};
pub use recorder::Recorder;
pub use recording::{Event, Heard, Moment, Recording};
pub use shape::shape;
pub use silent_polkit::SilentPolkit;
pub use streams::{Stalled, file_of, small, unfinished};

use crate::rig::{Rig, Volume};

/// The configured name of the volume.
pub const TANK: &str = "tank";

/// A service with one volume. The fields are in the order in which they have to end.
#[derive(Debug)]
pub struct Service {
    /// The daemon.
    pub daemon: Daemon,
    /// polkit, where the test has it.
    pub polkit: Option<Polkit>,
    /// The bus.
    pub bus: Bus,
    /// The volume [`TANK`].
    pub volume: Volume,
    /// The folder of all of it.
    pub rig: Rig,
}

impl Service {
    /// A service without polkit.
    ///
    /// # Errors
    /// Without root, with a sentence that says so; when something cannot be started.
    pub fn start() -> Result<Self> {
        let rig = Rig::new()?;
        let volume = rig.plain_volume(TANK)?;
        Self::over(rig, volume, None)
    }

    /// A service that asks polkit.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with_polkit(rules: &Rules) -> Result<Self> {
        let rig = Rig::new()?;
        let volume = rig.plain_volume(TANK)?;
        Self::over(rig, volume, Some(rules))
    }

    /// A service with a volume that the test has made.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn over(rig: Rig, volume: Volume, rules: Option<&Rules>) -> Result<Self> {
        let bus = Bus::start(&rig, None)?;
        let polkit = rules.map(|rules| Polkit::start(&rig, &bus, rules)).transpose()?;
        let daemon = Daemon::start(&bus, &configuration(&rig, volume.path())?)?;
        Ok(Self { daemon, polkit, bus, volume, rig })
    }

    /// A service without polkit, on a bus that has the limits of the system's.
    ///
    /// # Errors
    /// As [`Self::start`]; when there is no `system.conf`.
    pub fn with_limits_of_the_system() -> Result<Self> {
        let rig = Rig::new()?;
        let volume = rig.plain_volume(TANK)?;
        let bus = Bus::with_limits_of_the_system(&rig)?;
        let daemon = Daemon::start(&bus, &configuration(&rig, volume.path())?)?;
        Ok(Self { daemon, polkit: None, bus, volume, rig })
    }

    /// A client of root's.
    ///
    /// # Errors
    /// When the bus refuses it.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.bus.address())
    }

    /// Lets polkit start anew with other rules.
    ///
    /// # Errors
    /// As [`Polkit::start`].
    pub fn rule(&mut self, rules: &Rules) -> Result<()> {
        // The old one has to be off the bus, and its mounts away.
        drop(self.polkit.take());
        self.polkit = Some(Polkit::start(&self.rig, &self.bus, rules)?);
        Ok(())
    }
}

/// Writes a configuration with one volume, and answers where.
///
/// # Errors
/// When it cannot be written.
pub fn configuration(rig: &Rig, volume: &Path) -> Result<PathBuf> {
    let (file, state) = (rig.join("butterdock.toml"), rig.join("state"));
    fs::create_dir_all(&state)?;
    let text = format!("[paths]\nstate = {state:?}\n\n[[volume]]\nname = \"{TANK}\"\npath = {volume:?}\n");
    fs::write(&file, text)?;
    Ok(file)
}

/// The path of [`TANK`].
#[must_use]
pub fn tank() -> String {
    format!("{ROOT}/volumes/{TANK}")
}
