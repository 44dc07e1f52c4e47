//! Reads the configuration files and merges them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::backup::Backup;
use super::drives::Import;
use super::file::{self, File, Paths, Queue, Worker};
use super::{Config, VolumeRule, WorkerRule};

/// The maker's file, then the administrator's.
const FILES: [&str; 2] = ["/usr/lib/butterdock/butterdock.toml", "/etc/butterdock/butterdock.toml"];

/// The files of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFiles {
    /// The two files of the system, both optional.
    System,
    /// Only this file, which must exist.
    One(PathBuf),
}

/// Reads the configuration.
///
/// # Errors
/// A file cannot be read, or has a mistake; with its name, line and column.
pub fn load(sources: &ConfigFiles) -> Result<Config> {
    match sources {
        ConfigFiles::System => overlay(FILES.iter().map(Path::new), true),
        ConfigFiles::One(path) => overlay([path.as_path()].into_iter(), false),
    }
}

fn overlay<'a>(paths: impl Iterator<Item = &'a Path>, optional: bool) -> Result<Config> {
    let mut config = Config::default();
    for path in paths {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if optional && error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(anyhow!("cannot read the configuration {shown}: {error}")),
        };
        let file = file::parse(&text).map_err(|mistake| {
            let file::Mistake { line, column, what } = mistake;
            anyhow!("{shown}:{line}:{column}: {what}; correct the file (butterdock.toml(5) has every key)")
        })?;
        apply(&mut config, file);
    }
    Ok(config)
}

/// Names every field, so that the compiler requires a new key here.
fn apply(config: &mut Config, file: File) {
    let File { max_jobs, history, queue, streams, worker, paths, drives, volume, backup, import } = file;
    let Queue { max, max_per_user } = queue;
    let Paths { state, run } = paths;
    set(&mut config.max_jobs, max_jobs.map(super::validated::Within::get));
    set(&mut config.history, history.map(super::validated::Within::get));
    set(&mut config.max_queued, max.map(super::validated::Within::get));
    set(&mut config.max_queued_per_user, max_per_user.map(super::validated::Within::get));
    set(&mut config.state, state.map(|path| path.0));
    set(&mut config.run, run.map(|path| path.0));
    streams.apply(&mut config.streams);
    drives.apply(&mut config.drives);
    apply_worker(&mut config.worker, &worker);
    let volumes = volume.map(|volumes| {
        let rule =
            |file::Volume { name, path, uuid }| VolumeRule { name: name.into_inner(), path: path.into_inner().0, uuid };
        volumes.into_iter().map(rule).collect()
    });
    set(&mut config.volumes, volumes);
    set(&mut config.backups, backup.map(|backups| backups.into_iter().map(Backup::rule).collect()));
    set(&mut config.imports, import.map(|imports| imports.into_iter().map(Import::rule).collect()));
}

fn apply_worker(rule: &mut WorkerRule, worker: &Worker) {
    let Worker { nice, io_class, io_priority, writer_threads } = worker;
    set(&mut rule.nice, nice.map(super::validated::Within::get));
    set(&mut rule.io_class, *io_class);
    set(&mut rule.io_priority, io_priority.map(super::validated::Within::get));
    set(&mut rule.writer_threads, writer_threads.map(|writer_threads| Some(writer_threads.get())));
}

