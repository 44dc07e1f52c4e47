//! The policy's decisions, in one table.

mod made;

use made::*;

use super::*;
use crate::device::{Bus, Partition, mapping_name};

/// Each decision: "id: action", a refusal as "refuse sentence", with "note: sentence" where it has a note.
fn judged(input: &PolicyInput<'_>) -> Vec<String> {
    let nodes = |nodes: &[PathBuf]| nodes.iter().map(|node| node.display().to_string()).collect::<Vec<_>>().join(" ");
    let locked = |all: &[Locked]| nodes(&all.iter().map(|locked| locked.node.clone()).collect::<Vec<_>>());
    let action = |action: &Action| match action {
        Action::Show => "show".to_owned(),
        Action::Leave => "leave".to_owned(),
        Action::Refuse(sentence) => format!("refuse {sentence}"),
        Action::AwaitSecret(all) => format!("await {}", locked(all)),
        Action::Unlock(all) => format!("unlock {}", locked(all)),
        Action::Mount(all) => format!("mount {}", nodes(all)),
        Action::Backup => "backup".to_owned(),
        Action::Degraded { problem, next } => {
            let Action::Mount(attached) = &**next else { panic!("{next:?}") };
            format!("degraded mount {} {problem}", nodes(attached))
        }
    };
    let id = |id: &DriveId| match id {
        DriveId::Enrolled(_) => "blue".to_owned(),
        DriveId::Device(name, _) => name.clone(),
    };
    let note = |note: &Option<Sentence>| note.as_ref().map(|note| format!(" note: {note}")).unwrap_or_default();
    let all = decisions(input);
    let text = |one: &Decision| format!("{}: {}{}", id(&one.id), action(&one.action), note(&one.note));
    all.iter().map(text).collect()
}

const NOTHING: PolicyInput<'_> = PolicyInput {
    rules: &[],
    on_plug: &[],
    keys: &[],
    enrolments: &[],
    devices: &[],
    in_use: &[],
    mounted_elsewhere: &[],
};

