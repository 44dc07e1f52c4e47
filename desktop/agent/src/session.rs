//! The session bus: the agent's name on it, and the signals that the agent follows there.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio_stream::StreamExt as _;
use zbus::connection::Builder;
use zbus::fdo::NameOwnerChanged;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream};

use crate::agent::{Input, SessionInput};
use crate::{jobview, notify};

/// The name of the agent: there is one in each session.
pub(crate) const NAME: &str = "org.butterdock.Agent1";

/// How long a server of the session may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connects, takes the name, and follows the signals. `None` if another agent has the name.
///
/// # Errors
/// There is no session bus.
pub(crate) async fn connect(inputs: &UnboundedSender<Input>) -> zbus::Result<Option<Connection>> {
    let session = match Builder::session()
        .method_timeout(PATIENCE)
        .allow_name_replacements(false)
        .replace_existing_names(false)
        .name(NAME)
        .build()
        .await
    {
        Ok(session) => session,
        Err(zbus::Error::NameTaken) => return Ok(None),
        Err(error) => return Err(error),
    };
    for (name, interface, member, read) in FOLLOWED {
        let rule = MatchRule::builder().msg_type(Type::Signal).interface(*interface);
        let rule = rule.sender(*name).member(*member).build()?;
        follow(&session, rule, inputs.clone(), *read).await?;
    }
    for name in [notify::NAME, jobview::NAME] {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender("org.freedesktop.DBus");
        let rule = rule.interface("org.freedesktop.DBus").member("NameOwnerChanged").add_arg(name).build()?;
        follow(&session, rule, inputs.clone(), owner_changed).await?;
    }
    Ok(Some(session))
}

type Read = fn(&Message) -> Option<SessionInput>;

/// The signals of servers: the name of the server, the interface, the signal, and the input that it is.
const FOLLOWED: &[(&str, &str, &str, Read)] = &[
    (notify::NAME, notify::NAME, "NotificationClosed", closed),
    (notify::NAME, notify::NAME, "ActionInvoked", invoked),
    (jobview::NAME, jobview::VIEW, "cancelRequested", cancel_requested),
];

async fn follow(
    session: &Connection,
    rule: MatchRule<'static>,
    inputs: UnboundedSender<Input>,
    read: Read,
) -> zbus::Result<()> {
    let mut signals = MessageStream::for_match_rule(rule, session, None).await?;
    tokio::spawn(async move {
        while let Some(Ok(signal)) = signals.next().await {
            if let Some(input) = read(&signal)
                && inputs.send(Input::Session(input)).is_err()
            {
                return;
            }
        }
        inputs.send(Input::SessionEnded).ok();
    });
    Ok(())
}

fn closed(signal: &Message) -> Option<SessionInput> {
    let (id, _reason): (u32, u32) = signal.body().deserialize().ok()?;
    Some(SessionInput::Closed(id))
}

fn invoked(signal: &Message) -> Option<SessionInput> {
    let (id, key): (u32, String) = signal.body().deserialize().ok()?;
    Some(SessionInput::Invoked(id, key))
}

fn cancel_requested(signal: &Message) -> Option<SessionInput> {
    Some(SessionInput::CancelRequested(signal.header().path()?.to_string()))
}

fn owner_changed(signal: &Message) -> Option<SessionInput> {
    let change = NameOwnerChanged::from_message(signal.clone())?;
    let arguments = change.args().ok()?;
    let owner = arguments.new_owner().as_ref().map(|owner| owner.to_owned().into());
    match arguments.name().as_str() {
        notify::NAME => Some(SessionInput::NotificationServer(owner)),
        jobview::NAME => Some(SessionInput::JobViewServer(owner)),
        _ => None,
    }
}