/// Sets the new value, if there is one.
pub(super) fn set<T>(value: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *value = new;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::IoClass;

    fn loaded(texts: &[&str]) -> Result<Config> {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<PathBuf> = (0..texts.len()).map(|index| folder.path().join(index.to_string())).collect();
        for (path, text) in paths.iter().zip(texts) {
            fs::write(path, text).expect("written");
        }
        overlay(paths.iter().map(PathBuf::as_path), true)
    }

    #[test]
    fn no_file_is_a_configuration_without_volumes() {
        let missing = [Path::new("/nonexistent/a"), Path::new("/nonexistent/b")];
        assert_eq!(overlay(missing.into_iter(), true).expect("loaded"), Config::default());
    }

    #[test]
    fn a_named_file_must_exist() {
        let refusal = load(&ConfigFiles::One(PathBuf::from("/nonexistent/a"))).expect_err("refused");
        assert!(refusal.to_string().contains("/nonexistent/a"));
    }

    #[test]
    fn the_second_file_wins_key_by_key() {
        let maker = "max_jobs = 3\n[worker]\nnice = 5\nio_class = \"idle\"\n[[volume]]\nname = \"a\"\npath = \"/a\"\n";
        let config = loaded(&[maker, "[worker]\nnice = 7\n"]).expect("loaded");
        assert_eq!((config.max_jobs, config.worker.nice, config.worker.io_class), (3, 7, IoClass::Idle));
        assert_eq!(config.volumes.len(), 1);
    }

    #[test]
    fn volumes_of_the_second_file_replace_the_first() {
        let maker = "[[volume]]\nname = \"a\"\npath = \"/a\"\n";
        let config = loaded(&[maker, "[[volume]]\nname = \"b\"\npath = \"/b\"\n"]).expect("loaded");
        assert_eq!(config.volumes.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(loaded(&[maker, "volume = []\n"]).expect("loaded").volumes.is_empty());
    }

    #[test]
    fn a_mistake_has_file_line_and_column() {
        let refusal = loaded(&["", "max_jobs = 1\nmax_job = 2\n"]).expect_err("refused").to_string();
        assert!(refusal.contains("/1:2:1: unknown field `max_job`"), "{refusal}");
    }

    const EXAMPLE: &str = include_str!("../../../data/butterdock.toml");
    const PAGE: &str = include_str!("../../../man/butterdock.toml.5");

    /// The example with every key set.
    fn example() -> String {
        let set = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
        // Top-level keys come before the tables.
        EXAMPLE.lines().map(set).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_shows_the_defaults() {
        assert_eq!(loaded(&[EXAMPLE]).expect("loaded"), Config::default());
        let config = loaded(&[&example()]).expect("loaded");
        assert_eq!(config.volumes.len(), 1);
        let worker = WorkerRule { writer_threads: None, ..config.worker };
        assert_eq!((config.backups.len(), config.imports.len()), (1, 1));
        assert_eq!(config.backups[0].keep, crate::backups::RetentionRule::default());
        let config = Config { volumes: Vec::new(), backups: Vec::new(), imports: Vec::new(), worker, ..config };
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_man_page_has_exactly_the_examples_keys() {
        let keys = example();
        let keys = keys.lines().filter_map(|line| line.split_once(" = ").map(|(key, _)| key));
        let mut keys: Vec<_> = keys.filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect();
        let page = PAGE.split(".SH KEYS").nth(1).and_then(|rest| rest.split(".SH ").next()).expect("KEYS");
        let mut documented: Vec<_> = page.split(".TP\n.B ").skip(1).filter_map(|rest| rest.lines().next()).collect();
        keys.sort_unstable();
        documented.sort_unstable();
        assert_eq!(documented, keys);
    }

    /// Each table: an unknown key in it, and its path in the example.
    const TABLES: [(&str, &[&str]); 9] = [
        ("zzz = 1", &[]),
        ("[queue]\nzzz = 1", &["queue"]),
        ("[streams]\nzzz = 1", &["streams"]),
        ("[worker]\nzzz = 1", &["worker"]),
        ("[paths]\nzzz = 1", &["paths"]),
        ("[drives]\nzzz = 1", &["drives"]),
        ("[[volume]]\nzzz = 1", &["volume"]),
        ("[[backup]]\nzzz = 1", &["backup"]),
        ("[[backup]]\nkeep = { zzz = 1 }", &["backup", "keep"]),
    ];

    /// Tables in lists that are empty by default, which the example describes in words.
    const IN_WORDS: [&str; 2] = ["[drives]\nmatch = [ { zzz = 1 } ]", "[drives]\nkey_file = [ { zzz = 1 } ]"];

    /// The keys that the parser names when it refuses an unknown one.
    fn known(text: &str) -> BTreeSet<String> {
        let what = file::parse(text).expect_err("zzz is unknown").what;
        let (unknown, known) = what.split_once(", expected ").unwrap_or_else(|| panic!("{what}"));
        assert_eq!(unknown, "unknown field `zzz`");
        known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// The keys of a table of the example, with every setting uncommented.
    fn documented(path: &[&str]) -> BTreeSet<String> {
        let set = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
        let text = EXAMPLE.lines().map(set).collect::<Vec<_>>().join("\n");
        let mut table = toml::Value::Table(text.parse::<toml::Table>().expect("TOML"));
        for name in path {
            table = table.get(name).unwrap_or_else(|| panic!("{name} is not in the example")).clone();
            if let toml::Value::Array(all) = table {
                table = all.into_iter().next().unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
            }
        }
        table.as_table().expect("a table").keys().cloned().collect()
    }

    #[test]
    fn the_example_has_exactly_the_parsers_keys() {
        for (text, path) in TABLES {
            assert_eq!(documented(path), known(text), "{path:?}");
        }
    }

    #[test]
    fn the_example_describes_entries_of_empty_lists() {
        for key in IN_WORDS.into_iter().flat_map(known) {
            assert!(EXAMPLE.lines().any(|line| line.starts_with("# ") && line.contains(key.as_str())), "{key}");
        }
    }
}
