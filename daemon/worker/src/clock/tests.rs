use proptest::prelude::*;

use super::*;

const START: i64 = 1_795_378_500;
const HOUR: u64 = 3600;
const DAYS: u64 = 24 * HOUR;

/// A machine with simulated clocks.
#[derive(Clone)]
struct Machine {
    now: Reading,
    record: Record,
    /// Real seconds since the beginning.
    real: u64,
}

impl Machine {
    fn at(wall: i64) -> Self {
        let now = Reading { wall, boot: 100, boot_id: Uuid::from_u128(1), synchronised: Some(false) };
        Self { now, record: Record::first(&now, Uuid::from_u128(9)), real: 0 }
    }

    fn read(&mut self) -> bool {
        self.record = self.record.after(&self.now);
        self.record.stop().is_some()
    }

    /// This many seconds pass, with a reading each hour. Returns whether pruning is stopped.
    fn runs(&mut self, seconds: u64) -> bool {
        let mut stopped = self.record.stop().is_some();
        for passed in (0..seconds).step_by(3600).map(|at| HOUR.min(seconds - at)) {
            self.now.boot += passed;
            self.now.wall += passed.cast_signed();
            self.real += passed;
            stopped = self.read();
        }
        stopped
    }

    /// The clock is set by this much.
    fn set(&mut self, by: i64) -> bool {
        self.now.wall += by;
        self.read()
    }

    /// The machine is off for `off` seconds; its clock advances by `shown`.
    fn restarts(&mut self, off: u64, shown: i64) -> bool {
        self.now.boot_id = Uuid::from_u128(self.now.boot_id.as_u128() + 1);
        self.now.boot = 60;
        self.now.wall += shown + 60;
        self.real += off + 60;
        self.read()
    }

    fn synchronises(&mut self, wall: i64) -> bool {
        self.now = Reading { wall, synchronised: Some(true), ..self.now };
        let stopped = self.read();
        self.now.synchronised = Some(false);
        stopped
    }
}

/// Events, and whether pruning is stopped afterwards.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn the_clock_is_doubted_only_where_it_ran_ahead() {
    type Action = fn(&mut Machine) -> bool;
    let table: [(&str, Action, bool); 23] = [
        ("an hour", |at| at.runs(HOUR), false),
        ("never synchronised for 400 days", |at| at.runs(400 * DAYS), false),
        ("a day ahead within a boot", |at| at.set(DAY), false),
        ("a day and a second ahead within a boot", |at| at.set(DAY + 1), true),
        ("small steps that add up", |at| (0..9).map(|_| at.set(DAY / 4)).last().unwrap_or_default(), true),
        ("asleep for 90 days", |at| at.runs(90 * DAYS), false),
        ("off for 30 days", |at| at.restarts(30 * DAYS, 30 * DAY), false),
        ("off for 31 days", |at| at.restarts(31 * DAYS, 31 * DAY), true),
        (
            "off for 20 days after 60 days with readings",
            |at| {
                at.runs(60 * DAYS);
                at.restarts(20 * DAYS, 20 * DAY)
            },
            false,
        ),
        (
            "off for 31 days and synchronised",
            |at| {
                at.now.synchronised = Some(true);
                at.restarts(31 * DAYS, 31 * DAY)
            },
            false,
        ),
        ("synchronised while ahead", |at| at.set(40 * DAY) && at.synchronises(START + 40 * DAY), false),
        ("ahead for 23 hours", |at| at.set(40 * DAY) && at.runs(23 * HOUR), true),
        ("ahead for 24 hours", |at| at.set(40 * DAY) && at.runs(24 * HOUR), false),
        (
            "ahead for 24 hours in two boots",
            |at| {
                at.set(40 * DAY);
                at.runs(13 * HOUR);
                at.restarts(HOUR, 3600) && at.runs(11 * HOUR)
            },
            false,
        ),
        (
            "ahead by a little, and restarted",
            |at| {
                at.set(3 * DAY);
                at.restarts(HOUR, 3600)
            },
            true,
        ),
        (
            "ahead, and further ahead after 23 hours",
            |at| {
                at.set(40 * DAY);
                at.runs(23 * HOUR);
                at.set(40 * DAY) && at.runs(HOUR)
            },
            true,
        ),
        ("ahead and right again", |at| at.set(40 * DAY) && at.set(-40 * DAY), false),
        ("behind", |at| at.set(-400 * DAY), false),
        (
            "in 1970 and right again",
            |at| {
                at.set(-START);
                at.runs(3 * HOUR);
                at.set(START)
            },
            false,
        ),
        (
            "booted in 1970, and set to the right time",
            |at| {
                at.restarts(5 * DAYS, -at.now.wall);
                at.runs(3 * HOUR);
                at.set(START + 5 * DAY)
            },
            false,
        ),
        (
            "booted in 1970, and set 40 days ahead",
            |at| {
                at.restarts(DAYS, -at.now.wall);
                at.set(START + 40 * DAY)
            },
            true,
        ),
        (
            "in 1970 for over a day, and right again",
            |at| {
                at.set(-START);
                at.runs(30 * HOUR);
                at.set(START)
            },
            false,
        ),
        (
            "behind for over a day, and ahead again",
            |at| {
                at.set(-100 * DAY);
                at.runs(30 * HOUR);
                at.set(100 * DAY)
            },
            true,
        ),
    ];
    for (what, action, stopped) in table {
        let mut machine = Machine::at(START);
        assert_eq!(action(&mut machine), stopped, "{what}: {:?}", machine.record);
    }
}

