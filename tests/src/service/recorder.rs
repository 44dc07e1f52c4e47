//! Records all messages on the bus.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use zbus::connection::Builder;
use zbus::{Message, MessageStream};

use super::{Bus, Client, Heard, Recording};
use crate::rig::PATIENCE;

/// A monitor connection on a thread of its own.
#[derive(Debug)]
pub struct Recorder {
    thread: JoinHandle<Result<Recording>>,
}

/// The signal with which a test ends its recording: everything before it was heard.
const END: (&str, &str) = ("org.butterdock.Tests", "End");

impl Recorder {
    /// Begins to record; returns when it does.
    ///
    /// # Errors
    /// When the bus does not let it.
    pub fn start(bus: &Bus) -> Result<Self> {
        let (ready, is_ready) = mpsc::channel();
        let address = bus.address().to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(record(&address, &ready))
        });
        match is_ready.recv() {
            Ok(()) => Ok(Self { thread }),
            // It has ended before it began, and says why.
            Err(mpsc::RecvError) => Err(joined(thread).err().unwrap_or_else(|| anyhow!("nothing was recorded"))),
        }
    }

    /// Ends the recording with what happened until now.
    ///
    /// # Errors
    /// When the bus is gone or was silent for long.
    pub fn finish(self, client: &Client) -> Result<Recording> {
        client.signal(END.0, END.1)?;
        joined(self.thread)
    }
}

fn joined(thread: JoinHandle<Result<Recording>>) -> Result<Recording> {
    thread.join().map_err(|_panic| anyhow!("the recorder's thread panicked"))?
}

async fn record(address: &str, ready: &mpsc::Sender<()>) -> Result<Recording> {
    let connection = Builder::address(address).build().await.context("a connection to listen with")?;
    let mut stream = MessageStream::from(&connection);
    let (bus, interface) = ("org.freedesktop.DBus", "org.freedesktop.DBus.Monitoring");
    let body = (Vec::<&str>::new(), 0_u32);
    connection.call_method(Some(bus), "/org/freedesktop/DBus", Some(interface), "BecomeMonitor", &body).await?;
    // Whoever waits for it is there as long as this runs.
    ready.send(()).ok();
    let mut heard = Vec::new();
    loop {
        let next = timeout(PATIENCE, stream.next()).await.context("nothing was heard for long")?;
        let message = next.context("the bus is gone")??;
        if is_end(&message) {
            return Ok(Recording::new(heard));
        }
        heard.push(Heard { at: Instant::now(), message });
    }
}

fn is_end(message: &Message) -> bool {
    let header = message.header();
    let interface = header.interface().map(|name| name.as_str().to_owned());
    let member = header.member().map(|name| name.as_str().to_owned());
    (interface.as_deref(), member.as_deref()) == (Some(END.0), Some(END.1))
}
