//! One job: its order, and the descriptors that the order is about.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::available_parallelism;

use butterdock_receive::{Control, Counts, Options, receive, sweep};

use super::descriptors::{Unfit, alone, ends};
use super::failure;
use super::protocol::{Order, Report};
use super::teller::Teller;

/// As many as the command line allows.
const MOST_LANES: usize = 256;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Job {
    destination: OwnedFd,
    /// The stream and how to receive it; nothing where the destination is to be swept.
    receive: Option<(OwnedFd, Options)>,
}

impl Job {
    /// Joins an order with its descriptors.
    pub(crate) fn new(order: Order, descriptors: Vec<OwnedFd>) -> Result<Self, Unfit> {
        match order {
            Order::Receive { name, verify, force_decompress, no_verity, lanes } => {
                let (input, destination) = ends(descriptors)?;
                // Asked for here, because how many cores there are cannot be read any more once the worker is confined.
                let asked = lanes.map(|lanes| lanes.min(MOST_LANES)).and_then(NonZeroUsize::new);
                let lanes = asked.or_else(|| available_parallelism().ok());
                let options = Options { verify, force_decompress, lanes, name, no_verity, ..Options::default() };
                Ok(Self { destination, receive: Some((input, options)) })
            }
            Order::Sweep => Ok(Self { destination: alone(descriptors)?, receive: None }),
            Order::Cancel => Err(Unfit("the daemon cancelled a job that it had not begun")),
        }
    }

    /// The same job, through another descriptor of its directory, and with one of its filesystem's root. The one that came
    /// with the order is closed.
    pub(crate) fn through(self, destination: OwnedFd, top: Option<OwnedFd>) -> Self {
        let receive = self.receive.map(|(input, options)| (input, Options { top: top.map(Arc::new), ..options }));
        Self { destination, receive }
    }

    /// The directory in which all of it happens.
    pub(crate) fn destination(&self) -> BorrowedFd<'_> {
        self.destination.as_fd()
    }

    /// Does it, and answers how it ended.
    pub(crate) fn run(&self, control: &Control, teller: &Teller) -> Report {
        let Some((input, options)) = &self.receive else {
            let error = sweep(self.destination()).err().map(|error| failure::of_error(&error));
            return Report::Ended { counts: Counts::default(), error };
        };
        match receive(input.as_fd(), self.destination(), options, control, teller) {
            Ok(outcome) => Report::Ended { counts: outcome.counts, error: None },
            Err(failure) => Report::Ended { counts: failure.counts, error: Some(failure::of_run(&failure)) },
        }
    }
}
