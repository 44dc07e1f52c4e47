//! Describes a configuration in sentences.

use crate::backups;
use crate::config::{
    BackupRule, Config, DestinationPlace, DestinationRule, FilesystemUuid, IoClass, Nested, OnFinish, VolumeRule,
    WorkerRule,
};
use crate::text;
use crate::volumes;

/// The configuration in words, with the reasons why a volume or a backup cannot be used now. A volume that is not mounted is no
/// mistake, because drives are plugged in and out. Blocks as long as a volume does.
#[must_use]
pub fn explain(config: &Config) -> String {
    let folder = |rule: &BackupRule| {
        backups::check_folder(&rule.source, &rule.snapshots).map(|()| {
            backups::is_snapshot(&rule.source).then_some(
                "  Its source is a read-only subvolume: it is sent as it is, once, under its own name and without another \
                 snapshot of it; `keep` does not delete it.",
            )
        })
    };
    let left_out = |rule: &BackupRule| backups::left_out(&rule.source, &rule.snapshots, rule.nested == Nested::Include);
    let folder = |rule: &BackupRule| match own_filesystem(config, rule, |uuid| {
        backups::is_on(&rule.source, |fsid| uuid.is(fsid))
    }) {
        Some(text) => Err(text),
        None => folder(rule),
    };
    words(config, |rule| volumes::open(rule).map(drop), folder, left_out)
}

/// Why a backup would fail whose destination is the filesystem of its source.
fn own_filesystem(config: &Config, rule: &BackupRule, is_it: impl Fn(FilesystemUuid) -> bool) -> Option<String> {
    let own = volumes_of(config, rule).find(|destination| destination.volume().is_some_and(&is_it))?;
    let name = &own.name;
    Some(format!(
        "its source is on the filesystem of the destination \"{name}\" itself, which is no backup; choose another destination"
    ))
}

/// Whether a drive of the backup may be switched off after it.
fn switches_off(config: &Config, rule: &BackupRule) -> bool {
    rule.drives.is_empty() && config.drives.on_finish == OnFinish::PowerOff
        || rule.drives.iter().any(|name| match config.destination(name).map(|destination| &destination.place) {
            Some(DestinationPlace::Volume { .. }) => false,
            Some(DestinationPlace::Drive { on_finish: Some(on_finish), .. }) => *on_finish == OnFinish::PowerOff,
            Some(DestinationPlace::Drive { on_finish: None, .. }) | None => {
                config.drives.on_finish == OnFinish::PowerOff
            }
        })
}

/// The volumes that a backup goes to.
fn volumes_of<'c>(config: &'c Config, rule: &'c BackupRule) -> impl Iterator<Item = &'c DestinationRule> {
    rule.drives.iter().filter_map(|name| config.destination(name)).filter(|destination| destination.volume().is_some())
}

/// The configuration in words; `volume` and `backup` check one of them, and `backup` may have a remark; `left_out` says what a
/// backup leaves out.
fn words(
    config: &Config,
    volume: impl Fn(&VolumeRule) -> Result<(), volumes::Unusable>,
    backup: impl Fn(&BackupRule) -> Result<Option<&'static str>, String>,
    left_out: impl Fn(&BackupRule) -> Option<String>,
) -> String {
    let mut out = String::from("The configuration is good.\n");
    let Config { volumes, backups, destinations, imports, notify, worker, drives, .. } = config;
    let Config { max_jobs, max_queued, max_queued_per_user, streams, history, state, run, .. } = config;
    if volumes.is_empty() {
        out.push_str("No volume is configured: add a [[volume]] to receive streams.\n");
    }
    for rule in volumes {
        let path = text::one_line(&rule.path.to_string_lossy());
        let now =
            volume(rule).map_or_else(|hindrance| format!("not usable now: {hindrance}"), |()| "usable now".into());
        line(&mut out, &format!("Volume \"{}\": receives into {path}; {now}.", rule.name));
    }
    for rule in backups {
        line(&mut out, &text::one_line(&rule.words()));
        if !rule.enabled {
            continue;
        }
        let known = state.join("sources").join(rule.name.as_str());
        let known = text::one_line(&known.to_string_lossy());
        line(
            &mut out,
            &format!(
                "  The file {known} records the identity of its source; to accept another subvolume, run butterdock \
                 backup {} --new-source.",
                rule.name.as_str(),
            ),
        );
        if rule.schedule.has_times() && switches_off(config, rule) {
            line(
                &mut out,
                "  WARNING: on_finish = \"power-off\" switches a drive off after its backups: then the times of this backup begin \
                 nothing until the drive is plugged in again. Use \"unmount\" for a drive that stays attached.",
            );
        }
        for destination in volumes_of(config, rule).filter(|_| !rule.schedule.has_times()) {
            let text = format!(
                "  WARNING: nothing starts this backup to \"{}\", which is never plugged in: add a time to its schedule.",
                destination.name
            );
            line(&mut out, &text);
        }
        match backup(rule) {
            Ok(remark) => remark.into_iter().for_each(|remark| line(&mut out, remark)),
            Err(hindrance) => {
                line(&mut out, &text::one_line(&format!("  WARNING: this backup will fail: {hindrance}.")));
            }
        }
        if let Some(left_out) = left_out(rule) {
            line(&mut out, &text::one_line(&format!("  WARNING: {left_out}.")));
        }
    }
    let is_configured = |name: &str| backups.iter().any(|rule| rule.name.as_str() == name);
    for backups::LeftOver { backup, folder } in backups::left_over(state, is_configured) {
        let text = format!(
            "The backup \"{backup}\" is not configured any more. Its snapshots in {} are left over, and the service does not \
             delete them; delete those that are not needed: btrfs subvolume delete {}/{backup}.TIME. butterdock snapshots \
             --drive lists those on a drive.",
            folder.display(),
            folder.display(),
        );
        line(&mut out, &text::one_line(&text));
    }
    for rule in destinations {
        line(&mut out, &text::one_line(&rule.words()));
    }
    for rule in notify {
        line(&mut out, &text::one_line(&rule.words()));
        for name in rule.backups.iter().filter(|name| !is_configured(name)) {
            line(&mut out, &text::one_line(&format!("  WARNING: no backup is called \"{name}\".")));
        }
    }
    for rule in imports {
        line(&mut out, &text::one_line(&rule.words()));
    }
    line(
        &mut out,
        &format!(
            "Up to {max_jobs} jobs of one class run at the same time, one on each volume or drive; up to {max_queued} \
             of one class may be unfinished, {max_queued_per_user} of one user. These limits apply to each class by \
             itself: streams that are handed in, jobs on drives, and jobs with files in snapshots, each of root and of \
             other users. Jobs with files are not limited by max_jobs."
        ),
    );
    line(&mut out, &streams.words());
    line(&mut out, &format!("The history keeps the last {history} jobs in {}.", state.join("jobs").display()));
    line(&mut out, &priority(worker));
    for said in drives.words() {
        line(&mut out, &text::one_line(&said));
    }
    line(&mut out, &format!("Drives are mounted in {}.", run.join("drives").display()));
    out
}

