//! Four hundred days of two drives, with a clock that is set wrong, runs late, stays in 1970 and is right again.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::name;
use super::retention::{RetentionRule, is_from_future};
use super::seen::{FirstSeen, Seen};
use super::simulation::{START, World};
use super::snapshot::Identity;
use super::snapshot::Snapshot;
use super::task::TaskTime;
use super::utc::{DAY, HOUR};
use crate::clock::{Reading, Record};

const PROTECT: u64 = 30 * 24 * 3600;
const KEEP: RetentionRule = RetentionRule { last: 3, hourly: 0, daily: 7, weekly: 4, monthly: 3, yearly: 0 };

/// A machine with clocks.
struct Machine {
    world: World,
    now: Reading,
    record: Record,
    /// Seconds that really passed.
    real: i64,
    /// When each snapshot was really made.
    made: BTreeMap<Identity, i64>,
    /// Beside the source and on each drive.
    seen: [FirstSeen; 3],
}

/// What goes wrong on a day.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// The clock is set wrong by this many days, and is right again some hours later.
    Set { days: i64, hours: i64 },
    /// It stands in 1970, and is right again some hours later.
    Epoch { hours: i64 },
    /// The machine is off for this many days.
    Off { days: i64 },
    /// What was recorded of the clocks is lost.
    Lost,
}

impl Machine {
    fn new(keep: RetentionRule) -> Self {
        let now = Reading { wall: START, boot: 60, boot_id: Uuid::from_u128(1), synchronised: Some(false) };
        let record = Record::first(&now, Uuid::from_u128(7));
        let (made, seen) = (BTreeMap::new(), Default::default());
        Self { world: World::new(keep, PROTECT), now, record, real: 0, made, seen }
    }

    fn look(&mut self) {
        self.record = self.record.after(&self.now);
    }

    /// This many hours pass.
    fn runs(&mut self, hours: i64) {
        for _ in 0..hours {
            self.now.boot += HOUR.unsigned_abs();
            self.now.wall += HOUR;
            self.real += HOUR;
            self.look();
        }
    }

    fn sides(&self) -> [&[Snapshot]; 3] {
        let [(first, _), (second, _)] = &self.world.drives;
        [&self.world.source, first, second]
    }

    /// Backs up, as the service and a worker do; nothing that is really young is deleted.
    fn back_up(&mut self, drive: usize) {
        self.look();
        let elapsed = self.record.elapsed();
        self.world.task.time = TaskTime {
            stopped: self.record.stop().is_some(),
            settled_source: self.seen[0].settled(PROTECT, elapsed),
            settled_drive: self.seen[1 + drive].settled(PROTECT, elapsed),
            ..TaskTime::default()
        };
        let before: Vec<Vec<Snapshot>> = self.sides().iter().map(|side| side.to_vec()).collect();
        let transid = self.world.transid;
        self.world.back_up(drive, self.now.wall);
        let (real, now) = (self.real, self.now.wall);
        let new: Vec<Identity> =
            self.sides().concat().iter().filter(|one| one.id > transid).map(|one| one.uuid).collect();
        self.made.extend(new.into_iter().map(|uuid| (uuid, real)));
        for (side, before) in self.sides().into_iter().zip(&before) {
            for gone in before.iter().filter(|one| side.iter().all(|left| left.uuid != one.uuid)) {
                let age = real - self.made[&gone.uuid];
                assert!(age >= PROTECT.cast_signed(), "{:?} was deleted {} days old", gone.name, age / DAY);
                assert!(!is_from_future(time(gone), now), "{:?} is from the future", gone.name);
                assert!(self.record.stop().is_none(), "deleted while the clock was in doubt");
            }
        }
        for (at, side) in [0, 1 + drive].map(|at| (at, self.sides()[at].to_vec())) {
            let there: Vec<Seen> =
                side.iter().map(|&Snapshot { uuid, otransid, .. }| Seen { uuid, otransid }).collect();
            self.seen[at] = self.seen[at].after(&there, elapsed);
        }
    }

    /// Seconds beyond any date.
    fn different(&self) -> i64 {
        i64::try_from(self.made.len()).expect("few")
    }

    fn goes(&mut self, wrong: Wrong, drive: usize) {
        match wrong {
            Wrong::Set { days, hours } => {
                // No two snapshots get one name.
                let by = days * DAY + self.different();
                self.now.wall += by;
                self.runs(hours);
                self.back_up(drive);
                self.now.wall -= by;
            }
            Wrong::Epoch { hours } => {
                let by = self.now.wall - self.different();
                self.now.wall -= by;
                self.runs(hours);
                self.back_up(drive);
                self.now.wall += by;
            }
            Wrong::Off { days } => {
                self.now.boot_id = Uuid::from_u128(self.now.boot_id.as_u128() + 1);
                self.now.boot = 0;
                self.now.wall += days * DAY;
                self.real += days * DAY;
            }
            Wrong::Lost => {
                self.record = Record::after_unreadable(&self.now, Uuid::from_u128(self.now.wall.unsigned_abs().into()));
                assert!(self.record.stop().is_some());
                self.runs(1);
                self.back_up(drive);
            }
        }
        self.look();
    }
}

fn time(snapshot: &Snapshot) -> i64 {
    snapshot.name.as_deref().and_then(|name| name::parse(b"home", name)).expect("a name")
}

fn any_wrong() -> impl Strategy<Value = Wrong> {
    prop_oneof![
        4 => (-200..200_i64, 0..20_i64).prop_map(|(days, hours)| Wrong::Set { days, hours }),
        1 => (0..20_i64).prop_map(|hours| Wrong::Epoch { hours }),
        2 => (0..50_i64).prop_map(|days| Wrong::Off { days }),
        1 => Just(Wrong::Lost),
    ]
}

/// Runs this many days, and returns the machine.
fn lives(days: usize, wrong: &[(usize, Wrong)]) -> Machine {
    let mut machine = Machine::new(KEEP);
    for day in 0..days {
        let drive = day % 2;
        machine.runs(24);
        machine.back_up(drive);
        for (_, wrong) in wrong.iter().filter(|(at, _)| *at == day) {
            machine.goes(*wrong, drive);
        }
    }
    machine
}

#[test]
fn a_running_clock_deletes_old_snapshots_in_four_hundred_days() {
    let machine = lives(400, &[]);
    assert_eq!(machine.record.stop(), None, "never synchronised, and pruned all the same");
    for side in machine.sides() {
        // Those of 30 days, on each drive half of them, and what the rules keep beyond.
        assert!(side.len() <= 30 + 7 + 4 + 3 + 3, "{} are kept", side.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_clock_setting_deletes_young_snapshots(
        wrong in prop::collection::vec((0..300_usize, any_wrong()), 0..8),
    ) {
        let machine = lives(400, &wrong);
        prop_assert_eq!(machine.record.stop(), None, "pruning is stopped for ever");
        let now = machine.now.wall;
        for side in machine.sides() {
            let counted = side.iter().filter(|one| !is_from_future(time(one), now)).count();
            // Days on which the machine was off, or the clock wrong, may make it a few more.
            prop_assert!(counted <= 30 + 7 + 4 + 3 + 3 + 2 * 8, "{counted} are kept");
        }
    }
}
