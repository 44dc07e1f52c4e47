//! The block, as it is printed and kept.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::calls::Calls;
use crate::pairs::{Cost, PairedRun};
use crate::rest::Rest;

pub(crate) fn markdown(pairs: &[PairedRun], rest: &Rest, calls: &Calls) -> Result<String> {
    let wall = ratio(pairs, |cost| cost.wall);
    let cpu = ratio(pairs, |cost| cost.cpu);
    let idle = rest.resident_after_a_job_kib;
    let mut lines = vec![
        format!("## The service, {}", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?),
        String::new(),
        format!("- kernel: {}, {} cores", said("uname", &["-r"])?, std::thread::available_parallelism()?),
        format!("- medians of {} pairs on a loop volume; the daemon's CPU with its workers'", pairs.len()),
        String::new(),
        "| what | measured | target | met |".to_owned(),
        "|---|---|---|---|".to_owned(),
        row(
            "large files through the service / `butterdockd receive`: wall",
            &format!(
                "{wall:.3} ({} / {})",
                shown(median(pairs, |pair| pair.service.wall)),
                shown(median(pairs, |pair| pair.alone.wall))
            ),
            "≤ 1.05",
            wall <= 1.05,
        ),
        row("the same: CPU", &format!("{cpu:.3}"), "≤ 1.03", cpu <= 1.03),
        row("idle: wake-ups a second", &format!("{:.2}", rest.wakeups_a_second), "0", rest.wakeups_a_second < 0.005),
        row(
            "idle: resident",
            &format!("{:.1} MiB, {:.1} MiB after a job", mib(rest.resident_kib), mib(idle)),
            "≤ 12 MiB",
            idle <= 12 << 10,
        ),
    ];
    lines.extend(self::calls(calls));
    let cold = rest.cold.map(shown).join(", ");
    lines.extend([row("first call to a daemon that the bus starts", &cold, "answers", true), String::new()]);
    Ok(lines.join("\n"))
}

/// The rows of the calls.
pub(crate) fn calls(calls: &Calls) -> Vec<String> {
    let p99 = part(&calls.under_load, 99);
    let cancel = part(&calls.cancel_at_work, 100).max(part(&calls.cancel_silent, 100));
    vec![
        row(
            "GetManagedObjects, 40 drives, 200 backups, 2 jobs run, 50 wait, 20 clients follow: p99",
            &format!(
                "{} (median {}, longest {}; at rest {})",
                shown(p99),
                shown(part(&calls.under_load, 50)),
                shown(part(&calls.under_load, 100)),
                shown(part(&calls.at_rest, 50))
            ),
            "≤ 50 ms",
            p99 <= Duration::from_millis(50),
        ),
        row("resident meanwhile", &format!("{:.1} MiB", mib(calls.resident_kib)), "–", true),
        row(
            "cancel in effect, longest of 20",
            &format!(
                "{} at work (median {}), {} silent (median {})",
                shown(part(&calls.cancel_at_work, 100)),
                shown(part(&calls.cancel_at_work, 50)),
                shown(part(&calls.cancel_silent, 100)),
                shown(part(&calls.cancel_silent, 50))
            ),
            "≤ 1 s",
            cancel <= Duration::from_secs(1),
        ),
    ]
}

fn row(what: &str, measured: &str, target: &str, met: bool) -> String {
    format!("| {what} | {measured} | {target} | {} |", if met { "yes" } else { "**no**" })
}

/// The median of the pairs' ratios.
fn ratio(pairs: &[PairedRun], of: fn(&Cost) -> Duration) -> f64 {
    let mut ratios: Vec<f64> =
        pairs.iter().map(|pair| of(&pair.service).as_secs_f64() / of(&pair.alone).as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
    if ratios.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) }
}

fn median(pairs: &[PairedRun], of: fn(&PairedRun) -> Duration) -> Duration {
    let mut all: Vec<Duration> = pairs.iter().map(of).collect();
    all.sort();
    part(&all, 50)
}

/// The longest of the shortest `percent` of them.
fn part(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

fn said(tool: &str, words: &[&str]) -> Result<String> {
    Ok(String::from_utf8_lossy(&Command::new(tool).args(words).output()?.stdout).trim().to_owned())
}
