//! The polkit actions, with their defaults, and the `.policy` file that polkit reads.

use crate::names::BUS_NAME;

/// A polkit action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Receive a stream into a volume under the names in the stream; list the volume's subvolumes.
    Receive,
    /// Receive a stream under another name: guards the option `name`. It does not limit names, because a user who may
    /// receive can pass a stream with any name in it.
    ReceiveAnywhere,
    /// Cancel a job that the caller started.
    CancelOwn,
    /// Cancel a job that another user started.
    CancelOthers,
    /// Enrol a drive for this machine's backups.
    Enrol,
    /// Erase a drive and enrol it for this machine's backups.
    Format,
    /// Unenrol a drive (its data stays).
    Forget,
    /// Unlock an enrolled drive.
    Unlock,
    /// Mount an enrolled drive.
    Mount,
    /// Start configured backups.
    Backup,
    /// Estimate how much the configured backups would send.
    Estimate,
    /// Make a drive safe to unplug.
    SafelyRemove,
    /// Check all data on a destination.
    Verify,
    /// List the snapshots on a destination, restore them into a volume, and list, read and restore all files in them.
    Restore,
    /// List, read and restore the files in snapshots of this machine that the user may read; the kernel decides that.
    RestoreOwn,
    /// Delete snapshots, hold them, and release them.
    DeleteSnapshots,
    /// List the stream files on a drive and receive them into a volume.
    Import,
    /// Reload and change the configuration, test notifications, trust the clock, accept another source for a backup, unpin the snapshots that sources keep
    /// for a destination, and read the error details of other users' jobs.
    Manage,
}

/// An action in the shipped polkit file.
#[derive(Debug, Clone, Copy)]
pub struct ActionRow {
    /// The action.
    pub action: Action,
    /// The description for administrators.
    pub description: &'static str,
    /// The message of the password dialog. polkit replaces `$(volume)` with the call's detail of that name.
    pub message: &'static str,
    /// `allow_any`: for callers without a session, such as over ssh or from a service.
    pub any: Allow,
    /// `allow_inactive`: for callers in an inactive session.
    pub inactive: Allow,
    /// `allow_active`: for callers in the active session at the console.
    pub active: Allow,
}

/// polkit's default for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// Allowed without a password.
    Yes,
    /// An administrator's password, each time.
    Admin,
    /// An administrator's password, which polkit remembers for a few minutes.
    AdminKeep,
}

/// All actions. A user at the console may do with an enrolled drive what loses no data: unlock it (a user who knows the
/// passphrase could also do so elsewhere), run the configured backups, check it, and make it safe to unplug.
pub const ACTIONS: &[ActionRow] = &[
    ActionRow {
        action: Action::Receive,
        description: "Receive a backup into a volume",
        message: "Authentication is required to receive a backup into the volume $(volume)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::ReceiveAnywhere,
        description: "Receive a backup into a volume under a chosen name",
        message: "Authentication is required to receive a backup into the volume $(volume) under a chosen name",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::CancelOwn,
        description: "Cancel your own backup job",
        message: "Authentication is required to cancel your backup job",
        any: Allow::Yes,
        inactive: Allow::Yes,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::CancelOthers,
        description: "Cancel another user's backup job",
        message: "Authentication is required to cancel another user's backup job",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::Enrol,
        description: "Enrol a drive for this machine's backups",
        message: "Authentication is required to enrol the drive $(drive) for this machine's backups",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Admin,
    },
    ActionRow {
        action: Action::Format,
        description: "Erase a drive and enrol it for this machine's backups",
        message: "Authentication is required to ERASE the drive $(drive) and enrol it for this machine's backups",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Admin,
    },
    ActionRow {
        action: Action::Forget,
        description: "Unenrol a drive (its data stays)",
        message: "Authentication is required to unenrol the backup drive $(destination)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::Unlock,
        description: "Unlock an enrolled backup drive",
        message: "Authentication is required to unlock the backup drive $(drive)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::Mount,
        description: "Mount an enrolled backup drive for root",
        message: "Authentication is required to mount the backup drive $(drive)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::Backup,
        description: "Start configured backups",
        message: "Authentication is required to start a backup to $(destination)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::Estimate,
        description: "Estimate how much the configured backups would send",
        message: "Authentication is required to estimate how much the backups would send",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::SafelyRemove,
        description: "Make a backup drive safe to unplug",
        message: "Authentication is required to make the drive $(drive) safe to unplug",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::Verify,
        description: "Check all data on a backup drive or destination",
        message: "Authentication is required to check all data on $(destination)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::Restore,
        description: "List the snapshots on a backup drive or destination and restore them",
        message: "Authentication is required to restore from $(destination)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::RestoreOwn,
        description: "List, read and restore your own files in the snapshots of this machine",
        message: "Authentication is required to restore your own files from $(destination)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::DeleteSnapshots,
        description: "Delete snapshots, or hold and release them",
        message: "Authentication is required to delete, hold or release snapshots",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::Import,
        description: "List the streams on a drive and receive them",
        message: "Authentication is required to import streams from the drive $(drive)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::Manage,
        description: "Manage the backup service",
        message: "Authentication is required to manage the backup service",
        any: Allow::Admin,
        inactive: Allow::Admin,
        // Each change of the settings asks again: a program of the same session must not use the last answer.
        active: Allow::Admin,
    },
];

