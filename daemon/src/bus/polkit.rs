//! One call to polkit (`org.freedesktop.PolicyKit1.Authority`) and its possible answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use zbus::export::futures_core::Stream as _;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::UniqueName;
use zbus::{Connection, DBusError as _};
use zbus_polkit::policykit1::{AuthorityProxy, AuthorizationResult, CheckAuthorizationFlags as Flags, Subject};

use super::waiting_calls::WaitingCall;

/// What polkit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// polkit would have to ask a person, and the call does not allow that.
    Challenge,
    /// polkit would have to ask a person, and no authentication agent of the caller's session can do that.
    NoAgent,
    /// There is no polkit on this bus.
    Absent,
    /// The caller left the bus before there was an answer.
    Left,
}

/// Asks whether the owner of this name on the bus may do `action`. With `interactive` polkit may ask a person. The question is
/// cancelled when the caller leaves, because a rule that runs a program may take long too. The place is taken until polkit has
/// answered, also after a cancellation: until then the bus counts the question.
///
/// # Errors
/// polkit failed, does not know the action, or does not answer.
pub(super) async fn check(
    connection: &Connection,
    caller: &Header<'_>,
    action: &str,
    details: &[(&str, String)],
    interactive: bool,
    place: WaitingCall,
) -> zbus::Result<Answer> {
    // Never a process id: the kernel reuses process ids, the bus never reuses names.
    let subject = Subject::new_for_message_header(caller);
    let (Ok(subject), Some(sender)) = (subject, caller.sender()) else { return Err(zbus::Error::MissingField) };
    let polkit = AuthorityProxy::new(connection).await?;
    let number = CHECKS.fetch_add(1, Ordering::Relaxed);
    let cancellation = format!("butterdock-{number}");
    let question = Question {
        subject,
        action: action.to_owned(),
        details: details.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        flags: if interactive { Flags::ALLOW_USER_INTERACTION } else { Flags::empty() },
        cancellation: cancellation.clone(),
    };
    let queries = tokio::spawn(ask(polkit.clone(), question, place));
    let limit = if interactive { A_PERSON } else { A_PROGRAM };
    let answer = tokio::select! {
        answer = timeout(limit, queries) => answer,
        () = left(connection, sender) => {
            withdraw(&polkit, &cancellation).await;
            return Ok(Answer::Left);
        }
    };
    let answer =
        answer.map(|asked| asked.map_err(|_panic| zbus::Error::Failure("the call to polkit was lost".to_owned())));
    match answer.map(Result::flatten) {
        Ok(Ok(result)) if result.is_authorized => Ok(Answer::Yes),
        // An agent that asked in vain is no challenge any more.
        Ok(Ok(result)) if result.is_challenge => Ok(if interactive { Answer::NoAgent } else { Answer::Challenge }),
        Ok(Ok(_)) => Ok(Answer::No),
        Ok(Err(error)) if is_absent(&error) => Ok(Answer::Absent),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            withdraw(&polkit, &cancellation).await;
            Err(zbus::Error::Failure("polkit did not answer in time".to_owned()))
        }
    }
}

struct Question {
    subject: Subject,
    action: String,
    details: Vec<(String, String)>,
    flags: Flags,
    cancellation: String,
}

async fn ask(
    polkit: AuthorityProxy<'static>,
    question: Question,
    place: WaitingCall,
) -> zbus::Result<AuthorizationResult> {
    let Question { subject, action, details, flags, cancellation } = question;
    let details = details.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let answer = polkit.check_authorization(&subject, &action, &details, flags, &cancellation).await;
    drop(place);
    answer
}

/// Cancels a question, without a reply: polkit answers the question itself.
async fn withdraw(polkit: &AuthorityProxy<'_>, cancellation: &str) {
    let withdrawn = polkit.inner().call_noreply("CancelCheckAuthorization", &cancellation).await;
    if let Err(error) = withdrawn {
        tracing::debug!("cannot cancel a call to polkit: {error}");
    }
}

/// Timeout for a person who types a password.
const A_PERSON: Duration = Duration::from_secs(600);
/// Timeout for the rules of polkit.
const A_PROGRAM: Duration = Duration::from_secs(30);

/// Numbers the checks, so that each can be cancelled.
static CHECKS: AtomicU64 = AtomicU64::new(0);

/// Waits until the name has left the bus. If the bus cannot say that, it never returns, and the caller waits for the answer.
async fn left(connection: &Connection, name: &UniqueName<'_>) {
    if wait_for_leaving(connection, name).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn wait_for_leaving(connection: &Connection, name: &UniqueName<'_>) -> zbus::Result<()> {
    let bus = DBusProxy::new(connection).await?;
    let mut changes = bus.receive_name_owner_changed_with_args(&[(0, name.as_str()), (2, "")]).await?;
    // It may have left before the subscription.
    if bus.name_has_owner(name.clone().into()).await? {
        poll_fn(|context| Pin::new(&mut changes).poll_next(context)).await;
    }
    Ok(())
}

/// Whether polkit is absent, in contrast to a polkit that refuses or fails.
fn is_absent(error: &zbus::Error) -> bool {
    // The bus itself sends only errors of this kind.
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
    fn a_polkit_that_fails_is_not_one_that_is_absent() {
        assert!(is_absent(&zbus::Error::from(zbus::fdo::Error::ServiceUnknown(String::new()))));
        assert!(!is_absent(&zbus::Error::from(zbus::fdo::Error::NoReply(String::new()))));
        assert!(!is_absent(&zbus::Error::Failure("x".to_owned())));
    }
}
