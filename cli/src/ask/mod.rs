//! This room asks the service: once (`service`, `objects`), or on and on (`follow`). It prints nothing.

mod drive;
mod follow;
mod objects;
mod service;

pub(crate) use drive::Drive;
pub(crate) use follow::{Follow, Heard};
pub(crate) use objects::{Job, Objects};
pub(crate) use service::Service;
