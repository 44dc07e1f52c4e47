//! A backup through a worker: what arrives, what is refused, what a crash and a full drive leave.

mod clock;
mod fixture;
mod kept;
mod kills;
mod locks;
mod refusals;
mod room;
mod ways;
