//! Random changes of the settings keep comments, order and all other values.

use super::*;

/// The numbers of the comments, in the order of the file.
pub(super) fn comments(text: &str) -> Vec<u64> {
    text.split("# ").skip(1).filter_map(|rest| rest.split([':', '\n', ' ']).next()?.parse().ok()).collect()
}

fn below(random: &mut Random, end: u64) -> i64 {
    i64::try_from(random.below(end)).expect("small")
}

/// A random change of the backup "home", of a new one, or of the defaults.
fn random_change(random: &mut Random) -> SettingChange {
    let names = ["home", "home", "home", "new", "etc", "né \"w\""];
    let name = names[usize::try_from(below(random, 6)).expect("small")];
    let keep = Value::Table(Table::from([("daily".to_owned(), Value::Number(below(random, 9)))]));
    let hours = |random: &mut Random| text(&format!("{}h", random.below(100)));
    let source = ("source", text("/home"));
    match random.below(9) {
        0 => set(
            name,
            &[source, ("to", texts(&["Blue", "Green"][..usize::try_from(below(random, 3)).expect("small")]))],
            &[],
        ),
        1 => set(name, &[source, ("to", texts(&["Red"])), ("protect", hours(random))], &["keep"]),
        2 => set(name, &[source, ("to", texts(&[])), ("keep", keep)], &["protect"]),
        3 => set(name, &[source, ("to", texts(&["Red"])), ("schedule", text("manual"))], &["folder"]),
        4 => set(name, &[source, ("to", texts(&["B\n]]"])), ("folder", text("a/b \"c\""))], &["schedule"]),
        5 if name != "home" => remove(name),
        6 => SettingChange::Defaults {
            set: Table::from([
                ("history".to_owned(), Value::Number(below(random, 1000))),
                ("queue".to_owned(), Value::Table(Table::from([("max".to_owned(), Value::Number(7))]))),
            ]),
            reset: vec!["worker.nice".to_owned()],
        },
        7 => SettingChange::Defaults {
            set: Table::from([(
                "worker".to_owned(),
                Value::Table(Table::from([("nice".to_owned(), Value::Number(below(random, 19)))])),
            )]),
            reset: vec!["queue.max".to_owned(), "max_jobs".to_owned()],
        },
        _ => SettingChange::Defaults {
            set: Table::from([("max_jobs".to_owned(), Value::Number(1 + below(random, 60)))]),
            reset: Vec::new(),
        },
    }
}

/// The values that the change wants are there, and the others as before.
fn assert_changed(before: &Table, after: &Table, change: &SettingChange) {
    let others = |all: &Table, name: Option<&str>| {
        let Some(Value::List(backups)) = all.get("backup") else { panic!("{all:?}") };
        let name_of = |backup: &Value| match backup {
            Value::Table(backup) => backup.get("name").cloned(),
            other @ (Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::List(_)) => panic!("{other:?}"),
        };
        backups.iter().filter(|backup| name_of(backup) != name.map(text)).cloned().collect::<Vec<_>>()
    };
    match change {
        SettingChange::Set { name, set, .. } => {
            assert_eq!(others(before, Some(name)), others(after, Some(name)));
            let Some(Value::List(backups)) = after.get("backup") else { panic!("{after:?}") };
            let has = |backup: &Value| {
                matches!(backup, Value::Table(backup) if backup.get("name") == Some(&text(name))
                && set.iter().all(|(key, value)| backup.get(key) == Some(value)))
            };
            assert!(backups.iter().any(has), "{set:?} {backups:?}");
        }
        SettingChange::Remove { name, .. } => assert_eq!(others(before, Some(name)), others(after, Some(name))),
        SettingChange::Defaults { set, .. } => {
            assert_eq!(before.get("backup"), after.get("backup"));
            for (key, value) in set {
                match (value, after.get(key)) {
                    (Value::Table(set), Some(Value::Table(is))) => {
                        assert!(set.iter().all(|(key, value)| is.get(key) == Some(value)), "{set:?} {is:?}");
                    }
                    (value, is) => assert_eq!(is, Some(value)),
                }
            }
        }
    }
}

#[test]
fn random_changes_keep_comments_order_and_other_values() {
    let mut random = Random::new(seed(1).expect("a seed"));
    let wanted = comments(FILE);
    for _ in 0..rounds(10, 200) {
        let files = Files::new(Some(FILE));
        for _ in 0..50 {
            let (before, change) = (files.read(), random_change(&mut random));
            match files.change(&change, Some(&before.revision)) {
                Ok(revision) => assert_eq!(files.read().revision, revision),
                Err(error) => {
                    let is_gone = code(&error) == Some(ErrorCode::NotFound);
                    assert!(is_gone && matches!(change, SettingChange::Remove { .. }), "{error}: {change:?}");
                    continue;
                }
            }
            assert_changed(&before.values, &files.read().values, &change);
            let left = comments(&files.text());
            let stay = |all: &[u64]| all.iter().copied().filter(|number| !OF_LIST.contains(number)).collect::<Vec<_>>();
            assert_eq!(stay(&left), stay(&wanted), "{change:?}\n{}", files.text());
        }
    }
}
