//! Properties of objects, read from `GetManagedObjects` and `InterfacesAdded`, updated by `PropertiesChanged`: for clients
//! that follow many objects at once.

use std::collections::HashMap;
use std::str::FromStr;

use zbus::{ObjectPath, OwnedObjectPath, Variant};

use crate::destination::SnapshotsOfMachine;
use crate::drive::DriveHealth;
use crate::problem::Problem;

/// A property whose type is not the one in the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the property {0} is not of the contract's type; the service is of another version")]
pub struct WrongProperty(pub String);

/// The field of a struct that a property is written to; its variant says which D-Bus type the value must have.
pub(crate) enum Field<'a> {
    Number(&'a mut u64),
    Uid(&'a mut u32),
    Double(&'a mut f64),
    Boolean(&'a mut bool),
    Text(&'a mut String),
    Texts(&'a mut Vec<String>),
    Problems(&'a mut Vec<Problem>),
    Health(&'a mut DriveHealth),
    Origins(&'a mut Vec<SnapshotsOfMachine>),
    Path(&'a mut String),
    Paths(&'a mut Vec<String>),
    NumbersByPath(&'a mut HashMap<String, u64>),
    Word(SetWord<'a>),
}

/// Sets a field to one of the contract's words; `None` if it is no such word.
type SetWord<'a> = Box<dyn FnOnce(&str) -> Option<()> + 'a>;

impl<'a, W: FromStr> From<&'a mut W> for Field<'a> {
    fn from(field: &'a mut W) -> Self {
        Self::Word(Box::new(move |word| {
            *field = word.parse().ok()?;
            Some(())
        }))
    }
}

impl Field<'_> {
    /// Sets the field; `None` if the value has another type or is no word of the contract.
    pub(crate) fn set(self, value: &Variant<'_>) -> Option<()> {
        match self {
            Self::Number(field) => *field = value.try_into().ok()?,
            Self::Uid(field) => *field = value.try_into().ok()?,
            Self::Double(field) => *field = value.try_into().ok()?,
            Self::Boolean(field) => *field = value.try_into().ok()?,
            Self::Text(field) => *field = value.try_into().ok()?,
            Self::Texts(field) => *field = value.try_clone().ok()?.try_into().ok()?,
            Self::Origins(field) => *field = Variant::from(value.try_to_owned().ok()?).try_into().ok()?,
            Self::Health(field) => *field = Variant::from(value.try_to_owned().ok()?).try_into().ok()?,
            Self::Problems(field) => *field = Variant::from(value.try_to_owned().ok()?).try_into().ok()?,
            Self::Path(field) => value.downcast_ref::<&ObjectPath<'_>>().ok()?.as_str().clone_into(field),
            Self::Paths(field) => {
                let paths: Vec<OwnedObjectPath> = value.try_clone().ok()?.try_into().ok()?;
                *field = paths.iter().map(ToString::to_string).collect();
            }
            Self::NumbersByPath(field) => {
                let numbers: HashMap<OwnedObjectPath, u64> = value.try_clone().ok()?.try_into().ok()?;
                *field = numbers.iter().map(|(path, number)| (path.to_string(), *number)).collect();
            }
            Self::Word(set) => set(value.downcast_ref::<&str>().ok()?)?,
        }
        Some(())
    }
}
