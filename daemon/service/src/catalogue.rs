//! The events of the journal, with their ids for the field `MESSAGE_ID`.
//!
//! `data/butterdock.catalog` has the explanation that `journalctl -x` prints. An id never changes and is never reused.

/// Each event, with a sentence and its id.
macro_rules! events {
    ($($(#[$sentence:meta])* $name:ident = $id:literal,)*) => {
        $($(#[$sentence])* pub const $name: &str = $id;)*

        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $id)),*];
    };
}

events! {
    /// A configuration file cannot be used.
    CONFIGURATION_WRONG = "c39dc02849c74a2d9232fd7ff2182f52",
    /// A job has started.
    JOB_STARTED = "ffe850fe8b934eb995f219f79a362b63",
    /// A job that is no backup succeeded.
    JOB_SUCCEEDED = "dad8d0d73c1d4c7aae52061f5eebd074",
    /// A job was cancelled.
    JOB_CANCELLED = "7072b5e1300641168c965ea2286bdd69",
    /// A job that is no backup failed.
    JOB_FAILED = "b9ac948f57cc488291d1208ec4a6fc7f",
    /// A backup succeeded.
    BACKUP_DONE = "e4f1a9d59187469c965a2cbd11de3940",
    /// A backup failed, not because of its source or a lack of space.
    BACKUP_FAILED = "3a54e73579b6411a8fae77df79683ae5",
    /// The source of a backup is not the recorded one.
    SOURCE_REFUSED = "e2a7be64e15c4da1a7b4b057122e191b",
    /// A job failed because of a lack of space.
    NO_SPACE = "d2e7ae76ed5c40b0b783f756ddae6a06",
    /// An enrolled drive was plugged in.
    DRIVE_RECOGNISED = "ac6271d3f0314f0586a62f6c3f7ce116",
    /// A drive that is not enrolled was plugged in.
    DRIVE_UNKNOWN = "c94e1efda22c43ee938b12efa5545077",
    /// The policy refuses a drive: clones, missing members.
    DRIVE_REFUSED = "c097024acaf64ee887c77b862ff660dc",
    /// An operation on a drive failed.
    DRIVE_UNUSABLE = "ca6b2d20db5a4ea6aedcec40d5c773a1",
    /// A drive was enrolled.
    DRIVE_ENROLLED = "ce92988543ca4d1b87246ca3996e3f9b",
    /// A drive was unenrolled.
    DRIVE_FORGOTTEN = "2e02c1d52a0c48cfb38354124fc142c6",
    /// A drive can be unplugged.
    DRIVE_SAFE = "292f933bd87042c1806e7d56dd360c53",
    /// The clock is not trusted, and old snapshots are not deleted.
    PRUNING_STOPPED = "c42a88fdc8f543659eee8927220a942f",
    /// The clock is trusted again.
    PRUNING_RESUMED = "77e16b2e6f0049ea8a40a39389ef9c21",
    /// Snapshots are dated in the future.
    SNAPSHOTS_FROM_FUTURE = "fe722d8daf794cee84446a8b7b92f241",
    /// A drive was unplugged before it was safe.
    DRIVE_PULLED = "6abd2b9bcc5d466bbf50b36ca1716c0c",
    /// A backup has had no good run for too long.
    BACKUP_OVERDUE = "c504ead342e5473b8793fbb7b88dba43",
    /// A backup is no longer overdue.
    BACKUP_RECOVERED = "a5df14df13324c43afad2f3114187be7",
    /// A channel of notifications does not work.
    NOTIFICATION_FAILED = "bc82a05f5fe7407f9e1596613e8d9078",
    /// A verify found damage on a drive.
    VERIFY_FAILED = "7e30aadec509400995ae2609800f7c68",
    /// A verify found a damaged drive good again.
    VERIFY_RECOVERED = "45210a3158db4d3d94f45e751d7abdd9",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CATALOGUE: &str = include_str!("../../data/butterdock.catalog");

    #[test]
    fn catalogue_entries_match_the_events() {
        let listed: Vec<&str> = CATALOGUE.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let known: Vec<&str> = ALL.iter().map(|(_, id)| *id).collect();
        let (listed_once, known_once): (BTreeSet<_>, BTreeSet<_>) = (listed.iter().collect(), known.iter().collect());
        assert_eq!(listed_once, known_once);
        assert_eq!((listed.len(), known.len()), (listed_once.len(), known_once.len()), "a duplicate id");
        for (name, id) in ALL {
            assert!(uuid::Uuid::try_parse(id).is_ok_and(|uuid| uuid.simple().to_string() == *id), "{name}");
        }
    }

    #[test]
    fn every_entry_has_a_subject_and_says_something() {
        for entry in CATALOGUE.split("\n-- ").skip(1) {
            let (head, body) = entry.split_once("\n\n").expect("a head and a body");
            let keys: Vec<_> = head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
            assert_eq!(
                keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
                ["Subject", "Defined-By", "Documentation"]
            );
            assert!(keys.iter().all(|(_, value)| !value.is_empty()) && body.trim().len() > 40, "{entry}");
            // The journal replaces the names of these fields by their values; others are not logged.
            let fields: Vec<_> = body.split('@').skip(1).step_by(2).collect();
            assert!(fields.iter().all(|field| ["BUTTERDOCK_JOB", "BUTTERDOCK_DRIVE"].contains(field)), "{fields:?}");
        }
    }
}
