//! Rules against lists of snapshots.

use proptest::prelude::*;

use super::*;

fn id(number: u64) -> Identity {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Identity(bytes)
}

fn ours(number: u64, time: i64) -> Candidate {
    Candidate {
        id: id(number),
        time,
        pinned: false,
        ours: true,
        held: false,
        settled: true,
        unpinned: false,
        damaged: false,
    }
}

fn rule(keep: RetentionRule, protect: u64, now: i64) -> Rule {
    Rule { keep, protect, now, stopped: false }
}

const NOTHING: RetentionRule = RetentionRule::NEWEST;

fn kept(keep: &RetentionRule, protect: u64, now: i64, snapshots: &[Candidate]) -> Vec<Candidate> {
    let reasons = reasons(&rule(*keep, protect, now), snapshots);
    snapshots.iter().zip(reasons).filter_map(|(snapshot, reason)| reason.map(|_| *snapshot)).collect()
}

#[test]
fn the_newest_of_each_day_is_kept() {
    let day = |day: i64, hour: i64| day * DAY + hour * HOUR;
    let snapshots = [ours(1, day(1, 9)), ours(2, day(1, 20)), ours(3, day(50, 1)), ours(4, day(90, 1))];
    let keep = RetentionRule { daily: 3, ..NOTHING };
    let reasons = reasons(&rule(keep, 0, day(90, 2)), &snapshots);
    assert_eq!(reasons, [None, Some(Reason::Daily), Some(Reason::Daily), Some(Reason::Newest)]);
}

#[test]
fn weeks_begin_on_monday_and_years_in_january() {
    // The 29th of December 2025 was a Monday.
    let monday = name::seconds(jiff::civil::date(2025, 12, 29).at(0, 0, 0, 0));
    let snapshots = [ours(1, monday - 1), ours(2, monday), ours(3, monday + 3 * DAY), ours(4, monday + 30 * DAY)];
    let weekly = reasons(&rule(RetentionRule { weekly: 9, ..NOTHING }, 0, monday + 40 * DAY), &snapshots);
    assert_eq!(weekly, [Some(Reason::Weekly), None, Some(Reason::Weekly), Some(Reason::Newest)]);
    let yearly = reasons(&rule(RetentionRule { yearly: 9, ..NOTHING }, 0, monday + 40 * DAY), &snapshots);
    assert_eq!(yearly, [None, Some(Reason::Yearly), None, Some(Reason::Newest)]);
}

#[test]
fn an_empty_rule_keeps_the_newest() {
    assert_eq!(reasons(&rule(NOTHING, 0, 100), &[ours(1, 5), ours(2, 4)]), [Some(Reason::Newest), None]);
}

#[test]
fn other_snapshots_are_neither_deleted_nor_counted() {
    let foreign = Candidate { ours: false, ..ours(9, 50) };
    let reasons = reasons(&rule(RetentionRule { last: 1, ..NOTHING }, 0, 100), &[foreign, ours(1, 5), ours(2, 4)]);
    assert_eq!(reasons, [Some(Reason::NotOurs), Some(Reason::Newest), None]);
}

#[test]
fn a_clock_that_was_set_back_deletes_nothing() {
    let snapshots = [ours(1, 10 * DAY), ours(2, 20 * DAY), ours(3, 30 * DAY)];
    assert_eq!(kept(&NOTHING, 0, 0, &snapshots).len(), 3);
}

#[test]
fn rules_do_not_count_snapshots_from_the_future() {
    let now = 1000 * DAY;
    let genuine = [ours(1, now - 3 * DAY), ours(2, now - 2 * DAY), ours(3, now - DAY)];
    let future = [ours(4, now + 30 * DAY), ours(5, now + 31 * DAY), ours(6, now + 32 * DAY)];
    let all = [genuine, future].concat();
    let three = |keep| {
        let reasons = reasons(&rule(keep, 0, now), &all);
        assert!(reasons[3..].iter().all(|reason| *reason == Some(Reason::FromFuture)), "{reasons:?}");
        reasons[..3].iter().flatten().count()
    };
    assert_eq!(three(RetentionRule { last: 3, ..NOTHING }), 3);
    assert_eq!(three(RetentionRule { daily: 3, ..NOTHING }), 3);
    assert_eq!(three(NOTHING), 1, "the newest of those that are not from the future");
    // After their date they count like all others.
    let later = reasons(&rule(RetentionRule { last: 3, ..NOTHING }, 0, now + 40 * DAY), &all);
    assert_eq!(later.iter().flatten().count(), 3);
}

