//! Drives that are attached, enrolled and detached: real loop devices with a real udevd.

mod authority;
mod awake;
mod backup;
mod cli;
mod clock;
mod damaged;
mod drives;
mod events;
mod hooks;
mod import;
mod journal;
mod listing;
mod parts;
mod read_only;
mod reload;
mod rule;
mod swapped;
mod timedate;
mod verify;
