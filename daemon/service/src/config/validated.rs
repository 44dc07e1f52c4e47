//! Validated values: each is checked while it is parsed, so that the message has its line and column.

use std::fmt;
use std::path::{Component, PathBuf};

use serde::Deserialize;
use uuid::Uuid;

/// The name of a volume: 1 to 64 characters, without control characters and slashes.
///
/// People type it and other programs show it, so it has no blanks at its ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VolumeName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name.is_empty() || name.chars().count() > 64 {
            return Err("a volume's name has 1 to 64 letters");
        }
        if name.contains('/') || name.chars().any(char::is_control) {
            return Err("a volume's name has no slash and no control character");
        }
        if name.trim() != name {
            return Err("a volume's name neither begins nor ends with a blank");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An absolute path without `..`: it does not depend on the working directory of the service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PathBuf")]
pub(super) struct AbsolutePath(pub PathBuf);

impl TryFrom<PathBuf> for AbsolutePath {
    type Error = &'static str;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        if !path.is_absolute() {
            return Err("a path begins with a slash");
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err("a path has no ..");
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err("a path has no NUL");
        }
        Ok(Self(path))
    }
}

/// The UUID of a filesystem, as `blkid` and `btrfs filesystem show` print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FilesystemUuid(Uuid);

impl FilesystemUuid {
    /// The uuid.
    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }

    /// Whether it is the `fsid` of the kernel.
    pub fn is(self, fsid: [u8; 16]) -> bool {
        self.0.into_bytes() == fsid
    }
}

impl TryFrom<String> for FilesystemUuid {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let uuid = Uuid::try_parse(&text).ok().filter(|uuid| text.len() == 36 && !uuid.is_nil());
        uuid.map(Self).ok_or(
            "a filesystem's uuid has 32 hexadecimal digits in five groups; blkid and btrfs filesystem show print it",
        )
    }
}

/// A whole number from `LOW` to `HIGH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Within<const LOW: i16, const HIGH: i16>(i16);

impl<const LOW: i16, const HIGH: i16> Within<LOW, HIGH> {
    /// The number in another type, in which the bounds fit.
    pub(super) fn get<N: TryFrom<i16> + Default>(self) -> N {
        N::try_from(self.0).unwrap_or_default()
    }
}

impl<const LOW: i16, const HIGH: i16> TryFrom<i64> for Within<LOW, HIGH> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let fits = i16::try_from(number).ok().filter(|number| (LOW..=HIGH).contains(number));
        fits.map(Self).ok_or_else(|| format!("{number} is out of range: {LOW} to {HIGH}"))
    }
}

/// The classes of `ioprio_set(2)` for a worker. Real time is not allowed: a backup must not delay all other work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoClass {
    /// Best effort, by priority.
    BestEffort,
    /// Only while no other process uses the disk.
    Idle,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<VolumeName, &'static str> {
        VolumeName::try_from(text.to_owned())
    }

    #[test]
    fn names_with_newlines_or_slashes_are_refused() {
        for bad in ["", "a/b", "a\nb", " a", "a ", "\u{1b}[2J", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        for good in ["tank", "Sicherung 2", "été", ".."] {
            assert!(name(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_relative_path_is_refused() {
        let path = |text: &str| AbsolutePath::try_from(PathBuf::from(text));
        assert!(path("srv/tank").is_err());
        assert!(path("/srv/../etc").is_err());
        assert!(path("/srv/tank").is_ok());
    }

    #[test]
    fn only_the_usual_form_of_a_uuid_is_accepted() {
        let uuid = |text: &str| FilesystemUuid::try_from(text.to_owned());
        let good = uuid("0f1E2d3c-4b5a-6978-8796-a5b4c3d2e1f0").expect("a uuid");
        let bytes = [15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180, 195, 210, 225, 240];
        assert!(good.is(bytes) && !good.is([0; 16]));
        for bad in ["", "tank", "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "00000000-0000-0000-0000-000000000000"] {
            assert!(uuid(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_error_for_a_number_names_the_bounds() {
        let refusal = Within::<-20, 19>::try_from(20).expect_err("refused");
        assert_eq!(refusal, "20 is out of range: -20 to 19");
        assert_eq!(Within::<-20, 19>::try_from(-20).expect("within").get::<i8>(), -20);
    }
}
