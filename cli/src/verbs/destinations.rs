//! The destinations that are no drives, as `status` shows them, and what drives and other destinations have in common.

use butterdock_dbus::{DestinationProperties, DestinationState, Problem};

use crate::render::{Output, Table, bytes, escaped, now, print_error, time};
use crate::service::Destination;

/// What is wrong with them; `--json` has it already.
pub(super) fn print_problems(destinations: &[&Destination], out: Output) {
    for Destination { id, now, .. } in destinations.iter().filter(|_| !out.json) {
        if !now.problems.is_empty() {
            let problem = Problem::sentence(&now.problems);
            print_error(&format!("butterdock: the destination {}: {}", escaped(id), escaped(&problem)));
        }
    }
}

/// The destinations, one per line; empty without any.
pub(super) fn table(destinations: &[&Destination]) -> String {
    if destinations.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["DESTINATION", "KIND", "SIZE", "FREE", "STATE", "LAST BACKUP", "NEXT VERIFY"]);
    for Destination { id, now: of, .. } in destinations {
        let known = |count: u64| if count == 0 { String::new() } else { bytes(count) };
        table.row([
            escaped(id),
            escaped(of.kind.as_str()),
            known(of.size),
            known(of.free),
            escaped(of.state.as_str()),
            last_backup(of),
            next_verify(of, now()),
        ]);
    }
    table.render()
}

/// When the last backup to it was made.
pub(super) fn last_backup(destination: &DestinationProperties) -> String {
    let last = if destination.last_backup == 0 { "never".to_owned() } else { time(destination.last_backup) };
    if destination.overdue { format!("{last} (overdue)") } else { last }
}

/// When a verify of it begins by itself.
pub(super) fn next_verify(destination: &DestinationProperties, now: u64) -> String {
    match destination.next_verify {
        0 => "on request".to_owned(),
        next if next > now => time(next),
        _ if destination.state == DestinationState::Away => "when attached".to_owned(),
        _ => "now".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_verify_is_a_time_or_says_what_it_waits_for() {
        let of = |next_verify, state| {
            let destination = DestinationProperties { next_verify, state, ..DestinationProperties::default() };
            super::next_verify(&destination, 1_600_000_000_000_000)
        };
        assert_eq!(of(0, DestinationState::Away), "on request");
        assert_eq!(of(1_500_000_000_000_000, DestinationState::Away), "when attached");
        assert_eq!(of(1_500_000_000_000_000, DestinationState::Present), "now");
        assert!(of(1_700_000_000_000_000, DestinationState::Away).starts_with("2023-11-1"));
    }
}
