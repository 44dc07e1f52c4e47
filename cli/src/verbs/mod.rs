//! One file per verb, and one (`work`) for the verbs that start a job on a drive: calls the service, and passes the answer to `render`.

pub(crate) mod backups;
pub(crate) mod cancel;
pub(crate) mod drives;
pub(crate) mod enrol;
pub(crate) mod forget;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod mount;
pub(crate) mod receive;
pub(crate) mod restore;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod trust_clock;
pub(crate) mod unlock;
pub(crate) mod volumes;
pub(crate) mod watch;
pub(crate) mod work;
