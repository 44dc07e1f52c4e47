//! Subvolumes as the standard tools make, send and show them: none of the product's code is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::rig::{PATIENCE, run};

/// How a stream is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    /// Version 1.
    One,
    /// Version 2, data plain.
    Two,
    /// Version 2, compressed extents as they lie on disk.
    TwoCompressed,
}

impl Proto {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::One => &["--proto", "1"],
            Self::Two => &["--proto", "2"],
            Self::TwoCompressed => &["--proto", "2", "--compressed-data"],
        }
    }
}

/// What `btrfs subvolume show` says of a subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its own uuid.
    pub uuid: String,
    /// The uuid of what it is a snapshot of, or `-`.
    pub parent_uuid: String,
    /// What it was received from, or `-`.
    pub received_uuid: String,
    /// The sender's transaction.
    pub send_transid: u64,
    /// The transaction in which it was made.
    pub generation_at_creation: u64,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// Makes a writable subvolume.
///
/// # Errors
/// When `btrfs` fails.
pub fn create(path: &Path) -> Result<()> {
    btrfs(&["subvolume", "create"], &[path])
}

/// Makes a read-only snapshot.
///
/// # Errors
/// When `btrfs` fails.
pub fn freeze(source: &Path, snapshot: &Path) -> Result<()> {
    btrfs(&["subvolume", "snapshot", "-r"], &[source, snapshot])
}

/// Makes a writable snapshot.
///
/// # Errors
/// When `btrfs` fails.
pub fn branch(source: &Path, snapshot: &Path) -> Result<()> {
    btrfs(&["subvolume", "snapshot"], &[source, snapshot])
}

/// Deletes a subvolume.
///
/// # Errors
/// When `btrfs` fails.
pub fn delete(path: &Path) -> Result<()> {
    btrfs(&["subvolume", "delete"], &[path])
}

/// Makes a subvolume read-only or writable, whatever it was received from.
///
/// # Errors
/// When `btrfs` fails.
pub fn set_read_only(path: &Path, read_only: bool) -> Result<()> {
    btrfs(&["property", "set", "-f", "-t", "subvol"], &[path, Path::new("ro"), Path::new(&read_only.to_string())])
}

/// Writes the stream of `snapshot`, incremental where it has a parent, to a file.
///
/// # Errors
/// When `btrfs send` fails.
pub fn send(proto: Proto, parent: Option<&Path>, snapshot: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("btrfs");
    command.args(["-q", "send"]).args(proto.arguments());
    if let Some(parent) = parent {
        command.arg("-p").arg(parent);
    }
    run(command.arg("-f").arg(to).arg(snapshot), PATIENCE)?.success()?;
    Ok(())
}

/// Writes the stream of several snapshots with one header and one END (`btrfs send -e`).
///
/// # Errors
/// When `btrfs send` fails.
pub fn send_together(proto: Proto, snapshots: &[PathBuf], to: &Path) -> Result<()> {
    let mut command = Command::new("btrfs");
    command.args(["-q", "send", "-e"]).args(proto.arguments()).arg("-f").arg(to).args(snapshots);
    run(&mut command, PATIENCE)?.success()?;
    Ok(())
}

/// What a subvolume is.
///
/// # Errors
/// When it is none.
pub fn show(path: &Path) -> Result<Identity> {
    let shown = run(Command::new("btrfs").args(["subvolume", "show"]).arg(path), PATIENCE)?.success()?.out();
    let field = |name: &str| {
        shown
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
            .with_context(|| format!("{}: `btrfs subvolume show` tells no {name}", path.display()))
    };
    Ok(Identity {
        uuid: field("UUID")?,
        parent_uuid: field("Parent UUID")?,
        received_uuid: field("Received UUID")?,
        send_transid: field("Send transid")?.parse()?,
        generation_at_creation: field("Gen at creation")?.parse()?,
        read_only: field("Flags")?.contains("readonly"),
    })
}

/// Where a range begins and ends, in bytes.
type Range = (u64, u64);

/// What a stream says, apart from how it brings the data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Its commands as the standard tool prints them, those that bring data left out, without what differs between two sends of the
    /// same content: uuids, transactions, the times of the change of inodes, the inode numbers in temporary names.
    pub commands: Vec<String>,
    /// For each file the ranges that get data, neighbours joined: whether by write, encoded write or clone is up to the
    /// sender, and it chooses anew which of several clone sources it names.
    pub data: BTreeMap<String, Vec<Range>>,
}

