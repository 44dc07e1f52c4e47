//! The table, as it is printed and kept.

use std::time::Duration;

use anyhow::Result;

use crate::cases::Target;
use crate::disk::Volume;
use crate::machine;
use crate::measure::Cost;
use crate::options::Options;
use crate::pairs::{PairedRun, Row};

/// The whole block: a heading, the machine's facts, one line a case.
pub(crate) fn markdown(rows: &[Row], options: &Options, volume: &Volume) -> Result<String> {
    let mut lines = vec![format!("## {}", machine::now()?), String::new()];
    lines.extend(machine::describe(&options.ours()?, &options.theirs)?);
    lines.push(format!("- destination: {}", volume.describe()));
    if !options.ours_arg.is_empty() {
        lines.push(format!("- our side also with: {}", options.ours_arg.join(" ")));
    }
    lines.push(format!("- medians of {} pairs; in brackets the lowest and highest ratio of a pair", options.pairs));
    lines.extend([
        String::new(),
        "| case | stream | wall ours / theirs | wall ratio | CPU ratio | CPU ratio, whole machine | peak memory ours / theirs | targets: wall, CPU, memory | met |".to_owned(),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ]);
    lines.extend(rows.iter().map(line));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn line(row: &Row) -> String {
    let ratios = |of: fn(&Cost) -> Duration| {
        row.pairs.iter().map(|pair| of(&pair.ours).as_secs_f64() / of(&pair.theirs).as_secs_f64()).collect::<Vec<_>>()
    };
    let wall = ratios(|cost| cost.wall);
    let cpu = ratios(|cost| cost.cpu);
    let machine = ratios(|cost| cost.machine);
    let ours_mib = peak_mib(row, |pair| pair.ours.peak_kib);
    let theirs_mib = peak_mib(row, |pair| pair.theirs.peak_kib);
    let (targets, met) = row.case.target().map_or_else(
        || ("none".to_owned(), "–"),
        |target| {
            let met = is_met(&target, median(&wall), median(&cpu), ours_mib);
            (describe(&target), if met { "yes" } else { "**no**" })
        },
    );
    format!(
        "| ({}) {} | {} MB | {:.2} s / {:.2} s | **{:.2}** ({:.2}–{:.2}) | **{:.2}** ({:.2}–{:.2}) | {:.2} | {ours_mib:.0} MiB / {theirs_mib:.0} MiB | {targets} | {met} |",
        row.case.letter(),
        row.case.title(),
        row.stream_bytes / 1_000_000,
        median(&seconds(row, |pair| pair.ours.wall)),
        median(&seconds(row, |pair| pair.theirs.wall)),
        median(&wall),
        lowest(&wall),
        highest(&wall),
        median(&cpu),
        lowest(&cpu),
        highest(&cpu),
        median(&machine),
    )
}

fn describe(target: &Target) -> String {
    let cpu = target.cpu.map_or_else(|| "–".to_owned(), |cpu| format!("≤ {cpu:.2}"));
    format!("≤ {:.2}, {cpu}, ≤ {:.0} MiB", target.wall, target.memory)
}

fn is_met(target: &Target, wall: f64, cpu: f64, memory: f64) -> bool {
    wall <= target.wall && target.cpu.is_none_or(|most| cpu <= most) && memory <= target.memory
}

fn seconds(row: &Row, of: fn(&PairedRun) -> Duration) -> Vec<f64> {
    row.pairs.iter().map(|pair| of(pair).as_secs_f64()).collect()
}

/// The highest peak of all runs: a bound must hold in every one.
fn peak_mib(row: &Row, of: fn(&PairedRun) -> u64) -> f64 {
    let kib = row.pairs.iter().map(of).max().unwrap_or_default();
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) }
}

fn lowest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::INFINITY, f64::min)
}

fn highest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(0.0, f64::max)
}
