//! Prevents sleep and shutdown while a job runs, if logind is present: logind hands out a descriptor, and while it is
//! open only an administrator can suspend or shut down the machine.
//!
//! The mode is "block", not "delay", because a backup takes longer than the seconds of a delay; a user who insists can
//! do it with a password.

use tokio::sync::watch;
use zbus::{Connection, OwnedFd};

const LOGIND: &str = "org.freedesktop.login1";

/// Follows whether any job runs, for ever.
pub(super) async fn follow(connection: Connection, mut busy: watch::Receiver<bool>) {
    let mut held = None;
    loop {
        if !*busy.borrow_and_update() {
            held = None;
        } else if held.is_none() {
            held = ask(&connection).await;
        }
        if busy.changed().await.is_err() {
            return;
        }
    }
}

/// None where there is no logind, or it refuses.
async fn ask(connection: &Connection) -> Option<OwnedFd> {
    let why = ("sleep:shutdown", "butterdock", "A backup job is running", "block");
    let asked = connection.call_method(
        Some(LOGIND),
        "/org/freedesktop/login1",
        Some("org.freedesktop.login1.Manager"),
        "Inhibit",
        &why,
    );
    let answer = asked.await.and_then(|reply| reply.body().deserialize::<OwnedFd>());
    match answer {
        Ok(held) => Some(held),
        Err(zbus::Error::MethodError(name, ..)) if is_nobody(name.as_str()) => None,
        Err(error) => {
            tracing::warn!("cannot keep the machine awake during a job: {error}");
            None
        }
    }
}

/// Whether the bus says that there is no such service.
fn is_nobody(error: &str) -> bool {
    let name = error.strip_prefix("org.freedesktop.DBus.Error.");
    name.is_some_and(|name| name == "ServiceUnknown" || name == "NameHasNoOwner" || name.starts_with("Spawn."))
}