/// What a stream says.
///
/// # Errors
/// When `btrfs receive --dump` fails.
pub fn content_of(stream: &Path) -> Result<Said> {
    let dump = run(Command::new("btrfs").args(["receive", "--dump", "-f"]).arg(stream), PATIENCE)?.success()?;
    let (mut said, mut numbers) = (Said::default(), Vec::new());
    for line in dump.out().lines().map(|line| without_identity(line, &mut numbers)) {
        match data_of(&line) {
            Some((path, from, len)) => add(said.data.entry(path).or_default(), (from, from + len)),
            None => said.commands.push(line),
        }
    }
    Ok(said)
}

/// Path, offset and length of a line that brings data: `write PATH offset=N len=N …`.
fn data_of(line: &str) -> Option<(String, u64, u64)> {
    let (word, rest) = line.split_once(' ')?;
    if !matches!(word, "write" | "clone" | "encoded_write") {
        return None;
    }
    let (path, rest) = rest.split_once(" offset=")?;
    let offset = rest.split([' ', ',']).next()?;
    // Of an encoded write `len` is that of the payload.
    let (_, len) = rest.split_once(" unencoded_file_len=").or_else(|| rest.split_once(" len="))?;
    let len = len.split([' ', ',']).next()?;
    Some((path.to_owned(), offset.parse().ok()?, len.parse().ok()?))
}

/// Adds a range to sorted ones that do not touch.
fn add(ranges: &mut Vec<Range>, range: Range) {
    let (touching, mut rest): (Vec<Range>, Vec<Range>) =
        ranges.iter().partition(|old| old.0 <= range.1 && range.0 <= old.1);
    let from = touching.iter().map(|old| old.0).min().unwrap_or(range.0).min(range.0);
    let end = touching.iter().map(|old| old.1).max().unwrap_or(range.1).max(range.1);
    rest.push((from, end));
    rest.sort_unstable();
    *ranges = rest;
}

fn without_identity(line: &str, numbers: &mut Vec<String>) -> String {
    let mut kept = Vec::new();
    for word in line.split_whitespace() {
        let hidden = [
            "uuid=",
            "transid=",
            "parent_uuid=",
            "parent_transid=",
            "clone_uuid=",
            "clone_transid=",
            "ctime=",
            "otime=",
        ];
        if hidden.iter().any(|name| word.starts_with(name)) {
            continue;
        }
        // `./s0/o257-12-0`: right below the root alone, whatever files of a deeper directory are called.
        let mut parts: Vec<String> = word.split('/').map(str::to_owned).collect();
        if let Some(part) = parts.get_mut(2) {
            *part = temporary(part, numbers);
        }
        kept.push(parts.join("/"));
    }
    kept.join(" ")
}

/// `o257-12-0` becomes `o#0`: the first such name of the stream.
fn temporary(part: &str, numbers: &mut Vec<String>) -> String {
    let is_one = part.strip_prefix('o').is_some_and(|rest| {
        let pieces: Vec<&str> = rest.split('-').collect();
        pieces.len() == 3 && pieces.iter().all(|piece| !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit()))
    });
    if !is_one {
        return part.to_owned();
    }
    let index = numbers.iter().position(|known| known == part).unwrap_or_else(|| {
        numbers.push(part.to_owned());
        numbers.len() - 1
    });
    format!("o#{index}")
}

fn btrfs(arguments: &[&str], paths: &[&Path]) -> Result<()> {
    let finished = run(Command::new("btrfs").args(arguments).args(paths), PATIENCE)?;
    if !finished.status.success() {
        bail!("{}: {}", finished.what, finished.err().trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::without_identity;

    #[test]
    fn temporary_names_are_numbered_and_files_that_are_called_so_are_left_alone() {
        let mut numbers = Vec::new();
        let mut said = |line| without_identity(line, &mut numbers);
        assert_eq!(said("mkfile ./s0/o257-7-0"), "mkfile ./s0/o#0");
        assert_eq!(said("rename ./s0/o258-9-0 dest=./s0/names/o257-7-0"), "rename ./s0/o#1 dest=./s0/names/o257-7-0");
    }
}
