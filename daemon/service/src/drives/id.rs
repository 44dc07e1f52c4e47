//! The id of a drive for callers.

use std::fmt;

use crate::policy;

/// Of an enrolled drive its enrolment's uuid, which stays; of every other the kernel's name and its count of disks, which
/// stay as long as it is attached: `sdb1-27`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriveId(pub String);

impl DriveId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The enrolment's uuid, where it is that of an enrolled drive.
    pub(super) fn enrolment(&self) -> Option<uuid::Uuid> {
        uuid::Uuid::try_parse(&self.0).ok().filter(|id| id.to_string() == self.0)
    }
}

impl From<uuid::Uuid> for DriveId {
    fn from(enrolment: uuid::Uuid) -> Self {
        Self(enrolment.to_string())
    }
}

impl From<&policy::DriveId> for DriveId {
    fn from(id: &policy::DriveId) -> Self {
        match id {
            policy::DriveId::Enrolled(enrolment) => Self::from(*enrolment),
            policy::DriveId::Device(name, count) => Self(format!("{name}-{count}")),
        }
    }
}

impl fmt::Display for DriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_enrolments_id_is_one() {
        let id = uuid::Uuid::from_u128(7);
        assert_eq!(DriveId::from(&policy::DriveId::Enrolled(id)).enrolment(), Some(id));
        let device = DriveId::from(&policy::DriveId::Device("sdb1".to_owned(), 27));
        assert_eq!((device.as_str(), device.enrolment()), ("sdb1-27", None));
        assert_eq!(DriveId(id.simple().to_string()).enrolment(), None);
    }
}
