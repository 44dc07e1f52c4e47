//! The service under faults: its worker, its client or itself killed, its volume unmounted, its stream stalled, its bus and
//! its queue flooded. Afterwards no worker is left, no incomplete subvolume is visible, and the daemon
//! answers.

mod call_floods;
mod cancel;
mod descriptor_floods;
mod hung_workers;
mod kills;
mod queue_limits;
mod replaced_volume;
mod restarts;
mod slow_streams;
mod unmounts;
mod unresponsive_files;
