//! The local time zone.
//!
//! `--dump` shows times as `btrfs receive --dump` does, in local time. The C library's localtime(3) is no safe call
//! from Rust; tz-rs reads the same `TZ` and `/etc/localtime` without it.

use tz::TimeZone;

/// A function that tells how many seconds local time is ahead of UTC at a point in time.
pub(crate) fn local() -> impl Fn(i64) -> i32 {
    let zone = match std::env::var("TZ") {
        Ok(text) => TimeZone::from_posix_tz(&text),
        Err(_) => TimeZone::local(),
    };
    // As the C library has it: a zone that cannot be read is UTC.
    let zone = zone.unwrap_or_else(|_| TimeZone::utc());
    move |seconds| zone.find_local_time_type(seconds).map_or(0, tz::LocalTimeType::ut_offset)
}
