//! The configuration as written, in both files together: all keys are optional, unknown keys are errors.

use serde::Deserialize;
use toml::{Deserializer, Spanned};

use super::backup::Backup;
use super::destination::Destination;
use super::drives::{Drives, Import};
use super::merge::{Layers, Mistake, Origin};
use super::notify::Notify;
use super::streams::Streams;
use super::validated::{AbsolutePath, FilesystemUuid, IoClass, VolumeName, Within};

/// The keys of the files.
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
    pub(super) destination: Option<Vec<Destination>>,
    pub(super) import: Option<Vec<Import>>,
    pub(super) notify: Option<Vec<Notify>>,
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
    pub(super) settings: Option<Spanned<AbsolutePath>>,
}

/// `[[volume]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Volume {
    pub(super) name: Spanned<VolumeName>,
    pub(super) path: Spanned<AbsolutePath>,
    pub(super) uuid: Option<FilesystemUuid>,
    #[serde(default = "enabled")]
    pub(super) enabled: bool,
}

/// The value of `enabled` where it is not set.
pub(super) const fn enabled() -> bool {
    true
}

/// Parses the files.
///
/// # Errors
/// The first mistake in one of them. Those of the maker's file count also where the administrator's replaces the value.
pub(super) fn parse(layers: &Layers) -> Result<File, Mistake> {
    maker(layers)?;
    let file = File::deserialize(Deserializer::from(layers.merged()?)).map_err(|error| layers.refused(&error))?;
    if let Some(settings) = &file.paths.settings
        && layers.origin(&settings.span()) == Origin::Administrator
    {
        let what = "`settings` says where this file is; only the maker's file may have it";
        return Err(layers.mistake(settings.span().start, what));
    }
    one_path(layers, file.volume.as_deref().unwrap_or_default())?;
    one_filesystem(layers, file.destination.as_deref().unwrap_or_default())?;
    Ok(file)
}

/// Parses the maker's file alone.
///
/// # Errors
/// The first mistake in it.
pub(super) fn maker(layers: &Layers) -> Result<File, Mistake> {
    File::deserialize(Deserializer::from(layers.maker()?)).map_err(|error| layers.refused(&error))
}

/// Refuses two volumes with the same path: two jobs could then write to one directory.
fn one_path(layers: &Layers, volumes: &[Volume]) -> Result<(), Mistake> {
    let volumes = volumes.iter().filter(|volume| volume.enabled).collect::<Vec<_>>();
    for (index, volume) in volumes.iter().enumerate() {
        if volumes.iter().take(index).any(|other| other.path.get_ref() == volume.path.get_ref()) {
            let what = format!("another volume has the path of \"{}\" already", volume.name.get_ref());
            return Err(layers.mistake(volume.path.span().start, what));
        }
    }
    Ok(())
}

/// Refuses two destinations on one filesystem: what is known of the backups there is kept for the filesystem.
fn one_filesystem(layers: &Layers, destinations: &[Destination]) -> Result<(), Mistake> {
    let volumes: Vec<_> = destinations.iter().filter(|one| one.enabled && one.rule.volume().is_some()).collect();
    for (index, volume) in volumes.iter().enumerate() {
        if volumes.iter().take(index).any(|other| other.rule.volume() == volume.rule.volume()) {
            let what = format!("another destination is on the filesystem of \"{}\" already", volume.rule.name);
            return Err(layers.mistake(volume.uuid_at, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (usize, usize, String) {
        let layers = Layers::new(("/m".as_ref(), ""), ("/a".as_ref(), text));
        let Mistake { line, column, what, .. } = parse(&layers).expect_err("refused");
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
    fn two_destinations_on_one_filesystem_are_refused() {
        let one = |name: &str| {
            let uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
            format!("[[destination]]\nname = \"{name}\"\nkind = \"volume\"\npath = \"/{name}\"\nuuid = \"{uuid}\"\n")
        };
        let (line, _, what) = refusal(&format!("{}{}", one("a"), one("b")));
        assert_eq!((line, what.as_str()), (10, "another destination is on the filesystem of \"b\" already"));
    }

    #[test]
    fn a_volume_without_a_path_is_refused() {
        assert!(refusal("[[volume]]\nname = \"a\"\n").2.contains("missing field `path`"));
    }
}
