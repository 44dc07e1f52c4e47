//! A volume at one moment.

use zbus::Variant;

use super::WrongProperty;

/// The properties of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeProperties {
    /// The configured name.
    pub name: String,
    /// Bytes that the filesystem has; 0 while it is not mounted.
    pub size: u64,
    /// Bytes that are free; 0 while it is not mounted.
    pub free: u64,
    /// Whether it is there.
    pub mounted: bool,
}

impl VolumeProperties {
    /// Takes over one property; one that this version does not know is skipped.
    ///
    /// # Errors
    /// The value is not of the property's type.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let wrong = |_wrong| WrongProperty(property.to_owned());
        match property {
            "Name" => self.name = String::try_from(value).map_err(wrong)?,
            "Size" => self.size = u64::try_from(value).map_err(wrong)?,
            "Free" => self.free = u64::try_from(value).map_err(wrong)?,
            "Mounted" => self.mounted = bool::try_from(value).map_err(wrong)?,
            _ => {}
        }
        Ok(())
    }
}
