//! What a caller may change: nothing that makes root run a program, read a key or write where programs are started from.
//!
//! A caller may act for a web page, and an attacker who makes the page call must not become root by it. So a value with
//! an absolute path, which every program and key file has, is refused, except in the keys that name data; and these
//! name no directory of the system. A new key is allowed without a change here, unless it is as dangerous without a path.

use std::path::Path;

use super::value::{Table, Value};
use crate::system_directories;

/// Keys that only the file may change, with the tables that they are in.
const FILE_ONLY: [&str; 4] = ["paths", "drives.on_event", "drives.key_file", "notify"];
/// Keys that may have a path, which the service only reads or compares.
const READ: [&str; 2] = ["backup.source", "drives.match"];
/// Keys that have the path of a directory into which the service writes.
const WRITTEN: [&str; 3] = ["backup.snapshots", "volume.path", "destination.path"];
/// Why a change is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotAllowed {
    /// The key, as `table.key`.
    pub(super) key: String,
    pub(super) why: &'static str,
}

/// The keys that callers can read and not change.
pub(super) fn read_only() -> Vec<String> {
    FILE_ONLY.map(str::to_owned).to_vec()
}

/// Checks a change of the keys of a table; `table` is empty for the top of the file.
pub(super) fn check<'c>(
    table: &str,
    set: &'c Table,
    reset: impl Iterator<Item = &'c String>,
) -> Result<(), NotAllowed> {
    for key in reset {
        let key = full(table, key);
        check_key(&key)?;
        check_removed(&key)?;
    }
    for (key, value) in set {
        let key = full(table, key);
        check_key(&key)?;
        if let Value::Table(inner) = value
            && table.is_empty()
        {
            check(&key, inner, std::iter::empty())?;
        } else {
            check_removed(&key)?;
            check_value(&key, value)?;
        }
    }
    Ok(())
}

/// With a table, and with a value in its place, all that is in it is removed.
fn check_removed(key: &str) -> Result<(), NotAllowed> {
    let is_in = |fixed: &&str| fixed.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    FILE_ONLY.into_iter().find(is_in).map_or(Ok(()), check_key)
}

fn full(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

fn check_key(key: &str) -> Result<(), NotAllowed> {
    let is_in = |fixed: &str| key == fixed || key.strip_prefix(fixed).is_some_and(|rest| rest.starts_with('.'));
    if FILE_ONLY.into_iter().any(is_in) {
        return Err(NotAllowed { key: key.to_owned(), why: "it names programs, keys or directories of the service" });
    }
    Ok(())
}

fn check_value(key: &str, value: &Value) -> Result<(), NotAllowed> {
    match value {
        Value::Text(text) => check_text(key, text),
        Value::Number(_) | Value::Boolean(_) => Ok(()),
        Value::List(all) => all.iter().try_for_each(|one| check_value(key, one)),
        Value::Table(table) => table.values().try_for_each(|one| check_value(key, one)),
    }
}

fn check_text(key: &str, text: &str) -> Result<(), NotAllowed> {
    let refused = |why| Err(NotAllowed { key: key.to_owned(), why });
    if !text.trim_start().starts_with('/') || READ.contains(&key) {
        return Ok(());
    }
    if !WRITTEN.contains(&key) {
        return refused("a path in it could name a program or a key");
    }
    if system_directories::is_reached_by(Path::new(text)) {
        return refused("it names a directory of the system, in which files can make programs run");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn refused(table: &str, key: &str, value: Value) -> Option<NotAllowed> {
        check(table, &Table::from([(key.to_owned(), value)]), std::iter::empty()).err()
    }

    #[test]
    fn programs_keys_and_paths_of_the_service_stay_in_the_file() {
        let program = Value::List(vec![text("/bin/sh"), text("-c"), text("reboot")]);
        let drives = |key: &str, value: Value| Value::Table(Table::from([(key.to_owned(), value)]));
        for (key, value) in [
            ("paths", drives("state", text("x"))),
            ("drives", drives("on_event", program.clone())),
            ("drives", drives("on_event", Value::List(Vec::new()))),
            ("drives", drives("key_file", Value::List(Vec::new()))),
            ("drives", drives("on_new", program.clone())),
            ("new_key", program.clone()),
            ("new_table", drives("a", drives("b", text(" /x")))),
        ] {
            assert!(refused("", key, value.clone()).is_some(), "{key} {value:?}");
        }
        assert_eq!(refused("backup", "hook", program).expect("refused").key, "backup.hook");
        assert!(check("", &Table::new(), [&"drives.on_event".to_owned()].into_iter()).is_err());
        assert!(check("", &Table::new(), [&"paths.state".to_owned(), &"paths".to_owned()].into_iter()).is_err());
        let whole = check("", &Table::new(), [&"drives".to_owned()].into_iter()).expect_err("it has programs and keys");
        assert_eq!(whole.key, "drives.on_event");
        assert!(refused("", "drives", Value::Boolean(false)).is_some(), "the table is replaced");
        assert_eq!(
            check("", &Table::new(), [&"drives.on_finish".to_owned(), &"worker".to_owned()].into_iter()),
            Ok(())
        );
        assert_eq!(refused("", "drives", drives("on_finish", text("keep"))), None);
        assert_eq!(refused("", "new_key", text("daily 02:00")), None);
    }

    #[test]
    fn data_may_be_anywhere_but_where_programs_are() {
        for good in ["/srv/tank/backups", "/mnt/a", "/home/backups/tank", "/var/backups", "/data"] {
            assert_eq!(refused("volume", "path", text(good)), None, "{good}");
        }
        for bad in [
            "/",
            "/etc",
            "/etc/systemd/system",
            "//etc/./cron.d",
            "/usr/local/bin",
            "/root",
            "/home",
            "/home/ann",
            "/var",
            "/var/lib/x",
            "/home/ann/.config/systemd/user",
            "/sysroot/ostree",
            "/var/cron/tabs",
        ] {
            for (table, key) in [("volume", "path"), ("backup", "snapshots"), ("destination", "path")] {
                assert!(refused(table, key, text(bad)).is_some(), "{table}.{key} {bad}");
            }
        }
        assert_eq!(refused("backup", "source", text("/")), None);
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).expect("linked");
        let through = link.join("systemd/new");
        assert!(refused("volume", "path", text(through.to_str().expect("text"))).is_some());
    }
}
