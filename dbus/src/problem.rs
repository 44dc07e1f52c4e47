//! What is wrong with a backup, a destination or a drive: a code, its parameters, and an English sentence.

use serde::{Deserialize, Serialize};
use zbus::{DeserializeDict, OwnedVariant, SerializeDict, Type, Variant};

use crate::problem_table::{PROBLEMS, ProblemRow};

/// What is wrong with a backup, a destination or a drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Problem {
    /// For programs, for example `backup-failed`. Readers show `english` for unknown codes.
    pub code: String,
    /// What the code does not say.
    pub params: ProblemParams,
    /// An English sentence that says what to do.
    pub english: String,
}

/// The parameters of a [`Problem`]; which of them it has depends on its code. Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type, Variant, OwnedVariant)]
#[zbus(signature = "a{sv}")]
pub struct ProblemParams {
    /// The id of the destination, in the problems of a backup.
    pub destination: Option<String>,
    /// The label of the drive.
    pub label: Option<String>,
    /// The kernel's name of a device,
    pub device: Option<String>,
    /// or of several.
    pub devices: Option<Vec<String>>,
    /// How many devices are missing,
    pub missing: Option<u64>,
    /// of how many; or how often something failed.
    pub count: Option<u64>,
    /// The formats whose signatures are on the device.
    pub formats: Option<Vec<String>>,
    /// The ids of drives.
    pub drives: Option<Vec<String>>,
    /// The name of the channel for notifications.
    pub channel: Option<String>,
    /// Why it does not work, for programs.
    pub cause: Option<String>,
    /// The name of the backup.
    pub backup: Option<String>,
    /// The names of the backups.
    pub backups: Option<Vec<String>>,
    /// An [`ErrorName`](crate::ErrorName) with its prefix.
    pub error: Option<String>,
    /// Why, and what to do, as an English sentence.
    pub reason: Option<String>,
    /// When, in microseconds since 1970.
    pub time: Option<u64>,
    /// Blocks that cannot be read,
    pub blocks: Option<u64>,
    /// the files that they are in,
    pub files: Option<u64>,
    /// and the snapshots of these.
    pub snapshots: Option<u64>,
}

impl Problem {
    /// The sentences of several problems in one; empty if there is none.
    #[must_use]
    pub fn sentence(problems: &[Self]) -> String {
        problems.iter().map(|problem| problem.english.as_str()).collect::<Vec<_>>().join("; also, ")
    }
}

impl ProblemParams {
    /// The names of those that it has, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let Self {
            backup,
            backups,
            blocks,
            cause,
            channel,
            count,
            destination,
            device,
            devices,
            drives,
            error,
            files,
            formats,
            label,
            missing,
            reason,
            snapshots,
            time,
        } = self;
        let all = [
            ("backup", backup.is_some()),
            ("backups", backups.is_some()),
            ("blocks", blocks.is_some()),
            ("cause", cause.is_some()),
            ("channel", channel.is_some()),
            ("count", count.is_some()),
            ("destination", destination.is_some()),
            ("device", device.is_some()),
            ("devices", devices.is_some()),
            ("drives", drives.is_some()),
            ("error", error.is_some()),
            ("files", files.is_some()),
            ("formats", formats.is_some()),
            ("label", label.is_some()),
            ("missing", missing.is_some()),
            ("reason", reason.is_some()),
            ("snapshots", snapshots.is_some()),
            ("time", time.is_some()),
        ];
        all.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }
}

/// The table of the codes in Markdown.
#[must_use]
pub fn problems_markdown() -> String {
    let mut out = "| Code | Parameters | What to do |\n|---|---|---|\n".to_owned();
    for ProblemRow { code, params, remedy } in PROBLEMS {
        let params = params.iter().map(|(name, kind)| format!("`{name}` ({kind})")).collect::<Vec<_>>().join(", ");
        out.push_str(&format!("| `{code}` | {params} | {remedy} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_problem_is_read_from_a_property() {
        let params = ProblemParams { backup: Some("home".to_owned()), time: Some(7), ..ProblemParams::default() };
        let problem =
            Problem { code: "backup-failed".to_owned(), params, english: "the last backup failed".to_owned() };
        let value = Variant::from(vec![problem.clone()]);
        assert_eq!(value.value_signature().to_string(), "a(sa{sv}s)");
        assert_eq!(Vec::<Problem>::try_from(value), Ok(vec![problem.clone()]));
        assert_eq!(
            Problem::sentence(&[problem.clone(), problem]),
            "the last backup failed; also, the last backup failed"
        );
        assert_eq!(Problem::sentence(&[]), "");
    }

    #[test]
    fn codes_are_sorted_and_their_parameters_are_those_of_the_type() {
        assert!(PROBLEMS.is_sorted_by(|a, b| a.code < b.code));
        let all = ProblemParams {
            destination: Some(String::new()),
            label: Some(String::new()),
            device: Some(String::new()),
            devices: Some(Vec::new()),
            missing: Some(0),
            count: Some(0),
            formats: Some(Vec::new()),
            drives: Some(Vec::new()),
            channel: Some(String::new()),
            cause: Some(String::new()),
            backup: Some(String::new()),
            backups: Some(Vec::new()),
            error: Some(String::new()),
            reason: Some(String::new()),
            time: Some(0),
            blocks: Some(0),
            files: Some(0),
            snapshots: Some(0),
        };
        let names = all.names();
        let Variant::Dict(dictionary) = Variant::from(all) else { panic!("a dictionary") };
        let sent: HashMap<String, Variant<'_>> = dictionary.try_into().expect("names and values");
        let mut keys: Vec<_> = sent.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(names, keys);
        for row in PROBLEMS {
            for (name, kind) in row.params {
                assert_eq!(sent[*name].value_signature().to_string(), *kind, "{name} of {}", row.code);
            }
            assert!(row.remedy.ends_with('.'), "{}", row.code);
        }
    }
}
