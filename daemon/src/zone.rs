//! The local time zone.
//!
//! `--dump` shows times as `btrfs receive --dump` does, in local time. The C library's localtime(3) is no safe call
//! from Rust; jiff reads the same `TZ` and `/etc/localtime` without it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A function that says how many seconds local time is ahead of UTC at a point in time. A zone that cannot be read is UTC.
pub(crate) fn local() -> impl Fn(i64) -> i32 {
    let zone = TimeZone::system();
    move |seconds| {
        // A stream may hold any number: beyond the calendar's ends the zone stays as it is there.
        let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        zone.to_offset(Timestamp::from_second(seconds).unwrap_or(end)).seconds()
    }
}
