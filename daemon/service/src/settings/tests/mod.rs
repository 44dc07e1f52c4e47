//! The whole way of a change on real files: random edits, editors at the same time, kills, hostile values.

mod random;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use butterdock_fixtures::trees::Random;
use butterdock_fixtures::{rounds, seed, wait_until};
use tempfile::TempDir;

use super::requests::write;
use super::*;
use crate::config::{ConfigFiles, ConfigTexts, load};
use crate::types::{Error, ErrorCode};
use random::comments as numbered_comments;

const MAKER: &str = "max_jobs = 3\n[[backup]]\nname = \"etc\"\nsource = \"/etc\"\nto = [\"Blue\"]\n[[volume]]\nname = \"tank\"\n\
                     path = \"/srv/tank\"\n";

/// A file with a comment in every place. The numbers are those of lines that stay, whatever is changed in `home`.
const FILE: &str = "\
# 1: the head

# 2: of a key
history = 100 # 3: behind it

# 4: of home
[[backup]] # 5
# 6: its name
name = \"home\" # 7
source = \"/home\"
# 8: where
to = [
    \"Blue\", # 9
    # 10
    \"Red\",
]
# 11: the end of home

# 12: never changed
[[backup]]
name = \"srv\" # 13
source = '/srv'
drives = [ \"Blue\",\"Red\" ]     # 14
keep   = { daily = 1 }
[worker] # 15
# 16
nice = 5
# 17: the end
";
/// Lines of `home` itself, which a list of it may lose.
const OF_LIST: [u64; 2] = [9, 10];

struct Files {
    _folder: TempDir,
    settings: PathBuf,
    files: ConfigFiles,
}

impl Files {
    fn new(text: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [maker, settings] = ["maker.toml", "settings.toml"].map(|name| folder.path().join(name));
        fs::write(&maker, format!("{MAKER}[paths]\nsettings = {settings:?}\n")).expect("written");
        if let Some(text) = text {
            fs::write(&settings, text).expect("written");
        }
        Self { _folder: folder, settings, files: ConfigFiles::One(maker) }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.settings).expect("read")
    }

    fn read(&self) -> Settings {
        reading::read(&ConfigTexts::read(&self.files).expect("read")).expect("good")
    }

    fn change(&self, change: &SettingChange, revision: Option<&str>) -> Result<String, Error> {
        write(&self.files, change, revision).map(|(revision, _)| revision)
    }
}

fn set(name: &str, pairs: &[(&str, Value)], reset: &[&str]) -> SettingChange {
    let set = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let reset = reset.iter().map(|&key| key.to_owned()).collect();
    SettingChange::Set { list: SettingList::Backup, name: name.to_owned(), set, reset, create: None, rename_from: None }
}

fn remove(name: &str) -> SettingChange {
    SettingChange::Remove { list: SettingList::Backup, name: name.to_owned() }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn texts(all: &[&str]) -> Value {
    Value::List(all.iter().map(|one| text(one)).collect())
}

fn code(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::Named(code, _) | Error::Drive(code, _) => Some(*code),
        Error::InvalidArgs(_) => None,
    }
}

#[test]
fn a_changed_file_is_not_overwritten() {
    let files = Files::new(Some(FILE));
    let revision = files.read().revision;
    let change = set("home", &[("protect", text("3d"))], &[]);
    let edited = FILE.replace("100", "101");
    fs::write(&files.settings, &edited).expect("an editor saves");
    let refused = files.change(&change, Some(&revision)).expect_err("stale");
    assert_eq!((code(&refused), files.text()), (Some(ErrorCode::StaleRevision), edited.clone()));
    // Without a revision the change goes on top of it.
    files.change(&change, None).expect("changed");
    assert_eq!(files.text(), edited.replace("# 11", "protect = \"3d\"\n# 11"));
    // An editor that saves between reading and writing.
    let refused = file::replace(&files.settings, Some(FILE), "x").expect_err("stale");
    assert_eq!(code(&refused), Some(ErrorCode::StaleRevision));
    let missing = Files::new(None);
    assert_eq!(missing.read().revision, "none");
    fs::write(&missing.settings, "").expect("an editor saves");
    assert_eq!(
        missing.change(&change, Some("none")).map_err(|error| code(&error)),
        Err(Some(ErrorCode::StaleRevision))
    );
    let refused = file::replace(&missing.settings, None, "x").expect_err("stale");
    assert_eq!(code(&refused), Some(ErrorCode::StaleRevision));
}

