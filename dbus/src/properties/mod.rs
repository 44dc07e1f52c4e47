//! The properties of an object at one moment, for clients that follow many objects at once: filled from
//! `GetManagedObjects` or `InterfacesAdded`, updated by `PropertiesChanged`.

mod drive;
mod job;
mod place;
mod volume;

pub use drive::DriveProperties;
pub use job::JobProperties;
pub use volume::VolumeProperties;

/// A property that does not have the type of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the property {0} is not of the contract's type; the service is of another version")]
pub struct WrongProperty(pub String);
