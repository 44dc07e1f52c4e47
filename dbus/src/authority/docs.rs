//! The table for people, in Markdown.

use super::{ACTIONS, Rule, TABLE};
use crate::names::BUS_NAME;

/// Two tables: each method and who may call it; each action and what polkit answers by default.
#[must_use]
pub fn markdown() -> String {
    let mut out = "| Method | Permission | polkit's rules see |\n|---|---|---|\n".to_owned();
    for row in TABLE {
        let interface = row.interface.trim_start_matches(BUS_NAME).trim_start_matches('.');
        let details = row.details.iter().map(|detail| format!("`{detail}`")).collect::<Vec<_>>().join(", ");
        out.push_str(&format!("| `{interface}.{}` | {} | {details} |\n", row.method, who(row.rule)));
    }
    out.push_str("\n| Action | Description | no session | inactive | active |\n|---|---|---|---|---|\n");
    for row in ACTIONS {
        let [any, inactive, active] = [row.any, row.inactive, row.active].map(super::Allow::as_str);
        out.push_str(&format!("| `{}` | {} | {any} | {inactive} | {active} |\n", row.action.id(), row.description));
    }
    out
}

fn who(rule: Rule) -> String {
    let short =
        |action: super::Action| format!("`{}`", action.id().trim_start_matches(BUS_NAME).trim_start_matches('.'));
    match rule {
        Rule::Anybody => "all users".to_owned(),
        Rule::AnybodyWithout { option, with } => format!("all users; with the option `{option}` {}", short(with)),
        Rule::Action(action) => short(action),
        Rule::Unless { usual, option, with } => format!("{}; with the option `{option}` {}", short(usual), short(with)),
        Rule::Own { own, others } => format!("the user who started the job: {}; others: {}", short(own), short(others)),
        Rule::Starter { others } => format!("the user who started the job; others: {}", short(others)),
    }
}
