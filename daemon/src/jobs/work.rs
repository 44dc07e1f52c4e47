//! What a job will do, while it waits for its turn.

use std::sync::Arc;

use butterdock_dbus::Error;

use super::about::About;
use super::handle::{Wish, no_such_volume};
use super::job::Total;
use super::runner::{Receive, Runner};
use crate::config::Config;
use crate::volumes::Volume;
use crate::worker;

/// One of the kinds of jobs, with everything that it needs.
#[derive(Debug)]
pub(super) enum Work {
    Receive(Box<Wish>),
}

impl Work {
    /// What it is about.
    pub(super) fn about(&self) -> About {
        match self {
            Self::Receive(wish) => About::receive(wish.volume.rule.name.clone()),
        }
    }

    /// Who wants it.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Receive(wish) => wish.uid,
        }
    }

    /// How much is known to come before it begins.
    pub(super) fn total(&self) -> Total {
        match self {
            Self::Receive(wish) => wish.total.clone(),
        }
    }

    /// The volume that it writes to.
    pub(super) fn volume(&self) -> Option<&Arc<Volume>> {
        match self {
            Self::Receive(wish) => Some(&wish.volume),
        }
    }

    /// Whether what it is about is configured as it was when it was asked for.
    pub(super) fn is_configured(&self, config: &Config) -> bool {
        match self {
            Self::Receive(wish) => config.volumes.contains(&wish.volume.rule),
        }
    }

    /// The error where it is not.
    pub(super) fn not_configured(&self) -> Error {
        match self {
            Self::Receive(wish) => no_such_volume(wish.volume.rule.name.as_str()),
        }
    }

    /// Begins, in a task of its own. `lanes` is how many threads write data.
    pub(super) fn begin(self, runner: Runner, lanes: Option<usize>) {
        match self {
            Self::Receive(wish) => {
                let Wish { volume, place, input, name, verify, force_decompress, .. } = *wish;
                let order = worker::Order::Receive { name, verify, force_decompress, no_verity: false, lanes };
                tokio::spawn(Receive { runner, volume, place, input, order }.run());
            }
        }
    }
}
