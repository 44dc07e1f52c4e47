//! The fake service. The content of a stream decides about its job: `ok …`, `fail …`, `dark …` (fails, and the caller
//! may not see the details), `stall …` (until it is cancelled), `die …` (the service disappears). A job on a drive
//! succeeds; with the backup `fail` it fails, with `stall` it waits until it is cancelled.

mod about;
mod drive;
mod job;
mod manager;
mod volume;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use butterdock_dbus::HistoryEntry;
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::path::{drive_path, volume_path};
use tokio::sync::oneshot;
use zbus::fdo::ObjectManager;

pub(crate) use about::About;
pub(crate) use volume::{NAMES, STEERING};

/// What every object of the service shares.
#[derive(Debug, Default)]
pub(crate) struct Fixture {
    pub(crate) history: Mutex<Vec<HistoryEntry>>,
    /// What `Receive` was called with.
    pub(crate) asked: Mutex<Vec<String>>,
}

/// A service in a thread; it ends with this.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) fixture: Arc<Fixture>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Answers on this bus once it returns.
    pub(crate) fn start(address: &str) -> Self {
        let fixture = Arc::new(Fixture::default());
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (address, shared) = (address.to_owned(), Arc::clone(&fixture));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let connection = serve(&address, shared).await.expect("served");
                ready.send(()).expect("waited for");
                drop(stopped.await);
                // A job that a failed test left stalled holds the connection, too, and the failure must be seen.
                drop(tokio::time::timeout(Duration::from_secs(1), connection.graceful_shutdown()).await);
            });
        });
        is_ready.recv().expect("a service");
        Self { fixture, stop: Some(stop), thread: Some(thread) }
    }
}

async fn serve(address: &str, fixture: Arc<Fixture>) -> zbus::Result<zbus::Connection> {
    let mut builder = zbus::connection::Builder::address(address)
        .serve_at(ROOT, ObjectManager)
        .serve_at(ROOT, manager::Manager { fixture: Arc::clone(&fixture) });
    for name in NAMES {
        let volume = volume::Volume { name: (*name).to_owned(), fixture: Arc::clone(&fixture) };
        builder = builder.serve_at(volume_path(name), volume);
    }
    for drive in drive::all(&fixture) {
        builder = builder.serve_at(drive_path(&drive.id), drive);
    }
    builder.name(BUS_NAME).build().await
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended already.
            stop.send(()).unwrap_or_default();
        }
        drop(self.thread.take().map(JoinHandle::join));
    }
}
