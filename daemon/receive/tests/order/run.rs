//! A sequence, applied.

use butterdock_receive::plan::{Planner, Step};
use butterdock_receive::volume::Volume;
use butterdock_receive::{Error, Way, apply_steps};
use butterdock_stream::{Place, Shared};

use crate::command::Owned;
use crate::sequence::Sequence;

/// In which order a sequence is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Command for command, each planned alone.
    Plain,
    /// One window over all of it, with so many lanes, and payloads written as they are or decoded.
    Planned { lanes: usize, decoded: bool },
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
        let (way, lanes) = match order {
            Order::Plain => (Way { plain: true, ..Way::default() }, 1),
            Order::Planned { lanes, decoded } => (Way { force_decompress: decoded, ..Way::default() }, lanes),
        };
        volume = apply_steps(reopen(volume), steps, way, lanes)
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
