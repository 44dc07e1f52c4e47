//! Secrets, by their names: files in the directory that systemd makes for `LoadCredential=`.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use butterdock_net_protocol::{Cause, CredentialName, Line};
use zeroize::Zeroizing;

/// systemd gives a credential from a directory this prefix: the unit loads all of them.
const PREFIX: &str = "butterdock_";
const LONGEST: u64 = 4096;

/// Reads a credential: one line of printable text, whose end of line does not count.
///
/// # Errors
/// It is missing or not of this form.
pub(crate) fn read(name: &CredentialName) -> Result<Zeroizing<String>, Cause> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) else {
        return Err(failed(name, "the unit loads no credentials"));
    };
    // A drop-in may load one of exactly this name.
    let own = read_file(&folder.join(format!("{PREFIX}{name}")));
    let text = match own {
        Err(error) if error.kind() == ErrorKind::NotFound => read_file(&folder.join(name.as_str())),
        read => read,
    };
    let text = text.map_err(|error| {
        let is_missing = error.kind() == ErrorKind::NotFound;
        failed(name, if is_missing { "it does not exist".to_owned() } else { error.to_string() }.as_str())
    })?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err(failed(name, "it is not one line of text"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

fn read_file(path: &Path) -> io::Result<Zeroizing<String>> {
    // With room for all of it, no copy is left behind when it grows.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST).unwrap_or_default() + 1));
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LONGEST) {
        Ok(text)
    } else {
        Err(io::Error::other("it is larger than 4096 bytes"))
    }
}

fn failed(name: &CredentialName, why: &str) -> Cause {
    Cause::Credential(Line::of(&format!("{name}: {why}")))
}
