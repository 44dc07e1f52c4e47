//! Hostile and broken streams: each is refused with one line, nothing outside the destination changes, nothing stays behind, and
//! neither time nor memory runs away. Where the standard receiver is known to do otherwise, and showing it is safe, it is shown.

mod case;
mod clones;
mod doubling_clones;
mod encoded;
mod file_kinds;
mod fixture;
mod framing;
mod identity;
mod memory;
mod names;
mod values;

use std::time::Duration;

use anyhow::{Result, ensure};
use butterdock_tests::{Receiver, is_known_btrfs_progs, run, run_measured, under_load};

use case::{Case, Fault};
use fixture::{Fixture, Theirs};

/// A refusal takes milliseconds; this only tells a hang.
const LIMIT: Duration = Duration::from_secs(20);
/// What the receiver may hold in memory, in KiB.
const MEMORY: u64 = 96 << 10;

/// Runs every row and tells all that went wrong, not only the first.
fn refused(rows: impl Fn(&Fixture) -> Vec<Case>, at_least: usize) -> Result<()> {
    let fixture = Fixture::new()?;
    let rows = rows(&fixture);
    ensure!(rows.len() >= at_least, "only {} rows", rows.len());
    let mut faults = Vec::new();
    for row in &rows {
        match attempt(&fixture, row) {
            Ok(found) => faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", row.name))),
            Err(error) => faults.push(format!("{}: {error:#}", row.name)),
        }
        faults.extend(fixture.set_right()?.into_iter().map(|fault| format!("{}: {fault}", row.name)));
    }
    ensure!(faults.is_empty(), "{} faults in {} rows:\n  {}", faults.len(), rows.len(), faults.join("\n  "));
    if is_known_btrfs_progs()? {
        shown_with_the_standard(&rows)?;
    }
    Ok(())
}

fn attempt(fixture: &Fixture, row: &Case) -> Result<Vec<String>> {
    let stream = fixture.keep(&row.stream)?;
    let mut command = Receiver::Ours.command()?;
    command.args(&row.arguments).arg("-f").arg(&stream).arg(fixture.destination());
    let (finished, usage) = run_measured(&command, &fixture.report(), under_load(LIMIT))?;
    let mut faults = row.judge(&finished);
    if usage.max_rss_kib > MEMORY {
        faults.push(format!("took {} KiB", usage.max_rss_kib));
    }
    Ok(faults)
}

/// What FORMAT.md records of the standard receiver still shows, on volumes that are thrown away.
fn shown_with_the_standard(rows: &[Case]) -> Result<()> {
    for row in rows.iter().filter(|row| row.standard.is_some()) {
        let theirs = Theirs::new()?;
        let stream = theirs.keep(&row.stream)?;
        let mut command = Receiver::Standard.command()?;
        command.args(&row.arguments).arg("-f").arg(&stream).arg(theirs.destination());
        let shown = match (row.standard, run(&mut command, under_load(Duration::from_secs(3)))) {
            (Some(Fault::Hangs), outcome) => outcome.is_err(),
            (Some(Fault::ExitsZero), outcome) => outcome?.status.success(),
            (Some(Fault::WritesOutside), outcome) => {
                drop(outcome?);
                theirs.was_written_outside()?
            }
            (Some(Fault::LeavesAPart), outcome) => !outcome?.status.success() && theirs.has_a_part()?,
            (None, _) => true,
        };
        ensure!(
            shown,
            "{}: the standard receiver does not show {:?}: the row proves less than it says",
            row.name,
            row.standard
        );
    }
    Ok(())
}

#[test]
fn streams_that_are_broken_on_the_wire_are_refused() -> Result<()> {
    refused(|_| framing::rows(), 35)
}

#[test]
fn names_that_lead_elsewhere_are_refused() -> Result<()> {
    refused(names::rows, 35)
}

#[test]
fn commands_on_the_wrong_kind_of_file_are_refused() -> Result<()> {
    refused(file_kinds::rows, 25)
}

#[test]
fn impossible_values_are_refused() -> Result<()> {
    refused(|_| values::rows(), 20)
}

#[test]
fn clone_sources_outside_the_stream_are_refused() -> Result<()> {
    refused(clones::rows, 15)
}

#[test]
fn encoded_data_with_wrong_numbers_is_refused() -> Result<()> {
    refused(|_| encoded::rows(), 25)
}

#[test]
fn subvolumes_with_a_wrong_name_or_parent_are_refused() -> Result<()> {
    refused(identity::rows, 12)
}