/// One row: a description, the enrolments, the devices and the decisions; bars separate words to find in a sentence.
type Row = (&'static str, Vec<Enrolment>, Vec<BlockDevice>, &'static [&'static str]);

fn unknown_rows() -> Vec<Row> {
    vec![
        ("an unknown drive is shown", vec![], vec![btrfs("sdb", 11)], &["sdb: show"]),
        (
            "two copies of an unknown drive are shown",
            vec![],
            vec![btrfs("sdb", 11), btrfs("sdc", 11)],
            &["sdb: show", "sdc: show"],
        ),
        (
            "an unknown container is shown, its open side with it",
            vec![],
            vec![luks("sdb"), opened("x", "sdb")],
            &["sdb: show"],
        ),
        ("a disk inside is not shown", vec![], vec![BlockDevice { bus: Bus::Ata, ..btrfs("sda", 11) }], &[]),
        (
            "a disk inside that can be taken out is",
            vec![],
            vec![BlockDevice { bus: Bus::Ata, removable: true, ..disk("sda") }],
            &["sda: show"],
        ),
        (
            "a loop device is not shown",
            vec![],
            vec![BlockDevice { bus: Bus::Loop, removable: true, ..btrfs("loop0", 11) }],
            &[],
        ),
        ("a reader without a card is not shown", vec![], vec![BlockDevice { size: 0, ..disk("sdb") }], &[]),
    ]
}

fn enrolled_rows() -> Vec<Row> {
    let part = |name: &str, sub| BlockDevice {
        partition: Some(Partition { number: 1, disk: PathBuf::from("/dev/sdb") }),
        ..btrfs(name, sub)
    };
    let serial = |facts: BlockDevice| BlockDevice { serial: "T".to_owned(), ..facts };
    vec![
        (
            "a strange device of its filesystem on the same disk",
            single(),
            vec![disk("sdb"), part("sdb1", 11), part("sdb2", 99)],
            &["blue: refuse |/dev/sdb2| was not part"],
        ),
        (
            "an enrolled part is mounted, another part is shown",
            single(),
            vec![disk("sdb"), part("sdb1", 11), BlockDevice { content: None, ..part("sdb2", 1) }],
            &["blue: mount /dev/sdb1", "sdb2: show"],
        ),
        ("an enrolled drive is mounted", single(), vec![btrfs("sdb", 11)], &["blue: mount /dev/sdb"]),
        ("also inside", single(), vec![BlockDevice { bus: Bus::Ata, ..btrfs("sda", 11) }], &["blue: mount /dev/sda"]),
        ("nothing of it is there", single(), vec![], &[]),
        (
            "a clone beside it",
            single(),
            vec![btrfs("sdb", 11), btrfs("sdc", 11)],
            &["blue: refuse |/dev/sdb and /dev/sdc| unplug the copy"],
        ),
        (
            "in another dock",
            single(),
            vec![serial(btrfs("sdb", 11))],
            &["blue: mount /dev/sdb |note: |the serial number \"T\" instead of \"S\""],
        ),
        (
            "in one that reports no serial number",
            single(),
            vec![BlockDevice { serial: String::new(), ..btrfs("sdb", 11) }],
            &["blue: mount /dev/sdb |note: |no serial number instead of \"S\""],
        ),
        (
            "another size",
            single(),
            vec![BlockDevice { size: 999, ..btrfs("sdb", 11) }],
            &["blue: mount /dev/sdb |note: |999 bytes instead of 1000"],
        ),
        (
            "one of two in another dock, of another size",
            two_members(),
            vec![btrfs("sdb", 11), BlockDevice { size: 1001, ..serial(btrfs("sdc", 12)) }],
            &["blue: mount /dev/sdb /dev/sdc |note: /dev/sdc has |number \"T\" |, and /dev/sdc has 1001 bytes"],
        ),
        ("two devices", two_members(), vec![btrfs("sdc", 12), btrfs("sdb", 11)], &["blue: mount /dev/sdb /dev/sdc"]),
        (
            "one of two is missing",
            two_members(),
            vec![btrfs("sdb", 11)],
            &["blue: degraded mount /dev/sdb |1 of the 2 devices|\" is missing| takes no backup"],
        ),
        (
            "one of two is doubled",
            two_members(),
            vec![btrfs("sdb", 11), btrfs("sdc", 12), btrfs("sdd", 12)],
            &["blue: refuse |/dev/sdc and /dev/sdd"],
        ),
        (
            "a copy of one in the place of the other",
            two_members(),
            vec![btrfs("sdb", 11), btrfs("sdd", 11)],
            &["blue: refuse |/dev/sdb and /dev/sdd"],
        ),
        (
            "a third device",
            two_members(),
            vec![btrfs("sdb", 11), btrfs("sdc", 12), btrfs("sdd", 13)],
            &["blue: refuse |/dev/sdd was not part"],
        ),
    ]
}

fn encrypted_rows() -> Vec<Row> {
    let ours = mapping_name(uuid(20));
    let serial = |facts: BlockDevice| BlockDevice { serial: "T".to_owned(), ..facts };
    vec![
        ("locked", encrypted(), vec![luks("sdb")], &["blue: await /dev/sdb"]),
        ("two of one container", encrypted(), vec![luks("sdb"), luks("sdc")], &["blue: refuse |/dev/sdb and /dev/sdc"]),
        ("unlocked by us", encrypted(), vec![luks("sdb"), opened(&ours, "sdb")], &["blue: mount /dev/dm-0"]),
        (
            "unlocked by another program",
            encrypted(),
            vec![luks("sdb"), opened("luks-x", "sdb")],
            &["blue: refuse |lock it there first"],
        ),
        (
            "unlocked over something else",
            encrypted(),
            vec![luks("sdb"), opened(&ours, "sdc")],
            &["blue: refuse |lock it there first"],
        ),
        (
            "its content without the container",
            encrypted(),
            vec![btrfs("sdb", 11)],
            &["blue: refuse |1 of the 1 devices"],
        ),
        (
            "its content copied beside it",
            encrypted(),
            vec![luks("sdb"), btrfs("sdc", 11)],
            &["blue: refuse |lock it there first"],
        ),
        (
            "its container in another dock",
            encrypted(),
            vec![serial(luks("sdb"))],
            &["blue: await /dev/sdb |note: |serial number \"T\""],
        ),
    ]
}

#[test]
fn every_opinion() {
    for (what, enrolments, devices, wanted) in [unknown_rows(), enrolled_rows(), encrypted_rows()].into_iter().flatten()
    {
        let text = judged(&PolicyInput { enrolments: &enrolments, devices: &devices, ..NOTHING });
        assert_eq!(text.len(), wanted.len(), "{what}: {text:?}");
        for (text, wanted) in text.iter().zip(wanted) {
            let mut words = wanted.split('|');
            assert!(text.starts_with(words.next().unwrap_or_default()), "{what}: {text}");
            assert!(words.all(|word| text.contains(word.trim())), "{what}: {text}");
            assert!(wanted.contains('|') || text == wanted, "{what}: {text}");
        }
    }
}

/// The nodes of each decision.
fn nodes(input: &PolicyInput<'_>) -> Vec<String> {
    let names = |all: &[PathBuf]| all.iter().map(|node| node.display().to_string()).collect::<Vec<_>>().join(" ");
    let text = |one: &Decision| match &one.id {
        DriveId::Enrolled(_) => format!("blue: {}", names(&one.devices)),
        DriveId::Device(name, count) => format!("{name}-{count}: {}", names(&one.devices)),
    };
    decisions(input).iter().map(text).collect()
}

#[test]
fn an_unknown_filesystem_of_several_devices_is_one_drive() {
    let inside = |name: &str, sub| BlockDevice { bus: Bus::Ata, ..btrfs(name, sub) };
    let later = |device: BlockDevice| BlockDevice { diskseq: 2, ..device };
    let locked = |name: &str, uuid| BlockDevice { content: content("crypto_LUKS", uuid, 0), ..disk(name) };
    let open = |name: &str, sub, over: &str| BlockDevice {
        node: PathBuf::from(format!("/dev/{name}")),
        content: content("btrfs", 10, sub),
        ..opened(name, over)
    };
    let other = BlockDevice { content: content("btrfs", 30, 31), ..disk("sdd") };
    for (what, devices, wanted) in [
        (
            "two disks",
            vec![btrfs("sdb", 11), btrfs("sdc", 12), other],
            &["sdb-1: /dev/sdb /dev/sdc", "sdd-1: /dev/sdd"][..],
        ),
        (
            "it is called after the disk that came first",
            vec![later(btrfs("sdb", 11)), btrfs("sdc", 12)],
            &["sdc-1: /dev/sdb /dev/sdc"],
        ),
        ("one of them is inside", vec![inside("sda", 12), btrfs("sdb", 11)], &["sda-1: /dev/sda /dev/sdb"]),
        ("both are inside", vec![inside("sda", 12), inside("sdb", 11)], &[]),
        (
            "a copy of one",
            vec![btrfs("sdb", 11), btrfs("sdc", 12), btrfs("sdd", 12)],
            &["sdb-1: /dev/sdb", "sdc-1: /dev/sdc", "sdd-1: /dev/sdd"],
        ),
        ("two containers, locked", vec![locked("sdb", 20), locked("sdc", 21)], &["sdb-1: /dev/sdb", "sdc-1: /dev/sdc"]),
        (
            "two containers, open",
            vec![locked("sdb", 20), locked("sdc", 21), open("dm-0", 11, "sdb"), open("dm-1", 12, "sdc")],
            &["sdb-1: /dev/sdb /dev/sdc"],
        ),
        ("no filesystem on either", vec![disk("sdb"), disk("sdc")], &["sdb-1: /dev/sdb", "sdc-1: /dev/sdc"]),
    ] {
        assert_eq!(nodes(&PolicyInput { devices: &devices, ..NOTHING }), wanted, "{what}");
    }
}

#[test]
fn what_is_going_on_decides_what_comes_next() {
    let enrolments = single();
    let mounted = DriveUse { enrolment: uuid(1), mounted: vec![PathBuf::from("/dev/sdb")], ..DriveUse::default() };
    let backup = [uuid(1)];
    let idle = DriveUse { enrolment: uuid(1), ..DriveUse::default() };
    for (what, on_plug, drive_use, wanted) in [
        ("released", true, DriveUse { released: true, ..idle.clone() }, "blue: leave"),
        ("an action is carried out", true, DriveUse { busy: true, ..idle.clone() }, "blue: leave"),
        ("mounted, a backup is due", true, mounted.clone(), "blue: backup"),
        ("mounted, no backup is due", false, mounted.clone(), "blue: leave"),
        ("mounted, a job runs", true, DriveUse { busy: true, ..mounted.clone() }, "blue: leave"),
        ("the backups have run", true, DriveUse { served: true, ..mounted.clone() }, "blue: leave"),
    ] {
        let (devices, in_use) = ([btrfs("sdb", 11)], [drive_use]);
        let on_plug = if on_plug { &backup[..] } else { &[] };
        let input = PolicyInput { enrolments: &enrolments, devices: &devices, in_use: &in_use, on_plug, ..NOTHING };
        assert_eq!(judged(&input), [wanted], "{what}");
    }
    let (devices, in_use) = ([btrfs("sdb", 11), btrfs("sdc", 12)], [mounted.clone()]);
    let text = judged(&PolicyInput { enrolments: &two_members(), devices: &devices, in_use: &in_use, ..NOTHING });
    assert_eq!(text, ["blue: leave"], "a device that was missing is no copy");
    let (devices, in_use) = ([btrfs("sdb", 11), btrfs("sdc", 11)], [mounted]);
    let text = judged(&PolicyInput { enrolments: &enrolments, devices: &devices, in_use: &in_use, ..NOTHING });
    assert_eq!(text.first().map(String::as_str), Some("blue: leave"), "a copy beside what is mounted changes nothing");
    assert!(
        text.get(1).is_some_and(|text| text.starts_with("sdc: refuse /dev/sdc") && text.contains("/dev/sdb")),
        "{text:?}"
    );
}

#[test]
fn an_unmatched_loop_device_is_ignored() {
    let file = BlockDevice { bus: Bus::Loop, loop_file: Some("/srv/a.img".to_owned()), ..btrfs("loop0", 11) };
    let (enrolments, rules) = (single(), [MatchRule { loop_file: Some("/srv/*".to_owned()), ..MatchRule::default() }]);
    let alone = [file.clone()];
    let beside = [btrfs("sdb", 11), file];
    let input = PolicyInput { enrolments: &enrolments, devices: &alone, ..NOTHING };
    assert_eq!(judged(&input), [""; 0]);
    assert_eq!(judged(&PolicyInput { rules: &rules, ..input }), ["blue: mount /dev/loop0"]);
    assert_eq!(judged(&PolicyInput { devices: &beside, ..input }), ["blue: mount /dev/sdb"]);
}

#[test]
fn a_configured_key_unlocks() {
    let (enrolments, devices, keys) = (encrypted(), [luks("sdb")], [uuid(1)]);
    let input = PolicyInput { enrolments: &enrolments, devices: &devices, keys: &keys, ..NOTHING };
    assert_eq!(judged(&input), ["blue: unlock /dev/sdb"]);
}

#[test]
fn match_rules_add_drives_and_loops_need_one() {
    let file = BlockDevice { bus: Bus::Loop, loop_file: Some("/srv/a.img".to_owned()), ..btrfs("loop0", 11) };
    let inside = BlockDevice { bus: Bus::Ata, ..btrfs("sda", 11) };
    let devices = [file, inside];
    let rule = MatchRule::default();
    let text = |text: &str| Some(text.to_owned());
    for (rule, wanted) in [
        (rule.clone(), &[][..]),
        (MatchRule { loop_file: text("/srv/*.img"), ..rule.clone() }, &["loop0: show"][..]),
        (MatchRule { loop_file: text("/etc/*"), ..rule.clone() }, &[][..]),
        (MatchRule { serial: text("*"), ..rule.clone() }, &["sda: show"][..]),
        (MatchRule { devpath: text("/devices/x/*"), serial: text("T"), ..rule.clone() }, &[][..]),
        (MatchRule { devpath: text("/devices/x/*/sda"), id_path: text("pci-?-usb-2"), ..rule }, &["sda: show"][..]),
    ] {
        let rules = [rule];
        assert_eq!(judged(&PolicyInput { rules: &rules, devices: &devices, ..NOTHING }), wanted, "{rules:?}");
    }
}

#[test]
fn only_what_udev_does_not_say_of_a_drive_is_read() {
    let kind = |kind: &str, device: BlockDevice| BlockDevice { content: content(kind, 10, 11), ..device };
    let inside = |device: BlockDevice| BlockDevice { bus: Bus::Ata, ..device };
    let part = BlockDevice {
        partition: Some(Partition { number: 1, disk: PathBuf::from("/dev/sdb") }),
        ..kind("exfat", disk("sdb1"))
    };
    let mapping = |device: BlockDevice| BlockDevice { content: None, ..device };
    for (what, enrolments, devices, wanted) in [
        ("btrfs, whose devices are to be counted", vec![], vec![btrfs("sdb", 11)], &["sdb"][..]),
        ("an enrolled one", single(), vec![btrfs("sdb", 11)], &[]),
        ("btrfs of the machine", vec![], vec![inside(btrfs("sda", 11))], &[]),
        ("btrfs in a container that is shown", vec![], vec![luks("sdb"), opened("x", "sdb")], &["dm-0"]),
        ("btrfs in an enrolled container", encrypted(), vec![luks("sdb"), opened("x", "sdb")], &[]),
        ("a container", vec![], vec![luks("sdb")], &[]),
        ("nothing is seen", vec![], vec![disk("sdb")], &["sdb"]),
        ("another format", vec![], vec![kind("LVM2_member", disk("sdb"))], &["sdb"]),
        ("a disk with partitions", vec![], vec![disk("sdb"), part], &["sdb1"]),
        ("a card reader", vec![], vec![BlockDevice { size: 0, ..disk("sdb") }], &[]),
        ("a disk of the machine", vec![], vec![inside(disk("sda"))], &[]),
        ("one that may be enrolled", single(), vec![inside(disk("sda"))], &["sda"]),
        ("in a container that is shown", vec![], vec![luks("sdb"), mapping(opened("x", "sdb"))], &["dm-0"]),
        ("in a container of the machine", vec![], vec![inside(luks("sda")), mapping(opened("x", "sda"))], &[]),
        ("in an enrolled one", encrypted(), vec![inside(luks("sda")), mapping(opened("x", "sda"))], &["dm-0"]),
    ] {
        let input = PolicyInput { enrolments: &enrolments, devices: &devices, ..NOTHING };
        let unclear: Vec<_> =
            devices.iter().filter(|device| is_unclear(device, &input)).map(BlockDevice::name).collect();
        assert_eq!(unclear, wanted, "{what}");
    }
}

#[test]
fn a_drive_that_another_program_has_mounted_waits() {
    let (enrolments, nodes) = (single(), [PathBuf::from("/dev/sdb")]);
    let devices = [btrfs("sdb", 11)];
    let input = PolicyInput { enrolments: &enrolments, devices: &devices, mounted_elsewhere: &nodes, ..NOTHING };
    let text = judged(&input);
    assert!(text[0].starts_with("blue: refuse \"Blue\" is mounted by another program (/dev/sdb"), "{text:?}");
    let in_use = [DriveUse { enrolment: uuid(1), mounted: nodes.to_vec(), ..DriveUse::default() }];
    assert_eq!(judged(&PolicyInput { in_use: &in_use, ..input }), ["blue: leave"], "it is mounted by us, too");
}
