//! Schedules over years, against an oracle that looks at every minute: it turns instants into local times only.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::*;

/// Zones with their rules in POSIX form, so that no database is needed: hours and half an hour, both hemispheres, clocks that go
/// back over midnight, and none.
pub(super) const ZONES: [&str; 7] = [
    "UTC0",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT,M3.2.0,M11.1.0",
    "NZST-12NZDT,M9.5.0,M4.1.0/3",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "CST5CDT,M3.2.0/0,M11.1.0/0:01",
    "<+0545>-5:45",
];

pub(super) fn zone(name: &str) -> TimeZone {
    TimeZone::posix(name).expect("a zone")
}

fn schedule(words: &[&str]) -> Schedule {
    Schedule::parse(words).expect("a schedule")
}

fn calendar(name: &str) -> Calendar {
    Calendar { zone: zone(name), delay: Duration::ZERO }
}

const YEAR: i64 = 366 * 86_400;
/// The first of December 2023: the year after it has a leap day.
pub(super) const START: i64 = 1_701_388_800;

/// A minute: its time, its local date, and the local minute of the day.
pub(super) type Minute = (i64, Date, i64);

/// Every minute from `START` for so long. Within an hour in which the clocks do not change, minutes follow each other.
pub(super) fn minutes(zone: &TimeZone, seconds: i64) -> Vec<Minute> {
    let local = |at: i64| -> Minute {
        let local = zone.to_datetime(Timestamp::from_second(at).expect("in range"));
        (at, local.date(), i64::from(local.hour()) * 60 + i64::from(local.minute()))
    };
    let mut all = Vec::new();
    for hour in (START..START + seconds).step_by(3600) {
        let (first, last) = (local(hour), local(hour + 3540));
        let is_plain = first.1 == last.1 && last.2 - first.2 == 59;
        let minute = |after: i64| {
            if is_plain { (hour + after * 60, first.1, first.2 + after) } else { local(hour + after * 60) }
        };
        all.extend((0..60).map(minute));
    }
    all
}

/// The instants of a daily time, found by looking at every minute: the first of a day that shows it; where none does, the one
/// that is as long after the skip as the time was in it.
pub(super) fn daily(minutes: &[Minute], wanted: i64) -> Vec<(Date, i64)> {
    let (first, last) = (minutes[0].1, minutes[minutes.len() - 1].1);
    let mut found: Vec<(Date, i64)> = Vec::new();
    for pair in minutes.windows(2) {
        let [(_, before, old), (at, date, minute)] = pair else { continue };
        let is_it = *minute == wanted;
        let is_skipped = before == date && *old < wanted && *minute > wanted;
        let is_skipped_at_midnight = before < date && *minute > wanted;
        if !(is_it || is_skipped || is_skipped_at_midnight) || found.iter().any(|(day, _)| day == date) {
            continue;
        }
        let later = if is_it {
            0
        } else if is_skipped {
            wanted - old - 1
        } else {
            wanted
        };
        found.push((*date, at + later * 60));
    }
    // Days of which only a part was looked at.
    found.retain(|(day, _)| *day > first && *day < last);
    found
}

/// All instants in order, as the schedule has them.
fn instants(schedule: &Schedule, calendar: &Calendar, (from, to): (i64, i64)) -> Vec<i64> {
    let mut found = Vec::new();
    let mut at = from - 1;
    while let Some(next) = schedule.next(at, calendar).filter(|next| *next < to) {
        assert!(next > at, "it goes forward");
        assert_eq!(schedule.newest(next, calendar), Some(next), "the newest at an instant is that instant");
        assert_eq!(
            schedule.newest(next - 1, calendar),
            schedule.newest(at, calendar).filter(|_| true),
            "none is between"
        );
        found.push(next);
        at = next;
    }
    found
}

#[test]
fn each_day_has_one_instant_in_every_zone() {
    for name in ZONES {
        let (zone, calendar) = (zone(name), calendar(name));
        let minutes = minutes(&zone, YEAR + 40 * 86_400);
        for time in ["00:00", "00:30", "01:30", "02:00", "02:15", "02:59", "03:00", "23:45"] {
            let wanted = time[..2].parse::<i64>().expect("hours") * 60 + time[3..].parse::<i64>().expect("minutes");
            let oracle = daily(&minutes, wanted);
            let range = (oracle[0].1, oracle[oracle.len() - 1].1 + 1);
            let expected: Vec<i64> = oracle.iter().map(|(_, at)| *at).collect();
            assert!(expected.len() > 395, "{name} {time}: every day has one: {}", expected.len());
            assert_eq!(instants(&schedule(&[&format!("daily {time}")]), &calendar, range), expected, "{name} {time}");
            let weekly: Vec<i64> =
                oracle.iter().filter(|(day, _)| day.weekday() == Weekday::Sunday).map(|(_, at)| *at).collect();
            assert_eq!(
                instants(&schedule(&[&format!("weekly sun {time}")]), &calendar, range),
                weekly,
                "{name} {time}"
            );
            let ends: Vec<i64> =
                oracle.iter().filter(|(day, _)| *day == day.last_of_month()).map(|(_, at)| *at).collect();
            assert_eq!(instants(&schedule(&[&format!("monthly 31 {time}")]), &calendar, range), ends, "{name} {time}");
            let leap = |day: &Date| day.day() == 29 || (day.month() == 2 && day.day() == 28 && !day.in_leap_year());
            let ends: Vec<i64> = oracle.iter().filter(|(day, _)| leap(day)).map(|(_, at)| *at).collect();
            assert_eq!(instants(&schedule(&[&format!("monthly 29 {time}")]), &calendar, range), ends, "{name} {time}");
        }
    }
}

