//! Every verb against a fake service on a private bus.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests, outside #[test]")]

mod answers;
mod backups;
mod drives;
mod endings;
mod fake;
mod held_snapshots;
mod metrics;
mod notify;
mod pages;
mod python;
mod readme;
mod run;
mod settings;
mod watching;
