//! The dialog that asks for the passphrase of a drive.

use butterdock_dbus::{Error, ErrorName};
use butterdock_desktop::objects::Objects;
use butterdock_desktop::wording::{drive_title, error_text};
use butterdock_desktop::words::Words;

/// What the dialog says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlockDialog {
    /// Its heading.
    pub heading: String,
    /// Which drive it is.
    pub body: String,
}

/// The dialog for the drive at this path; `None` if that is gone.
#[must_use]
pub fn unlock_dialog(objects: &Objects, words: &Words, path: &str) -> Option<UnlockDialog> {
    let title = drive_title(words, objects.drives.get(path)?);
    Some(UnlockDialog {
        heading: words.say("Unlock a backup drive", &[]),
        body: words.say("The passphrase of the backup drive {drive}", &[("drive", &title)]),
    })
}

/// What the dialog says after the service refused.
#[must_use]
pub fn unlock_error(words: &Words, error: &Error) -> String {
    match error {
        Error::Named(ErrorName::WrongPassphrase, _) => {
            words.say("This passphrase does not open the drive. Try again.", &[])
        }
        Error::Named(..) | Error::InvalidArgs(_) | Error::Bus(_) => error_text(words, error),
    }
}
