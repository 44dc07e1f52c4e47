//! Authorizes calls by the table of the API. Root is always authorized, without polkit. For other users polkit decides; if
//! polkit is absent, only root may make the calls that need authorization.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use butterdock_dbus::authority::{ACTIONS, Action, ActionRow, Permission, Rule, row};
use butterdock_dbus::{Error, ErrorName, Options};
use zbus::Connection;
use zbus::message::{Flags, Header};

use super::callers::Callers;
use super::polkit::{self, Answer};
use super::waiting_calls::WaitingCall;

/// Decides who may call.
#[derive(Debug)]
pub(super) struct Authority {
    connection: Connection,
    callers: Callers,
    /// The number of waiting calls of each user. Not locked while they wait.
    waiting: Arc<Mutex<HashMap<u32, usize>>>,
}

/// The call that needs authorization.
#[derive(Debug, Clone)]
pub(super) struct Question {
    interface: &'static str,
    method: &'static str,
    details: Vec<(&'static str, String)>,
    options: Vec<String>,
    owner: Option<u32>,
}

/// An authorized caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) uid: u32,
}

impl Question {
    pub(super) fn new(interface: &'static str, method: &'static str) -> Self {
        Self { interface, method, details: Vec::new(), options: Vec::new(), owner: None }
    }

    /// A detail for polkit's rules and for the person that it asks.
    pub(super) fn about(mut self, key: &'static str, value: &str) -> Self {
        self.details.push((key, value.to_owned()));
        self
    }

    /// The options that were given.
    pub(super) fn with(mut self, options: &Options) -> Self {
        self.options = options.keys().cloned().collect();
        self
    }

    /// The user who started the job that the call concerns.
    pub(super) fn owned_by(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }
}

impl Authority {
    pub(super) fn new(connection: Connection, callers: Callers) -> Self {
        Self { connection, callers, waiting: Arc::default() }
    }

    /// Authorizes the caller. It may take as long as a person needs to type a password. Root is always authorized: no rule of
    /// polkit restricts root, and neither may a polkit that does not answer.
    ///
    /// # Errors
    /// `NotAuthorized`; `Busy` if too many calls of the user, or of all users, wait already.
    pub(super) async fn allow(&self, header: &Header<'_>, question: &Question) -> Result<Caller, Error> {
        let Some(row) = row(question.interface, question.method) else {
            return Err(refused("no caller may call this method"));
        };
        let sender = header.sender().ok_or_else(|| refused("the caller has no name on the bus"))?;
        let uid = self.callers.user(sender.as_str()).await.map_err(|error| unknown(&error))?;
        let caller = Caller { uid };
        if uid == 0 {
            return Ok(caller);
        }
        let Some(action) = needed(row.rule, uid, question) else { return Ok(caller) };
        let interactive = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
        match self.ask(header, caller, (action, &question.details), interactive).await? {
            Answer::Yes => Ok(caller),
            Answer::Absent => Err(refused("only root may do this, because polkit does not run on this system")),
            Answer::No => Err(refused("polkit does not allow you to do this")),
            Answer::Challenge => Err(refused(
                "this needs a password, and your program did not allow polkit to ask for it; run it as root",
            )),
            Answer::NoAgent => Err(refused(
                "this needs a password, and no polkit agent runs in your session that could ask for it; start one, or run it as root",
            )),
            Answer::Left => Err(left()),
        }
    }

