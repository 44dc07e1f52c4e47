//! Block devices, parsed from udev's properties of real devices.

use super::*;

const STICK: &str = "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb";

fn properties(text: &str) -> Properties {
    let pair = |line: &str| line.trim().split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

fn device(syspath: &str, text: &str) -> BlockDevice {
    BlockDevice::of(Path::new(syspath), &properties(text)).expect("facts")
}

#[test]
fn a_stick_and_its_partition() {
    let disk = device(
        STICK,
        r"DEVNAME=/dev/sdb
        DEVTYPE=disk
        DISKSEQ=27
        MAJOR=8
        MINOR=16
        ID_BUS=usb
        ID_MODEL=Ultra_Fit
        ID_MODEL_ENC=Ultra\x20Fit\x20\x20\x20\x20\x20\x20\x20
        ID_SERIAL=SanDisk_Ultra_Fit_4C530001-0:0
        ID_SERIAL_SHORT=4C530001
        ID_PATH=pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0
        ID_PART_TABLE_TYPE=gpt
        attr:size=240254976
        attr:removable=1",
    );
    assert_eq!(
        (disk.bus, disk.removable, disk.model.as_str(), disk.serial.as_str()),
        (Bus::Usb, true, "Ultra Fit", "4C530001")
    );
    assert_eq!((disk.size, disk.diskseq, disk.devnum), (123_010_547_712, 27, 0x810));
    assert_eq!((disk.partition.as_ref(), disk.content.as_ref(), disk.disk()), (None, None, Path::new("/dev/sdb")));
    let part = device(
        &format!("{STICK}/sdb1"),
        r"DEVNAME=/dev/sdb1
        DEVTYPE=partition
        PARTN=1
        MAJOR=8
        MINOR=17
        ID_FS_TYPE=btrfs
        ID_FS_UUID=0f8b0c1d-3a50-4a2f-9c1f-0a8c8a6ad7d1
        ID_FS_UUID_ENC=0f8b0c1d-3a50-4a2f-9c1f-0a8c8a6ad7d1
        ID_FS_UUID_SUB=5a1d7c1e-8be5-4b0e-a7a5-3e4df26b1f00
        ID_FS_UUID_SUB_ENC=5a1d7c1e-8be5-4b0e-a7a5-3e4df26b1f00
        ID_FS_LABEL=My_Disk
        ID_FS_LABEL_ENC=My\x20Disk
        attr:size=2048
        disk:DEVNAME=/dev/sdb
        disk:DISKSEQ=27
        disk:ID_SERIAL_SHORT=4C530001
        disk:attr:removable=1",
    );
    assert_eq!(part.partition, Some(Partition { number: 1, disk: PathBuf::from("/dev/sdb") }));
    assert_eq!((part.serial.as_str(), part.diskseq, part.removable, part.bus), ("4C530001", 27, true, Bus::Usb));
    assert_eq!(part.content.as_ref().map(|content| content.label.as_str()), Some("My Disk"));
    assert_eq!(part.btrfs().map(|(uuid, _)| uuid.to_string()).as_deref(), Some("0f8b0c1d-3a50-4a2f-9c1f-0a8c8a6ad7d1"));
    assert_eq!(part.disk(), Path::new("/dev/sdb"));
}

#[test]
fn a_sata_disk_behind_a_usb_bridge_is_on_usb() {
    let disk = device(STICK, "DEVNAME=/dev/sdb\nMAJOR=8\nMINOR=16\nID_BUS=ata\nattr:removable=0\n");
    assert_eq!((disk.bus, disk.removable), (Bus::Usb, false));
    let inside = "/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
    assert_eq!(device(inside, "DEVNAME=/dev/sda\nMAJOR=8\nMINOR=0\nID_BUS=ata\n").bus, Bus::Ata);
}

#[test]
fn an_encrypted_container_and_its_open_side() {
    let luks = "4d4d7a3e-6b0c-4f5e-9a55-1f2b3c4d5e6f";
    let text =
        format!("DEVNAME=/dev/sdb\nMAJOR=8\nMINOR=16\nID_FS_TYPE=crypto_LUKS\nID_FS_UUID={luks}\nID_FS_VERSION=2\n");
    let container = device(STICK, &text);
    assert_eq!(container.luks().map(|uuid| uuid.to_string()).as_deref(), Some(luks));
    assert_eq!(container.btrfs(), None);
    let open = device(
        "/sys/devices/virtual/block/dm-0",
        "DEVNAME=/dev/dm-0\nMAJOR=252\nMINOR=0\nDM_NAME=butterdock-x\n\
         DM_UUID=CRYPT-LUKS2-4d4d7a3e6b0c4f5e9a551f2b3c4d5e6f-butterdock-x\nslave=sdb\n",
    );
    let mapping = open.mapping.as_ref().expect("a mapping");
    assert_eq!((open.bus, mapping.luks, mapping.over.as_deref()), (Bus::Mapper, container.luks(), Some("sdb")));
    let lvm = "DEVNAME=/dev/dm-1\nMAJOR=252\nMINOR=1\nDM_NAME=vg-root\nDM_UUID=LVM-abc\n";
    let lvm = device("/sys/devices/virtual/block/dm-1", lvm);
    assert_eq!(lvm.mapping.and_then(|mapping| mapping.luks), None);
}

#[test]
fn loop_nvme_and_mmc_devices_have_their_bus() {
    let text = "DEVNAME=/dev/loop3\nMAJOR=7\nMINOR=3\nattr:size=2097152\nattr:loop/backing_file=/srv/a\u{202e}.img\n";
    let file = device("/sys/devices/virtual/block/loop3", text);
    assert_eq!((file.bus, file.loop_file.as_deref(), file.size), (Bus::Loop, Some(r"/srv/a\u{202e}.img"), 1 << 30));
    for (name, bus) in [("nvme0n1", Bus::Nvme), ("mmcblk0", Bus::Mmc), ("vda", Bus::Virtio), ("zram0", Bus::Other)] {
        let syspath = format!("/sys/devices/x/block/{name}");
        assert_eq!(device(&syspath, &format!("DEVNAME=/dev/{name}\nMAJOR=259\nMINOR=0\n")).bus, bus, "{name}");
    }
}

#[test]
fn what_lies_is_no_reason_to_fall() {
    let text = "DEVNAME=/dev/sdb\nMAJOR=8\nMINOR=16\nDISKSEQ=-1\nattr:size=18446744073709551615\nPARTN=x\n\
                ID_FS_TYPE=btrfs\nID_FS_UUID={0f8b0c1d-3a50-4a2f-9c1f-0a8c8a6ad7d1}\nID_FS_LABEL_ENC=a\\x1b[2J\n";
    let facts = device(STICK, text);
    assert_eq!((facts.size, facts.diskseq, facts.partition.as_ref(), facts.btrfs()), (0, 0, None, None));
    assert_eq!(facts.content.map(|content| content.label).as_deref(), Some(r"a\u{1b}[2J"));
    assert_eq!(BlockDevice::of(Path::new(STICK), &properties("DEVNAME=/dev/sdb\nMAJOR=x\nMINOR=1\n")), None);
    assert_eq!(BlockDevice::of(Path::new(STICK), &Properties::new()), None);
}

#[test]
fn udev_data_of_an_earlier_disk_is_ignored() {
    let text = |seq: u64| {
        format!(
            "DEVNAME=/dev/loop3\nMAJOR=7\nMINOR=3\nDISKSEQ=7\nattr:diskseq={seq}\nattr:loop/backing_file=/srv/b.img\n"
        )
    };
    let of = |text: &str| BlockDevice::of(Path::new("/sys/devices/virtual/block/loop3"), &properties(text));
    assert_eq!(of(&text(7)).map(|facts| facts.diskseq), Some(7));
    assert_eq!(of(&text(8)), None);
    let part = "DEVNAME=/dev/sdb1\nMAJOR=8\nMINOR=17\ndisk:DISKSEQ=7\ndisk:attr:diskseq=8\n";
    assert_eq!(BlockDevice::of(&Path::new(STICK).join("sdb1"), &properties(part)), None);
}
