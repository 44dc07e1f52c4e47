//! `[[import]]`: the drive and the folder of stream files to import.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::backup::Folder;

/// An import, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    pub(super) drive: Spanned<String>,
    folder: Option<Folder>,
}

/// Stream files on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// The id or label of an enrolled drive; of a drive that has no btrfs, the uuid of its filesystem.
    pub drive: String,
    /// The folder, relative to the drive's top; empty for the top itself.
    pub folder: PathBuf,
}

impl Import {
    pub(super) fn rule(self) -> ImportRule {
        let Self { drive, folder } = self;
        ImportRule { drive: drive.into_inner(), folder: folder.map(|folder| folder.0).unwrap_or_default() }
    }
}

impl ImportRule {
    /// The rule in words, for `check-config`.
    pub(crate) fn words(&self) -> String {
        let Self { drive, folder } = self;
        let place =
            if folder.as_os_str().is_empty() { "its top".to_owned() } else { folder.to_string_lossy().into_owned() };
        format!(
            "Import: butterdock import receives the files *.btrfs and *.send in {place} on the drive \"{drive}\"; a \
             drive without btrfs is mounted read-only for this."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<ImportRule, toml::de::Error> {
        toml::from_str::<Import>(text).map(Import::rule)
    }

    #[test]
    fn the_import_folder_defaults_to_the_root() {
        let top = rule("drive = \"blue\"\n").expect("good");
        assert!(top.folder.as_os_str().is_empty() && top.words().contains("in its top on the drive \"blue\""));
        let folder = rule("drive = \"1234-ABCD\"\nfolder = \"a/streams\"\n").expect("good");
        assert!(folder.words().contains("in a/streams on"), "{}", folder.words());
        assert!(rule("drive = \"blue\"\nfolder = \"../x\"\n").is_err());
        assert!(rule("folder = \"x\"\n").is_err());
    }
}
