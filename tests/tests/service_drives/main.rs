//! Drives that come, are enrolled and go: real loop devices, told by a real udevd.

mod backup;
mod drives;
mod hooks;
mod journal;
mod rule;
mod stage;
