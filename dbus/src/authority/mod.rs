//! Who may call what: one table, from which the service authorizes calls, and from which the shipped polkit file and
//! the documentation are made.
//!
//! The service asks polkit about the caller's bus name (never its pid), and allows a password dialog only if the call
//! does. Without polkit on the bus, [`Rule::Anybody`] allows all users, [`Rule::AnybodyWithout`] too if the option is
//! not given, [`Rule::Starter`] the user who started the job, and all other rules only root.

mod action;

use crate::names::BUS_NAME;
use crate::names::interface::{BACKUP, DESTINATION, DRIVE, JOB, MANAGER, VOLUME};
use crate::word::word;

pub use action::{ACTIONS, Action, ActionRow, Allow, policy};

/// A row of the table: one method.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its interface.
    pub interface: &'static str,
    /// Its name.
    pub method: &'static str,
    /// Who may call it.
    pub rule: Rule,
    /// The details that polkit's rules can look up: `volume` is the volume's configured name, `job` the job's id, `drive`
    /// the drive's [title](crate::DriveProperties::title), `drive_id` its id, `destination` and `destination_id` those of a
    /// destination, which are the same if it is a drive (of several, separated by commas), `backup` the configured name of a
    /// backup. A job without a drive has no `drive`: then
    /// `action.lookup("drive")` is undefined, not empty.
    pub details: &'static [&'static str],
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// All users: the method changes nothing and its answer contains no file names.
    Anybody,
    /// All users; with this option, users whom polkit allows the action.
    AnybodyWithout {
        /// The option.
        option: &'static str,
        /// The action with it.
        with: Action,
    },
    /// Users whom polkit allows the action.
    Action(Action),
    /// One action; with this option, another action instead.
    Unless {
        /// The action without the option.
        usual: Action,
        /// The option.
        option: &'static str,
        /// The action with it.
        with: Action,
    },
    /// One action for the user who started the job, another for other users.
    Own {
        /// For the user who started it.
        own: Action,
        /// For others.
        others: Action,
    },
    /// The user who started the job, without polkit; other users whom polkit allows the action.
    Starter {
        /// For others.
        others: Action,
    },
}

const RECEIVE: Rule = Rule::Unless { usual: Action::Receive, option: "name", with: Action::ReceiveAnywhere };

const ENROL: Rule = Rule::Unless { usual: Action::Enrol, option: "format", with: Action::Format };
const RUN_BACKUPS: Rule = Rule::Unless { usual: Action::Backup, option: "new_source", with: Action::Manage };
const LIST_SNAPSHOTS: Rule = Rule::Unless { usual: Action::Restore, option: "own", with: Action::RestoreOwn };
const FILES: Rule = Rule::Unless { usual: Action::RestoreOwn, option: "as_root", with: Action::Restore };
const LIST_BACKUPS: Rule = Rule::AnybodyWithout { option: "estimate", with: Action::Estimate };

/// The details of a call about a drive.
const A_DRIVE: &[&str] = &["drive", "drive_id"];
/// The details of a call about a drive and a volume.
const A_DRIVE_AND_A_VOLUME: &[&str] = &["drive", "drive_id", "volume"];
/// The details of a call about a backup. For its snapshots beside the source, the source is the destination.
const A_BACKUP: &[&str] = &["backup", "destination", "destination_id"];
/// The details of a call about a destination.
const A_DESTINATION: &[&str] = &["destination", "destination_id"];
/// The details of a call about a destination and a volume.
const A_DESTINATION_AND_A_VOLUME: &[&str] = &["destination", "destination_id", "volume"];
/// The details of a call about a job.
const A_JOB: &[&str] = &["volume", "job", "drive", "drive_id"];

