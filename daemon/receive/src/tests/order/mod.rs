//! The planned order has the same result as the plain order.
//!
//! A stateful generator makes sequences of commands, nearly all valid. Each sequence is applied twice in memory: command by
//! command, and with the planner's folds and several writer threads. The results must be equal, or both must fail at the
//! same command. Half of the planned ones are interrupted twice, and resume from a checkpoint. Some sequences are also applied to a real subvolume, which shows that the model is correct.
//! `PROPTEST_CASES` sets the number of sequences.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use butterdock_stream::{Position, Shared};
use command::OURS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sequence::{Sequence, Turn, sequence};

use crate::apply::ApplyOptions;
use crate::apply::tests::apply_parts;
use crate::error::Error;
use crate::plan::{NewInode, Planner, Step};
use crate::tests::memory::{MemoryVolume, View};
use crate::tests::order::command::Owned;
use crate::volume::Volume;

mod changes;
mod command;
mod real;
mod sequence;
mod world;

/// The number of sequences (default),
const CASES: u32 = 300;
/// and the number of those on a real subvolume.
const REAL_CASES: u32 = 40;

fn turns() -> impl Strategy<Value = (Vec<Turn>, u16)> {
    (vec(any::<Turn>().no_shrink(), 1..120), any::<u16>())
}

fn planned() -> impl Strategy<Value = Order> {
    (1..=4_usize, any::<bool>(), prop::option::of(any::<[u16; 2]>()))
        .prop_map(|(writer_threads, decoded, checkpoints)| Order::Planned { writer_threads, decoded, checkpoints })
}

fn config(cases: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() }
}

