//! The rows and values in the answers of the fake service.

use std::collections::BTreeMap;

use butterdock_dbus::{
    BackupRow, Error, ErrorName, NotificationChannel, NotificationTest, Options, Problem, ProblemParams, Settings,
    SnapshotRow, SubvolumeRow, Warning,
};
use uuid::Uuid;
use zbus::{Message, Variant};

use super::answers::STEERING;
use super::job::STARTED;
use super::{Answer, answer};

/// The note of a backup.
pub(super) fn why(full: bool, new_source: bool) -> &'static str {
    match (full, new_source) {
        (true, _) => "full, because it was requested",
        (false, true) => "full, because it is a new source",
        (false, false) => "full, because it is the first",
    }
}

pub(super) fn backups(estimate: bool) -> Vec<BackupRow> {
    let row = |drive: &str, label: &str, last| BackupRow {
        name: "home".to_owned(),
        due: last == 0,
        drive: Some(drive.to_owned()),
        drive_label: Some(label.to_owned()),
        drive_names: Some(vec![drive.to_owned(), label.to_owned()]),
        attached: Some(drive != "gone"),
        last_good: Some(last),
        last_duration: (last != 0).then_some(61_000_005),
        last_sent: (last != 0).then_some(5 << 20),
        estimate: estimate.then_some(5 << 20),
        incremental: estimate.then_some(last != 0),
        note: (estimate && last == 0).then(|| "the drive has no snapshot of it yet\u{1b}[2J".to_owned()),
        ..BackupRow::default()
    };
    let problem = "no drive is enrolled for it".to_owned();
    let warning = Warning { code: "clock-ahead".to_owned(), english: "the clock is ahead\u{1b}[2J".to_owned() };
    let params = ProblemParams {
        destination: Some("3f2a".to_owned()),
        label: Some("Attic".to_owned()),
        device: Some("sdb".to_owned()),
        devices: Some(vec!["sdc".to_owned()]),
        missing: Some(1),
        count: Some(2),
        formats: Some(vec!["ext4".to_owned()]),
        drives: Some(vec!["1b2c".to_owned()]),
        channel: Some("ann".to_owned()),
        cause: Some("tls".to_owned()),
        backup: Some("photos".to_owned()),
        backups: Some(vec!["photos".to_owned()]),
        error: Some("org.butterdock.Butterdock1.Error.Failed".to_owned()),
        reason: Some("no drive is enrolled for it".to_owned()),
        time: Some(STARTED),
        blocks: Some(1),
        files: Some(2),
        snapshots: Some(3),
    };
    let problems = vec![Problem { code: "backup-failed".to_owned(), params, english: problem.clone() }];
    let (problem, problems) = (Some(problem), Some(problems));
    let photos = BackupRow {
        warnings: Some(vec![warning]),
        name: "photos".to_owned(),
        problem,
        problems,
        ..BackupRow::default()
    };
    let etc = BackupRow { name: "etc".to_owned(), drive_names: None, note: None, ..row("9a22", "Twin", 0) };
    vec![row("3f2a", "Attic", STARTED), row("gone", "Lost", 0), photos, etc]
}

pub(super) fn snapshots() -> Vec<SnapshotRow> {
    let row = |name: &str, uuid: &str, pinned| SnapshotRow {
        name: name.as_bytes().to_vec(),
        uuid: uuid.to_owned(),
        backup: Some("home".to_owned()),
        created: Some(STARTED),
        pinned: Some(pinned),
        ..SnapshotRow::default()
    };
    let (left_over, path) = (Some(true), Some(b"butterdock/home/tuesday".to_vec()));
    let ours = SnapshotRow { origin: Some("this-machine".to_owned()), left_over, path, ..row("tuesday", "aa22", true) };
    let others = SnapshotRow {
        origin: Some("other-machine".to_owned()),
        machine: Some("1a2b3c4d-0000-8000-8000-000000000000".to_owned()),
        held: Some(true),
        held_reason: Some("before the move".to_owned()),
        held_since: Some(STARTED),
        ..row("monday", "bb11", false)
    };
    vec![ours, row("monday", "aa11", false), others]
}

/// A channel that works, and one that does not.
pub(super) fn channels() -> Vec<NotificationChannel> {
    let works = NotificationChannel {
        name: "ann".to_owned(),
        kind: "mail".to_owned(),
        last_delivered: Some(STARTED),
        ..NotificationChannel::default()
    };
    let params = ProblemParams {
        channel: Some(STEERING.to_owned()),
        cause: Some("tls".to_owned()),
        count: Some(3),
        time: Some(STARTED),
        ..ProblemParams::default()
    };
    let (code, english) = ("notification-failed".to_owned(), format!("notifications over \"{STEERING}\" fail"));
    let fails = NotificationChannel {
        name: STEERING.to_owned(),
        kind: "webhook".to_owned(),
        queued: 2,
        dropped: 1,
        last_delivered: None,
        problems: Some(vec![Problem { code, params, english }]),
    };
    vec![works, fails]
}

pub(super) fn tested(call: &Message, (name, _): (String, Options)) -> Answer {
    match name.as_str() {
        "ann" => answer(call, &NotificationTest { delivered: true, ..NotificationTest::default() }),
        "hook" => answer(
            call,
            &NotificationTest {
                delivered: false,
                cause: Some("tls".to_owned()),
                message: Some(format!("there is no secure connection ({STEERING})")),
            },
        ),
        _ => Err(Error::new(ErrorName::NotFound, "there is no [[notify]] of this name")),
    }
}

pub(super) fn subvolumes(call: &Message, volume: &str) -> Answer {
    if volume == "old" {
        return Err(Error::new(ErrorName::DeviceGone, "the volume \"old\" is not mounted"));
    }
    let uuid = |digit: u8| Uuid::from_bytes([digit; 16]).to_string();
    let plain = SubvolumeRow {
        name: b"monday".to_vec(),
        id: 256,
        uuid: uuid(1),
        received_uuid: Some(uuid(2)),
        read_only: true,
        created: Some(STARTED),
        ..SubvolumeRow::default()
    };
    let steering = SubvolumeRow { name: b"\x1b[31mred\xff".to_vec(), id: 257, uuid: uuid(3), ..plain.clone() };
    answer(call, &vec![plain, steering])
}

/// Two settings and a backup.
pub(super) fn settings() -> Settings {
    let owned = |value: Variant<'static>| value.try_into_owned().expect("owned");
    let table = |pairs: &[(&str, Variant<'static>)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.try_clone().expect("cloned")));
        Variant::from(pairs.collect::<BTreeMap<String, Variant<'static>>>())
    };
    let home = |name: &'static str, source: &'static str, to: Variant<'static>| {
        table(&[("name", name.into()), ("source", source.into()), ("to", to)])
    };
    let list = |backup, jobs: Variant<'static>| {
        [("backup", backup), ("max_jobs", jobs)].map(|(key, value)| (key.to_owned(), owned(value))).into()
    };
    let administrator = || Variant::from("administrator");
    // A list of tables is aa{sv}.
    let tables = |table: Variant<'static>| {
        let mut array = zbus::wire::Array::new(table.value_signature());
        array.append(table).expect("of this type");
        Variant::Array(array)
    };
    Settings {
        values: list(tables(home("home", STEERING, vec!["Blue"].into())), 4_i64.into()),
        origins: list(tables(home("administrator", "maker", administrator())), "default".into()),
        read_only: vec!["paths".to_owned()],
        file: "/etc/butterdock/butterdock.toml".to_owned(),
        writable: true,
    }
}
