//! This room makes what a privileged test stands on: a temporary folder, volumes in it, and processes that end.

mod aim;
mod failing;
mod full;
mod hired;
mod intruder;
mod left;
mod loops;
mod meddler;
mod patience;
mod process;
mod product;
mod sandbox;
mod volume;
mod watcher;
mod zram;

pub use aim::Aim;
pub use failing::Failing;
pub use full::{is_full, rounds, seed};
pub use hired::{Ended, Hired, receive};
pub use intruder::{Intruder, intrude_once};
pub use left::{all_names, names};
pub use loops::{Loop, LoopNumber};
pub use meddler::Meddler;
pub use patience::{Patience, beside_others};
pub use process::{Finished, Running, Usage, run, run_measured, start};
pub use product::{Receiver, butterdockd, helper, standard_is_the_known_one};
pub use sandbox::Rig;
pub use volume::{Layout, LoopDevice, Volume, unmount};
pub use watcher::Watcher;
pub use zram::Zram;

/// How long nothing may move before a test calls it a hang. Generous: it is no measure of speed, and a machine has other work.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(180);
