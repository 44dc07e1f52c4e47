//! D-Bus calls to the service (`service`, `objects`) and its signals (`follow`). Prints nothing.

mod drive;
mod follow;
mod objects;
mod service;

pub(crate) use drive::Drive;
pub(crate) use follow::{Follow, Heard};
pub(crate) use objects::{Job, Objects};
pub(crate) use service::Service;
