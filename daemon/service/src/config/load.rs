//! Reads the configuration files.

use std::fs::File as OpenFile;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::Config;
use super::apply::apply;
use super::file;
use super::merge::{Layers, Mistake};

/// The maker's file.
const MAKER: &str = "/usr/lib/butterdock/butterdock.toml";
/// The administrator's file, unless the maker's file names another.
const ADMINISTRATOR: &str = "/etc/butterdock/butterdock.toml";
/// A file of the configuration has up to this many bytes.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The files of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFiles {
    /// The two files of the system, both optional.
    System,
    /// Only this file, which must exist. If it has `[paths] settings`, it is the maker's file, and that one the administrator's.
    One(PathBuf),
}

/// The texts of the files, as they were read.
#[derive(Debug, Clone)]
pub(crate) struct ConfigTexts {
    /// None if the administrator's file is the only one.
    pub(crate) maker: Option<ConfigText>,
    pub(crate) administrator: ConfigText,
}

/// The text of one file.
#[derive(Debug, Clone)]
pub(crate) struct ConfigText {
    pub(crate) path: PathBuf,
    /// None if it does not exist.
    pub(crate) text: Option<String>,
}

/// Reads the configuration.
///
/// # Errors
/// A file cannot be read, or has a mistake; with its name, line and column.
pub fn load(files: &ConfigFiles) -> Result<Config> {
    ConfigTexts::read(files)?.config().map_err(|mistake| wrong(&mistake))
}

/// A sentence about the administrator's usual file, where it exists and is not read because the maker's file names another.
#[must_use]
pub fn unread_file(files: &ConfigFiles) -> Option<String> {
    let texts = ConfigTexts::read(files).ok()?;
    let unread = texts.unread()?.display();
    let read = texts.administrator.path.display();
    Some(format!(
        "{unread} is not read, because {MAKER} names {read} in [paths] settings; move its settings there, and remove it"
    ))
}

/// A mistake, with what to do.
fn wrong(mistake: &Mistake) -> anyhow::Error {
    anyhow!("{mistake}; correct the file (butterdock.toml(5) has every key)")
}

impl ConfigTexts {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or the maker's has a mistake; with its name.
    pub(crate) fn read(files: &ConfigFiles) -> Result<Self> {
        let first = match files {
            ConfigFiles::System => ConfigText::read(Path::new(MAKER))?,
            ConfigFiles::One(path) => {
                let first = ConfigText::read(path)?;
                if first.text.is_none() {
                    return Err(unreadable(path, &io::Error::from(ErrorKind::NotFound)));
                }
                first
            }
        };
        let settings = match files {
            ConfigFiles::System => first.settings()?.unwrap_or_else(|| PathBuf::from(ADMINISTRATOR)),
            ConfigFiles::One(_) => match first.settings()? {
                Some(settings) => settings,
                None => return Ok(Self { maker: None, administrator: first }),
            },
        };
        Ok(Self { administrator: ConfigText::read(&settings)?, maker: Some(first) })
    }

    /// The configuration.
    ///
    /// # Errors
    /// The first mistake in one of the files.
    pub(crate) fn config(&self) -> Result<Config, Mistake> {
        let mut config = Config::default();
        apply(&mut config, file::parse(&self.layers())?);
        Ok(config)
    }

    /// The texts, to be merged.
    pub(crate) fn layers(&self) -> Layers {
        let Self { maker, administrator } = self;
        let maker = maker.as_ref().map_or((Path::new(MAKER), ""), ConfigText::shown);
        Layers::new(maker, administrator.shown())
    }

    /// The same files with another text of the administrator's.
    pub(crate) fn with(&self, text: String) -> Self {
        let Self { maker, administrator } = self;
        let administrator = ConfigText { path: administrator.path.clone(), text: Some(text) };
        Self { maker: maker.clone(), administrator }
    }

    /// The usual file of the administrator, where it exists and is not read.
    fn unread(&self) -> Option<&'static Path> {
        let is_other = self.maker.is_some() && self.administrator.path != Path::new(ADMINISTRATOR);
        let is_system = self.maker.as_ref().is_some_and(|maker| maker.path == Path::new(MAKER));
        Some(Path::new(ADMINISTRATOR)).filter(|path| is_other && is_system && path.exists())
    }
}

