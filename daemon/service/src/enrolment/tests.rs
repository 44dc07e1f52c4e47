use super::*;

fn enrolment() -> Enrolment {
    let member = Member { device: Uuid::new_v4(), luks: None, serial: "S".to_owned(), size: 1 << 30 };
    Enrolment::new(Uuid::new_v4(), "Blue".to_owned(), vec![member], 7)
}

#[test]
fn a_volume_is_recorded_by_its_filesystem_under_its_last_name() {
    let state = tempfile::tempdir().expect("a folder");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    let filesystem = Uuid::new_v4();
    register.keep_volume(filesystem, "pool", 7).expect("written");
    register.change(filesystem, |record| record.last_backup = 9).expect("written");
    let renamed = register.keep_volume(filesystem, "second", 8).expect("written");
    assert_eq!((renamed.id, renamed.label(), renamed.last_backup, renamed.enrolled), (filesystem, "second", 9, 7));
    let register = EnrolmentStore::open(state.path()).expect("opened");
    assert_eq!(register.list().expect("listed"), (vec![renamed], BTreeMap::new()));
    assert!(fs::read_dir(state.path().join("udev")).expect("a folder").next().is_none(), "udev leaves it to others");
    fs::write(state.path().join(format!("drives/{filesystem}.json")), "{").expect("damaged");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    let refused = register.keep_volume(filesystem, "pool", 9).expect_err("it is not replaced").to_string();
    assert!(refused.contains("cannot be read"), "{refused}");
}

#[test]
fn what_is_written_is_read_again_and_can_be_forgotten() {
    let state = tempfile::tempdir().expect("a folder");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    let mut one = enrolment();
    register.write(&one).expect("written");
    one.last_backup = 9;
    one.shared.insert("home".to_owned(), serde_json::json!({"uuid": 1}));
    register.write(&one).expect("written");
    assert_eq!(register.list().expect("listed"), (vec![one.clone()], BTreeMap::new()));
    register.forget(one.id).expect("forgotten");
    assert_eq!(register.list().expect("listed").0, []);
    assert!(register.forget(one.id).is_err());
}

#[test]
fn a_drive_is_called_by_its_id_and_both_labels() {
    let state = tempfile::tempdir().expect("a folder");
    let store = EnrolmentStore::open(state.path()).expect("opened");
    let mut one = enrolment();
    let id = one.id.to_string();
    assert_eq!(one.names(), [id.as_str(), "Blue"]);
    one.set_label("Attic");
    assert_eq!((one.label(), one.names()), ("Attic", vec![id.clone(), "Attic".to_owned(), "Blue".to_owned()]));
    assert!(["Attic", "Blue", &id].iter().all(|name| one.is_called(name)) && !one.is_called(""));
    store.write(&one).expect("written");
    assert_eq!(store.list().expect("listed").0, [one.clone()]);
    one.set_label("Blue");
    assert_eq!(one.names(), [id.as_str(), "Blue"], "it has its first label again");
    one.set_label("");
    assert_eq!((one.label(), one.names()), ("", vec![id, "Blue".to_owned()]));
}

#[test]
fn changes_at_the_same_time_lose_nothing() {
    let state = tempfile::tempdir().expect("a folder");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    let one = enrolment();
    register.write(&one).expect("written");
    std::thread::scope(|scope| {
        for backup in 0..8 {
            let (register, id) = (register.clone(), one.id);
            scope.spawn(move || {
                let learn = |enrolment: &mut Enrolment| enrolment.replaced.extend([backup.to_string()]);
                register.change(id, learn).expect("changed");
            });
        }
    });
    let (good, _) = register.list().expect("listed");
    assert_eq!((good[0].replaced.len(), register.written(one.id).as_ref()), (8, good.first()));
    register.forget(one.id).expect("forgotten");
    assert!(register.change(one.id, |enrolment| enrolment.last_backup = 9).is_err());
    assert_eq!(register.list().expect("listed").0, [], "a change brought back what was forgotten");
}

#[test]
fn another_version_is_refused_and_stays() {
    let state = tempfile::tempdir().expect("a folder");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    let mut one = enrolment();
    one.version = 3;
    register.write(&one).expect("written");
    let (good, bad) = register.list().expect("listed");
    assert!(good.is_empty() && bad.len() == 1 && bad.values().all(|what| what.contains("another version")), "{bad:?}");
    assert!(register.file(one.id).exists());
}

#[test]
fn an_unreadable_enrolment_is_reported_until_it_is_forgotten() {
    let state = tempfile::tempdir().expect("a folder");
    let store = EnrolmentStore::open(state.path()).expect("opened");
    let (blue, red) = (enrolment(), enrolment());
    for one in [&blue, &red] {
        store.write(one).expect("written");
    }
    assert_eq!(store.unreadable(), Unreadable::default());
    fs::write(store.file(blue.id), "{").expect("damaged");
    let store = EnrolmentStore::open(state.path()).expect("opened");
    // A change of another drive removes none of it.
    store.change(red.id, |red| red.last_backup = 9).expect("changed");
    let unreadable = store.unreadable();
    assert!(unreadable.files.keys().eq([&blue.id]) && store.file(blue.id).exists(), "{unreadable:?}");
    assert_eq!(unreadable.claimed, [blue.filesystem.to_string()].into());
    store.forget(blue.id).expect("forgotten");
    assert_eq!(store.unreadable(), Unreadable::default());
    assert!(!store.file(blue.id).exists());
}

#[test]
fn version_1_records_are_written_as_version_2() {
    let state = tempfile::tempdir().expect("a folder");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    let mut one = enrolment();
    one.pins.insert("home".to_owned(), serde_json::json!({"time": 1}));
    let mut written = serde_json::to_value(&one).expect("written");
    let fields = written.as_object_mut().expect("an object");
    fields.insert("version".to_owned(), 1.into());
    fields.retain(|name, _| name != "shared" && name != "restored");
    fs::write(register.file(one.id), written.to_string()).expect("written");
    assert_eq!(register.list().expect("listed"), (vec![one.clone()], BTreeMap::new()));
    register.write(&one).expect("written");
    let text = fs::read_to_string(register.file(one.id)).expect("read");
    assert!(text.contains("\"version\": 2"), "{text}");
}

#[test]
fn what_leads_elsewhere_or_never_ends_is_no_enrolment() {
    let state = tempfile::tempdir().expect("a folder");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    std::os::unix::fs::symlink("/dev/zero", register.file(Uuid::new_v4())).expect("linked");
    fs::File::create(register.file(Uuid::new_v4())).and_then(|file| file.set_len(1 << 40)).expect("made");
    let (good, bad) = register.list().expect("listed");
    assert!(good.is_empty() && bad.len() == 2, "{bad:?}");
    assert!(bad.values().all(|what| what.contains("cannot be read")), "{bad:?}");
}

#[test]
fn temporary_files_of_a_crash_are_removed() {
    let state = tempfile::tempdir().expect("a folder");
    let register = EnrolmentStore::open(state.path()).expect("opened");
    let half = register.folder.join(format!(".{}.tmp", Uuid::new_v4()));
    let untrusted_fd = [register.folder.join("notes.txt"), register.folder.join(format!("{}.json", Uuid::new_v4()))];
    for path in untrusted_fd.iter().chain([&half]) {
        fs::write(path, "{").expect("written");
    }
    let register = EnrolmentStore::open(state.path()).expect("opened");
    assert!(!half.exists() && untrusted_fd.iter().all(|path| path.exists()));
    assert_eq!(register.list().expect("listed").1.len(), 1);
}
