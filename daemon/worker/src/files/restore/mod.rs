//! Restores files and directories from a snapshot.
//!
//! ```text
//! place         where a file goes, what happens to one that exists, and its final name
//! copy          copies a tree into a work folder
//! data          the content of a file: shared if possible, else copied without its holes
//! attributes    owner, mode, times and extended attributes
//! links         the files with several names that were restored
//! work_folder   a hidden folder beside the final name
//! ```
//!
//! Each file is completed in a hidden folder of mode 0700 beside its final name, made durable, and renamed from there: nothing
//! incomplete has a final name, and a file that is replaced is kept until the new one is complete. Missing directories on the way
//! to a file are restored with it, as one. All names are resolved below the target's descriptor, so other users who own directories
//! on the way cannot redirect the worker.
//!
//! Nothing that is restored gives a right by itself: devices are left out, and files lose set-id bits and capabilities, because
//! the last writer of the drive chose them. A restore of the whole snapshot keeps all of it.

mod attributes;
mod copy;
mod data;
mod links;
mod place;
mod work_folder;

use std::ffi::CString;

use butterdock_receive::{Control, StreamPath};
use serde::{Deserialize, Serialize};

use super::cause::{FileCause, FileError, reading, writing};
use super::tree::{Tree, name};
use super::{FileEvent, FilePath};
use copy::levels;
use links::Links;
use work_folder::WorkFolder;

pub(super) use work_folder::remove_leftovers;

/// The largest number of paths in one order.
pub const MOST_PATHS: usize = 1000;
/// The longest sum of their lengths, so that an order fits a packet.
pub const SELECTION_MAX: usize = 16 << 10;

/// What happens if a file with the name exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// The restored one gets another name: `NAME.restored-2026-11-28`.
    #[default]
    KeepBoth,
    /// The restored one replaces it. A directory is not replaced: the files in it are, and files that the snapshot does not have
    /// stay.
    Replace,
    /// Nothing is restored.
    Fail,
}

/// Where files are restored to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreTo {
    /// Their original place below the target.
    Original,
    /// A new folder in the target, with their paths below it. If the name is not free, it gets a number.
    Folder(FilePath),
}

/// What was restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// Files that are no directories.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Files whose content is shared with the snapshot, so that it takes no space.
    pub shared: u64,
    /// Files and directories that have another name, because theirs was not free.
    pub beside: u64,
    /// Files and directories whose owner or group could not be restored.
    pub owners: u64,
    /// Extended attributes that could not be restored.
    pub attributes: u64,
    /// Devices, which are not restored.
    pub devices: u64,
    /// Files that lost set-id bits or capabilities.
    #[serde(default)]
    pub set_ids: u64,
    /// Files and directories that the user may not read.
    pub denied: u64,
    /// The number behind the name of the new folder, if its name was not free.
    #[serde(default)]
    pub folder_number: Option<u32>,
}

impl Restored {
    /// A sentence for all users, without names.
    pub fn sentence(&self) -> String {
        let count = |number: u64, one: &str, more: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {more}"),
        };
        let files = count(self.files, "file", "files");
        let directories = count(self.directories, "directory", "directories");
        let mut text = match (self.files, self.directories) {
            (_, 0) => format!("{files} restored"),
            (0, _) => format!("{directories} restored"),
            (_, _) => format!("{files} and {directories} restored"),
        };
        if let Some(number) = self.folder_number {
            text.push_str(&format!(
                "; their folder has -{number} at the end of its name, because the name was not free"
            ));
        }
        let mut add = |number: u64, one: &str, more: &str| {
            if number > 0 {
                text.push_str("; ");
                text.push_str(&count(number, one, more));
            }
        };
        add(
            self.beside,
            "has .restored- and the day in its name, because its own was not free",
            "have .restored- and the day in their names, because their own were not free",
        );
        add(
            self.owners,
            "has another owner or group than before, because a user cannot give files to others",
            "have another owner or group than before, because a user cannot give files to others",
        );
        add(self.attributes, "extended attribute is not restored", "extended attributes are not restored");
        add(
            self.devices,
            "device is not restored; only a restore of the whole snapshot restores devices",
            "devices are not restored; only a restore of the whole snapshot restores devices",
        );
        add(
            self.set_ids,
            "file lost its set-id bits or capabilities; set them again if you trust it",
            "files lost their set-id bits or capabilities; set them again if you trust them",
        );
        text
    }
}

