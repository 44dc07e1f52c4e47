//! One configuration file as written: all keys are optional, unknown keys are errors.

use serde::Deserialize;
use toml::Spanned;

use super::backup::Backup;
use super::drives::{Drives, Import};
use super::streams::Streams;
use super::validated::{AbsolutePath, FilesystemUuid, IoClass, VolumeName, Within};

/// The keys of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) max_jobs: Option<Within<1, 64>>,
    pub(super) history: Option<Within<0, 10_000>>,
    #[serde(default)]
    pub(super) queue: Queue,
    #[serde(default)]
    pub(super) streams: Streams,
    #[serde(default)]
    pub(super) worker: Worker,
    #[serde(default)]
    pub(super) paths: Paths,
    #[serde(default)]
    pub(super) drives: Drives,
    pub(super) volume: Option<Vec<Volume>>,
    pub(super) backup: Option<Vec<Backup>>,
    pub(super) import: Option<Vec<Import>>,
}

/// `[queue]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    pub(super) max: Option<Within<1, 1000>>,
    pub(super) max_per_user: Option<Within<1, 1000>>,
}

/// `[worker]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Worker {
    pub(super) nice: Option<Within<-20, 19>>,
    pub(super) io_class: Option<IoClass>,
    pub(super) io_priority: Option<Within<0, 7>>,
    pub(super) writer_threads: Option<Within<1, 256>>,
}

/// `[paths]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paths {
    pub(super) state: Option<AbsolutePath>,
    pub(super) run: Option<AbsolutePath>,
}

/// `[[volume]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Volume {
    pub(super) name: Spanned<VolumeName>,
    pub(super) path: Spanned<AbsolutePath>,
    pub(super) uuid: Option<FilesystemUuid>,
}

/// A mistake in a file, and its position.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Counted from 1.
    pub(super) line: usize,
    /// Counted from 1, in characters.
    pub(super) column: usize,
    pub(super) what: String,
}

/// Parses the text of a file.
pub(super) fn parse(text: &str) -> Result<File, Mistake> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        mistake(text, at, error.message().split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    twice(text, file.volume.as_deref().unwrap_or_default())?;
    one_name(text, file.backup.as_deref().unwrap_or_default())?;
    one_drive(text, file.import.as_deref().unwrap_or_default())?;
    Ok(file)
}

/// Refuses two volumes with the same name or path: two jobs could then write to one directory.
fn twice(text: &str, volumes: &[Volume]) -> Result<(), Mistake> {
    for (index, volume) in volumes.iter().enumerate() {
        let before = volumes.get(..index).unwrap_or_default();
        if before.iter().any(|other| other.name.get_ref() == volume.name.get_ref()) {
            let what = format!("the volume \"{}\" is configured twice", volume.name.get_ref());
            return Err(mistake(text, volume.name.span().start, what));
        }
        if before.iter().any(|other| other.path.get_ref() == volume.path.get_ref()) {
            let what = format!("another volume has the path of \"{}\" already", volume.name.get_ref());
            return Err(mistake(text, volume.path.span().start, what));
        }
    }
    Ok(())
}

/// Refuses two backups with the same name: their snapshots would have the same names.
fn one_name(text: &str, backups: &[Backup]) -> Result<(), Mistake> {
    for (index, backup) in backups.iter().enumerate() {
        let mut before = backups.iter().take(index);
        if before.any(|other| other.name.get_ref() == backup.name.get_ref()) {
            let what = format!("the backup \"{}\" is configured twice", backup.name.get_ref().as_str());
            return Err(mistake(text, backup.name.span().start, what));
        }
    }
    Ok(())
}

/// Refuses two imports of one drive.
fn one_drive(text: &str, imports: &[Import]) -> Result<(), Mistake> {
    for (index, import) in imports.iter().enumerate() {
        let mut before = imports.iter().take(index);
        if before.any(|other| other.drive.get_ref() == import.drive.get_ref()) {
            let what = format!("the drive \"{}\" has an import already", import.drive.get_ref());
            return Err(mistake(text, import.drive.span().start, what));
        }
    }
    Ok(())
}

fn mistake(text: &str, at: usize, what: String) -> Mistake {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    Mistake { line, column, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (usize, usize, String) {
        let Mistake { line, column, what } = parse(text).expect_err("refused");
        (line, column, what)
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_position() {
        let (line, column, what) = refusal("max_jobs = 1\n\n[worker]\n  nicee = 3\n");
        assert_eq!((line, column), (4, 3));
        assert!(what.contains("unknown field `nicee`"), "{what}");
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_its_position() {
        let (line, column, what) = refusal("[worker]\nnice = 20\n");
        assert_eq!((line, column), (2, 8));
        assert_eq!(what, "20 is out of range: -20 to 19");
    }

    #[test]
    fn a_duplicate_volume_is_refused_with_its_line() {
        let one = "[[volume]]\nname = \"a\"\npath = \"/a\"\n";
        assert_eq!(refusal(&format!("{one}[[volume]]\nname = \"a\"\npath = \"/b\"\n")).0, 5);
        assert_eq!(refusal(&format!("{one}[[volume]]\nname = \"b\"\npath = \"/a\"\n")).0, 6);
    }

    #[test]
    fn an_invalid_uuid_is_refused_with_its_position() {
        let (line, column, what) = refusal("[[volume]]\nname = \"a\"\npath = \"/a\"\nuuid = \"0f1e\"\n");
        assert_eq!((line, column), (4, 8));
        assert!(what.contains("blkid"), "{what}");
    }

    #[test]
    fn a_duplicate_backup_name_is_refused_with_its_line() {
        let one = "[[backup]]\nname = \"a\"\nsource = \"/a\"\ndrives = []\n";
        let (line, _, what) = refusal(&format!("{one}{one}"));
        assert_eq!((line, what.as_str()), (6, "the backup \"a\" is configured twice"));
    }

    #[test]
    fn a_duplicate_import_is_refused_with_its_line() {
        let one = "[[import]]\ndrive = \"a\"\n";
        let (line, _, what) = refusal(&format!("{one}{one}"));
        assert_eq!((line, what.as_str()), (4, "the drive \"a\" has an import already"));
    }

    #[test]
    fn a_volume_without_a_path_is_refused() {
        assert!(refusal("[[volume]]\nname = \"a\"\n").2.contains("missing field `path`"));
    }
}
