//! Passphrases: from an entry into a pipe to the service.
//!
//! An entry of a passphrase has memory that is overwritten at its end; so has the copy that is made here. GTK's own copy of the text is
//! freed, and not overwritten. So while a dialog with a passphrase is open, the process leaves no core, and no other process of the
//! user may look into it.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use butterdock_dbus::SECRET_MAX;
use gtk::prelude::*;
use zeroize::Zeroizing;

/// The passphrase in an entry, as the end of a pipe; the entry is empty afterwards.
///
/// # Errors
/// There is no pipe, or the passphrase is too long.
pub(crate) fn take(entry: &impl IsA<gtk::Editable>) -> io::Result<OwnedFd> {
    let secret = Zeroizing::new(entry.text().as_bytes().to_vec());
    entry.set_text("");
    // A pipe of a user who has many holds a page, and the window must not wait for its reader.
    if secret.len() > SECRET_MAX.min(PAGE) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the passphrase is too long"));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&secret)?;
    Ok(reader.into())
}

/// The least that a pipe holds, in bytes.
const PAGE: usize = 4096;
