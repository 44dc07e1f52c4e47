//! How much chance a run has: little and always the same by default, all of it with `FULL=1`.
//!
//! A run by default shows every fault that a test was written for, in minutes. What more rounds are for is luck: a moment
//! that was not hit yet.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

/// Whether `FULL=1` asks for all rounds.
#[must_use]
pub fn is_full() -> bool {
    std::env::var_os("FULL").is_some_and(|full| !full.is_empty() && full != "0")
}

/// How often a test does what it repeats: so many times, and `full` times with `FULL=1`.
#[must_use]
pub fn rounds<N>(few: N, full: N) -> N {
    if is_full() { full } else { few }
}

/// The seed of a test's chance: always the same, another at each run with `FULL=1`, and that of `BUTTERDOCK_SEED` where it is
/// set. A test that fails shows it.
///
/// # Errors
/// `BUTTERDOCK_SEED` is no number.
pub fn seed(same: u64) -> Result<u64> {
    let seed = match std::env::var("BUTTERDOCK_SEED") {
        Ok(seed) => seed.parse().context("BUTTERDOCK_SEED")?,
        Err(_) if is_full() => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
        Err(_) => same,
    };
    #[expect(clippy::print_stderr, reason = "a test that fails shows by what")]
    {
        eprintln!("BUTTERDOCK_SEED={seed}");
    }
    Ok(seed)
}
