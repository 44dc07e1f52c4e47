//! The service's part of a backup, before and after its worker runs.

mod folder;
mod places;

pub use butterdock_worker::backups::*;
pub(crate) use places::{check_folder, open};