/// All methods of the service's interfaces. All users may read properties and signals.
pub const TABLE: &[Row] = &[
    Row { interface: MANAGER, method: "Receive", rule: RECEIVE, details: &["volume"] },
    Row { interface: MANAGER, method: "ListHistory", rule: Rule::Anybody, details: &[] },
    Row { interface: MANAGER, method: "GetPermissions", rule: Rule::Anybody, details: &[] },
    Row { interface: MANAGER, method: "ListBackups", rule: LIST_BACKUPS, details: &[] },
    Row { interface: MANAGER, method: "Reload", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "TrustClock", rule: Rule::Action(Action::Manage), details: &[] },
    // Paths of sources are not public.
    Row { interface: MANAGER, method: "GetSettings", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "SetBackup", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "RemoveBackup", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "SetVolume", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "RemoveVolume", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "SetDestination", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "RemoveDestination", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "SetDefaults", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: MANAGER, method: "ListNotifications", rule: Rule::Anybody, details: &[] },
    // The answer has the words of the server.
    Row { interface: MANAGER, method: "TestNotification", rule: Rule::Action(Action::Manage), details: &[] },
    Row { interface: VOLUME, method: "Receive", rule: RECEIVE, details: &["volume"] },
    // Subvolume names are not public. Users who may receive need them, to choose the parent of an increment.
    Row { interface: VOLUME, method: "ListSubvolumes", rule: Rule::Action(Action::Receive), details: &["volume"] },
    Row {
        interface: JOB,
        method: "Cancel",
        rule: Rule::Own { own: Action::CancelOwn, others: Action::CancelOthers },
        details: A_JOB,
    },
    Row { interface: JOB, method: "GetErrorDetails", rule: Rule::Starter { others: Action::Manage }, details: A_JOB },
    Row { interface: BACKUP, method: "Run", rule: RUN_BACKUPS, details: A_BACKUP },
    Row { interface: BACKUP, method: "ListSnapshots", rule: LIST_SNAPSHOTS, details: A_BACKUP },
    Row { interface: BACKUP, method: "ListFiles", rule: FILES, details: A_BACKUP },
    Row { interface: BACKUP, method: "FileVersions", rule: FILES, details: A_BACKUP },
    Row { interface: BACKUP, method: "OpenFile", rule: FILES, details: A_BACKUP },
    Row { interface: BACKUP, method: "RestoreFiles", rule: FILES, details: A_BACKUP },
    Row {
        interface: BACKUP,
        method: "EstimateDeletion",
        rule: Rule::Action(Action::DeleteSnapshots),
        details: A_BACKUP,
    },
    Row {
        interface: BACKUP,
        method: "DeleteSnapshots",
        rule: Rule::Action(Action::DeleteSnapshots),
        details: A_BACKUP,
    },
    Row { interface: BACKUP, method: "HoldSnapshot", rule: Rule::Action(Action::DeleteSnapshots), details: A_BACKUP },
    Row {
        interface: BACKUP,
        method: "ReleaseSnapshot",
        rule: Rule::Action(Action::DeleteSnapshots),
        details: A_BACKUP,
    },
    Row { interface: DRIVE, method: "Enrol", rule: ENROL, details: A_DRIVE },
    Row { interface: DRIVE, method: "EnrolEncrypted", rule: ENROL, details: A_DRIVE },
    Row { interface: DRIVE, method: "Unlock", rule: Rule::Action(Action::Unlock), details: A_DRIVE },
    Row { interface: DRIVE, method: "Mount", rule: Rule::Action(Action::Mount), details: A_DRIVE },
    Row { interface: DRIVE, method: "SafelyRemove", rule: Rule::Action(Action::SafelyRemove), details: A_DRIVE },
    // The answer has a path only for root and for the user whose mount it is.
    Row { interface: DRIVE, method: "ListMounts", rule: Rule::Anybody, details: &[] },
    // Names of files are not public.
    Row { interface: DRIVE, method: "ListStreams", rule: Rule::Action(Action::Import), details: A_DRIVE },
    Row { interface: DRIVE, method: "Import", rule: Rule::Action(Action::Import), details: A_DRIVE_AND_A_VOLUME },
    Row { interface: DESTINATION, method: "Backup", rule: RUN_BACKUPS, details: A_DESTINATION },
    Row { interface: DESTINATION, method: "Verify", rule: Rule::Action(Action::Verify), details: A_DESTINATION },
    // Names of snapshots are not public.
    Row { interface: DESTINATION, method: "ListSnapshots", rule: LIST_SNAPSHOTS, details: A_DESTINATION },
    Row { interface: DESTINATION, method: "ListFiles", rule: FILES, details: A_DESTINATION },
    Row { interface: DESTINATION, method: "FileVersions", rule: FILES, details: A_DESTINATION },
    Row { interface: DESTINATION, method: "OpenFile", rule: FILES, details: A_DESTINATION },
    Row { interface: DESTINATION, method: "RestoreFiles", rule: FILES, details: A_DESTINATION },
    Row {
        interface: DESTINATION,
        method: "Restore",
        rule: Rule::Action(Action::Restore),
        details: A_DESTINATION_AND_A_VOLUME,
    },
    Row {
        interface: DESTINATION,
        method: "EstimateDeletion",
        rule: Rule::Action(Action::DeleteSnapshots),
        details: A_DESTINATION,
    },
    Row {
        interface: DESTINATION,
        method: "DeleteSnapshots",
        rule: Rule::Action(Action::DeleteSnapshots),
        details: A_DESTINATION,
    },
    Row {
        interface: DESTINATION,
        method: "HoldSnapshot",
        rule: Rule::Action(Action::DeleteSnapshots),
        details: A_DESTINATION,
    },
    Row {
        interface: DESTINATION,
        method: "ReleaseSnapshot",
        rule: Rule::Action(Action::DeleteSnapshots),
        details: A_DESTINATION,
    },
    Row { interface: DESTINATION, method: "Forget", rule: Rule::Action(Action::Forget), details: A_DESTINATION },
    Row { interface: DESTINATION, method: "Unpin", rule: Rule::Action(Action::Manage), details: A_DESTINATION },
];

