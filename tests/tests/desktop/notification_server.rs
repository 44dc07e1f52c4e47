//! A notification server of the test: it remembers what it is asked to show.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use butterdock_tests::{Client, Wait};
use zbus::{OwnedVariant, interface};

use crate::desktop::Desktop;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// A notification that it was asked to show.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) id: u32,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) actions: Vec<String>,
    hints: HashMap<String, OwnedVariant>,
    pub(crate) expires: i32,
}

impl Shown {
    /// The value of its bar.
    pub(crate) fn value(&self) -> Option<i32> {
        self.hints.get("value").and_then(|value| value.downcast_ref::<i32>().ok())
    }
}

#[derive(Debug, Default)]
struct Log {
    shown: Vec<Shown>,
    closed: Vec<u32>,
}

/// The server; it leaves the bus when it is dropped.
#[derive(Debug)]
pub(crate) struct NotificationServer {
    client: Client,
    log: Arc<Mutex<Log>>,
}

impl NotificationServer {
    /// A server as `name`, with these capabilities.
    pub(crate) fn start(desktop: &Desktop, name: &'static str, capabilities: &'static [&'static str]) -> Result<Self> {
        let log: Arc<Mutex<Log>> = Arc::default();
        let served = Served { name, capabilities, log: Arc::clone(&log), last: 0 };
        let client = Client::serve(&desktop.address(), |builder| builder.serve_at(PATH, served).name(NAME))?;
        Ok(Self { client, log })
    }

    /// All that it was asked to show, in order.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).shown.clone()
    }

    /// Their titles; a title that repeats counts once.
    pub(crate) fn titles(&self) -> Vec<String> {
        let mut titles: Vec<_> = self.shown().into_iter().map(|shown| shown.title).collect();
        titles.dedup();
        titles
    }

    /// Waits until a notification that satisfies a condition was shown; the last such one.
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Shown) -> bool) -> Result<Shown> {
        let mut wait = Wait::new(what);
        loop {
            let shown = self.shown();
            if let Some(found) = shown.iter().rev().find(|shown| is(shown)) {
                return Ok(found.clone());
            }
            wait.pause(&format!("{shown:#?}"))?;
        }
    }

    /// Waits until the newest notification has this title.
    pub(crate) fn until_title(&self, title: &str) -> Result<Shown> {
        let mut wait = Wait::new(&format!("{title:?} is shown"));
        loop {
            match self.shown().pop() {
                Some(last) if last.title == title => return Ok(last),
                last => wait.pause(&format!("{last:#?}"))?,
            }
        }
    }

    /// Waits until the agent closes a notification.
    pub(crate) fn until_closed(&self, id: u32) -> Result<()> {
        let closed = |_: &Client| Ok(self.log.lock().unwrap_or_else(PoisonError::into_inner).closed.contains(&id));
        self.client.until("the notification is closed", closed)
    }

    /// Presses the first button of a notification.
    pub(crate) fn press(&self, id: u32) -> Result<()> {
        let shown = self.shown().into_iter().rev().find(|shown| shown.id == id).context("it is shown")?;
        self.signal("ActionInvoked", &(id, shown.actions.first().context("it has a button")?))
    }

    /// Closes a notification as a person does.
    pub(crate) fn dismiss(&self, id: u32) -> Result<()> {
        self.signal("NotificationClosed", &(id, 2_u32))
    }

    fn signal(&self, member: &str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Result<()> {
        let connection = self.client.connection();
        Ok(self.client.block_on(connection.emit_signal(None::<&str>, PATH, NAME, member, body))?)
    }
}

struct Served {
    name: &'static str,
    capabilities: &'static [&'static str],
    log: Arc<Mutex<Log>>,
    last: u32,
}

#[interface(name = "org.freedesktop.Notifications")]
impl Served {
    fn get_server_information(&self) -> (String, String, String, String) {
        (self.name.to_owned(), "butterdock".to_owned(), "1".to_owned(), "1.2".to_owned())
    }

    fn get_capabilities(&self) -> Vec<String> {
        self.capabilities.iter().map(|word| (*word).to_owned()).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "the specification has them")]
    fn notify(
        &mut self,
        _program: String,
        replaced: u32,
        _icon: String,
        title: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedVariant>,
        expires: i32,
    ) -> u32 {
        let id = if replaced == 0 { self.last + 1 } else { replaced };
        self.last = self.last.max(id);
        let shown = Shown { id, title, body, actions, hints, expires };
        self.log.lock().unwrap_or_else(PoisonError::into_inner).shown.push(shown);
        id
    }

    fn close_notification(&self, id: u32) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).closed.push(id);
    }
}
