use super::*;
use crate::backups::shared_record::{RecordV1, SharedRecord};

const SOURCE: Identity = Identity([9; 16]);

fn origin() -> Lineage {
    Lineage::of(SOURCE, Identity::NONE)
}

fn id(number: u8) -> Identity {
    Identity([number; 16])
}

fn mine(number: u8) -> Snapshot {
    let transid = u64::from(number) * 10;
    Snapshot {
        id: transid,
        uuid: id(number),
        parent_uuid: SOURCE,
        ctransid: transid,
        otransid: transid + 1,
        ..Snapshot::default()
    }
}

fn counterpart(of: u8) -> Snapshot {
    let stransid = u64::from(of) * 10;
    let received_uuid = id(of);
    Snapshot {
        id: stransid,
        uuid: id(of + 100),
        received_uuid,
        stransid,
        rtransid: 2,
        ctransid: 2,
        ..Snapshot::default()
    }
}

fn shared(mine: &Snapshot, theirs: &Snapshot) -> SharedSnapshot {
    SharedSnapshot { here: mine.state(), there: theirs.state(), time: 0 }
}

/// Records of unchanged snapshots.
fn known(numbers: &[u8]) -> Vec<SharedSnapshot> {
    numbers.iter().map(|&number| shared(&mine(number), &counterpart(number))).collect()
}

fn parent(known: &[SharedSnapshot], source: &[Snapshot], drive: &[Snapshot]) -> Result<Identity, FullReason> {
    find_shared(&origin(), known, source, drive).pairs.map(|pairs| pairs[0].source.uuid)
}

#[test]
fn a_sent_snapshot_is_no_parent_of_itself() {
    let (source, drive) = ([mine(1), mine(2)], [counterpart(1), counterpart(2)]);
    let parents = |known: &[SharedSnapshot], sent| {
        let found = find_shared(&origin(), known, &source, &drive).pairs.and_then(|pairs| of_others(pairs, sent));
        found.map(|pairs| pairs.iter().map(|pair| pair.source.uuid).collect::<Vec<_>>())
    };
    assert_eq!(parents(&known(&[1, 2]), id(2)), Ok(vec![id(1)]));
    assert_eq!(parents(&known(&[2]), id(2)), Err(FullReason::SentByAnother));
    assert_eq!(parents(&known(&[2]), id(3)), Ok(vec![id(2)]), "a new snapshot");
}

#[test]
fn the_newest_shared_snapshot_is_the_parent() {
    let source = [mine(1), mine(3), mine(2), mine(4)];
    let drive = [counterpart(1), counterpart(2), counterpart(3)];
    assert_eq!(parent(&known(&[1, 2, 3]), &source, &drive), Ok(id(3)));
    assert_eq!(find_shared(&origin(), &known(&[1, 2, 3]), &source, &drive).pairs.map(|pairs| pairs.len()), Ok(3));
}

#[test]
fn a_damaged_snapshot_is_no_parent() {
    let source = [mine(1), mine(2)];
    let drive = [counterpart(1), counterpart(2)];
    let without = |damaged: &[Identity]| {
        let shared = find_shared(&origin(), &known(&[1, 2]), &source, &drive).without(damaged);
        shared.pairs.map(|pairs| pairs.iter().map(|pair| pair.source.uuid).collect::<Vec<_>>())
    };
    assert_eq!(without(&[]), Ok(vec![id(2), id(1)]));
    assert_eq!(without(&[id(102)]), Ok(vec![id(1)]));
    assert_eq!(without(&[id(102), id(101)]), Err(FullReason::Damaged(2)));
}

#[test]
fn an_unrecorded_snapshot_is_no_parent() {
    let (source, drive) = ([mine(1), mine(2)], [counterpart(1), counterpart(2)]);
    assert_eq!(parent(&known(&[1]), &source, &drive), Ok(id(1)));
    assert_eq!(parent(&[], &source, &drive), Err(FullReason::NotRecorded));
}

#[test]
fn a_changed_counterpart_is_no_parent() {
    let swapped = Snapshot { uuid: id(77), ..counterpart(2) };
    let original = counterpart(2);
    let changed = Snapshot { ctransid: 9, changed: true, ..original.clone() };
    let marked_anew = Snapshot { rtransid: 9, ctransid: 9, ..original.clone() };
    let others = Snapshot { received_uuid: id(50), ..original.clone() };
    let of_other_state = Snapshot { stransid: 19, ..original.clone() };
    let older = Snapshot { ctransid: 1, ..original.clone() };
    for (drive, why) in [
        (vec![swapped.clone()], Some(FullReason::Replaced(1))),
        (vec![marked_anew], Some(FullReason::Replaced(1))),
        (vec![others], Some(FullReason::Replaced(1))),
        (vec![of_other_state], Some(FullReason::Replaced(1))),
        (vec![changed], Some(FullReason::Changed(1))),
        (vec![older], Some(FullReason::Changed(1))),
        (vec![counterpart(1)], Some(FullReason::NoneAlike)),
        (vec![swapped.clone(), original.clone()], None),
        // Deduplication or late writeback changed only the transaction id.
        (vec![Snapshot { ctransid: 9, ..original }], None),
    ] {
        let why_not = parent(&known(&[2]), &[mine(2)], &drive).err();
        assert_eq!(why_not, why, "{drive:?}");
    }
    let both = [counterpart(1), swapped];
    let source = [mine(1), mine(2)];
    let shared = find_shared(&origin(), &known(&[1, 2]), &source, &both);
    assert_eq!((shared.pairs.map(|pairs| pairs[0].source.uuid), shared.replaced), (Ok(id(1)), vec![id(102)]));
}

