//! The polkit actions: what an administrator's rules and a person's dialog know.

/// A polkit action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Receive a stream into a volume under the names that it brings; see which subvolumes are there.
    Receive,
    /// Receive a stream under a name that the caller chooses.
    ReceiveAnywhere,
    /// Cancel a job that the caller started.
    CancelOwn,
    /// Cancel a job that somebody else started.
    CancelOthers,
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

/// Every action.
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
        description: "Receive a backup under a name of one's own choice",
        message: "Authentication is required to receive a backup under a chosen name into the volume $(volume)",
        any: Allow::Admin,
        inactive: Allow::Admin,
        active: Allow::AdminKeep,
    },
    ActionRow {
        action: Action::CancelOwn,
        description: "Cancel a backup job that one has started",
        message: "Authentication is required to cancel your backup job on the volume $(volume)",
        any: Allow::Yes,
        inactive: Allow::Yes,
        active: Allow::Yes,
    },
    ActionRow {
        action: Action::CancelOthers,
        description: "Cancel a backup job that somebody else has started",
        message: "Authentication is required to cancel somebody else's backup job on the volume $(volume)",
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