#[test]
fn a_recently_seen_snapshot_is_protected_whatever_its_date() {
    let now = 1000 * DAY;
    let unseen = |number, time| Candidate { settled: false, ..ours(number, time) };
    let all = [ours(1, now - 90 * DAY), unseen(2, now - 80 * DAY), unseen(3, now - 70 * DAY), ours(4, now - 60 * DAY)];
    let month = reasons(&rule(NOTHING, 30 * DAY as u64, now), &all);
    assert_eq!(month, [None, Some(Reason::Protected), Some(Reason::Protected), Some(Reason::Newest)]);
    assert_eq!(kept(&NOTHING, 0, now, &all), [all[3]], "protect = 0 protects nothing");
}

#[test]
fn without_protect_a_slightly_future_date_protects_nothing() {
    // Names are unique to the second, so backups that follow each other quickly are dated ahead.
    let now = 100 * DAY;
    let all = [ours(1, now + 1), ours(2, now + 2), ours(3, now + 3)];
    assert_eq!(kept(&NOTHING, 0, now, &all), [all[2]]);
    assert_eq!(kept(&NOTHING, 1, now, &all), all);
}

#[test]
fn an_unpinned_snapshot_is_deleted_unless_a_drive_needs_it() {
    let unpinned = |number, time| Candidate { unpinned: true, ..ours(number, time) };
    let pinned = Candidate { pinned: true, ..unpinned(2, 20) };
    let foreign = Candidate { ours: false, ..unpinned(4, 40) };
    let all = [ours(1, 10), pinned, unpinned(3, 30), foreign];
    let rule = Rule { stopped: true, ..rule(RetentionRule { last: 9, ..NOTHING }, 99, 100) };
    let kept = [Some(Reason::Protected), Some(Reason::Pinned), None, Some(Reason::NotOurs)];
    assert_eq!(reasons(&rule, &all), kept);
}

#[test]
fn a_damaged_snapshot_takes_no_place_of_an_undamaged_one() {
    let damaged = |number, time| Candidate { damaged: true, pinned: true, ..ours(number, time) };
    let last = |last, all: &[Candidate]| reasons(&rule(RetentionRule { last, ..NOTHING }, 0, 100), all);
    let (newest, kept) = (Some(Reason::Newest), Some(Reason::Last));
    assert_eq!(last(1, &[ours(1, 10), damaged(2, 20)]), [newest, newest], "the newest may be whole but for one file");
    let all = [ours(1, 10), ours(2, 20), damaged(3, 30), damaged(4, 40), ours(5, 50)];
    assert_eq!(last(2, &all), [None, kept, None, kept, newest], "the rule takes a damaged one as if it were good");
    assert_eq!(last(0, &[damaged(1, 10), damaged(2, 20)]), [None, newest], "all are damaged");
}

#[test]
fn an_untrusted_clock_keeps_everything_and_is_the_reason() {
    let stopped = Rule { stopped: true, ..rule(RetentionRule { last: 1, ..NOTHING }, 0, 1000 * DAY) };
    let all = [ours(1, 5), ours(2, 4), Candidate { ours: false, ..ours(3, 3) }];
    let doubted = reasons(&stopped, &all);
    assert_eq!(doubted, [Some(Reason::Newest), Some(Reason::ClockInDoubt), Some(Reason::NotOurs)]);
}

fn any_keep() -> impl Strategy<Value = RetentionRule> {
    (0..4_u16, 0..4_u16, 0..4_u16, 0..4_u16, 0..4_u16, 0..4_u16).prop_map(
        |(last, hourly, daily, weekly, monthly, yearly)| RetentionRule { last, hourly, daily, weekly, monthly, yearly },
    )
}

