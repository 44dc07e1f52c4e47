//! What went wrong, for those who may know names.

use zbus::{DeserializeDict, SerializeDict, Type};

/// What `GetErrorDetails` says of a job that failed; empty strings where it did not.
///
/// A reader skips keys that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct ErrorDetails {
    /// [`ErrorName`](crate::ErrorName) with its prefix.
    pub error_name: String,
    /// The whole sentence, with the name on which it failed and what to do next. Names in it are escaped.
    pub message: String,
    /// The number of the command in the stream, where that is known.
    pub command: Option<u64>,
    /// The offset of that command in the stream.
    pub byte: Option<u64>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::{HistoryEntry, Options, SubvolumeRow};

    #[test]
    fn rows_omit_unknown_values() {
        let context = Context::new(LE, 0);
        let row = SubvolumeRow { name: b"a\xff".to_vec(), id: 5, ..SubvolumeRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        let map = bytes.deserialize::<Options>().expect("a dictionary").0;
        assert!(!map.contains_key("received_uuid"));
        assert_eq!(map.get("name").map(|name| name.value_signature().to_string()).as_deref(), Some("ay"));
        assert_eq!(bytes.deserialize::<SubvolumeRow>().expect("a row").0, row);
        let entry = HistoryEntry { id: "x".to_owned(), error_name: Some("y".to_owned()), ..HistoryEntry::default() };
        let bytes = to_bytes(context, &entry).expect("written");
        assert_eq!(bytes.deserialize::<HistoryEntry>().expect("an entry").0, entry);
    }

    #[test]
    fn keys_of_a_later_service_are_skipped() {
        let details = ErrorDetails { message: "m".to_owned(), byte: Some(7), ..ErrorDetails::default() };
        let context = Context::new(LE, 0);
        let mut map = to_bytes(context, &details).expect("written").deserialize::<Options>().expect("a map").0;
        map.insert("later".to_owned(), true.into());
        let bytes = to_bytes(context, &map).expect("written");
        assert_eq!(bytes.deserialize::<ErrorDetails>().expect("details").0, details);
    }
}
