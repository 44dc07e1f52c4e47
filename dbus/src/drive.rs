//! What is said of a drive: where it stands.

use crate::word::word;

word! {
    /// Where a drive stands.
    DriveState {
        /// Attached; neither encrypted nor mounted by the service.
        Present = "present",
        /// Encrypted, and not unlocked.
        Locked = "locked",
        /// Unlocked, and not mounted.
        Unlocked = "unlocked",
        /// Mounted by the service; no job uses it.
        Mounted = "mounted",
        /// A job uses it.
        Busy = "busy",
        /// It can be unplugged; nothing is lost.
        Safe = "safe",
    }
    other
        /// A word of a later service.
        Other
}
