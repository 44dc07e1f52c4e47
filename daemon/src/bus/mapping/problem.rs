//! Problems.

use butterdock_dbus as contract;
use butterdock_service::{Attempt, DriveProblem, DriveProblemParams, PlacedProblem, Problem};

use super::error_name;

pub(in crate::bus) fn problem(problem: &Problem) -> contract::Problem {
    let params = match problem.clone() {
        Problem::NotDone { backup, attempt } => {
            let Attempt { end: _, error, reason, time } = attempt;
            contract::ProblemParams {
                backup: Some(backup),
                error: Some(error_name(error).to_string()),
                reason: Some(reason),
                time: Some(time),
                ..contract::ProblemParams::default()
            }
        }
        Problem::SnapshotsReplaced { backups } => {
            contract::ProblemParams { backups: Some(backups), ..contract::ProblemParams::default() }
        }
        Problem::Damaged { blocks, files, snapshots, time } => contract::ProblemParams {
            blocks: Some(blocks),
            files: Some(files),
            snapshots: Some(snapshots),
            time: Some(time),
            ..contract::ProblemParams::default()
        },
        Problem::Drive(DriveProblem { code: _, params, english: _ }) => {
            let DriveProblemParams { label, device, devices, missing, count, formats, error, reason } = params;
            contract::ProblemParams {
                label,
                device,
                devices,
                missing,
                count,
                formats,
                error: error.map(|error| error_name(error).to_string()),
                reason,
                ..contract::ProblemParams::default()
            }
        }
        // No row has it: it is a warning of all rows.
        Problem::EnrolmentUnreadable { drives } => contract::ProblemParams {
            drives: Some(drives.iter().map(ToString::to_string).collect()),
            ..contract::ProblemParams::default()
        },
        Problem::RecordUnreadable { sentence }
        | Problem::RecordUnwritable { sentence }
        | Problem::SourceLowSpace { sentence }
        | Problem::VerifyOverdue { sentence }
        | Problem::WouldFail { sentence } => {
            contract::ProblemParams { reason: Some(sentence), ..contract::ProblemParams::default() }
        }
        Problem::Unsound(_) | Problem::SmartFailing | Problem::NoDrive => contract::ProblemParams::default(),
    };
    contract::Problem { code: problem.code().to_owned(), params, english: problem.to_string() }
}

/// A problem of a backup. The sentence about one of its destinations begins with the label of that.
pub(in crate::bus) fn placed_problem(placed: &PlacedProblem) -> contract::Problem {
    let PlacedProblem { destination, problem } = placed;
    let mut problem = self::problem(problem);
    if let Some((id, label)) = destination {
        problem.english = format!("the drive \"{}\": {}", label.escape_debug(), problem.english);
        problem.params.destination = Some(id.to_string());
        problem.params.label = Some(label.clone());
    }
    problem
}

#[cfg(test)]
mod tests {
    use butterdock_service::{AttemptEnd, Condition, DriveProblemCode, ErrorCode, NotifyProblem};

    use super::*;

    fn not_done(end: AttemptEnd) -> Problem {
        let attempt = Attempt { end, error: ErrorCode::Failed, reason: "it failed".to_owned(), time: 1 };
        Problem::NotDone { backup: "home".to_owned(), attempt }
    }

    #[test]
    fn every_problem_is_in_the_table_of_the_contract() {
        let params = DriveProblemParams { label: Some("Blue".to_owned()), ..DriveProblemParams::default() };
        let sentence = "a sentence".to_owned();
        let drives = DriveProblemCode::ALL.iter().map(|&code| {
            Problem::Drive(DriveProblem { code, params: DriveProblemParams::default(), english: sentence.clone() })
        });
        let unsound = [Condition::ReadOnly, Condition::Unplugged, Condition::Unsaved].map(Problem::Unsound);
        let others = [
            not_done(AttemptEnd::Failed),
            not_done(AttemptEnd::NotBegun),
            not_done(AttemptEnd::Interrupted),
            Problem::SnapshotsReplaced { backups: vec!["home".to_owned()] },
            Problem::Damaged { blocks: 1, files: 2, snapshots: 3, time: 4 },
            Problem::SmartFailing,
            Problem::RecordUnreadable { sentence: sentence.clone() },
            Problem::RecordUnwritable { sentence: sentence.clone() },
            Problem::NoDrive,
            Problem::EnrolmentUnreadable { drives: vec!["id".to_owned()] },
            Problem::SourceLowSpace { sentence: sentence.clone() },
            Problem::VerifyOverdue { sentence: sentence.clone() },
            Problem::WouldFail { sentence: sentence.clone() },
        ];
        let mut codes = Vec::new();
        for given in drives.chain(unsound).chain(others) {
            let contract::Problem { code, params, english } = problem(&given);
            let row = contract::PROBLEMS.iter().find(|row| row.code == code).unwrap_or_else(|| panic!("no {code}"));
            let unlisted = params.names().into_iter().find(|name| row.params.iter().all(|(listed, _)| listed != name));
            assert_eq!((unlisted, english), (None, given.to_string()), "{code}");
            codes.push(code);
        }
        // That of a channel is no problem of a drive or a backup.
        codes.push(NotifyProblem::CODE.to_owned());
        codes.sort();
        assert_eq!(codes, contract::PROBLEMS.iter().map(|row| row.code).collect::<Vec<_>>());

        let cloned = DriveProblem { code: DriveProblemCode::Cloned, params, english: sentence };
        assert_eq!(problem(&Problem::Drive(cloned)).params.label.as_deref(), Some("Blue"));
    }
}
