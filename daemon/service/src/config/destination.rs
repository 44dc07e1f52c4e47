//! `[[destination]]`: where backups go, by a name of its own.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::OnFinish;
use super::backup::Span;
use super::max_rate::MaxRate;
use super::streams::duration_words;
use super::validated::{AbsolutePath, FilesystemUuid, VolumeName};

/// The shortest time between two verifies.
const VERIFY_LEAST: Duration = Duration::from_secs(24 * 3600);

/// A destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationRule {
    /// Its name for callers and for `to` of a backup; it comes before the labels of drives.
    pub name: VolumeName,
    /// What it is.
    pub place: DestinationPlace,
    /// How fast backups write to it.
    pub max_rate: MaxRate,
    /// It is verified so often (default: on request).
    pub verify_every: Option<Duration>,
}

/// What a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationPlace {
    /// An enrolled drive.
    Drive {
        /// Its id or label.
        drive: String,
        /// The action after its backups, in place of that of `[drives]`.
        on_finish: Option<OnFinish>,
    },
    /// A directory on a filesystem of this machine.
    Volume {
        /// The directory; absolute.
        path: PathBuf,
        /// The filesystem. What the service knows of the backups there is kept for it.
        uuid: FilesystemUuid,
    },
}

/// `[[destination]]`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Destination {
    pub(super) rule: DestinationRule,
    pub(super) enabled: bool,
    /// Where its uuid is in the file.
    pub(super) uuid_at: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: VolumeName,
    kind: Kind,
    drive: Option<String>,
    path: Option<AbsolutePath>,
    uuid: Option<Spanned<FilesystemUuid>>,
    on_finish: Option<OnFinish>,
    #[serde(default)]
    max_rate: MaxRate,
    verify_every: Option<Span>,
    #[serde(default = "super::file::enabled")]
    enabled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Drive,
    Volume,
}

impl TryFrom<Written> for Destination {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { name, kind, drive, path, uuid, on_finish, max_rate, verify_every, enabled } = written;
        let (uuid_at, uuid) = uuid.map_or((0, None), |uuid| (uuid.span().start, Some(uuid.into_inner())));
        let verify_every = verify_every.map(|every| every.0);
        if verify_every.is_some_and(|every| every < VERIFY_LEAST) {
            return Err(
                "a destination is verified once a day at most: `verify_every` is \"1d\" or longer, such as \"90d\"",
            );
        }
        let place = match (kind, drive, path, uuid) {
            (Kind::Drive, Some(drive), None, None) => DestinationPlace::Drive { drive, on_finish },
            (Kind::Drive, None, _, _) => return Err("a destination of the kind drive needs `drive`, an id or a label"),
            (Kind::Drive, Some(_), _, _) => return Err("a destination of the kind drive has no `path` and no `uuid`"),
            (Kind::Volume, Some(_), _, _) => return Err("a destination of the kind volume has no `drive`"),
            (Kind::Volume, None, _, _) if on_finish.is_some() => {
                return Err("a destination of the kind volume has no `on_finish`: the service does not unmount it");
            }
            (Kind::Volume, None, Some(path), Some(uuid)) => DestinationPlace::Volume { path: path.0, uuid },
            (Kind::Volume, None, _, _) => {
                return Err(
                    "a destination of the kind volume needs `path`, and `uuid` of its filesystem (blkid prints it)",
                );
            }
        };
        Ok(Self { rule: DestinationRule { name, place, max_rate, verify_every }, enabled, uuid_at })
    }
}

impl DestinationRule {
    /// The rule in words, for `check-config`.
    pub(crate) fn words(&self) -> String {
        let Self { name, place, max_rate, verify_every } = self;
        let rate = max_rate.words().map(|rate| format!(" Backups write up to {rate}.")).unwrap_or_default();
        let what = match place {
            DestinationPlace::Drive { drive, on_finish } => {
                let end = match on_finish {
                    None => "is released as [drives] says",
                    Some(OnFinish::Keep) => "stays mounted",
                    Some(OnFinish::Unmount) => "is unmounted and locked",
                    Some(OnFinish::PowerOff) => "is unmounted, locked and switched off if its hardware can",
                };
                format!("Destination \"{name}\": the drive \"{drive}\"; after its backups it {end}.")
            }
            DestinationPlace::Volume { path, uuid } => {
                format!("Destination \"{name}\": {} on the filesystem {}.", path.display(), uuid.uuid())
            }
        };
        let verify = verify_every.map(|every| format!(" It is verified every {}.", duration_words(every)));
        what + &rate + &verify.unwrap_or_default()
    }

    /// The filesystem of a volume.
    #[must_use]
    pub fn volume(&self) -> Option<FilesystemUuid> {
        match &self.place {
            DestinationPlace::Volume { uuid, .. } => Some(*uuid),
            DestinationPlace::Drive { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<DestinationRule, String> {
        let read = toml::from_str::<Destination>(&format!("name = \"pool\"\n{text}"));
        read.map(|destination| destination.rule).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_volume_needs_its_filesystem_and_a_drive_its_name() {
        let uuid = "uuid = \"0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\"\n";
        let volume = rule(&format!("kind = \"volume\"\npath = \"/srv/pool\"\n{uuid}")).expect("good");
        assert!(volume.volume().is_some_and(|uuid| !uuid.is([0; 16])));
        let drive = rule("kind = \"drive\"\ndrive = \"Blue\"\non_finish = \"keep\"\n").expect("good");
        let expected = DestinationPlace::Drive { drive: "Blue".to_owned(), on_finish: Some(OnFinish::Keep) };
        assert_eq!((drive.place.clone(), drive.volume()), (expected, None));
        for (wrong, what) in [
            ("kind = \"volume\"\npath = \"/srv/pool\"\n".to_owned(), "needs `path`, and `uuid`"),
            (format!("kind = \"volume\"\n{uuid}"), "needs `path`, and `uuid`"),
            (format!("kind = \"volume\"\npath = \"/p\"\non_finish = \"keep\"\n{uuid}"), "has no `on_finish`"),
            (format!("kind = \"volume\"\npath = \"/p\"\ndrive = \"Blue\"\n{uuid}"), "has no `drive`"),
            ("kind = \"drive\"\n".to_owned(), "needs `drive`"),
            ("kind = \"drive\"\ndrive = \"Blue\"\nverify_every = \"6h\"\n".to_owned(), "once a day at most"),
            ("kind = \"drive\"\ndrive = \"Blue\"\nmax_rate = \"fast\"\n".to_owned(), "is no rate limit"),
            ("kind = \"drive\"\ndrive = \"Blue\"\nmax_rate = 5\n".to_owned(), "a rate limit is a rate"),
            (format!("kind = \"drive\"\ndrive = \"Blue\"\n{uuid}"), "no `path` and no `uuid`"),
            ("kind = \"ssh\"\n".to_owned(), "unknown variant"),
            ("drive = \"Blue\"\n".to_owned(), "missing field `kind`"),
            (format!("kind = \"volume\"\npath = \"p\"\n{uuid}"), "begins with a slash"),
        ] {
            let refused = rule(&wrong).expect_err(&wrong);
            assert!(refused.contains(what), "{wrong}: {refused}");
        }
    }
}
