//! The objects of the fake service and what its methods answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd;
use std::sync::Arc;

use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, DRIVE, JOB, MANAGER, VOLUME};
use butterdock_dbus::path::{backup_path, destination_id, destination_path, drive_path, job_path, volume_path};
use butterdock_dbus::{
    BackupOptions, DeleteOptions, DeletionEstimate, DriveHealth, EnrolEncryptedOptions, EnrolOptions, Error, ErrorName,
    HISTORY_PAGE, HistoryEntry, ImportOptions, ListBackupsOptions, ListHistoryOptions, MountRow, Options, Problem,
    ProblemParams, ReceiveOptions, RemoveOptions, RestoreOptions, RunOptions, SafelyRemoveOptions, SetOptions,
    SnapshotsOfMachine, StreamRow, UnpinOptions, no_options,
};
use uuid::Uuid;
use zbus::{Message, OwnedFd, Structure, Variant};

use super::job::{About, STARTED};
use super::rows::{backups, channels, settings, snapshots, subvolumes, tested, why};
use super::{Answer, Object, Service, answer, contract, name};

/// A name that would clear the screen.
pub(crate) const STEERING: &str = "bad\u{1b}[2Jname";

/// The volumes; `old` is not mounted.
const NAMES: &[&str] = &["tank", "old", STEERING];

/// The methods with options.
const WITH_OPTIONS: &[&str] = &[
    "SetBackup",
    "SetVolume",
    "SetDestination",
    "SetDefaults",
    "RemoveBackup",
    "RemoveVolume",
    "RemoveDestination",
    "Receive",
    "ListHistory",
    "ListBackups",
    "Unpin",
    "Enrol",
    "EnrolEncrypted",
    "SafelyRemove",
    "Backup",
    "Run",
    "Restore",
    "Import",
    "DeleteSnapshots",
];

/// A name that would end the value of a label in a text of Prometheus.
pub(crate) const QUOTING: &str = "L\\\"}\nbutterdock_up 7";

/// The volumes; an enrolled drive, and one that is away; one that is not enrolled, has no serial number and shares its label with
/// the last one.
pub(super) fn objects() -> BTreeMap<String, Object> {
    let object = |path: String, of, given: &[_]| (path, Object::from([(of, contract::properties(of, given))]));
    let ended = vec![("backup", "failed", 2_u64), ("verify", "succeeded", 1)];
    let manager = [("Version", "0.0.0".into()), ("Features", vec!["played"].into()), ("JobsEnded", ended.into())];
    let health = DriveHealth {
        device_errors: Some(7),
        verified: Some(STARTED),
        verify_errors: Some(0),
        smart_failing: Some(false),
    };
    let attic = [
        ("Label", "Attic".into()),
        ("Names", vec!["3f2a", "Attic", "Loft"].into()),
        ("Model", "Elements 25A2".into()),
        ("Serial", "WX11".into()),
        ("Device", "sdb1".into()),
        ("Devices", vec!["sdb1", "sde1"].into()),
        ("DeviceCount", 3_u64.into()),
        ("Size", (2_u64 << 40).into()),
        ("State", "locked".into()),
        ("Enrolled", true.into()),
        ("Encrypted", true.into()),
        ("Health", health.into()),
        ("Note", "sdb1 has the serial number \"WX11\" instead of \"WX10\"".into()),
    ];
    let clone = |device: &'static str, model: &'static str| {
        let problem = "another drive has the same filesystem; unplug one of them";
        [
            ("Label", "Twin".into()),
            ("Names", vec!["Twin"].into()),
            ("Device", device.into()),
            ("Model", model.into()),
            ("Size", 4096_u64.into()),
            ("State", "present".into()),
            ("MountedByOthers", true.into()),
            ("Problems", vec![plain(problem)].into()),
        ]
    };
    let lost = [
        ("Label", "Lost".into()),
        ("Names", vec!["gone", "Lost"].into()),
        ("Size", (1_u64 << 40).into()),
        ("State", "away".into()),
        ("Enrolled", true.into()),
        ("LastSeen", STARTED.into()),
    ];
    let drive = |id: &str, given: &[_]| object(drive_path(id).to_string(), DRIVE, given);
    let destination = |name: &'static str, state: &'static str, more: &[_]| {
        let given = [("Name", name.into()), ("Kind", "drive".into()), ("State", state.into())];
        contract::properties(DESTINATION, &[&given, more].concat())
    };
    let mut all = BTreeMap::from([
        object(ROOT.to_owned(), MANAGER, &manager),
        drive("3f2a", &attic),
        drive("gone", &lost),
        drive("9a11", &clone("sdc1", "")),
        drive("9a22", &clone("sdd1", STEERING)),
    ]);
    let of_attic = [
        ("Free", (1_u64 << 40).into()),
        ("LastBackup", STARTED.into()),
        ("Backups", vec!["home"].into()),
        ("LastVerify", STARTED.into()),
        ("NextVerify", (STARTED + 1_000_000).into()),
        ("NextRun", STARTED.into()),
        ("Origins", vec![by("this-machine", None, 12), by("other-machine", Some("1a2b3c4d"), 3)].into()),
    ];
    let of_lost = [
        ("Name", QUOTING.into()),
        ("Problems", vec![plain("the last backup \"home\" to this destination failed: it is slow")].into()),
    ];
    let destinations =
        [("3f2a", destination("Attic", "locked", &of_attic)), ("gone", destination("Lost", "away", &of_lost))];
    for (id, properties) in destinations {
        all.get_mut(drive_path(id).as_str()).expect("a drive").insert(DESTINATION, properties);
    }
    let of_pool = [
        ("Name", "pool".into()),
        ("Kind", "volume".into()),
        ("State", "away".into()),
        ("Size", (5_u64 << 40).into()),
        ("Free", (1_u64 << 39).into()),
        ("LastBackup", STARTED.into()),
        ("NextVerify", STARTED.into()),
        ("Overdue", true.into()),
        ("Backups", vec!["photos"].into()),
        ("Problems", vec![plain("its filesystem is not mounted")].into()),
    ];
    all.extend([object(destination_path("pool").to_string(), DESTINATION, &of_pool)]);
    for name in ["home", "photos", "etc"] {
        all.extend([object(backup_path(name).to_string(), BACKUP, &[("Name", name.into()), ("Enabled", true.into())])]);
    }
    for name in NAMES {
        let mounted = *name != "old";
        let (size, free) = if mounted { (4_u64 << 40, 3_u64 << 39) } else { (0, 0) };
        let given =
            [("Name", (*name).into()), ("Size", size.into()), ("Free", free.into()), ("Mounted", mounted.into())];
        all.extend([object(volume_path(name).to_string(), VOLUME, &given)]);
    }
    all
}