/// The day of this time, in seconds since 1970, for new names: `2026-11-28`, in UTC as in the names of snapshots.
pub fn day(seconds: i64) -> Vec<u8> {
    jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
        .saturating_add(jiff::SignedDuration::from_secs(seconds))
        .strftime("%Y-%m-%d")
        .to_string()
        .into_bytes()
}

/// What is restored, and where to.
#[derive(Debug)]
pub(super) struct Selection {
    pub paths: Vec<StreamPath>,
    pub to: RestoreTo,
    pub conflict: Conflict,
    /// `2026-11-28`.
    pub day: Vec<u8>,
}

/// Files to be restored.
#[derive(Clone, Copy)]
pub(super) struct RestoreFiles<'r> {
    pub snapshot: Tree<'r>,
    pub target: Tree<'r>,
    pub selection: &'r Selection,
    /// The worker has the identity of a user, who cannot give files to others.
    pub is_user: bool,
    pub control: &'r Control,
    pub report: &'r dyn Fn(FileEvent),
}

/// A restore that runs.
struct Run<'r> {
    request: RestoreFiles<'r>,
    restored: Restored,
    links: Links,
    /// The directories above the selected path that is restored now.
    selected: usize,
    /// The work folder of the directory that was restored into last, with the path of that directory.
    work: Option<(Vec<u8>, WorkFolder)>,
    buffer: Vec<u8>,
}

impl RestoreFiles<'_> {
    /// Restores everything that can be. What has its final name is complete, also after an error.
    pub(super) fn run(self) -> Result<(), FileError> {
        let mut run = Run {
            request: self,
            restored: Restored::default(),
            links: Links::default(),
            selected: 0,
            work: None,
            buffer: Vec::new(),
        };
        let done = run.select();
        run.end_work();
        // Renames are durable at the end.
        let synced = butterdock_btrfs::filesystem::sync(self.target.root());
        (self.report)(FileEvent::Restored(run.restored));
        done?;
        synced.map_err(writing(b""))?;
        match run.restored {
            Restored { denied: 0, .. } => Ok(()),
            Restored { files: 0, directories: 0, .. } => Err(FileError::of_cause(FileCause::Denied)),
            Restored { denied, .. } => Err(FileError::of_cause(FileCause::Incomplete { denied })),
        }
    }
}

impl Run<'_> {
    fn select(&mut self) -> Result<(), FileError> {
        let selection = self.request.selection;
        let paths = without_nested(&selection.paths);
        let mut bytes = 0_u64;
        for path in &paths {
            bytes = bytes.saturating_add(self.measure(path)?);
        }
        (self.request.report)(FileEvent::Total { bytes });
        match &selection.to {
            RestoreTo::Original => {
                for path in &paths {
                    self.check(path)?;
                }
                paths.iter().try_for_each(|path| self.restore_original(path))
            }
            RestoreTo::Folder(folder) => self.restore_folder(&paths, &folder.0),
        }
    }

    /// The bytes of all files at or below a path.
    fn measure(&mut self, path: &StreamPath) -> Result<u64, FileError> {
        self.selected = levels(path.as_bytes());
        if path.is_root() {
            return Err(FileError::of_cause(FileCause::NotFound));
        }
        let (parent, stat) = self.request.snapshot.find(path).map_err(reading(path.as_bytes()))?;
        self.size(&parent, path.name(), &stat, path.as_bytes())
    }

    fn cancelled(&self) -> Result<(), FileError> {
        if self.request.control.is_cancelled() { Err(FileError::cancelled()) } else { Ok(()) }
    }
}

/// The paths without those below another one.
fn without_nested(paths: &[StreamPath]) -> Vec<StreamPath> {
    let is_nested = |path: &StreamPath| paths.iter().any(|other| other != path && path.is_within(other.as_bytes()));
    let mut kept: Vec<StreamPath> = paths.iter().filter(|path| !is_nested(path)).cloned().collect();
    kept.sort();
    kept.dedup();
    kept
}

/// A path and a name in it.
fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// A name for the kernel, of a file that is restored.
fn target_name(bytes: &[u8]) -> Result<CString, FileError> {
    name(bytes).map_err(writing(bytes))
}

#[cfg(test)]
mod tests;
