//! Asks systemd's `org.freedesktop.timedate1` whether the wall clock is synchronised. Its program, systemd-timedated, reads
//! adjtimex(2), which the unit's `ProtectClock=` refuses to this service; the bus starts that program when it is asked.
//!
//! The answer lets pruning resume, so only root may give it: the policy of the system bus gives that name to root alone.
//! timedated says yes while the kernel's maximum error is below 16 seconds. Setting the clock by hand raises it to 16 seconds.

use zbus::{Connection, OwnedVariant};

/// The bus starts this program for the name.
pub(super) const PROGRAM: &str = "systemd-timedated";

const TIMEDATE: &str = "org.freedesktop.timedate1";

/// None where nothing has the name, or what has it does not say so.
pub(super) async fn synchronised(connection: Connection) -> Option<bool> {
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
            tracing::debug!("cannot ask {PROGRAM} whether the clock is synchronised: {error}");
            None
        }
    }
}
