//! The service under faults: its worker, its client or itself killed, its volume unmounted, its stream stalled, its
//! queue flooded. Afterwards no worker is left, no incomplete subvolume is visible, and the daemon answers.

mod beside;
mod bounds;
mod bus;
mod cancels;
mod descriptors;
mod hangs;
mod kills;
mod limits;
mod places;
mod stalls;
mod stops;
mod unmounts;