word! {
    /// Whether a caller may do what an action guards, in the answer of `GetPermissions`.
    Permission {
        /// Without a password.
        Yes = "yes",
        /// With a password, of the caller or of an administrator as polkit's rules say.
        Challenge = "challenge",
        /// Not at all.
        No = "no",
    }
    other
        /// An answer of a later version.
        Other
}

/// The row of a method; `None` for a method that is not in the contract, which no user may call.
#[must_use]
pub fn row(interface: &str, method: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.interface == interface && row.method == method)
}

impl Rule {
    /// The actions that the rule may ask polkit about.
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

/// Two tables in Markdown: the methods with their permissions, and the actions with polkit's defaults.
#[must_use]
pub fn markdown() -> String {
    let mut out = "| Method | Permission | polkit's rules see |\n|---|---|---|\n".to_owned();
    for row in TABLE {
        let interface = row.interface.trim_start_matches(BUS_NAME).trim_start_matches('.');
        let details = row.details.iter().map(|detail| format!("`{detail}`")).collect::<Vec<_>>().join(", ");
        out.push_str(&format!("| `{interface}.{}` | {} | {details} |\n", row.method, who(row.rule)));
    }
    out.push_str("\n| Action | Description | no session | inactive | active |\n|---|---|---|---|---|\n");
    for row in ACTIONS {
        let [any, inactive, active] = [row.any, row.inactive, row.active].map(Allow::as_str);
        out.push_str(&format!("| `{}` | {} | {any} | {inactive} | {active} |\n", row.action.id(), row.description));
    }
    out
}

fn who(rule: Rule) -> String {
    let short = |action: Action| format!("`{}`", action.short());
    match rule {
        Rule::Anybody => "all users".to_owned(),
        Rule::AnybodyWithout { option, with } => format!("all users; with the option `{option}` {}", short(with)),
        Rule::Action(action) => short(action),
        Rule::Unless { usual, option, with } => format!("{}; with the option `{option}` {}", short(usual), short(with)),
        Rule::Own { own, others } => format!("the user who started the job: {}; others: {}", short(own), short(others)),
        Rule::Starter { others } => format!("the user who started the job; others: {}", short(others)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