#[test]
fn planned_order_has_the_result_of_plain_order() {
    let (commands, valid, whole) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    TestRunner::new(config(CASES))
        .run(&(turns(), planned()), |((turns, cut), planned)| {
            let sequence = sequence(&turns, cut);
            let reached = agree(&sequence, planned)?;
            commands.fetch_add(sequence.commands.len(), Ordering::Relaxed);
            valid.fetch_add(sequence.commands.len() - sequence.invalid.len(), Ordering::Relaxed);
            whole.fetch_add(usize::from(reached), Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
    let (commands, valid) = (commands.into_inner(), valid.into_inner());
    assert!(valid * 10 >= commands * 9, "of {commands} commands only {valid} are valid");
    println!("{commands} commands, {valid} of them valid, {} sequences without an invalid one", whole.into_inner());
}

/// The same on a loop device: both orders agree, and the kernel agrees with the model.
#[test]
fn privileged_real_subvolumes_agree_with_the_model() {
    let place = real::Loop::new();
    TestRunner::new(Config { max_shrink_iters: 500, ..config(REAL_CASES) })
        .run(&(turns(), planned()), |((turns, cut), planned)| {
            let sequence = sequence(&turns, cut);
            let model = run(MemoryVolume::new(OURS), &sequence, Order::Plain, |same| same, |same| same)
                .map(|volume| volume.view().without_zeros());
            for order in [Order::Plain, planned] {
                let path = RefCell::new(place.subvolume());
                let volume = || real::open(&path.borrow());
                let copy = |_| {
                    let copied = place.copy(&path.borrow());
                    path.replace(copied);
                    volume()
                };
                let result = run(volume(), &sequence, order, |_| volume(), copy);
                match (&model, result.map(|_| real::view(&path.borrow()).without_zeros())) {
                    (Ok(model), Ok(mut real)) => compare(model.clone(), &mut real, &sequence, order)?,
                    (Err((model, _)), Err((real, error))) => {
                        prop_assert_eq!(*model, real, "{:?} {} {:?}", order, error, sequence);
                    }
                    (model, real) => {
                        let (model, real) = (model.as_ref().map(|_| ()), real.map(|_| ()));
                        let text = format!("{order:?}: model {model:?}, real {real:?} in {sequence:?}");
                        return Err(TestCaseError::fail(text));
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

/// Compares only times that the stream set; in the model, a directory's times do not change with its names.
fn compare(mut model: View, real: &mut View, sequence: &Sequence, order: Order) -> Result<(), TestCaseError> {
    let incremental = (1..sequence.commands.len()).contains(&sequence.cut);
    for (path, real) in &mut real.names {
        let Some(model) = model.names.get_mut(path) else { continue };
        if incremental && model.what == NewInode::Directory {
            (model.atime, model.mtime) = (None, None);
        }
        real.atime = real.atime.filter(|_| model.atime.is_some());
        real.mtime = real.mtime.filter(|_| model.mtime.is_some());
        if !matches!(model.what, NewInode::File | NewInode::Directory) {
            model.flags = 0;
        }
    }
    for (path, model) in &model.names {
        prop_assert_eq!(Some(model), real.names.get(path), "{:?} {} {:?}", order, path.escape_ascii(), sequence);
    }
    prop_assert_eq!(model.names.len(), real.names.len(), "{:?} {:?}", order, sequence);
    Ok(())
}

/// Checks that both orders agree, and that exactly the commands fail that the generator made as invalid. Returns whether all
/// were valid.
fn agree(sequence: &Sequence, planned: Order) -> Result<bool, TestCaseError> {
    let plain =
        run(MemoryVolume::new(OURS), sequence, Order::Plain, |same| same, |same| same).map(|volume| volume.view());
    let planned = run(MemoryVolume::new(OURS), sequence, planned, |same| same, |same| same).map(|volume| volume.view());
    match (plain, planned, sequence.invalid.first()) {
        (Ok(plain), Ok(planned), None) => {
            prop_assert_eq!(plain, planned, "{:?}", sequence);
            Ok(true)
        }
        (Err((plain, _)), Err((planned, error)), Some(&invalid)) => {
            prop_assert_eq!(plain, Some(invalid as u64), "{:?}", sequence);
            prop_assert_eq!(planned, Some(invalid as u64), "{} {:?}", error, sequence);
            Ok(false)
        }
        (plain, planned, invalid) => Err(TestCaseError::fail(format!(
            "plain {:?}, planned {:?}, invalid {invalid:?} in {sequence:?}",
            plain.map(|_| ()),
            planned.map(|_| ())
        ))),
    }
}

/// The order in which a sequence is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Command by command, each planned alone.
    Plain,
    /// All commands planned together, with this many writer threads, and payloads written as they are or decoded; with a checkpoint at
    /// these commands of each stream, modulo their number.
    Planned { writer_threads: usize, decoded: bool, checkpoints: Option<[u16; 2]> },
}

/// Applies a sequence, the increment after the whole subvolume; returns the number of the command that failed.
///
/// `reopen` drops all handles before the increment.
pub(crate) fn run<V: Volume>(
    mut volume: V,
    sequence: &Sequence,
    order: Order,
    reopen: impl Fn(V) -> V,
    copy: impl Fn(V) -> V,
) -> Result<V, (Option<u64>, Box<Error>)> {
    let (whole, increment) = sequence.commands.split_at(sequence.cut);
    for (first, commands) in [(0, whole), (sequence.cut, increment)] {
        let (options, writer_threads, checkpoints) = match order {
            Order::Plain => (ApplyOptions { plain: true, ..ApplyOptions::default() }, 1, None),
            Order::Planned { writer_threads, decoded, checkpoints } => {
                (ApplyOptions { force_decompress: decoded, ..ApplyOptions::default() }, writer_threads, checkpoints)
            }
        };
        let (mut parts, mut done) = (Vec::new(), 0);
        let mut cuts =
            checkpoints.map(|cuts| cuts.map(|cut| usize::from(cut) % (commands.len() + 1))).unwrap_or_default();
        cuts.sort_unstable();
        for cut in cuts.into_iter().filter(|_| checkpoints.is_some()).chain([commands.len()]) {
            parts.push(plan(&commands[done..cut], first + done, order));
            done = cut;
        }
        volume = apply_parts(reopen(volume), parts, options, writer_threads, &copy)
            .map_err(|error| (error.place.map(|place| place.command), Box::new(error)))?;
    }
    Ok(volume)
}

fn plan(commands: &[Owned], first: usize, order: Order) -> Vec<Step> {
    let (mut planner, mut steps) = (Planner::default(), Vec::new());
    for (at, command) in commands.iter().enumerate() {
        let command_number = (first + at) as u64;
        let place = Position { command: command_number, at: command_number };
        planner.push(place, &command.lend(), |part| Shared::from(part.to_vec()), &mut steps).unwrap();
        if let Order::Plain = order {
            planner.flush(&mut steps);
        }
    }
    planner.flush(&mut steps);
    steps
}
