//! Applies steps to a volume without the rest of the engine, for tests.

use std::thread::scope;

use super::applier::{Applier, Way};
use super::attributes::Ineffective;
use super::attributes::open_up;
use super::clone::Cloned;
use super::faults::Faults;
use super::perform::Rules;
use crate::control::Control;
use crate::error::{Cause, Error};
use crate::plan::Step;
use crate::volume::{Inode, Volume};

/// Applies `steps`, the commands between `SUBVOL` and `END`, with `writer_threads` threads; at the end the root gets its
/// access. Stops at the first error.
///
/// # Errors
/// The first error in the order of the steps; how far `volume` came by then is not said.
pub(crate) fn apply_steps<V: Volume>(volume: V, steps: Vec<Step>, way: Way, writer_threads: usize) -> Result<V, Error> {
    let control = Control::new().map_err(|error| Error::new(Cause::Read(error)))?;
    let faults = Faults::new(1, control.clone());
    let rules = Rules { way, control, faults, ineffective: Ineffective::default(), cloned: Cloned::default() };
    let volume = scope(|threads| {
        let mut applier = Applier::new(volume, threads, writer_threads, &rules, |_, _| {})?;
        for Step { place, action } in steps {
            applier.apply(place, action);
        }
        let (finished, mut volume) = applier.finish();
        if rules.faults.any() {
            return Ok(volume);
        }
        let root = volume.open(&crate::StreamPath::root()).map_err(|fault| Error::call("open the root", fault))?;
        let state = root.state().map_err(|fault| Error::call("look at the root", fault))?;
        open_up(&root, finished, state)?;
        Ok(volume)
    })?;
    rules.faults.into_error(false).map_or(Ok(volume), Err)
}