impl ConfigText {
    fn read(path: &Path) -> Result<Self> {
        let text = match read(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(path, &error)),
        };
        Ok(Self { path: path.to_owned(), text })
    }

    fn shown(&self) -> (&Path, &str) {
        (&self.path, self.text.as_deref().unwrap_or_default())
    }

    /// `[paths] settings` of this file.
    fn settings(&self) -> Result<Option<PathBuf>> {
        let layers = Layers::new(self.shown(), (Path::new(ADMINISTRATOR), ""));
        let file = file::maker(&layers).map_err(|mistake| wrong(&mistake))?;
        Ok(file.paths.settings.map(|settings| settings.into_inner().0))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    OpenFile::open(path)?.take(LARGEST.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LARGEST) {
        Ok(text)
    } else {
        Err(io::Error::other("it is larger than 1 MiB"))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    anyhow!("cannot read the configuration {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::config::{IoClass, WorkerRule};
    use crate::schedule::Schedule;

    /// The maker's file is empty if there is one text.
    fn loaded(texts: &[&str]) -> Result<Config, Mistake> {
        let text = |name: &str, text: Option<&&str>| ConfigText {
            path: PathBuf::from(name),
            text: text.map(|text| (*text).to_owned()),
        };
        let [maker, administrator] =
            if texts.len() == 1 { [None, texts.first()] } else { [texts.first(), texts.get(1)] };
        let (maker, administrator) = (Some(text("/0", maker)), text("/1", administrator));
        ConfigTexts { maker, administrator }.config()
    }

    #[test]
    fn no_file_is_a_configuration_without_volumes() {
        assert_eq!(loaded(&[]).expect("loaded"), Config::default());
    }

    #[test]
    fn the_makers_file_says_where_the_administrators_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let [maker, settings] = ["maker", "settings"].map(|name| folder.path().join(name));
        let text = format!("max_jobs = 3\n[paths]\nsettings = \"{}\"\n", settings.display());
        fs::write(&maker, text).expect("written");
        let files = ConfigFiles::One(maker);
        assert_eq!(load(&files).expect("the other is optional").max_jobs, 3);
        fs::write(&settings, "max_jobs = 5\n").expect("written");
        assert_eq!(load(&files).expect("loaded").max_jobs, 5);
        fs::write(&settings, "[paths]\nsettings = \"/x\"\n").expect("written");
        let refusal = load(&files).expect_err("refused").to_string();
        assert!(refusal.contains("/settings:2:12: `settings` says where this file is"), "{refusal}");
    }

    #[test]
    fn a_file_of_more_than_a_mebibyte_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("large");
        fs::write(&file, "#".repeat((1 << 20) + 1)).expect("written");
        assert!(load(&ConfigFiles::One(file)).expect_err("refused").to_string().contains("larger than 1 MiB"));
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
    fn lists_of_both_files_are_merged_by_name() {
        let maker = "[[volume]]\nname = \"a\"\npath = \"/a\"\n[[backup]]\nname = \"home\"\nsource = \"/home\"\n\
                     to = [\"Blue\"]\nprotect = \"2d\"\n[[import]]\ndrive = \"Red\"\n";
        let names = |config: &Config| config.volumes.iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>();
        let config = loaded(&[maker, "[[volume]]\nname = \"b\"\npath = \"/b\"\n"]).expect("loaded");
        assert_eq!(names(&config), ["a", "b"]);
        let less = "[[volume]]\nname = \"a\"\nenabled = false\n[[import]]\ndrive = \"Red\"\nenabled = false\n\
                    [[backup]]\nname = \"home\"\ndrives = [\"Green\"]\nschedule = \"manual\"\n";
        let config = loaded(&[maker, less]).expect("loaded");
        assert!(config.volumes.is_empty() && config.imports.is_empty());
        let home = &config.backups[0];
        assert_eq!((home.drives[0].as_str(), &home.schedule, home.enabled), ("Green", &Schedule::manual(), true));
        assert_eq!((home.source.as_path(), home.protect.as_secs()), (Path::new("/home"), 2 * 24 * 3600));
        let off = loaded(&[maker, "[[backup]]\nname = \"home\"\nenabled = false\n"]).expect("loaded");
        assert!(!off.backups[0].enabled);
    }

    #[test]
    fn a_mistake_in_a_table_of_both_files_is_in_the_right_one() {
        let maker = "[[backup]]\nname = \"home\"\nsource = \"/home\"\nto = []\n";
        let at = |administrator: &str| loaded(&[maker, administrator]).expect_err("refused").to_string();
        let text = at("\n[[backup]]\nname = \"home\"\nprotect = \"7\"\n");
        assert!(text.starts_with("/1:4:11: a time is a number"), "{text}");
        let text = at("[[backup]]\nname = \"etc\"\n");
        assert!(text.starts_with("/1:1:1: missing field `source`"), "{text}");
        let text = at("[[volume]]\nname = \"a\"\npath = \"/a\"\n[[volume]]\nname = \"b\"\npath = \"/a\"\n");
        assert!(text.starts_with("/1:6:8: another volume has the path"), "{text}");
        let both = loaded(&["max_jobs = 0\n", "max_jobs = 1\n"]).expect_err("the maker's mistake counts").to_string();
        assert!(both.starts_with("/0:1:12: 0 is out of range"), "{both}");
    }

    #[test]
    fn a_mistake_has_file_line_and_column() {
        let refusal = loaded(&["", "max_jobs = 1\nmax_job = 2\n"]).expect_err("refused").to_string();
        assert!(refusal.starts_with("/1:2:1: unknown field `max_job`"), "{refusal}");
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
        let config = loaded(&[&example(), ""]).expect("loaded");
        assert_eq!(config.volumes.len(), 1);
        let worker = WorkerRule { writer_threads: None, ..config.worker };
        let counts = [config.backups.len(), config.destinations.len(), config.imports.len(), config.notify.len()];
        assert_eq!(counts, [1, 1, 1, 1]);
        assert_eq!(config.backups[0].keep, crate::backups::RetentionRule::default());
        let config = Config {
            volumes: Vec::new(),
            backups: Vec::new(),
            destinations: Vec::new(),
            imports: Vec::new(),
            notify: Vec::new(),
            worker,
            ..config
        };
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
    const IN_WORDS: [&str; 4] = [
        "[[destination]]\nzzz = 1",
        "[[notify]]\nzzz = 1",
        "[drives]\nmatch = [ { zzz = 1 } ]",
        "[drives]\nkey_file = [ { zzz = 1 } ]",
    ];

    /// The keys that the parser names when it refuses an unknown one.
    fn known(text: &str) -> BTreeSet<String> {
        let what = loaded(&[text]).expect_err("zzz is unknown").what;
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
