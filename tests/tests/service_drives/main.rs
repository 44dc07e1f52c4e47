//! Drives that come, are enrolled and go: real loop devices, told by a real udevd.

mod authority;
mod backup;
mod drives;
mod import;
mod listing;
mod stage;
mod verify;
