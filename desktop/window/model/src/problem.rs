//! What is wrong, with its remedy.

use butterdock_dbus::{Problem, path};
use butterdock_desktop::wording::problem_text;
use butterdock_desktop::words::{Severity, Words, words_of};

use crate::action::{Action, Button};

/// A problem as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemItem {
    /// What is wrong.
    pub title: String,
    /// What to do.
    pub remedy: String,
    /// How bad it is.
    pub severity: Severity,
    /// What helps, if the window can do it now.
    pub button: Option<Button>,
}

/// The problems of a destination or a drive, the worst first. `is_there` says whether something can be done with it now, `name` what it
/// is called.
pub(crate) fn problems(
    words: &Words,
    problems: &[Problem],
    path: &str,
    name: &str,
    is_there: bool,
) -> Vec<ProblemItem> {
    let mut items: Vec<_> = problems.iter().map(|problem| item(words, problem, path, name, is_there)).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.severity));
    items
}

/// A button that is below the problems anyway is not beside one of them too.
pub(crate) fn without(mut problems: Vec<ProblemItem>, buttons: &[Button]) -> Vec<ProblemItem> {
    for problem in &mut problems {
        problem.button.take_if(|button| buttons.iter().any(|other| other.action == button.action));
    }
    problems
}

fn item(words: &Words, problem: &Problem, path: &str, name: &str, is_there: bool) -> ProblemItem {
    let text = problem_text(words, problem);
    let severity = words_of(&problem.code).map_or(Severity::Warning, |words| words.severity);
    let button = is_there.then(|| button(words, problem, path, name)).flatten();
    ProblemItem { title: text.title, remedy: text.remedy, severity, button }
}

/// The button that helps against a problem.
fn button(words: &Words, problem: &Problem, path: &str, name: &str) -> Option<Button> {
    let destination = path.to_owned();
    let (label, action) = match problem.code.as_str() {
        "backup-failed" | "backup-interrupted" | "backup-not-begun" => {
            let backup = path::backup_path(problem.params.backup.as_deref()?).to_string();
            (words.say("Try again", &[]), Action::Run { backup, destination: Some(destination) })
        }
        "drive-full" => (words.say("Back up now", &[]), Action::RunAll { destination }),
        "drive-damaged" | "verify-overdue" => (words.say("Verify", &[]), Action::Verify { destination }),
        "drive-in-use" => (words.say("Remove safely", &[]), Action::SafelyRemove { drive: destination }),
        _ => return None,
    };
    Some(Button { accessible: format!("{label}: {name}"), label, action, is_suggested: false })
}