impl Action {
    /// The action's id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Receive => "org.butterdock.Butterdock1.receive",
            Self::ReceiveAnywhere => "org.butterdock.Butterdock1.receive-anywhere",
            Self::CancelOwn => "org.butterdock.Butterdock1.cancel-own",
            Self::CancelOthers => "org.butterdock.Butterdock1.cancel-others",
            Self::Enrol => "org.butterdock.Butterdock1.enrol",
            Self::Format => "org.butterdock.Butterdock1.format",
            Self::Forget => "org.butterdock.Butterdock1.forget",
            Self::Unlock => "org.butterdock.Butterdock1.unlock",
            Self::Mount => "org.butterdock.Butterdock1.mount",
            Self::Backup => "org.butterdock.Butterdock1.backup",
            Self::Estimate => "org.butterdock.Butterdock1.estimate",
            Self::SafelyRemove => "org.butterdock.Butterdock1.safely-remove",
            Self::Verify => "org.butterdock.Butterdock1.verify",
            Self::Restore => "org.butterdock.Butterdock1.restore",
            Self::RestoreOwn => "org.butterdock.Butterdock1.restore-own",
            Self::DeleteSnapshots => "org.butterdock.Butterdock1.delete-snapshots",
            Self::Import => "org.butterdock.Butterdock1.import",
            Self::Manage => "org.butterdock.Butterdock1.manage",
        }
    }
}

impl Action {
    /// The action's id without the prefix of the service, such as `safely-remove`.
    #[must_use]
    pub fn short(self) -> &'static str {
        self.id().strip_prefix(BUS_NAME).and_then(|rest| rest.strip_prefix('.')).unwrap_or(self.id())
    }
}

impl Allow {
    /// polkit's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Admin => "auth_admin",
            Self::AdminKeep => "auth_admin_keep",
        }
    }
}

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE policyconfig PUBLIC "-//freedesktop//DTD PolicyKit Policy Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/PolicyKit/1/policyconfig.dtd">
<!-- Made from dbus/src/authority/action.rs; a test compares the two. -->
<policyconfig>
  <vendor>butterdock</vendor>
"#;

/// The text of `data/org.butterdock.Butterdock1.policy`.
#[must_use]
pub fn policy() -> String {
    let mut out = HEAD.to_owned();
    for row in ACTIONS {
        out.push('\n');
        out.push_str(&action(row));
    }
    out.push_str("</policyconfig>\n");
    out
}

fn action(row: &ActionRow) -> String {
    let mut out = format!("  <action id=\"{}\">\n", row.action.id());
    out.push_str(&line("    ", "description", row.description));
    out.push_str(&line("    ", "message", row.message));
    out.push_str("    <defaults>\n");
    for (element, allow) in [("allow_any", row.any), ("allow_inactive", row.inactive), ("allow_active", row.active)] {
        out.push_str(&line("      ", element, allow.as_str()));
    }
    out.push_str("    </defaults>\n  </action>\n");
    out
}

fn line(indent: &str, element: &str, text: &str) -> String {
    format!("{indent}<{element}>{}</{element}>\n", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
