//! Images with several signatures.

use std::path::Path;
use std::process::Command;

use tempfile::NamedTempFile;

use super::super::Bus;
use super::*;

const SIZE: u64 = 256 << 20;

fn image(is_btrfs: bool) -> NamedTempFile {
    let image = NamedTempFile::new().expect("a file");
    image.as_file().set_len(SIZE).expect("sized");
    if is_btrfs {
        let status = Command::new("mkfs.btrfs").args(["-q", "-L", "Blue"]).arg(image.path()).status().expect("it runs");
        assert!(status.success());
    }
    image
}

fn write(image: &NamedTempFile, offset: u64, bytes: &[u8]) {
    image.as_file().write_all_at(bytes, offset).expect("written");
}

fn write_zfs(image: &NamedTempFile) {
    for number in 0..128 {
        write(image, SIZE - (512 << 10) + (128 << 10) + number * 1024, &ZFS_MAGIC.to_le_bytes());
    }
}

fn write_lvm(image: &NamedTempFile) {
    write(image, 512, b"LABELONE");
    write(image, 512 + 24, b"LVM2 001");
}

fn probed(image: &NamedTempFile) -> Probed {
    found(image.as_file(), SIZE).expect("read")
}

fn device() -> BlockDevice {
    BlockDevice {
        node: Path::new("/dev/sdb").to_owned(),
        devnum: 1,
        syspath: Path::new("/sys/block/sdb").to_owned(),
        diskseq: 1,
        bus: Bus::Usb,
        removable: false,
        model: String::new(),
        serial: String::new(),
        id_path: String::new(),
        size: SIZE,
        partition: None,
        content: None,
        mapping: None,
        loop_file: None,
        finding: None,
        filesystem_devices: None,
    }
}

fn sentence(image: &NamedTempFile) -> String {
    let device = device().with(probed(image));
    device.finding.as_ref().map(|finding| finding.sentence(&device).public().to_owned()).unwrap_or_default()
}

#[test]
fn remains_of_other_formats_do_not_hide_btrfs() {
    fn write_iso(image: &NamedTempFile) {
        write(image, 32_769, b"CD001");
    }
    let writers: [fn(&NamedTempFile); 3] = [write_iso, write_zfs, write_lvm];
    for (kind, write) in ["iso9660", "zfs_member", "LVM2_member"].into_iter().zip(writers) {
        let image = image(true);
        write(&image);
        let device = device().with(probed(&image));
        assert_eq!(device.finding, Some(Finding::Remains(vec![kind.to_owned()])));
        assert!(device.btrfs().is_some() && device.content.as_ref().is_some_and(|content| content.label == "Blue"));
        let text = sentence(&image);
        assert!(text.contains(&format!("wipefs --all --types {kind} on sdb")), "{text}");
        assert!(!text.contains("format it") && !text.contains('/'), "{text}");
    }
}

#[test]
fn a_filesystem_beside_btrfs_makes_both_doubtful() {
    for (kind, offset, magic) in SIGNATURES.iter().filter(|(kind, ..)| !REMAINS.contains(kind)) {
        let image = image(true);
        write(&image, *offset, magic);
        assert_eq!(device().with(probed(&image)).finding, Some(Finding::Doubtful(vec![(*kind).to_owned()])));
        let text = sentence(&image);
        assert!(text.contains(&format!("wipefs --all --types {kind} on sdb")) && !text.contains("format it"), "{text}");
    }
}

#[test]
fn what_udev_saw_counts_as_another_format() {
    let image = image(true);
    let seen = |kind: &str| {
        let content =
            Content { kind: kind.to_owned(), uuid: String::new(), sub_uuid: String::new(), label: String::new() };
        BlockDevice { content: Some(content), ..device() }.with(probed(&image)).finding
    };
    assert_eq!(seen("VMFS"), Some(Finding::Doubtful(vec!["VMFS".to_owned()])));
    assert_eq!(seen("LVM2_member"), Some(Finding::Remains(vec!["LVM2_member".to_owned()])));
    write(&image, 1080, b"\x53\xef");
    assert_eq!(seen("ext3"), Some(Finding::Doubtful(vec!["ext2,ext3,ext4".to_owned()])));
}

#[test]
fn what_udev_says_of_btrfs_stays_and_its_devices_are_counted() {
    let image = image(true);
    let seen = device().with(probed(&image));
    let content = seen.content.clone().map(|content| Content { label: "as udev has it".to_owned(), ..content });
    let clear = BlockDevice { content, ..device() };
    let read = clear.clone().with(counted(image.as_file()).expect("read"));
    assert_eq!(read, BlockDevice { filesystem_devices: Some(1), ..clear.clone() });
    write(&image, OFFSET + 0x48, &[7; 8]);
    assert_eq!(clear.clone().with(counted(image.as_file()).expect("read")), clear);
}

#[test]
fn a_mirror_of_md_is_no_drive_by_itself() {
    for at in [(SIZE & !0xffff) - 0x1_0000, SIZE - 0x2000] {
        let image = image(true);
        write(&image, at, b"\xfc\x4e\x2b\xa9");
        let finding = device().with(probed(&image)).finding;
        assert_eq!(finding, Some(Finding::Doubtful(vec!["linux_raid_member".to_owned()])));
    }
}

#[test]
fn a_partition_table_beside_btrfs_makes_both_doubtful() {
    let image = image(true);
    write(&image, 510, &[0x55, 0xaa]);
    assert_eq!(device().with(probed(&image)).finding, None, "it has no entry");
    write(&image, 446 + 4, &[0x83]);
    assert_eq!(device().with(probed(&image)).finding, Some(Finding::Doubtful(vec!["dos".to_owned()])));
}

#[test]
fn a_damaged_superblock_is_not_to_be_formatted() {
    let image = image(true);
    write(&image, OFFSET + 0x48, &[7; 8]);
    let text = sentence(&image);
    assert!(
        text.contains("checksum of its superblock is wrong") && text.contains("btrfs rescue super-recover"),
        "{text}"
    );
    write(&image, OFFSET, &[0; LENGTH]);
    let text = sentence(&image);
    assert!(text.contains("overwritten") && text.contains("btrfs rescue super-recover"), "{text}");
    write(&image, 3, b"EXFAT   ");
    assert_eq!(probed(&image), Probed::Nothing, "the copy is that of an earlier filesystem");
}

#[test]
fn nothing_is_found_on_other_devices() {
    let image = image(false);
    assert_eq!(probed(&image), Probed::Nothing);
    write_zfs(&image);
    assert_eq!(probed(&image), Probed::Nothing);
    assert_eq!(found(image.as_file(), 4096).expect("read"), Probed::Nothing, "it is too small");
    assert!(found(image.as_file(), SIZE * 2).is_err(), "it has less than it says");
}
