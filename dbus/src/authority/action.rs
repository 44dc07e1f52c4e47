//! The polkit actions: what an administrator's rules and a person's dialog know.

/// A polkit action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Receive a stream into a volume under the names that it brings; see which subvolumes are there.
    Receive,
    /// Receive a stream under another name than it brings: guards the option `name`. It is no bound on names: whoever may
    /// receive may hand in a stream that was made with any name in it.
    ReceiveAnywhere,
    /// Cancel a job that the caller started.
    CancelOwn,
    /// Cancel a job that somebody else started.
    CancelOthers,
    /// Let a drive take this machine's backups.
    Enrol,
    /// Erase a drive, and let it take this machine's backups.
    Format,
    /// Unenrol a drive (its data stays).
    Forget,
    /// Unlock an enrolled drive.
    Unlock,
    /// Mount an enrolled drive.
    Mount,
    /// Start configured backups on an enrolled drive.
    Backup,
    /// Estimate how much the configured backups would send.
    Estimate,
    /// Make a drive safe to unplug.
    SafelyRemove,
    /// Check what is on a drive.
    Verify,
    /// See the snapshots on a drive, and bring them into a volume.
    Restore,
    /// See the stream files on a drive, and receive them into a volume.
    Import,
    /// Everything that changes the service itself, and what others' jobs failed on.
    Manage,
}

/// An action as polkit is told about it.
#[derive(Debug, Clone, Copy)]
pub struct ActionRow {
    /// Which.
    pub action: Action,
    /// What it is, for an administrator.
    pub description: &'static str,
    /// What a person is asked. `$(volume)` is the call's detail of that name.
    pub message: &'static str,
    /// For callers without a session, such as over ssh or from a service.
    pub any: Allow,
    /// For callers whose session is not the one in front of the machine.
    pub inactive: Allow,
    /// For callers in front of the machine.
    pub active: Allow,
}

/// What polkit answers before an administrator says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// Yes, without asking.
    Yes,
    /// An administrator's password, each time.
    Admin,
    /// An administrator's password, which then holds for a few minutes.
    AdminKeep,
}

/// Every action. A user at the console may do with an enrolled drive what loses no data: unlock it (a user who knows the passphrase
/// could also do so elsewhere), run the configured backups, check it, and make it safe to unplug.
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
        message: "Authentication is required to unenrol the backup drive $(drive)",
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
        description: "Start configured backups on an enrolled drive",
        message: "Authentication is required to start a backup to the drive $(drive)",
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
        description: "Check all data on a backup drive",
        message: "Authentication is required to check the backup drive $(drive)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::Restore,
        description: "List the snapshots on a backup drive and restore them",
        message: "Authentication is required to restore from the backup drive $(drive)",
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
        active: Allow::AdminKeep,
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
            Self::Import => "org.butterdock.Butterdock1.import",
            Self::Manage => "org.butterdock.Butterdock1.manage",
        }
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
