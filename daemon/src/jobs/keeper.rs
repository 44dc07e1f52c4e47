//! The one who writes and reads the history, beside the desk: a disk may be slow, and the desk never waits.

use tokio::sync::{mpsc, oneshot};

use super::history::History;
use super::record::Record;

/// What the keeper is asked, answered in this order: whoever asks for the list after a job's end finds it there.
#[derive(Debug)]
pub(super) enum Ask {
    Write(Box<Record>),
    List(oneshot::Sender<Vec<Record>>),
    Keep(usize),
    /// Answered when everything before it is on disk.
    Settle(oneshot::Sender<()>),
}

/// Begins to keep. Records come with jobs, whose number is bounded; so is what waits here.
pub(super) fn start(history: History) -> mpsc::UnboundedSender<Ask> {
    let (asks, waiting) = mpsc::unbounded_channel();
    tokio::spawn(keep(history, waiting));
    asks
}

async fn keep(mut history: History, mut waiting: mpsc::UnboundedReceiver<Ask>) {
    while let Some(ask) = waiting.recv().await {
        let done = tokio::task::spawn_blocking(move || {
            answer(&mut history, ask);
            history
        });
        match done.await {
            Ok(back) => history = back,
            Err(error) => {
                tracing::error!("the history is not written any more: {error}; restart the service");
                return;
            }
        }
    }
}

fn answer(history: &mut History, ask: Ask) {
    match ask {
        Ask::Write(record) => {
            if let Err(error) = history.write(&record) {
                tracing::warn!(butterdock_job = %record.id, "cannot write the job into the history: {error}");
            }
        }
        // Whoever asked may have left.
        Ask::List(reply) => drop(reply.send(history.list())),
        Ask::Keep(keep) => history.keep(keep),
        Ask::Settle(reply) => drop(reply.send(())),
    }
}