#[test]
fn hostile_values_change_nothing() {
    let files = Files::new(Some(FILE));
    let long = "x".repeat(100_000);
    let good = || vec![("source", text("/home")), ("to", texts(&["Blue"]))];
    let mut refused = Vec::new();
    for name in ["", "a/b", "a\nb", ".a", "a\0b", "\u{1b}[2J", " a", &long] {
        refused.push(set(name, &good(), &[]));
    }
    for key in ["nmae", "", "a.b", "x = 1\n[worker]\nnice", "keep.last", "name", &long] {
        refused.push(set("new", &[good(), vec![(key, Value::Number(1))]].concat(), &[]));
    }
    for (key, value) in [
        ("source", text("home")),
        ("source", text("/a/../b")),
        ("source", text("/a\0b")),
        ("source", Value::Number(1)),
        ("to", text("Blue")),
        ("to", texts(&["x"; 65])),
        ("to", Value::List(vec![Value::Number(1)])),
        ("folder", text("../x")),
        ("folder", text("/x")),
        ("keep", Value::Table(Table::from([("daily".to_owned(), Value::Number(-1))]))),
        ("keep", Value::Table(Table::from([("dayly".to_owned(), Value::Number(1))]))),
        ("protect", text("7\" # ")),
        ("schedule", text("never\n")),
        ("enabled", text("false")),
        ("on_event", texts(&["/bin/sh", "-c", "id"])),
        ("snapshots", text("/etc/systemd/system")),
        ("protect", text(&long)),
    ] {
        refused.push(set("home", &[(key, value)], &[]));
    }
    for change in &refused {
        let error = files.change(change, None).expect_err("refused");
        let sentence = error.to_string();
        assert!(sentence.len() < 2000 && sentence.contains("nothing was changed"), "{change:?}: {sentence}");
        assert_eq!(files.text(), FILE, "{change:?}");
    }
    let at = files.change(&set("home", &[("protect", text("7"))], &[]), None).expect_err("refused").to_string();
    assert!(at.contains("settings.toml:17:11: a time is a number and h, d or w"), "{at}");
    let wrong = Files::new(Some("max_jobs = \n"));
    let error = wrong.change(&set("new", &good(), &[]), None).expect_err("the file is wrong already");
    assert_eq!((code(&error), wrong.text().as_str()), (Some(ErrorCode::Failed), "max_jobs = \n"));
    assert!(error.to_string().contains("settings.toml:1:"), "{error}");
}

#[test]
fn a_backup_of_the_maker_is_overridden_removed_and_added_again() {
    let files = Files::new(None);
    files.change(&set("etc", &[("schedule", text("manual"))], &[]), Some("none")).expect("changed");
    assert_eq!(files.text(), "[[backup]]\nname = \"etc\"\nschedule = \"manual\"\n");
    let read = files.read();
    let (Some(Value::List(values)), Some(Value::List(origins))) =
        (read.values.get("backup"), read.origins.get("backup"))
    else {
        panic!("{read:?}")
    };
    let of = |all: &[Value], key: &str| match &all[0] {
        Value::Table(table) => table[key].clone(),
        other @ (Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::List(_)) => panic!("{other:?}"),
    };
    assert_eq!((of(values, "schedule"), of(origins, "schedule")), (text("manual"), text("administrator")));
    assert_eq!((of(values, "source"), of(origins, "source")), (text("/etc"), text("maker")));
    assert_eq!((of(values, "protect"), of(origins, "protect")), (text("1d"), text("default")));
    assert_eq!((of(values, "folder"), of(origins, "folder")), (text("butterdock/etc"), text("default")));
    assert_eq!((&read.values["max_jobs"], &read.origins["max_jobs"]), (&Value::Number(3), &text("maker")));
    files.change(&remove("etc"), None).expect("removed");
    assert_eq!(files.text(), "[[backup]]\nname = \"etc\"\nenabled = false\n");
    assert_eq!(files.change(&remove("etc"), None).map_err(|error| code(&error)), Err(Some(ErrorCode::NotFound)));
    let create = |name: &str, create| match set(name, &[("protect", text("5d"))], &[]) {
        SettingChange::Set { list, name, set, reset, .. } => {
            SettingChange::Set { list, name, set, reset, create, rename_from: None }
        }
        other @ (SettingChange::Remove { .. } | SettingChange::Defaults { .. }) => other,
    };
    let refusal = |change| files.change(&change, None).map_err(|error| code(&error));
    assert_eq!(refusal(create("none", Some(false))), Err(Some(ErrorCode::NotFound)));
    files.change(&create("etc", Some(true)), None).expect("added again");
    assert_eq!(files.text(), "[[backup]]\nname = \"etc\"\nprotect = \"5d\"\n");
    assert_eq!(refusal(create("etc", Some(true))), Err(Some(ErrorCode::Exists)));
    assert!(load(&files.files).expect("good").backups[0].enabled);
    files.change(&remove("etc"), None).expect("removed");
    files.change(&set("etc", &[("protect", text("6d"))], &[]), None).expect("made, as one that does not exist");
    assert!(load(&files.files).expect("good").backups[0].enabled);
}

