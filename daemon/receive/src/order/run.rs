//! A sequence, applied.

use crate::plan::{Planner, Step};
use crate::volume::Volume;
use crate::{Error, Way, apply_steps};
use butterdock_stream::{Place, Shared};

use crate::order::command::Owned;
use crate::order::sequence::Sequence;

/// In which order a sequence is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Command for command, each planned alone.
    Plain,
    /// One window over all of it, with so many writer threads, and payloads written as they are or decoded.
    Planned { writer_threads: usize, decoded: bool },
}

/// Applies a sequence, the increment after what is whole; answers the number of the command that failed.
///
/// The increment begins with no handle of what went before: `reopen` sees to that.
pub(crate) fn run<V: Volume>(
    mut volume: V,
    sequence: &Sequence,
    order: Order,
    reopen: impl Fn(V) -> V,
) -> Result<V, (Option<u64>, Box<Error>)> {
    let (whole, increment) = sequence.commands.split_at(sequence.cut);
    for (first, commands) in [(0, whole), (sequence.cut, increment)] {
        let steps = plan(commands, first, order);
        let (way, writer_threads) = match order {
            Order::Plain => (Way { plain: true, ..Way::default() }, 1),
            Order::Planned { writer_threads, decoded } => {
                (Way { force_decompress: decoded, ..Way::default() }, writer_threads)
            }
        };
        volume = apply_steps(reopen(volume), steps, way, writer_threads)
            .map_err(|error| (error.place.map(|place| place.command), Box::new(error)))?;
    }
    Ok(volume)
}

fn plan(commands: &[Owned], first: usize, order: Order) -> Vec<Step> {
    let (mut planner, mut steps) = (Planner::default(), Vec::new());
    for (at, command) in commands.iter().enumerate() {
        let command_number = (first + at) as u64;
        let place = Place { command: command_number, at: command_number };
        planner.push(place, &command.lend(), |part| Shared::from(part.to_vec()), &mut steps).unwrap();
        if let Order::Plain = order {
            planner.flush(&mut steps);
        }
    }
    planner.flush(&mut steps);
    steps
}
