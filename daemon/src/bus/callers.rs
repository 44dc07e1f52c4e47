//! The user behind a name on the bus.
//!
//! Every message from the bus is judged by its user before it is processed, so this asks over a separate connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use zbus::Connection;
use zbus::fdo::ConnectionCredentials;

/// Limit of remembered names; the oldest are forgotten first. The bus gives no unique name twice, so an old one is never wrong.
const NAMES: usize = 1024;

/// Asks the bus and remembers the answers. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Callers {
    bus: Connection,
    known: Arc<Mutex<UserCache>>,
}

#[derive(Debug, Default)]
struct UserCache {
    users: HashMap<String, u32>,
    /// The oldest first.
    names: VecDeque<String>,
}

impl Callers {
    /// Asks over this connection, which is for nothing else.
    pub(super) fn new(bus: Connection) -> Self {
        Self { bus, known: Arc::default() }
    }

    /// The user who has this unique name.
    ///
    /// # Errors
    /// Its owner has left the bus.
    pub(super) async fn user(&self, name: &str) -> zbus::Result<u32> {
        if let Some(uid) = self.lock().users.get(name) {
            return Ok(*uid);
        }
        let (bus, path) = (Some("org.freedesktop.DBus"), "/org/freedesktop/DBus");
        let answer = self.bus.call_method(bus, path, bus, "GetConnectionUnixUser", &name).await?;
        let uid = answer.body().deserialize()?;
        self.lock().remember(name, uid);
        Ok(uid)
    }

    /// All groups of the user who has this unique name, as they were when the connection was made. They are not remembered.
    ///
    /// # Errors
    /// Its owner has left the bus, or the bus does not report groups.
    pub(super) async fn groups(&self, name: &str) -> zbus::Result<Vec<u32>> {
        let (bus, path) = (Some("org.freedesktop.DBus"), "/org/freedesktop/DBus");
        let answer = self.bus.call_method(bus, path, bus, "GetConnectionCredentials", &name).await?;
        let credentials: ConnectionCredentials = answer.body().deserialize()?;
        let groups = credentials.unix_group_ids().cloned();
        groups.ok_or_else(|| zbus::Error::Failure("there is no UnixGroupIDs among the credentials".to_owned()))
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) {
        self.bus.closed().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, UserCache> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserCache {
    fn remember(&mut self, name: &str, uid: u32) {
        if self.users.insert(name.to_owned(), uid).is_some() {
            return;
        }
        self.names.push_back(name.to_owned());
        if self.names.len() > NAMES
            && let Some(oldest) = self.names.pop_front()
        {
            self.users.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_names_are_forgotten() {
        let mut known = UserCache::default();
        for number in 0..3000 {
            known.remember(&format!(":1.{number}"), number);
            known.remember(&format!(":1.{number}"), number);
        }
        assert_eq!((known.users.len(), known.names.len()), (NAMES, NAMES));
        assert_eq!(known.users.get(":1.2999"), Some(&2999));
    }
}
