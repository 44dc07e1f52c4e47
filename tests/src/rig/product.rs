//! The two receivers: the product and the standard one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::{PATIENCE, run};

/// A program that receives streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// `butterdockd receive`.
    Ours,
    /// `btrfs receive`.
    Standard,
}

impl Receiver {
    /// Its command, without arguments and without input.
    ///
    /// # Errors
    /// When `butterdockd` was not built.
    pub fn command(self) -> Result<Command> {
        let mut command = match self {
            Self::Ours => Command::new(butterdockd()?),
            Self::Standard => Command::new("btrfs"),
        };
        command.arg("receive").stdin(Stdio::null());
        Ok(command)
    }

    /// Receives a file into a folder, and must succeed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn receive(self, stream: &Path, into: &Path) -> Result<()> {
        run(self.command()?.arg("-f").arg(stream).arg(into), PATIENCE)?.success()?;
        Ok(())
    }
}

/// The product, as Cargo built it beside the tests, or what `BUTTERDOCKD` names.
///
/// # Errors
/// When it is not there.
pub fn butterdockd() -> Result<PathBuf> {
    if let Some(asked) = std::env::var_os("BUTTERDOCKD") {
        return Ok(PathBuf::from(asked));
    }
    let built = helper("butterdockd")?;
    ensure!(
        built.exists(),
        "{} is missing: build it first with `cargo build -p butterdockd` (and `--release` where the tests have it)",
        built.display()
    );
    Ok(built)
}

/// A program of this workspace's target folder.
///
/// # Errors
/// When the test does not lie in a target folder.
pub fn helper(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("where the test lies")?;
    match test.parent().and_then(Path::parent) {
        Some(profile) => Ok(profile.join(name)),
        None => bail!("{} does not lie in a target folder", test.display()),
    }
}

/// Whether the standard receiver is the version whose faults were recorded (btrfs-progs 6.2): only then a test may insist on them.
///
/// # Errors
/// When `btrfs` is not installed.
pub fn standard_is_the_known_one() -> Result<bool> {
    let version = run(Command::new("btrfs").arg("--version"), PATIENCE)?.success()?;
    Ok(version.out().starts_with("btrfs-progs v6.2"))
}
