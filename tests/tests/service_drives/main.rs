//! Drives that come, are enrolled and go: real loop devices, told by a real udevd.

mod backup;
mod drives;
mod import;
mod stage;
mod verify;
