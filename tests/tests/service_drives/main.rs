//! Drives that are attached, enrolled, backed up to and detached: real loop devices with a real udevd; also full and failing
//! drives, killed processes, and rapid plugs.

mod authorization;
mod backup;
mod cli;
mod clock;
mod copies;
mod damage;
mod damaged_enrolments;
mod drives;
mod files;
mod full_drives;
mod held_snapshots;
mod hooks;
mod import;
mod journal;
mod kills;
mod machines;
mod nested;
mod parents;
mod partitions;
mod plugs;
mod queries;
mod read_only;
mod reload;
mod renamed_backups;
mod rollback;
mod second_pool;
mod sleep_inhibitors;
mod source_space;
mod stream_queue;
mod two_drives;
mod udev_rule;
mod unenrolled;
mod unsent;
mod unwritable;
mod verify;
