//! The service over the system bus, in a thread of its own: the window never waits for a bus.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use butterdock_dbus::Error;
use butterdock_desktop::watch::{self, Event};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use zbus::Connection;

/// Where calls go.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    thread: Handle,
    bus: Arc<Mutex<Option<Connection>>>,
}

impl Service {
    /// Starts the thread; its events come out of the receiver.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start() -> io::Result<(Self, UnboundedReceiver<Event>)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (sender, events) = mpsc::unbounded_channel();
        let service = Self { thread: runtime.handle().clone(), bus: Arc::default() };
        let bus = Arc::clone(&service.bus);
        let follow = move || runtime.block_on(follow(sender, &bus));
        thread::Builder::new().name("bus".to_owned()).spawn(follow)?;
        Ok((service, events))
    }

    /// Calls the service on the thread of the bus. May be awaited in the window's main loop.
    ///
    /// # Errors
    /// The service refuses, or is gone.
    pub(crate) async fn call<T, F>(&self, call: impl FnOnce(Connection) -> F + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let bus = self.bus.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(bus) = bus else { return Err(gone()) };
        self.thread.spawn(async move { call(bus).await }).await.unwrap_or_else(|_ended| Err(gone()))
    }
}

fn gone() -> Error {
    Error::Bus(zbus::Error::Failure("the system bus is gone".to_owned()))
}

/// Follows the service; events go to the window, connections stay here.
async fn follow(window: UnboundedSender<Event>, bus: &Mutex<Option<Connection>>) {
    let (sender, mut events) = mpsc::unbounded_channel();
    tokio::spawn(watch::follow::<Event>(sender));
    while let Some(event) = events.recv().await {
        if let Event::Connected(connection) = &event {
            *bus.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        }
        if window.send(event).is_err() {
            return;
        }
    }
}