#[test]
fn a_time_that_the_clocks_skip_or_repeat_happens_once() {
    let calendar = calendar("CET-1CEST,M3.5.0,M10.5.0/3");
    let at = |text: &str| text.parse::<Timestamp>().expect("a time").as_second();
    let schedule = schedule(&["daily 02:30"]);
    let next = |from: &str| schedule.next(at(from), &calendar);
    // In March there is no 02:30, in October there are two.
    assert_eq!(next("2024-03-30T20:00:00Z"), Some(at("2024-03-31T01:30:00Z")));
    assert_eq!(next("2024-03-31T01:30:00Z"), Some(at("2024-04-01T00:30:00Z")));
    assert_eq!(next("2024-10-26T20:00:00Z"), Some(at("2024-10-27T00:30:00Z")));
    assert_eq!(next("2024-10-27T00:30:00Z"), Some(at("2024-10-28T01:30:00Z")));
    assert_eq!(schedule.newest(at("2024-10-27T01:45:00Z"), &calendar), Some(at("2024-10-27T00:30:00Z")));
}

#[test]
fn periods_keep_their_length_when_clocks_change() {
    for name in ZONES {
        for (word, seconds) in [("hourly", 3600), ("every 6h", 21_600), ("every 15m", 900), ("every 2d", 172_800)] {
            let found = instants(&schedule(&[word]), &calendar(name), (START, START + 40 * 86_400));
            assert!(
                found.iter().all(|at| at % seconds == 0) && found.windows(2).all(|pair| pair[1] - pair[0] == seconds)
            );
        }
    }
}

#[test]
fn a_list_is_the_union_of_its_entries() {
    let calendar = calendar(ZONES[1]);
    let range = (START, START + YEAR);
    let words = ["on-plug", "daily 02:00", "weekly sun 03:00", "monthly 1 02:00", "every 6h"];
    let of = |word: &&str| instants(&schedule(&[*word]), &calendar, range);
    let all: BTreeSet<i64> = words.iter().flat_map(of).collect();
    let union = schedule(&words);
    assert_eq!(instants(&union, &calendar, range), all.into_iter().collect::<Vec<_>>());
    assert!(union.is_on_plug() && union.has_times());
    assert_eq!(union.period(), Some(Duration::from_secs(6 * 3600)));
    for words in [["on-plug"], ["manual"]] {
        let none = schedule(&words);
        assert_eq!((none.next(START, &calendar), none.newest(START, &calendar), none.has_times()), (None, None, false));
    }
}

#[test]
fn spread_is_fixed_for_one_machine_and_backup() {
    let spread = Duration::from_secs(1800);
    let delay = |machine: u8, backup: &str| Calendar::of(TimeZone::UTC, spread, [machine; 16], backup).delay;
    assert_eq!(delay(1, "home"), delay(1, "home"));
    let all: BTreeSet<Duration> = (0..=99).map(|machine| delay(machine, "home")).collect();
    assert!(all.len() > 80 && all.iter().all(|delay| *delay < spread), "{all:?}");
    assert!(delay(1, "home") != delay(1, "etc"));
    let later = Calendar::of(TimeZone::UTC, spread, [1; 16], "home");
    let plain = Calendar { delay: Duration::ZERO, ..later.clone() };
    let daily = schedule(&["daily 23:59"]);
    let difference = i64::try_from(later.delay.as_secs()).expect("small");
    for at in (START..START + 3 * 86_400).step_by(977) {
        assert_eq!(daily.next(at + difference, &later), daily.next(at, &plain).map(|at| at + difference));
        assert_eq!(daily.newest(at + difference, &later), daily.newest(at, &plain).map(|at| at + difference));
    }
    assert_eq!(Calendar::of(TimeZone::UTC, Duration::ZERO, [1; 16], "home").delay, Duration::ZERO);
}

#[test]
fn the_words_of_a_schedule_are_read_and_written_alike() {
    for word in [
        "on-plug",
        "manual",
        "hourly",
        "every 6h",
        "every 15m",
        "every 1w",
        "daily 02:00",
        "weekly sun 03:00",
        "monthly 31 23:59",
    ] {
        assert_eq!(schedule(&[word]).entries(), [word]);
    }
    assert_eq!(schedule(&["every 60m", "daily 2:00", "hourly"]).entries(), ["hourly", "daily 02:00"]);
    let words = schedule(&["on-plug", "daily 02:00", "weekly sun 03:00", "monthly 30 04:00", "every 6h"]).words();
    assert_eq!(
        words,
        "when one of its drives is plugged in, every day at 02:00, every Sunday at 03:00, on day 30 of every month (the last \
         day of a shorter one) at 04:00, every 6h, and on request"
    );
    for wrong in [
        "",
        "daily",
        "daily 24:00",
        "daily 02:60",
        "daily 2",
        "daily 02:0",
        "daily  02:00",
        "Daily 02:00",
        "weekly 02:00",
        "weekly sunday 02:00",
        "monthly 0 02:00",
        "monthly 32 02:00",
        "monthly +1 02:00",
        "every 0h",
        "every 30s",
        "every h",
        "every 99999h",
        "every -1h",
        "every 400d",
        "every é",
        "on plug",
        "daily 02:00 ",
        "every 6h 3",
    ] {
        let text = Schedule::parse(&[wrong]).expect_err(wrong);
        assert!(text.contains("no schedule: a schedule is one of \"on-plug\""), "{text}");
    }
    assert!(Schedule::parse(&["manual", "hourly"]).expect_err("refused").contains("stands alone"));
    assert!(Schedule::parse(&[] as &[&str]).expect_err("refused").contains("at least one"));
    assert!(Schedule::parse(&["daily 02:00"; 33]).expect_err("refused").contains("up to 32"));
}
