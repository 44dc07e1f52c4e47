//! A configured command, and whether the service may run it.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::configured;

/// Limit of words.
const MOST_WORDS: usize = 64;
/// Limit of bytes in all words together.
const LONGEST: usize = 4096;

/// A program by its absolute path, and its arguments: no shell interprets them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Passed unchanged.
    pub arguments: Vec<String>,
}

impl Command {
    /// Why the service may not run it, as a sentence: a user who can write the program could run code as root.
    pub fn hindrance(&self) -> Option<String> {
        self.hindrance_unless_of(0)
    }

    fn hindrance_unless_of(&self, owner: u32) -> Option<String> {
        let program = self.program.display();
        match examined(&self.program, owner) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(format!("there is no {program}; install it, or correct on_event"))
            }
            Err(error) => Some(format!("cannot examine {program}: {error}")),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument:?}"))
    }
}

impl TryFrom<Vec<String>> for Command {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        if words.len() > MOST_WORDS || words.iter().map(String::len).sum::<usize>() > LONGEST {
            return Err("a command has up to 64 words and 4096 bytes; write a script for more");
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err("a command contains no NUL");
        }
        let mut words = words.into_iter();
        let program = PathBuf::from(words.next().ok_or("a command names at least a program")?);
        if !program.is_absolute() {
            return Err("a command begins with the absolute path of its program; no shell searches for it");
        }
        Ok(Self { program, arguments: words.collect() })
    }
}

/// Checks the program and all folders and links on its path: a user who can write to one of them can put another program there,
/// also between this check and its start.
fn examined(program: &Path, owner: u32) -> io::Result<Option<String>> {
    let is_fixed = match configured::find_trusting(program, owner) {
        Ok(found) => found.is_fixed,
        Err(configured::Error::Link) => false,
        Err(configured::Error::Io(error)) => return Err(error),
    };
    let file = program.canonicalize()?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.mode() & 0o111 == 0 {
        return Ok(Some(format!("{} is not executable; chmod +x it, or correct on_event", file.display())));
    }
    for place in file.ancestors() {
        let facts = place.metadata()?;
        // In a sticky folder users cannot replace entries of other users.
        let writable = facts.mode() & 0o022 != 0 && !(facts.is_dir() && facts.mode() & 0o1000 != 0);
        if writable || ![0, owner].contains(&facts.uid()) {
            return Ok(Some(format!(
                "users other than root can write to {}; chown root:root and chmod go-w it",
                place.display()
            )));
        }
    }
    Ok((!is_fixed).then(|| {
        let program = program.display();
        format!("users other than root can exchange a link or folder on the path of {program}; name the program itself")
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn command(words: &[&str]) -> Result<Command, &'static str> {
        Command::try_from(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_without_absolute_path_is_refused() {
        for bad in [&[][..], &["light"], &["./light"], &["/light", "a\0b"], &["/light", &"x".repeat(5000)]] {
            assert!(command(bad).is_err(), "{bad:?}");
        }
        let good = command(&["/usr/bin/light", "a b", "$(c)"]).expect("a command");
        assert_eq!(good.arguments, ["a b", "$(c)"]);
        assert_eq!(good.to_string(), r#"/usr/bin/light "a b" "$(c)""#);
    }

    #[test]
    fn a_program_that_others_can_replace_is_not_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("light");
        let command = command(&[file.to_str().expect("text")]).expect("a command");
        let owner = folder.path().metadata().expect("facts").uid();
        let said = |mode, folder_mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(folder_mode)).expect("set");
            command.hindrance_unless_of(owner).unwrap_or_default()
        };
        assert!(command.hindrance_unless_of(owner).is_some_and(|text| text.starts_with("there is no ")));
        fs::write(&file, "#!/bin/sh\n").expect("written");
        assert_eq!(said(0o755, 0o700), "");
        assert!(said(0o644, 0o700).contains("is not executable"));
        assert!(said(0o775, 0o700).contains("users other than root can write"));
        assert!(said(0o755, 0o777).contains("users other than root can write"));
        assert_eq!(said(0o755, 0o1777), "");
    }

    #[test]
    fn a_program_behind_a_users_link_is_not_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("light");
        std::os::unix::fs::symlink("/bin/sh", &link).expect("linked");
        let owner = folder.path().metadata().expect("facts").uid();
        let command = command(&[link.to_str().expect("text")]).expect("a command");
        assert_eq!(command.hindrance_unless_of(owner), None);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("set");
        assert!(command.hindrance_unless_of(owner).is_some_and(|text| text.contains("can exchange a link")));
    }
}
