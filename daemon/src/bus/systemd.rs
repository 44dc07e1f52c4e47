//! Calls to other services of the system: logind and timedated.
//!
//! While a job runs, logind keeps the machine from sleep and shutdown, if it is present: it hands out a descriptor, and while
//! that is open only an administrator can suspend or shut down the machine. The mode is "block", not "delay", because a backup
//! takes longer than the seconds of a delay; a user who insists can do it with a password.
//!
//! `org.freedesktop.timedate1` says whether the wall clock is synchronised. Its program, systemd-timedated, reads
//! adjtimex(2), which the unit's `ProtectClock=` refuses to this service; the bus starts that program when it is called. The
//! answer lets pruning resume, so only root may give it: the policy of the system bus gives that name to root alone. timedated
//! says yes while the kernel's maximum error is below 16 seconds. Setting the clock by hand raises it to 16 seconds.

use tokio::sync::watch;
use zbus::{Connection, OwnedFd, OwnedVariant};

/// Name of logind.
const LOGIND: &str = "org.freedesktop.login1";

/// Holds the descriptor of logind while any job runs, until the service ends.
pub(super) async fn inhibit_sleep(connection: Connection, mut busy: watch::Receiver<bool>) {
    let mut held = None;
    loop {
        if !*busy.borrow_and_update() {
            held = None;
        } else if held.is_none() {
            held = inhibit(&connection).await;
        }
        if busy.changed().await.is_err() {
            return;
        }
    }
}

/// None where there is no logind, or it refuses.
async fn inhibit(connection: &Connection) -> Option<OwnedFd> {
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
        Err(zbus::Error::MethodError(name, ..)) if is_absent(name.as_str()) => None,
        Err(error) => {
            tracing::warn!("cannot keep the machine awake during a job: {error}");
            None
        }
    }
}

/// Whether the bus says that there is no such service.
fn is_absent(error: &str) -> bool {
    let name = error.strip_prefix("org.freedesktop.DBus.Error.");
    name.is_some_and(|name| name == "ServiceUnknown" || name == "NameHasNoOwner" || name.starts_with("Spawn."))
}

/// The bus starts this program for the name below.
pub(super) const TIMEDATED: &str = "systemd-timedated";

const TIMEDATE: &str = "org.freedesktop.timedate1";

/// None where nothing has the name, or what has it does not say so.
pub(super) async fn is_synchronised(connection: Connection) -> Option<bool> {
    let asked = connection.call_method(
        Some(TIMEDATE),
        "/org/freedesktop/timedate1",
        Some("org.freedesktop.DBus.Properties"),
        "Get",
        &(TIMEDATE, "NTPSynchronized"),
    );
    let answer = asked.await.and_then(|reply| reply.body().deserialize::<OwnedVariant>());
    match answer.and_then(bool::try_from) {
        Ok(synchronised) => Some(synchronised),
        Err(error) => {
            tracing::debug!("cannot ask {TIMEDATED} whether the clock is synchronised: {error}");
            None
        }
    }
}