#[test]
fn a_changed_snapshot_is_no_parent_a_deduplicated_one_is() {
    let drive = [counterpart(2)];
    let later = Snapshot { ctransid: 400, ..mine(2) };
    assert_eq!(parent(&known(&[2]), std::slice::from_ref(&later), &drive), Ok(id(2)));
    assert_eq!(
        parent(&known(&[2]), &[Snapshot { changed: true, ..later.clone() }], &drive),
        Err(FullReason::Changed(1))
    );
    let marked_anew = Snapshot { received_uuid: id(50), rtransid: 400, ..later };
    assert_eq!(parent(&known(&[2]), &[marked_anew], &drive), Err(FullReason::Changed(1)));
}

#[test]
fn a_snapshot_of_another_subvolume_is_no_parent() {
    let foreign = Snapshot { parent_uuid: id(77), ..mine(1) };
    assert_eq!(parent(&known(&[1]), &[foreign], &[counterpart(1)]), Err(FullReason::NoSnapshot));
}

#[test]
fn a_rolled_back_source_continues_from_its_snapshot() {
    let lineage = Lineage::of(id(50), id(2));
    let (source, drive) = ([mine(1), mine(2)], [counterpart(1), counterpart(2)]);
    let pairs = find_shared(&lineage, &known(&[1, 2]), &source, &drive).pairs.expect("a parent");
    assert_eq!(pairs[0].source.uuid, id(2));
    // Replaced by a snapshot that is deleted now: the record knows whose it was. A snapshot that was made after it is newer.
    let deleted = Lineage { sources: vec![id(50), SOURCE], ..Lineage::of(id(50), id(7)) };
    let (source, drive) = ([mine(1), mine(3)], [counterpart(1), counterpart(3)]);
    let pairs = find_shared(&deleted, &known(&[1, 3]), &source, &drive).pairs.expect("a parent");
    assert_eq!(pairs[0].source.uuid, id(3));
}

#[test]
fn a_restored_and_changed_source_has_a_parent() {
    // The drive has snapshot 1, a volume has the restored subvolume, and the source is a snapshot of that.
    let restored =
        Snapshot { uuid: id(60), received_uuid: id(1), stransid: 2, rtransid: 70, ctransid: 70, ..Snapshot::default() };
    let lineage = Lineage::of(id(61), id(60));
    let remembered = [shared(&restored, &counterpart(1))];
    let (source, drive) = ([restored], [counterpart(1)]);
    let pairs = find_shared(&lineage, &remembered, &source, &drive).pairs.expect("a parent");
    assert!(pairs[0].source.uuid == id(60) && !pairs[0].is_exact(), "{pairs:?}");
}

#[test]
fn a_restore_uses_the_original_as_parent() {
    // The drive sends a snapshot that was made after 1 into the filesystem of 1.
    let lineage = Lineage::of(id(102), id(101));
    let (drive, volume) = ([counterpart(1)], [mine(1)]);
    let reversed: Vec<_> = known(&[1]).iter().map(SharedSnapshot::reversed).collect();
    let pairs = find_shared(&lineage, &reversed, &drive, &volume).pairs.expect("a parent");
    assert_eq!((pairs[0].source.uuid, pairs[0].drive.uuid), (id(101), id(1)));
    let forged = Snapshot { uuid: id(99), received_uuid: id(1), stransid: 2, ..Snapshot::default() };
    assert_eq!(find_shared(&lineage, &reversed, &drive, &[forged]).pairs, Err(FullReason::Replaced(1)));
}

#[test]
fn a_record_of_version_1_still_counts() {
    let pin = serde_json::json!({
        "sent_as": id(2).0.map(|byte| format!("{byte:02x}")).concat(), "ctransid": 20,
        "source": id(2).0.map(|byte| format!("{byte:02x}")).concat(),
        "drive": id(102).0.map(|byte| format!("{byte:02x}")).concat(), "time": 5,
    });
    let pin: RecordV1 = serde_json::from_value(pin).expect("a pin of version 1");
    let known = SharedRecord::from(pin).shared;
    assert_eq!(parent(&known, &[mine(2)], &[counterpart(2)]), Ok(id(2)));
    let other = Snapshot { stransid: 19, ..counterpart(2) };
    assert_eq!(parent(&known, &[mine(2)], &[other]), Err(FullReason::Replaced(1)));
    let swapped = Snapshot { uuid: id(77), ..counterpart(2) };
    assert_eq!(parent(&known, &[mine(2)], &[swapped]), Err(FullReason::Replaced(1)));
}

#[test]
fn the_reason_for_a_full_stream_is_reported() {
    assert_eq!(parent(&[], &[], &[]), Err(FullReason::EmptyDrive));
    assert_eq!(parent(&known(&[1]), &[mine(1)], &[]), Err(FullReason::EmptyDrive));
    assert_eq!(parent(&known(&[1]), &[], &[counterpart(1)]), Err(FullReason::NoSnapshot));
    assert_eq!(parent(&known(&[1]), &[mine(1)], &[counterpart(2)]), Err(FullReason::NoneAlike));
}

#[test]
fn a_drive_that_lost_its_last_backup_is_not_new() {
    for why in [FullReason::EmptyDrive, FullReason::NoneAlike] {
        assert!(Last::Deleted.explains(why).to_string().contains("was deleted there"));
        assert!(Last::Writable.explains(why).to_string().contains("was made writable"));
        assert_eq!(Last::Whole.explains(why), why);
    }
    assert_eq!(Last::Deleted.explains(FullReason::NoSnapshot), FullReason::NoSnapshot);
    assert_eq!(Last::Writable.explains(FullReason::Changed(2)), FullReason::Changed(2));
}