/// Snapshots that a machine made.
fn by(origin: &str, machine: Option<&str>, snapshots: u64) -> SnapshotsOfMachine {
    let (origin, machine) = (Some(origin.to_owned()), machine.map(str::to_owned));
    SnapshotsOfMachine { origin, machine, snapshots, newest: Some(STARTED) }
}

/// A problem without parameters.
fn plain(english: &str) -> Problem {
    Problem { code: "drive-failed".to_owned(), params: ProblemParams::default(), english: english.to_owned() }
}

impl Service {
    #[expect(clippy::too_many_lines, reason = "an arm for each method")]
    pub(super) async fn answer(self: &Arc<Self>, path: &str, method: (&str, &str), call: &Message) -> Answer {
        let given = call.body();
        let object = &*name(path);
        let options = match given.deserialize::<Structure<'_>>().expect("arguments").fields().last() {
            Some(Variant::Dict(options)) => Options::try_from(options.try_clone().expect("cloned")).expect("options"),
            _ => Options::new(),
        };
        if !WITH_OPTIONS.contains(&method.1) {
            no_options(&options)?;
        }
        match method {
            (MANAGER, "Receive") => {
                let (volume, stream, _): (String, OwnedFd, Options) = given.deserialize().expect("as in the XML");
                self.receive(call, &volume, stream, &ReceiveOptions::from_options(&options)?).await
            }
            (MANAGER, "ListHistory") => self.listed_history(call, &options),
            (MANAGER, "ListBackups") => answer(call, &backups(ListBackupsOptions::from_options(&options)?.estimate)),
            (MANAGER, "GetSettings") => answer(call, &(settings(), "1a2b")),
            (MANAGER, "SetBackup") => Self::set_backup(call, &options),
            (MANAGER, "SetVolume" | "SetDestination") => {
                SetOptions::from_options(&options).and_then(|_| answer(call, &("3c4d", Vec::<Problem>::new())))
            }
            (MANAGER, "SetDefaults") => SetOptions::from_options(&options).and_then(|_| answer(call, &"3c4d")),
            (MANAGER, "RemoveBackup" | "RemoveVolume" | "RemoveDestination") => {
                RemoveOptions::from_options(&options).and_then(|_| answer(call, &"5e6f"))
            }
            (DESTINATION, "Unpin") => UnpinOptions::from_options(&options).and_then(|_| answer(call, &())),
            (MANAGER, "ListNotifications") => answer(call, &channels()),
            (MANAGER, "TestNotification") => tested(call, given.deserialize().expect("as in the XML")),
            (MANAGER, "TrustClock") | (DESTINATION, "Forget") => answer(call, &()),
            (DRIVE, "Enrol") => EnrolOptions::from_options(&options).and_then(|_| answer(call, &())),
            (VOLUME, "ListSubvolumes") => subvolumes(call, object),
            (DRIVE, "Unlock" | "EnrolEncrypted") => {
                let (secret, _): (OwnedFd, Options) = given.deserialize().expect("as in the XML");
                EnrolEncryptedOptions::from_options(&options)?;
                let mut read = String::new();
                File::from(fd::OwnedFd::from(secret)).read_to_string(&mut read).expect("read");
                self.calls.lock().expect("unpoisoned").push(format!("with the secret {read:?}"));
                let refused = || Error::new(ErrorName::WrongPassphrase, "the passphrase or key is wrong");
                if read == "open sesame" { answer(call, &()) } else { Err(refused()) }
            }
            (DRIVE, "Mount") => answer(call, &"/run/butterdock/drives/x"),
            (DRIVE, "SafelyRemove") if object != "3f2a" && !SafelyRemoveOptions::from_options(&options)?.when_idle => {
                Err(Error::new(ErrorName::Busy, "the drive is in use"))
            }
            (DRIVE, "SafelyRemove") => self.on_drive(call, object, "remove", "", vec![]).await,
            (DESTINATION, "Backup") if object != "3f2a" => {
                Err(Error::new(ErrorName::NotAuthorized, "you may not back up to it"))
            }
            (DESTINATION, "Backup") => {
                let BackupOptions { backup: chosen, full, new_source } = BackupOptions::from_options(&options)?;
                let note = vec![("Note", why(full, new_source).into()), ("MaxRate", (20_u64 << 20).into())];
                let first = self.on_drive(call, object, "backup", chosen.as_deref().unwrap_or("home"), note).await;
                if chosen.is_none() {
                    drop(self.on_drive(call, object, "backup", "root", vec![]).await?);
                }
                first
            }
            (BACKUP, "Run") => {
                let RunOptions { destination, full, new_source } = RunOptions::from_options(&options)?;
                let only = destination.and_then(|path| destination_id(path.as_str())).expect("the command names one");
                if only != "3f2a" {
                    return Err(Error::new(ErrorName::NotAuthorized, "you may not back up to it"));
                }
                let note = vec![("Note", why(full, new_source).into())];
                self.on_drive(call, &only, "backup", object, note).await
            }
            (DESTINATION, "Verify") => {
                // As while a person types a password: the answer comes after more signals than a connection holds.
                self.signals_of_another_job(500).await;
                self.on_drive(call, object, "verify", "", vec![]).await
            }
            (DRIVE, "ListMounts") => {
                let path = (object == "9a22").then(|| b"/media/anna/My disk\x1b[2J".to_vec());
                answer(call, &vec![MountRow { path }])
            }
            (DESTINATION | BACKUP, "ListSnapshots") => answer(call, &snapshots()),
            (DESTINATION | BACKUP, "EstimateDeletion") => {
                let (uuids, _): (Vec<String>, Options) = given.deserialize().expect("as in the XML");
                let bytes = Some(uuids.len() as u64 * (5 << 20));
                answer(call, &DeletionEstimate { bytes, ..DeletionEstimate::default() })
            }
            (DESTINATION, "DeleteSnapshots") => self.deletion(call, object, &options).await,
            (DESTINATION | BACKUP, "HoldSnapshot" | "ReleaseSnapshot") => answer(call, &()),
            (DRIVE, "ListStreams") => {
                let name = b"mon\x1b[2J\xff.send".to_vec();
                answer(call, &vec![StreamRow { name, size: 7, subvolume: b"mon".to_vec(), ..StreamRow::default() }])
            }
            (DESTINATION, "Restore") => {
                RestoreOptions::from_options(&options)?;
                let (_, volume, _): (String, String, Options) = given.deserialize().expect("as in the XML");
                self.on_drive(call, object, "restore", "", vec![("Volume", volume_path(&volume).into())]).await
            }
            (DRIVE, "Import") => {
                ImportOptions::from_options(&options)?;
                let (volume, _): (String, Options) = given.deserialize().expect("as in the XML");
                self.on_drive(call, object, "import", "", vec![("Volume", volume_path(&volume).into())]).await
            }
            (JOB, "Cancel") => self.cancel(path, call).await,
            (JOB, "GetErrorDetails") => self.details(path, call).await,
            (interface, member) => panic!("no answer to {interface}.{member}"),
        }
    }

    async fn deletion(self: &Arc<Self>, call: &Message, object: &str, options: &Options) -> Answer {
        let force = DeleteOptions::from_options(options)?.force;
        let (uuids, _): (Vec<String>, Options) = call.body().deserialize().expect("as in the XML");
        if !force && uuids.iter().any(|uuid| uuid.starts_with("bb")) {
            return Err(Error::new(ErrorName::Held, "the snapshot is held; release it first"));
        }
        self.on_drive(call, object, "delete", "", Vec::new()).await
    }

    fn set_backup(call: &Message, options: &Options) -> Answer {
        let SetOptions { revision, create, .. } = SetOptions::from_options(options)?;
        let (name, _, _): (String, Options, Options) = call.body().deserialize().expect("as in the XML");
        match (name.as_str(), create, revision.as_deref()) {
            ("home", Some(true), _) => Err(Error::new(ErrorName::Exists, "there is a backup \"home\" already")),
            (_, _, Some("old")) => Err(Error::new(ErrorName::StaleRevision, "the file was changed")),
            _ => {
                let english = "no enrolled drive or other destination is called \"Blue\"".to_owned();
                let params = ProblemParams::default();
                let warning = Problem { code: "destination-unknown".to_owned(), params, english };
                answer(call, &("3c4d", vec![warning]))
            }
        }
    }

    fn listed_history(&self, call: &Message, options: &Options) -> Answer {
        let ListHistoryOptions { before, limit, destination, backup } = ListHistoryOptions::from_options(options)?;
        let is_wanted = |entry: &&HistoryEntry| {
            before.is_none_or(|before| entry.end_time < before)
                && (destination.is_none() || entry.drive == destination)
                && (backup.is_none() || entry.backup == backup)
        };
        let limit = usize::try_from(limit.unwrap_or(HISTORY_PAGE)).expect("a number");
        let history = self.history.lock().expect("unpoisoned");
        let newest = history.iter().rev().filter(is_wanted).take(limit).cloned().collect::<Vec<_>>();
        answer(call, &newest)
    }

    async fn receive(
        self: &Arc<Self>,
        call: &Message,
        volume: &str,
        stream: OwnedFd,
        options: &ReceiveOptions,
    ) -> Answer {
        let name = match volume {
            "locked" => {
                return Err(Error::new(ErrorName::NotAuthorized, "you may not receive into the volume \"locked\""));
            }
            "patient" => {
                self.signals_of_another_job(500).await;
                "tank"
            }
            name if NAMES.contains(&name) => name,
            _ => return Err(Error::new(ErrorName::NotFound, format!("there is no volume \"{volume}\""))),
        };
        let stream = File::from(fd::OwnedFd::from(stream));
        self.begin(call, vec![("Volume", volume_path(name).into())], stream, options.total).await
    }

    /// Begins a job on a drive; the name of the backup stands for its stream.
    async fn on_drive(
        self: &Arc<Self>,
        call: &Message,
        id: &str,
        kind: &'static str,
        backup: &str,
        more: About,
    ) -> Answer {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(backup.as_bytes()).expect("written");
        drop(writer);
        let mut about: About =
            vec![("Kind", kind.into()), ("Drive", drive_path(id).into()), ("BackupName", backup.to_owned().into())];
        about.extend(more);
        self.begin(call, about, File::from(fd::OwnedFd::from(reader)), None).await
    }

    /// Progress of a job that is not there, so many times.
    async fn signals_of_another_job(&self, times: u64) {
        let path = job_path(Uuid::new_v4());
        for bytes in 0..times {
            let changed = std::collections::HashMap::from([("BytesReceived", Variant::from(bytes))]);
            let body = (JOB, changed, Vec::<&str>::new());
            self.signal(path.as_str(), "org.freedesktop.DBus.Properties", "PropertiesChanged", &body).await;
        }
    }
}
