//! Runs a configured command for events of drives, for example to blink a light or to send a mail.
//!
//! * `event` is an event, with the environment of the command, and the sequence that sends `safe` after the end of the backup.
//! * `running` runs the command with a timeout, one at a time, so that a light does not get `safe` before
//!   `backup-done`.
//!
//! Notifications (`notify`) get the same events, in the same order.
//!
//! Sending an event never blocks: the queue is bounded, and events that do not fit are logged and dropped. A failure
//! of the command is logged and has no other effect.

mod event;
mod running;

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

pub(crate) use event::{Event, Kind};

use crate::config::Command;
use event::Sequence;

/// Timeout for a command.
const PATIENCE: Duration = Duration::from_secs(30);
/// Limit of events that wait for their command.
const WAITING: usize = 64;

/// Sends events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hooks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    queue: SyncSender<Waiting>,
}

#[derive(Debug)]
struct State {
    command: Option<Command>,
    listener: Option<mpsc::Sender<Event>>,
    sequence: Sequence,
}

/// A command to run.
#[derive(Debug)]
struct Waiting {
    command: Command,
    event: Event,
}

impl Hooks {
    /// Starts the thread that runs the commands until this is dropped. It keeps `alive` until its end.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(command: Option<Command>, alive: impl Send + 'static) -> io::Result<Self> {
        let (queue, turns) = sync_channel::<Waiting>(WAITING);
        std::thread::Builder::new().name("hooks".to_owned()).spawn(move || {
            let _alive = alive;
            for Waiting { command, event } in turns {
                if let Err(why) = running::run(&command, &event, PATIENCE) {
                    tracing::warn!("on_event did not run for {}: {why}", event.kind.word());
                }
            }
        })?;
        let state = Mutex::new(State { command, listener: None, sequence: Sequence::default() });
        Ok(Self(Arc::new(Shared { state, queue })))
    }

    /// Sets the command.
    pub(crate) fn configured(&self, command: Option<Command>) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).command = command;
    }

    /// Passes all events also to this channel.
    pub(crate) fn set_listener(&self, listener: mpsc::Sender<Event>) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).listener = Some(listener);
    }

    /// Sends an event. Never waits.
    pub(crate) fn tell(&self, event: Event) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Also without a command: one may be configured while a backup runs.
        let events = state.sequence.take(event);
        for event in &events {
            if let Some(listener) = &state.listener
                && listener.try_send(event.clone()).is_err()
            {
                tracing::warn!("no notification for {}: too many events wait already", event.kind.word());
            }
        }
        let Some(command) = &state.command else { return };
        for event in events {
            if let Err(unsent) = self.0.queue.try_send(Waiting { command: command.clone(), event }) {
                let (TrySendError::Full(turn) | TrySendError::Disconnected(turn)) = unsent;
                tracing::warn!(
                    "on_event does not run for {}: {WAITING} events wait already; is {} too slow?",
                    turn.event.kind.word(),
                    turn.command.program.display()
                );
            }
        }
    }
}