fn any_snapshots() -> impl Strategy<Value = Vec<Candidate>> {
    let is = prop::bool::weighted;
    let one = (0..800 * DAY, is(0.1), is(0.9), is(0.2), is(0.1));
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let made = |(number, (time, pinned, ours, damaged, held))| Candidate {
            id: id(number),
            time: time / 600 * 600,
            pinned,
            ours,
            held,
            settled: true,
            unpinned: false,
            damaged,
        };
        (0..).zip(all).map(made).collect()
    })
}

proptest! {
    #[test]
    fn a_hold_beats_every_rule_and_every_shortage(
        keep in any_keep(),
        snapshots in any_snapshots(),
        unpinned in prop::bool::ANY,
        stopped in prop::bool::ANY,
    ) {
        // Also the rule of a source that is running full, and for what was unpinned.
        let all: Vec<Candidate> = snapshots.iter().map(|one| Candidate { unpinned, ..*one }).collect();
        for keep in [keep, NOTHING] {
            let rule = Rule { stopped, ..rule(keep, 0, 800 * DAY) };
            for (snapshot, reason) in all.iter().zip(reasons(&rule, &all)) {
                prop_assert!(!snapshot.held || reason.is_some(), "{snapshot:?}");
            }
        }
    }

    #[test]
    fn a_hold_changes_nothing_for_other_snapshots(keep in any_keep(), snapshots in any_snapshots()) {
        let released: Vec<Candidate> = snapshots.iter().map(|one| Candidate { held: false, ..*one }).collect();
        let rule = rule(keep, 0, 800 * DAY);
        let (with, without) = (reasons(&rule, &snapshots), reasons(&rule, &released));
        for (snapshot, (with, without)) in snapshots.iter().zip(with.into_iter().zip(without)) {
            prop_assert!(snapshot.held || with == without, "{snapshot:?}");
        }
    }

    #[test]
    fn pruning_twice_is_pruning_once(keep in any_keep(), protect in 0..10 * DAY as u64, snapshots in any_snapshots()) {
        let once = kept(&keep, protect, 800 * DAY, &snapshots);
        prop_assert_eq!(&kept(&keep, protect, 800 * DAY, &once), &once);
    }

    #[test]
    fn the_order_of_the_snapshots_is_irrelevant(keep in any_keep(), snapshots in any_snapshots(), turn in 0..60_usize) {
        let mut turned = snapshots.clone();
        let turn = turn.checked_rem(turned.len()).unwrap_or_default();
        turned.rotate_left(turn);
        turned.reverse();
        let sorted = |mut kept: Vec<Candidate>| {
            kept.sort_by_key(|snapshot| snapshot.id);
            kept
        };
        let (one, other) = (kept(&keep, 0, 800 * DAY, &snapshots), kept(&keep, 0, 800 * DAY, &turned));
        prop_assert_eq!(sorted(one), sorted(other));
    }

    #[test]
    fn undamaged_snapshots_are_kept_as_if_there_were_no_damaged_ones(keep in any_keep(), snapshots in any_snapshots()) {
        let undamaged: Vec<Candidate> = snapshots.iter().filter(|snapshot| !snapshot.damaged).copied().collect();
        let mut mixed = kept(&keep, 0, 800 * DAY, &snapshots);
        mixed.retain(|snapshot| !snapshot.damaged);
        prop_assert_eq!(mixed, kept(&keep, 0, 800 * DAY, &undamaged));
    }

    #[test]
    fn pinned_young_and_other_snapshots_are_never_deleted(
        keep in any_keep(),
        protect in 0..10 * DAY as u64,
        snapshots in any_snapshots(),
    ) {
        let now = 800 * DAY;
        for (snapshot, reason) in snapshots.iter().zip(reasons(&rule(keep, protect, now), &snapshots)) {
            let young = u64::try_from(now - snapshot.time).expect("in the past") < protect;
            let is_pinned = snapshot.pinned && !snapshot.damaged;
            prop_assert!(reason.is_some() || !(is_pinned || young || !snapshot.ours));
        }
    }
}
