//! A year of one backup by its times, with suspends, absences of its drive, failures, and a clock that is set. What ran is judged
//! by the instants that an oracle finds by looking at every minute: never twice for one instant, and none is missed.

use butterdock_fixtures::trees::Random;
use butterdock_fixtures::{rounds, seed};

use super::tests::{Minute, START, ZONES, daily, minutes, zone};
use super::{Attempts, Calendar, Due, Duration, Schedule};

const DAYS: i64 = 366;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const SPAN: i64 = (DAYS + 60) * DAY;

/// The machine and its drive. Times are true, but for the wall clock.
struct World {
    random: Random,
    schedule: Schedule,
    calendar: Calendar,
    now: i64,
    /// What the wall clock is ahead.
    ahead: i64,
    last_good: Option<i64>,
    attempts: Attempts,
    /// The wall times at which good runs began, and the last one before.
    runs: Vec<(i64, Option<i64>)>,
}

impl World {
    fn wall(&self) -> i64 {
        self.now + self.ahead
    }

    fn below(&mut self, limit: i64) -> i64 {
        i64::try_from(self.random.number() % limit.unsigned_abs()).expect("small")
    }

    fn due(&self) -> Due {
        Due::of(&self.schedule, &self.calendar, self.last_good, &self.attempts, self.wall())
    }

    /// The machine is awake and the drive attached until `end`: what is due runs.
    fn serves(&mut self, end: i64) {
        while self.now < end {
            let due = self.due();
            if due.begins_at(self.wall()) {
                // Some runs take longer than the schedule's period: instants pass during them.
                let takes = if self.below(6) == 0 { self.below(3 * DAY) } else { self.below(3 * HOUR) };
                let fails = self.below(5) == 0;
                self.runs_now(takes, fails);
                let due = self.due();
                assert!(fails || !due.is_due || due.begins_at(self.wall()), "an instant during a good run is lost");
            } else {
                let begins = due.begins.expect("it has times") - self.ahead;
                assert!(begins > self.now, "it is awaited");
                self.now = begins.min(end);
            }
        }
    }

    /// What failed is tried again, in no time: then nothing is due.
    fn catches_up(&mut self) {
        self.attempts = Attempts::default();
        while self.due().begins_at(self.wall()) {
            self.runs_now(0, false);
        }
    }

    fn runs_now(&mut self, takes: i64, fails: bool) {
        let begun = self.wall();
        self.now += takes;
        if fails {
            self.attempts.failed(self.wall());
        } else {
            self.runs.push((begun, self.last_good));
            self.last_good = Some(begun);
            self.attempts.succeeded(begun);
        }
    }

    /// The wall clock is set, by less than a day.
    fn is_set(&mut self) {
        self.ahead = self.below(2 * DAY - 2) - DAY + 1;
    }
}

/// The instants of some words that the oracle knows, by looking at every minute.
fn oracle(minutes: &[Minute], words: &str) -> Vec<i64> {
    if words == "every 6h" {
        return (START..START + SPAN).step_by(3600).filter(|at| at % (6 * HOUR) == 0).collect();
    }
    let (kind, time) = (words.split(' ').next().expect("a word"), &words[words.len() - 5..]);
    let minute = time[..2].parse::<i64>().expect("hours") * 60 + time[3..].parse::<i64>().expect("minutes");
    let days = daily(minutes, minute);
    let is_on = |day: &jiff::civil::Date| match kind {
        "daily" => true,
        "weekly" => day.weekday() == jiff::civil::Weekday::Sunday,
        _ => day.day() == day.days_in_month(),
    };
    days.into_iter().filter(|(day, _)| is_on(day)).map(|(_, at)| at).collect()
}

/// The instants after `from` and up to `to`.
fn between(instants: &[i64], from: Option<i64>, to: i64) -> usize {
    let first = from.map_or(0, |from| instants.partition_point(|at| *at <= from));
    instants.partition_point(|at| *at <= to).saturating_sub(first)
}

#[test]
fn in_a_year_of_changes_no_instant_runs_twice_or_is_missed() {
    let seed = seed(1).expect("a seed");
    for name in ZONES {
        let minutes = minutes(&zone(name), SPAN);
        for words in ["daily 02:30", "daily 00:00", "weekly sun 03:00", "monthly 31 02:00", "every 6h"] {
            let instants = oracle(&minutes, words);
            (0..rounds(2, 200)).for_each(|round| live_through_a_year((name, words), &instants, seed + round));
        }
    }
}

fn live_through_a_year((name, words): (&str, &str), instants: &[i64], seed: u64) {
    let zone = zone(name);
    let mut world = World {
        random: Random::new(seed),
        schedule: Schedule::parse(&[words]).expect("a schedule"),
        calendar: Calendar { zone, delay: Duration::ZERO },
        now: START + 40 * DAY,
        ahead: 0,
        last_good: None,
        attempts: Attempts::default(),
        runs: Vec::new(),
    };
    let what = format!("{name} {words} seed {seed}");
    while world.now < START + (DAYS - 10) * DAY {
        // Awake and attached, then suspended, switched off or away.
        let awake = world.below(6 * DAY) + 1;
        world.serves(world.now + awake);
        world.catches_up();
        let good = world.last_good.filter(|last| *last <= world.wall() + DAY);
        let missed = between(instants, good, world.wall());
        assert!(missed == 0, "{what}: {missed} missed at {}", world.wall());
        world.now += match world.below(4) {
            0 => 0,
            1 => world.below(30 * DAY),
            _ => world.below(2 * DAY),
        };
        if world.below(6) == 0 {
            world.is_set();
        }
    }
    for (begun, before) in &world.runs {
        let is_for_one =
            before.is_none_or(|before| between(instants, Some(before), *begun) > 0 || before > begun + DAY);
        assert!(is_for_one, "{what}: the run at {begun} is the second after {before:?}");
    }
    assert!(world.runs.len() > 6, "{what}: {}", world.runs.len());
}
