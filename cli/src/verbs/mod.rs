//! This room has one file for each verb: it asks, and hands the answer to `render`.

pub(crate) mod cancel;
pub(crate) mod history;
pub(crate) mod jobs;
pub(crate) mod receive;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod volumes;
pub(crate) mod watch;