    /// What the caller may do: each action with polkit's answer, without details of a call and without a dialog.
    ///
    /// # Errors
    /// `NotAuthorized` if polkit does not answer; `Busy` as for [`Self::allow`].
    pub(super) async fn permissions(&self, header: &Header<'_>) -> Result<Vec<(Action, Permission)>, Error> {
        let sender = header.sender().ok_or_else(|| refused("the caller has no name on the bus"))?;
        let uid = self.callers.user(sender.as_str()).await.map_err(|error| unknown(&error))?;
        let mut all = Vec::new();
        let mut is_absent = false;
        for ActionRow { action, .. } in ACTIONS {
            // One question at a time: the call takes one place among those that wait.
            let answer = match uid {
                0 => Answer::Yes,
                _ if is_absent => Answer::Absent,
                uid => self.ask(header, Caller { uid }, (*action, &[]), false).await?,
            };
            is_absent = answer == Answer::Absent;
            let permission = match answer {
                Answer::Yes => Permission::Yes,
                Answer::Challenge | Answer::NoAgent => Permission::Challenge,
                Answer::No | Answer::Absent => Permission::No,
                Answer::Left => return Err(left()),
            };
            all.push((*action, permission));
        }
        Ok(all)
    }

    /// polkit's answer about a caller other than root.
    async fn ask(
        &self,
        header: &Header<'_>,
        caller: Caller,
        (action, details): (Action, &[(&'static str, String)]),
        interactive: bool,
    ) -> Result<Answer, Error> {
        let place = WaitingCall::take(&self.waiting, caller.uid)?;
        polkit::check(&self.connection, header, action.id(), details, interactive, place).await.map_err(|error| {
            tracing::warn!("cannot ask polkit about {}: {error}", action.id());
            refused("the service cannot reach polkit; see the journal of butterdockd")
        })
    }
}

/// The action that polkit must allow; none if the call needs no authorization.
fn needed(rule: Rule, uid: u32, question: &Question) -> Option<Action> {
    let own = question.owner == Some(uid);
    match rule {
        Rule::Anybody => None,
        Rule::AnybodyWithout { option, with } => question.options.iter().any(|given| given == option).then_some(with),
        Rule::Action(action) => Some(action),
        Rule::Unless { usual, option, with } => {
            Some(if question.options.iter().any(|given| given == option) { with } else { usual })
        }
        Rule::Own { own: action, others } => Some(if own { action } else { others }),
        Rule::Starter { others } => (!own).then_some(others),
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorName::NotAuthorized, why)
}

fn left() -> Error {
    refused("the caller left the bus")
}

fn unknown(error: &zbus::Error) -> Error {
    refused(&format!("the bus does not name your user ({error})"))
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::authority::TABLE;
    use butterdock_dbus::names::interface::{JOB, MANAGER, VOLUME};

    use super::*;

    fn asks(question: &Question, uid: u32) -> Option<Action> {
        needed(row(question.interface, question.method).expect("a row").rule, uid, question)
    }

    #[test]
    fn a_chosen_name_needs_more_authorization() {
        for interface in [MANAGER, VOLUME] {
            let question = Question::new(interface, "Receive");
            assert_eq!(asks(&question, 1000), Some(Action::Receive));
            let named = question.with(&Options::from([("name".to_owned(), true.into())]));
            assert_eq!(asks(&named, 1000), Some(Action::ReceiveAnywhere));
        }
    }

    #[test]
    fn ones_own_job_needs_less_authorization() {
        let question = Question::new(JOB, "Cancel").owned_by(1000);
        assert_eq!(asks(&question, 1000), Some(Action::CancelOwn));
        assert_eq!(asks(&question, 1001), Some(Action::CancelOthers));
        let question = Question::new(JOB, "GetErrorDetails").owned_by(1000);
        assert_eq!(asks(&question, 1000), None);
        assert_eq!(asks(&question, 1001), Some(Action::Manage));
    }

    #[test]
    fn only_lists_and_permissions_need_no_action() {
        let free = TABLE.iter().filter(|row| asks(&Question::new(row.interface, row.method), 1000).is_none());
        assert_eq!(
            free.map(|row| row.method).collect::<Vec<_>>(),
            ["ListHistory", "GetPermissions", "ListBackups", "ListNotifications", "ListMounts"]
        );
        let costly = Question::new(MANAGER, "ListBackups").with(&Options::from([("estimate".to_owned(), true.into())]));
        assert_eq!(asks(&costly, 1000), Some(Action::Estimate));
    }
}
