//! The table: each method, and what its caller must be allowed.

use super::Action;
use crate::names::interface::{DRIVE, JOB, MANAGER, VOLUME};

/// One method.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its interface.
    pub interface: &'static str,
    /// Its name.
    pub method: &'static str,
    /// Who may call it.
    pub rule: Rule,
    /// What polkit's rules are told beside the action: `volume` is the volume's configured name, `job` the job's id,
    /// `drive` what the drive is called ([`DriveProperties::title`](crate::DriveProperties::title)), `drive_id` its id.
    /// What a job does not have is left out: of a job that receives there is no `drive`, and `action.lookup("drive")` is
    /// undefined, not empty.
    pub details: &'static [&'static str],
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody on the bus: it changes nothing and tells no name of a file.
    Anybody,
    /// Everybody on the bus; whom polkit allows the action, when this option is given.
    AnybodyWithout {
        /// The option.
        option: &'static str,
        /// The action with it.
        with: Action,
    },
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

const ENROL: Rule = Rule::Unless { usual: Action::Enrol, option: "format", with: Action::Format };
const LIST_BACKUPS: Rule = Rule::AnybodyWithout { option: "estimate", with: Action::Estimate };

/// What is told of a drive.
const A_DRIVE: &[&str] = &["drive", "drive_id"];
/// What is told of a drive and a volume.
const BOTH: &[&str] = &["drive", "drive_id", "volume"];
/// What is told of a job.
const A_JOB: &[&str] = &["volume", "job", "drive", "drive_id"];

/// Every method of the service's interfaces. Properties and signals are everybody's.
pub const TABLE: &[Row] = &[
    Row { interface: MANAGER, method: "Receive", rule: RECEIVE, details: &["volume"] },
    Row { interface: MANAGER, method: "ListHistory", rule: Rule::Anybody, details: &[] },
    Row { interface: MANAGER, method: "ListBackups", rule: LIST_BACKUPS, details: &[] },
    Row { interface: MANAGER, method: "ForgetDrive", rule: Rule::Action(Action::Forget), details: A_DRIVE },
    Row { interface: MANAGER, method: "Reload", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "TrustClock", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: VOLUME, method: "Receive", rule: RECEIVE, details: &["volume"] },
    // Names of subvolumes are not everybody's; who may receive needs them, to know what an increment can build on.
    Row { interface: VOLUME, method: "ListSubvolumes", rule: Rule::Action(Action::Receive), details: &["volume"] },
    Row {
        interface: JOB,
        method: "Cancel",
        rule: Rule::Own { own: Action::CancelOwn, others: Action::CancelOthers },
        details: A_JOB,
    },
    Row { interface: JOB, method: "GetErrorDetails", rule: Rule::Starter { others: Action::Manage }, details: A_JOB },
    Row { interface: DRIVE, method: "Enrol", rule: ENROL, details: A_DRIVE },
    Row { interface: DRIVE, method: "Forget", rule: Rule::Action(Action::Forget), details: A_DRIVE },
    Row { interface: DRIVE, method: "Unlock", rule: Rule::Action(Action::Unlock), details: A_DRIVE },
    Row { interface: DRIVE, method: "Mount", rule: Rule::Action(Action::Mount), details: A_DRIVE },
    Row { interface: DRIVE, method: "SafelyRemove", rule: Rule::Action(Action::SafelyRemove), details: A_DRIVE },
    Row { interface: DRIVE, method: "Backup", rule: Rule::Action(Action::Backup), details: A_DRIVE },
    Row { interface: DRIVE, method: "Verify", rule: Rule::Action(Action::Verify), details: A_DRIVE },
    // Names of snapshots and files are not everybody's.
    Row { interface: DRIVE, method: "ListSnapshots", rule: Rule::Action(Action::Restore), details: A_DRIVE },
    Row { interface: DRIVE, method: "Restore", rule: Rule::Action(Action::Restore), details: BOTH },
    Row { interface: DRIVE, method: "ListStreams", rule: Rule::Action(Action::Import), details: A_DRIVE },
    Row { interface: DRIVE, method: "Import", rule: Rule::Action(Action::Import), details: BOTH },
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
            Self::Action(action) | Self::Starter { others: action } | Self::AnybodyWithout { with: action, .. } => {
                (Some(action), None)
            }
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
    fn every_action_is_defined_once_and_used() {
        for action in TABLE.iter().flat_map(|row| row.rule.actions()) {
            assert_eq!(ACTIONS.iter().filter(|row| row.action == action).count(), 1, "{action:?}");
        }
        for shipped in ACTIONS {
            assert!(TABLE.iter().any(|row| row.rule.actions().any(|action| action == shipped.action)), "{shipped:?}");
        }
    }

    #[test]
    fn polkit_messages_use_only_available_details() {
        for shipped in ACTIONS {
            let rows = TABLE.iter().filter(|row| row.rule.actions().any(|action| action == shipped.action));
            let rows = rows.collect::<Vec<_>>();
            for detail in shipped.message.split("$(").skip(1).filter_map(|rest| rest.split(')').next()) {
                assert!(rows.iter().all(|row| row.details.contains(&detail)), "{detail} of {shipped:?}");
            }
        }
    }

    #[test]
    fn a_job_without_volume_has_no_volume_detail() {
        let of_jobs = TABLE.iter().filter(|row| row.interface == JOB).flat_map(|row| row.rule.actions());
        for action in of_jobs.collect::<Vec<_>>() {
            let shipped = ACTIONS.iter().find(|row| row.action == action).expect("shipped");
            assert!(!shipped.message.contains("$("), "{shipped:?}");
        }
    }
}
