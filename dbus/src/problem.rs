//! What is wrong with a backup, a destination or a drive: a code, its parameters, and an English sentence.

use serde::{Deserialize, Serialize};
use zbus::{DeserializeDict, OwnedVariant, SerializeDict, Type, Variant};

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

#[cfg(test)]
mod tests {
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
}
