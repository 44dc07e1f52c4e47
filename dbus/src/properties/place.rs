//! Where the value of a property goes.

use std::str::FromStr;

use zbus::{ObjectPath, Variant};

/// Where a value goes, which says of what type it must be.
pub(super) enum Place<'a> {
    Number(&'a mut u64),
    Small(&'a mut u32),
    Share(&'a mut f64),
    Truth(&'a mut bool),
    Text(&'a mut String),
    Texts(&'a mut Vec<String>),
    Path(&'a mut String),
    Word(Reader<'a>),
}

/// Reads a word into its place; none where it is no word of the contract.
type Reader<'a> = Box<dyn FnOnce(&str) -> Option<()> + 'a>;

impl<'a, W: FromStr> From<&'a mut W> for Place<'a> {
    fn from(place: &'a mut W) -> Self {
        Self::Word(Box::new(move |word| {
            *place = word.parse().ok()?;
            Some(())
        }))
    }
}

impl Place<'_> {
    /// Fills the place; none where the value is of another type or no word of the contract.
    pub(super) fn fill(self, value: &Variant<'_>) -> Option<()> {
        match self {
            Self::Number(place) => *place = value.try_into().ok()?,
            Self::Small(place) => *place = value.try_into().ok()?,
            Self::Share(place) => *place = value.try_into().ok()?,
            Self::Truth(place) => *place = value.try_into().ok()?,
            Self::Text(place) => *place = value.try_into().ok()?,
            Self::Texts(place) => *place = value.try_clone().ok()?.try_into().ok()?,
            Self::Path(place) => value.downcast_ref::<&ObjectPath<'_>>().ok()?.as_str().clone_into(place),
            Self::Word(place) => place(value.downcast_ref::<&str>().ok()?)?,
        }
        Some(())
    }
}
