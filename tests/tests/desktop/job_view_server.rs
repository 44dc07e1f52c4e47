//! A server for job views of the test, as Plasma has one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use butterdock_tests::{Client, Wait};
use zbus::{ObjectServer, OwnedObjectPath, OwnedVariant, interface};

use crate::desktop::Desktop;

const NAME: &str = "org.kde.JobViewServer";
const VIEW: &str = "/JobViewServer/JobView_1";

/// What happened to its view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    /// The desktop entries of the views that were asked for.
    pub(crate) requested: Vec<String>,
    /// The percents of the updates.
    pub(crate) percents: Vec<u32>,
    /// The processed bytes of the updates, and the total of the last one.
    pub(crate) bytes: Vec<u64>,
    pub(crate) total: u64,
    /// How many updates were refused.
    pub(crate) refused: usize,
    /// The codes with which views ended.
    pub(crate) ended: Vec<u32>,
}

/// The server; it leaves the bus when it is dropped.
#[derive(Debug)]
pub(crate) struct JobViewServer {
    client: Client,
    log: Arc<Mutex<Log>>,
    is_busy: Arc<AtomicBool>,
}

impl JobViewServer {
    pub(crate) fn start(desktop: &Desktop) -> Result<Self> {
        let log: Arc<Mutex<Log>> = Arc::default();
        let is_busy: Arc<AtomicBool> = Arc::default();
        let served = Served { log: Arc::clone(&log), is_busy: Arc::clone(&is_busy) };
        let client =
            Client::serve(&desktop.address(), |builder| builder.serve_at("/JobViewServer", served).name(NAME))?;
        Ok(Self { client, log, is_busy })
    }

    pub(crate) fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a condition.
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Log) -> bool) -> Result<Log> {
        let mut wait = Wait::new(what);
        loop {
            let log = self.log();
            if is(&log) {
                return Ok(log);
            }
            wait.pause(&format!("{log:?}"))?;
        }
    }

    /// Refuses updates from now on, as if it had no time for them.
    pub(crate) fn refuse_updates(&self) {
        self.is_busy.store(true, Ordering::Relaxed);
    }

    /// Presses the button of the view that cancels.
    pub(crate) fn cancel(&self) -> Result<()> {
        let signal =
            self.client.connection().emit_signal(None::<&str>, VIEW, "org.kde.JobViewV3", "cancelRequested", &());
        Ok(self.client.block_on(signal)?)
    }
}

struct Served {
    log: Arc<Mutex<Log>>,
    is_busy: Arc<AtomicBool>,
}

#[interface(name = "org.kde.JobViewServerV2")]
impl Served {
    #[zbus(name = "requestView")]
    async fn request_view(
        &self,
        #[zbus(object_server)] server: &ObjectServer,
        entry: String,
        _capabilities: i32,
        _hints: HashMap<String, OwnedVariant>,
    ) -> zbus::fdo::Result<OwnedObjectPath> {
        server.at(VIEW, View { log: Arc::clone(&self.log), is_busy: Arc::clone(&self.is_busy) }).await?;
        self.log.lock().unwrap_or_else(PoisonError::into_inner).requested.push(entry);
        OwnedObjectPath::try_from(VIEW).map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
    }
}

struct View {
    log: Arc<Mutex<Log>>,
    is_busy: Arc<AtomicBool>,
}

#[interface(name = "org.kde.JobViewV3")]
impl View {
    #[zbus(name = "update")]
    fn update(&self, properties: HashMap<String, OwnedVariant>) -> zbus::fdo::Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_busy.load(Ordering::Relaxed) {
            log.refused += 1;
            return Err(zbus::fdo::Error::NoReply("it has no time".to_owned()));
        }
        for (name, value) in properties {
            match name.as_str() {
                "percent" => log.percents.extend(value.downcast_ref::<u32>().ok()),
                "processedBytes" => log.bytes.extend(value.downcast_ref::<u64>().ok()),
                "totalBytes" => log.total = value.downcast_ref::<u64>().unwrap_or_default(),
                _ => {}
            }
        }
        Ok(())
    }

    #[zbus(name = "terminate")]
    fn terminate(&self, code: u32, _message: String, _hints: HashMap<String, OwnedVariant>) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).ended.push(code);
    }
}
