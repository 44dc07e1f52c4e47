//! What `org.butterdock.Butterdock1.Volume` returns: its properties, and the rows of `ListSubvolumes`.

use zbus::{DeserializeDict, SerializeDict, Type, Variant};

use crate::property::{Field, WrongProperty};

/// The properties of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeProperties {
    /// The configured name.
    pub name: String,
    /// Size of the filesystem in bytes; 0 while it is not mounted.
    pub size: u64,
    /// Free bytes; 0 while it is not mounted.
    pub free: u64,
    /// Whether the filesystem is mounted.
    pub mounted: bool,
}

impl VolumeProperties {
    /// Sets one property; an unknown property is ignored.
    ///
    /// # Errors
    /// The value has another type than the property.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let field = match property {
            "Name" => Field::Text(&mut self.name),
            "Size" => Field::Number(&mut self.size),
            "Free" => Field::Number(&mut self.free),
            "Mounted" => Field::Boolean(&mut self.mounted),
            _ => return Ok(()),
        };
        field.set(value).ok_or_else(|| WrongProperty(property.to_owned()))
    }
}

/// `ListSubvolumes` returns up to so many rows, because a message has a size limit.
pub const SUBVOLUMES_MAX: usize = 10_000;

/// A row of `ListSubvolumes`: one subvolume in the volume's directory.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SubvolumeRow {
    /// Its name: bytes, as on disk.
    pub name: Vec<u8>,
    /// Its id on this filesystem.
    pub id: u64,
    /// Its UUID.
    pub uuid: String,
    /// The UUID of the sender's subvolume, if it was received completely.
    pub received_uuid: Option<String>,
    /// The UUID of the subvolume that it is a snapshot of.
    pub parent_uuid: Option<String>,
    /// Whether it is read-only.
    pub read_only: bool,
    /// When it was made, in microseconds since 1970, if known.
    pub created: Option<u64>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::Options;

    #[test]
    fn rows_omit_unknown_values() {
        let context = Context::new(LE, 0);
        let row = SubvolumeRow { name: b"a\xff".to_vec(), id: 5, ..SubvolumeRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        let map = bytes.deserialize::<Options>().expect("a dictionary").0;
        assert!(!map.contains_key("received_uuid"));
        assert_eq!(map.get("name").map(|name| name.value_signature().to_string()).as_deref(), Some("ay"));
        assert_eq!(bytes.deserialize::<SubvolumeRow>().expect("a row").0, row);
    }

    #[test]
    fn unknown_properties_are_ignored_and_wrong_types_refused() {
        let mut volume = VolumeProperties::default();
        assert_eq!(volume.set("Colour", &Variant::from("red")), Ok(()));
        assert_eq!(volume.set("Free", &Variant::from(7_u64)), Ok(()));
        assert_eq!(volume.set("Mounted", &Variant::from(true)), Ok(()));
        assert_eq!((volume.free, volume.mounted), (7, true));
        assert_eq!(volume.set("Free", &Variant::from(7_u32)), Err(WrongProperty("Free".to_owned())));
    }
}
