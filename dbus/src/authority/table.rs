//! The table: each method, and what its caller must be allowed.

use super::Action;
use crate::names::interface::{JOB, MANAGER, VOLUME};

/// One method.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its interface.
    pub interface: &'static str,
    /// Its name.
    pub method: &'static str,
    /// Who may call it.
    pub rule: Rule,
    /// What polkit's rules are told beside the action: `volume` is the volume's configured name, `job` the job's id.
    pub details: &'static [&'static str],
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody on the bus: it changes nothing and tells no name of a file.
    Anybody,
    /// Whom polkit allows the action.
    Action(Action),
    /// One action, and another in its place when this option is given.
    Unless {
        /// The action without the option.
        usual: Action,
        /// The option.
        option: &'static str,
        /// The action with it.
        with: Action,
    },
    /// One action for who started the job, another for everybody else.
    Own {
        /// For the uid that started it.
        own: Action,
        /// For others.
        others: Action,
    },
    /// Who started the job, without asking; whom polkit allows the action, otherwise.
    Starter {
        /// For others.
        others: Action,
    },
}

const RECEIVE: Rule = Rule::Unless { usual: Action::Receive, option: "name", with: Action::ReceiveAnywhere };

/// Every method of the service's interfaces. Properties and signals are everybody's.
pub const TABLE: &[Row] = &[
    Row { interface: MANAGER, method: "Receive", rule: RECEIVE, details: &["volume"] },
    Row { interface: MANAGER, method: "ListHistory", rule: Rule::Anybody, details: &[] },
    Row { interface: MANAGER, method: "Reload", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: VOLUME, method: "Receive", rule: RECEIVE, details: &["volume"] },
    // Names of subvolumes are not everybody's; who may receive needs them, to know what an increment can build on.
    Row { interface: VOLUME, method: "ListSubvolumes", rule: Rule::Action(Action::Receive), details: &["volume"] },
    Row {
        interface: JOB,
        method: "Cancel",
        rule: Rule::Own { own: Action::CancelOwn, others: Action::CancelOthers },
        details: &["volume", "job"],
    },
    Row {
        interface: JOB,
        method: "GetErrorDetails",
        rule: Rule::Starter { others: Action::Manage },
        details: &["volume", "job"],
    },
];

/// The row of a method; none for a method that is not in the contract, which nobody may call.
#[must_use]
pub fn row(interface: &str, method: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.interface == interface && row.method == method)
}

impl Rule {
    /// Every action that it may ask about.
    pub fn actions(self) -> impl Iterator<Item = Action> {
        let (first, second) = match self {
            Self::Anybody => (None, None),
            Self::Action(action) | Self::Starter { others: action } => (Some(action), None),
            Self::Unless { usual, with, .. } => (Some(usual), Some(with)),
            Self::Own { own, others } => (Some(own), Some(others)),
        };
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::ACTIONS;

    #[test]
    fn no_method_has_two_rows() {
        for (index, row) in TABLE.iter().enumerate() {
            let again = TABLE.iter().skip(index + 1).any(|o| (o.interface, o.method) == (row.interface, row.method));
            assert!(!again, "{}.{}", row.interface, row.method);
        }
    }

    #[test]
    fn every_action_is_told_to_polkit_once_and_is_of_use() {
        for action in TABLE.iter().flat_map(|row| row.rule.actions()) {
            assert_eq!(ACTIONS.iter().filter(|row| row.action == action).count(), 1, "{action:?}");
        }
        for shipped in ACTIONS {
            assert!(TABLE.iter().any(|row| row.rule.actions().any(|action| action == shipped.action)), "{shipped:?}");
        }
    }

    #[test]
    fn a_message_speaks_only_of_details_that_every_caller_of_its_action_has() {
        for shipped in ACTIONS.iter().filter(|row| row.message.contains("$(volume)")) {
            let mut rows = TABLE.iter().filter(|row| row.rule.actions().any(|action| action == shipped.action));
            assert!(rows.all(|row| row.details.contains(&"volume")), "{shipped:?}");
        }
    }
}
