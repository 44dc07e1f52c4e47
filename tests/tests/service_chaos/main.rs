//! The service in trouble: its worker, itself or its client killed, its volume unmounted, its stream silent, its queue
//! flooded. Afterwards no worker is left, nothing half-made can be seen, and the daemon answers.

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