#[test]
fn a_machine_starting_in_1970_trusts_the_first_plausible_time() {
    let mut machine = Machine::at(0);
    assert!(!machine.runs(HOUR));
    assert!(!machine.set(START), "{:?}", machine.record);
    assert_eq!(machine.record.elapsed().seconds, HOUR, "56 years are not elapsed time");
    assert!(machine.set(40 * DAY), "from then on the clocks are compared");
}

#[test]
fn root_ends_the_doubt() {
    let mut machine = Machine::at(START);
    assert!(machine.set(40 * DAY));
    let stop = machine.record.stop().expect("stopped");
    assert_eq!(stop, Stop { reason: StopReason::Ahead { seconds: 40 * DAYS }, remaining: 24 * HOUR });
    machine.record = machine.record.trusted(&machine.now);
    assert_eq!(machine.record.stop(), None);
    assert!(!machine.runs(DAYS), "it is not doubted again");
    assert_eq!(machine.record.elapsed().seconds, 24 * HOUR, "setting the clock is not elapsed time");
}

#[test]
fn after_an_unreadable_record_nothing_is_deleted_for_24_hours() {
    let mut machine = Machine::at(START);
    machine.record = Record::after_unreadable(&machine.now, Uuid::from_u128(8));
    assert_eq!(machine.record.stop().map(|stop| stop.reason), Some(StopReason::Unreadable));
    assert!(machine.runs(23 * HOUR));
    assert!(!machine.clone().runs(HOUR));
    assert!(!machine.clone().synchronises(START + DAY));
    assert_eq!(machine.record.trusted(&machine.now).stop(), None);
    machine.now.synchronised = Some(true);
    assert_eq!(Record::after_unreadable(&machine.now, Uuid::from_u128(8)).stop(), None);
}

#[test]
fn elapsed_time_is_boot_time_and_time_off() {
    let mut machine = Machine::at(START);
    machine.runs(10 * DAYS);
    machine.restarts(20 * DAYS, 20 * DAY);
    assert_eq!(machine.record.elapsed().seconds, machine.real);
    assert!(machine.restarts(60 * DAYS, 60 * DAY), "doubted");
    assert!(machine.record.elapsed().seconds < machine.real, "not counted before the clock is trusted");
    assert!(!machine.runs(24 * HOUR));
    assert_eq!(machine.record.elapsed().seconds, machine.real);
    machine.set(-START);
    machine.set(START + 40 * DAY);
    machine.runs(24 * HOUR);
    assert_eq!(machine.record.elapsed().seconds, machine.real, "setting the clock is not elapsed time");
}

/// An event of a clock.
#[derive(Debug, Clone)]
enum Event {
    Runs(u64),
    Set(i64),
    Restarts(u64),
    Right,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..40_u64).prop_map(|hours| Event::Runs(hours * HOUR)),
        2 => (-500..500_i64).prop_map(|days| Event::Set(days * DAY)),
        1 => (0..20_u64).prop_map(|days| Event::Restarts(days * DAYS)),
        1 => Just(Event::Right),
    ]
}

proptest! {
    #[test]
    fn clock_settings_never_add_elapsed_time(events in prop::collection::vec(any_event(), 0..60)) {
        let mut machine = Machine::at(START);
        let mut wrong = 0_i64;
        for event in events {
            match event {
                Event::Runs(seconds) => drop(machine.runs(seconds)),
                Event::Set(by) => {
                    wrong += by;
                    machine.set(by);
                }
                // With a wrong clock the time off is unknown.
                Event::Restarts(off) if wrong == 0 => drop(machine.restarts(off, off.cast_signed())),
                Event::Restarts(_) => {}
                Event::Right => {
                    machine.set(-wrong);
                    wrong = 0;
                }
            }
            let after = machine.record.elapsed().seconds;
            prop_assert!(after <= machine.real, "{after} of {}", machine.real);
        }
        // In the end, a clock that runs normally is trusted.
        prop_assert!(!machine.runs(25 * HOUR));
    }

    #[test]
    fn a_clock_over_a_day_ahead_stops_pruning_for_a_day(
        before in 0..400_u64, by in DAY + 1..400 * DAY, hours in 0..24_u64,
    ) {
        let mut machine = Machine::at(START);
        prop_assert!(!machine.runs(before * HOUR));
        prop_assert!(machine.set(by));
        prop_assert_eq!(machine.runs(hours * HOUR), true);
        prop_assert!(!machine.runs((24 - hours) * HOUR));
    }
}
