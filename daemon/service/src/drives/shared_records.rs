//! The records of the snapshots that this machine shares with a drive, in its enrolment.

use crate::backups::{RecordV1, SharedRecord, SharedSnapshot};
use crate::enrolment::Enrolment;

/// What is remembered of a backup on the drive.
///
/// # Errors
/// The record cannot be read. Pruning without it could delete snapshots that the drive needs.
pub(super) fn known(enrolment: &Enrolment, backup: &str) -> Result<SharedRecord, String> {
    let read = match (enrolment.shared.get(backup), enrolment.pins.get(backup)) {
        (Some(value), _) => serde_json::from_value(value.clone()),
        (None, Some(pin)) => serde_json::from_value::<RecordV1>(pin.clone()).map(SharedRecord::from),
        (None, None) => Ok(SharedRecord::default()),
    };
    read.map_err(|error| {
        let (id, label) = (enrolment.id, enrolment.label());
        format!(
            "cannot read which snapshots the drive \"{label}\" needs for the next backup \"{backup}\" ({error}); \
             nothing is backed up to it, and no snapshot beside the source is deleted meanwhile. If a newer butterdock \
             wrote the record, update butterdock; otherwise run butterdock forget {id} and enrol the drive again"
        )
    })
}

/// What was restored from the drive. What cannot be read costs a transfer of everything, and nothing else.
pub(super) fn restored(enrolment: &Enrolment) -> Vec<SharedSnapshot> {
    serde_json::from_value(enrolment.restored.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_unreadable_pin_record_is_an_error() {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        assert_eq!(known(&blue, "home"), Ok(SharedRecord::default()), "one that was never backed up to needs nothing");
        blue.pins.insert("home".to_owned(), serde_json::json!({ "sent_as": 5 }));
        let text = known(&blue, "home").expect_err("unreadable");
        assert!(text.contains("\"Blue\"") && text.contains("nothing is backed up to it"), "{text}");
        assert!(text.contains(&format!("butterdock forget {}", blue.id)), "{text}");
        assert_eq!(known(&blue, "etc"), Ok(SharedRecord::default()), "other backups are not concerned");
        blue.shared.insert("home".to_owned(), serde_json::json!({ "sources": 5 }));
        assert!(known(&blue, "home").is_err());
    }
}