#[test]
fn a_change_without_effect_answers_the_revision_of_no_file() {
    let files = Files::new(None);
    let reset = || SettingChange::Defaults { set: Table::new(), reset: vec!["max_jobs".to_owned()] };
    let revision = files.change(&reset(), Some("none")).expect("nothing to change");
    assert!(!files.settings.exists());
    files.change(&reset(), Some(&revision)).expect("it is the present one");
}

#[test]
fn a_reset_removes_no_list_and_nothing_that_only_the_file_has() {
    let file = "backup = [{ name = \"home\", source = \"/home\", to = [\"Blue\"] }]\n\
                drives = { on_event = [\"/bin/true\"], on_finish = \"keep\" }\n";
    let files = Files::new(Some(file));
    for (key, expected) in [
        ("drives", Some(ErrorCode::NotAllowed)),
        ("drives.on_event", Some(ErrorCode::NotAllowed)),
        ("backup", None),
        ("volume.name", None),
    ] {
        let reset = SettingChange::Defaults { set: Table::new(), reset: vec![key.to_owned()] };
        let refused = files.change(&reset, None).map_err(|error| code(&error));
        assert_eq!((refused, files.text().as_str()), (Err(expected), file), "{key}");
    }
    let reset = SettingChange::Defaults { set: Table::new(), reset: vec!["drives.on_finish".to_owned()] };
    files.change(&reset, None).expect("a key that callers may change");
    assert!(!files.text().contains("on_finish"));
}

#[test]
fn mode_owner_and_links_stay() {
    let files = Files::new(Some(FILE));
    let folder = files.settings.parent().expect("a folder").join("real");
    fs::create_dir(&folder).expect("made");
    let real = folder.join("file.toml");
    fs::rename(&files.settings, &real).expect("moved");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("set");
    symlink("real/file.toml", &files.settings).expect("linked");
    files.change(&set("home", &[("protect", text("3d"))], &[]), None).expect("changed");
    let facts = fs::metadata(&real).expect("facts");
    assert_eq!((facts.permissions().mode() & 0o7777, files.settings.is_symlink()), (0o640, true));
    assert!(files.text().contains("3d") && facts.nlink() == 1);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("set");
    let error = files.change(&set("home", &[("protect", text("4d"))], &[]), None).expect_err("not safe");
    assert!(error.to_string().contains("users other than root can replace"), "{error}");
    fs::remove_file(&files.settings).expect("removed");
    symlink("nowhere", &files.settings).expect("linked");
    assert!(files.change(&set("etc", &[("protect", text("4d"))], &[]), None).is_err(), "a link to nothing");
}

#[test]
fn a_new_file_is_made_with_its_directories() {
    let files = Files::new(None);
    let below = files.settings.parent().expect("a folder").join("a/b/settings.toml");
    let ConfigFiles::One(maker) = &files.files else { panic!("one") };
    fs::write(maker, format!("{MAKER}[paths]\nsettings = {below:?}\n")).expect("written");
    files.change(&set("etc", &[("protect", text("4d"))], &[]), None).expect("changed");
    assert_eq!(fs::metadata(&below).expect("made").permissions().mode() & 0o7777, 0o644);
}

/// Set in the process that writes until it is killed.
const WRITES: &str = "BUTTERDOCK_TEST_WRITES";

#[test]
fn a_kill_leaves_the_old_or_the_new_file() {
    if let Some(maker) = std::env::var_os(WRITES) {
        for number in 1_u32.. {
            let change = set("home", &[("protect", text(&format!("{}h", number % 80_000)))], &[]);
            write(&ConfigFiles::One(maker.clone().into()), &change, None).expect("written");
        }
    }
    let mut random = Random::new(seed(1).expect("a seed"));
    let files = Files::new(Some(FILE));
    let ConfigFiles::One(maker) = &files.files else { panic!("one") };
    for _ in 0..rounds(5, 100) {
        let test = "settings::tests::a_kill_leaves_the_old_or_the_new_file";
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        let child = child.args(["--exact", test]).env(WRITES, maker).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().expect("it starts");
        let inode = || fs::metadata(&files.settings).map(|facts| facts.ino()).unwrap_or_default();
        // The kill hits any step of a later change.
        for _ in 0..=random.below(3) {
            let before = inode();
            wait_until("the file is another one", || Ok(inode() != before)).expect("written");
        }
        std::thread::sleep(std::time::Duration::from_micros(random.below(3000)));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let config = load(&files.files).expect("a whole file");
        assert!(config.backup("home").is_some_and(|rule| rule.protect.as_secs() % 3600 == 0));
        assert_eq!(numbered_comments(&files.text()), numbered_comments(FILE));
        files.change(&set("home", &[("protect", text("1d"))], &[]), None).expect("the next change succeeds");
    }
}