fn priority(worker: &WorkerRule) -> String {
    let WorkerRule { nice, io_class, io_priority, writer_threads } = worker;
    let disk = match io_class {
        IoClass::Idle => "disk priority idle".to_owned(),
        IoClass::BestEffort => format!("disk priority {io_priority} (0 is first, 7 last)"),
    };
    let writer_threads = writer_threads
        .map_or_else(|| "one thread for each core".to_owned(), |writer_threads| format!("{writer_threads} threads"));
    format!("A worker has nice {nice}, {disk}, and writes with {writer_threads}.")
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use crate::config::{ConfigFiles, VolumeName, VolumeRule, load};

    #[test]
    fn an_unmounted_volume_is_reported_but_no_mistake() {
        let name = VolumeName::try_from("tank".to_owned()).expect("a name");
        let volumes = vec![VolumeRule { name, path: PathBuf::from("/nonexistent/tank"), uuid: None }];
        let text = words(
            &Config { volumes, ..Config::default() },
            |rule| volumes::open(rule).map(drop),
            |_| Ok(None),
            |_| None,
        );
        assert!(text.starts_with("The configuration is good.\n"));
        assert!(text.contains("Volume \"tank\": receives into /nonexistent/tank; not usable now"), "{text}");
    }

    #[test]
    fn the_recorded_source_file_is_named_by_its_path() {
        let text = "[paths]\nstate = \"/srv/state\"\n[[backup]]\nname = \"home\"\nsource = \"/home\"\ndrives = []\n";
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("butterdock.toml");
        std::fs::write(&file, text).expect("written");
        let text = words(&load(&ConfigFiles::One(file)).expect("good"), |_| Ok(()), |_| Ok(None), |_| None);
        assert!(text.contains("/srv/state/sources/home records the identity of its source"), "{text}");
    }

    #[test]
    fn the_sources_own_filesystem_is_no_destination() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("butterdock.toml");
        let uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let text = format!(
            "[[destination]]\nname = \"pool\"\nkind = \"volume\"\npath = \"/srv/pool\"\nuuid = \"{uuid}\"\n\
             [[backup]]\nname = \"home\"\nsource = \"/home\"\nto = [\"pool\"]\n"
        );
        std::fs::write(&file, text).expect("written");
        let config = load(&ConfigFiles::One(file)).expect("good");
        let refused = own_filesystem(&config, &config.backups[0], |_| true).expect("refused");
        assert!(refused.contains("\"pool\" itself, which is no backup"), "{refused}");
        assert_eq!(own_filesystem(&config, &config.backups[0], |_| false), None);
        let text = words(&config, |_| Ok(()), |_| Ok(None), |_| None);
        assert!(text.contains("Destination \"pool\": /srv/pool on the filesystem 0f1e2d3c"), "{text}");
        assert!(text.contains("WARNING: nothing starts this backup to \"pool\""), "{text}");
    }

    #[test]
    fn times_and_power_off_together_are_warned_of() {
        let warned = |schedule: &str, on_finish: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("butterdock.toml");
            let backup = "name = \"home\"\nsource = \"/home\"\nto = []\n";
            let text = format!("[[backup]]\n{backup}schedule = {schedule}\n[drives]\non_finish = \"{on_finish}\"\n");
            std::fs::write(&file, text).expect("written");
            let text = words(&load(&ConfigFiles::One(file)).expect("good"), |_| Ok(()), |_| Ok(None), |_| None);
            text.contains("WARNING: on_finish = \"power-off\" switches")
        };
        assert!(warned("[\"on-plug\", \"daily 02:00\"]", "power-off"));
        assert!(!warned("\"daily 02:00\"", "unmount") && !warned("\"on-plug\"", "power-off"));
    }

    #[test]
    fn a_configuration_without_volumes_says_what_is_missing() {
        assert!(words(&Config::default(), |_| Ok(()), |_| Ok(None), |_| None).contains("[[volume]]"));
    }
}
