//! polkit, as its D-Bus interface has it (org.freedesktop.PolicyKit1.Authority). The crate `zbus_polkit` is of an older zbus.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use zbus::export::futures_core::Stream as _;
use zbus::fdo::DBusProxy;
use zbus::names::UniqueName;
use zbus::{Connection, DBusError as _, Type, Variant, proxy};

/// What polkit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// Somebody would have to be asked, and may not be.
    Challenge,
    /// There is no polkit on this bus.
    Absent,
    /// The caller left the bus before there was an answer.
    Left,
}

/// Asks whether the owner of this name on the bus may do `action`. With `interactive` polkit may ask a person, and is told
/// to stop when the caller leaves.
///
/// # Errors
/// polkit failed, does not know the action, or does not answer.
pub(super) async fn check(
    connection: &Connection,
    sender: &UniqueName<'_>,
    action: &str,
    details: &[(&str, String)],
    interactive: bool,
) -> zbus::Result<Answer> {
    let polkit = AuthorityProxy::new(connection).await?;
    let number = CHECKS.fetch_add(1, Ordering::Relaxed);
    let cancellation = format!("butterdock-{number}");
    // Never a process id: ids are given to others, names on the bus are not.
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(sender.as_str()))]));
    let details = details.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let flags = if interactive { ALLOW_USER_INTERACTION } else { 0 };
    let asking = polkit.check_authorization(&subject, action, details, flags, &cancellation);
    let answer = if interactive {
        let gone = left(connection, sender);
        tokio::select! {
            answer = timeout(A_PERSON, asking) => answer,
            () = gone => {
                // It may have answered meanwhile.
                polkit.cancel_check_authorization(&cancellation).await.unwrap_or_default();
                return Ok(Answer::Left);
            }
        }
    } else {
        timeout(A_PROGRAM, asking).await
    };
    match answer {
        Ok(Ok(result)) if result.authorized => Ok(Answer::Yes),
        Ok(Ok(result)) if result.challenge && !interactive => Ok(Answer::Challenge),
        Ok(Ok(_)) => Ok(Answer::No),
        Ok(Err(error)) if is_absent(&error) => Ok(Answer::Absent),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            polkit.cancel_check_authorization(&cancellation).await.unwrap_or_default();
            Err(zbus::Error::Failure("polkit did not answer in time".to_owned()))
        }
    }
}

/// The flag `AllowUserInteraction`.
const ALLOW_USER_INTERACTION: u32 = 1;
/// A person has so long for a password.
const A_PERSON: Duration = Duration::from_secs(600);
/// polkit's rules have so long.
const A_PROGRAM: Duration = Duration::from_secs(30);

/// Makes each check one that can be cancelled.
static CHECKS: AtomicU64 = AtomicU64::new(0);

#[proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
trait Authority {
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Variant<'_>>),
        action_id: &str,
        details: HashMap<&str, &str>,
        flags: u32,
        cancellation_id: &str,
    ) -> zbus::Result<AuthorizationResult>;

    fn cancel_check_authorization(&self, cancellation_id: &str) -> zbus::Result<()>;
}

/// The struct that polkit answers with.
#[derive(Debug, Deserialize, Type)]
struct AuthorizationResult {
    authorized: bool,
    challenge: bool,
    #[expect(dead_code, reason = "polkit sends it")]
    details: HashMap<String, String>,
}

/// Waits until the name has left the bus. Never ends where that cannot be known: then the answer is waited for.
async fn left(connection: &Connection, name: &UniqueName<'_>) {
    if wait_for_leaving(connection, name).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn wait_for_leaving(connection: &Connection, name: &UniqueName<'_>) -> zbus::Result<()> {
    let bus = DBusProxy::new(connection).await?;
    let mut changes = bus.receive_name_owner_changed_with_args(&[(0, name.as_str()), (2, "")]).await?;
    // It may have left before anybody listened.
    if bus.name_has_owner(name.clone().into()).await? {
        poll_fn(|context| Pin::new(&mut changes).poll_next(context)).await;
    }
    Ok(())
}

/// Whether there is no polkit here, which is another thing than one that refuses or fails.
fn is_absent(error: &zbus::Error) -> bool {
    // The names that the bus itself gives are all of this kind.
    let zbus::Error::FDO(error) = error else { return false };
    let name = error.name();
    ["ServiceUnknown", "NameHasNoOwner", "Spawn.ServiceNotFound"]
        .iter()
        .any(|end| name.as_str().strip_prefix("org.freedesktop.DBus.Error.") == Some(*end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_shape_that_polkit_documents() {
        assert_eq!(AuthorizationResult::SIGNATURE, "(bba{ss})");
    }

    #[test]
    fn a_polkit_that_fails_is_not_one_that_is_absent() {
        assert!(is_absent(&zbus::Error::from(zbus::fdo::Error::ServiceUnknown(String::new()))));
        assert!(!is_absent(&zbus::Error::from(zbus::fdo::Error::NoReply(String::new()))));
        assert!(!is_absent(&zbus::Error::Failure("x".to_owned())));
    }
}
