//! The attributes of one command, found and checked, not yet read.

use crate::layout::{Layout, Rule, SLOTS};
use crate::{Attribute, ErrorKind, Identity, Time, Uuid, Version};

/// One command's attributes by slot (their place in [`Layout::attributes`]).
///
/// Each has been checked for its length, and each that must be there is; so reading one cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Attributes<'a> {
    slots: [&'a [u8]; SLOTS],
    present: u8,
}

impl<'a> Attributes<'a> {
    /// Finds the attributes of a command in its payload. They may stand in any order.
    ///
    /// From version 2 on DATA has no length and reaches to the end of the command.
    #[inline]
    pub(crate) fn collect(&mut self, layout: &Layout, version: Version, payload: &'a [u8]) -> Result<(), ErrorKind> {
        let mut rest = payload;
        while let Some((number, tail)) = rest.split_first_chunk::<2>() {
            let number = u16::from_le_bytes(*number);
            let rule = match layout.rules.get(usize::from(number)) {
                Some(rule) if rule.bit & !self.present != 0 => rule,
                Some(_) | None => return Err(misplaced(layout, number, self.present)),
            };
            let value;
            if number == Attribute::Data as u16 && version > Version::V1 {
                (value, rest) = (tail, [].as_slice());
            } else {
                (value, rest) = sized(tail).ok_or(ErrorKind::AttributeOverrun { command: layout.name })?;
            }
            if rule.length != Rule::ANY && value.len() != usize::from(rule.length) || rule.name && holds_nul(value) {
                return Err(misshapen(layout, rule, value));
            }
            self.present |= rule.bit;
            if let Some(slot) = self.slots.get_mut(usize::from(rule.slot)) {
                *slot = value;
            }
        }
        if !rest.is_empty() {
            return Err(ErrorKind::AttributeOverrun { command: layout.name });
        }
        if layout.required & !self.present != 0 {
            return Err(missing(layout, self.present));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn has(&self, slot: usize) -> bool {
        u32::try_from(slot).is_ok_and(|slot| u32::from(self.present).wrapping_shr(slot) & 1 == 1)
    }

    #[inline]
    pub(crate) fn bytes(&self, slot: usize) -> &'a [u8] {
        self.slots.get(slot).copied().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn u64(&self, slot: usize) -> u64 {
        self.bytes(slot).first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn u32(&self, slot: usize) -> u32 {
        self.bytes(slot).first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn u8(&self, slot: usize) -> u8 {
        self.bytes(slot).first().copied().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn uuid(&self, slot: usize) -> Uuid {
        Uuid(self.bytes(slot).first_chunk().copied().unwrap_or_default())
    }

    /// A uuid and, in the next slot, its ctransid.
    #[inline]
    pub(crate) fn identity(&self, slot: usize) -> Identity {
        Identity { uuid: self.uuid(slot), ctransid: self.u64(slot.saturating_add(1)) }
    }

    #[inline]
    pub(crate) fn time(&self, slot: usize) -> Time {
        let bytes = self.bytes(slot);
        Time {
            seconds: bytes.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes)),
            nanoseconds: bytes.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)),
        }
    }
}

/// Splits a value off that is preceded by its le16 length.
#[inline]
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, tail) = bytes.split_first_chunk::<2>()?;
    tail.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// Whether a name has a NUL in it. Names are short and many: two overlapping steps are faster than a search.
#[inline]
fn holds_nul(name: &[u8]) -> bool {
    match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) if name.len() <= 16 => any_nul(first) | any_nul(last),
        (Some(_), Some(_)) => {
            let ends = name.last_chunk::<16>().is_some_and(any_nul);
            ends | name.chunks_exact(16).any(|chunk| chunk.first_chunk::<16>().is_some_and(any_nul))
        }
        _ => name.contains(&0),
    }
}

/// Compares all bytes whatever they are, which takes one vector instruction instead of as many branches as bytes.
#[inline]
fn any_nul<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(false, |found, byte| found | (*byte == 0))
}

#[cold]
fn misplaced(layout: &Layout, number: u16, present: u8) -> ErrorKind {
    let Some(attribute) = Attribute::from_number(number) else { return ErrorKind::UnknownAttribute(number) };
    let command = layout.name;
    match layout.rules.get(usize::from(number)) {
        Some(rule) if present & rule.bit != 0 => ErrorKind::DuplicateAttribute { command, attribute },
        Some(_) | None => ErrorKind::UnexpectedAttribute { command, attribute },
    }
}

#[cold]
fn misshapen(layout: &Layout, rule: &Rule, value: &[u8]) -> ErrorKind {
    match layout.attributes.get(usize::from(rule.slot)) {
        Some(&attribute) if rule.length == Rule::ANY => ErrorKind::NameWithNul { attribute },
        Some(&attribute) => {
            ErrorKind::AttributeLength { attribute, expected: usize::from(rule.length), found: value.len() }
        }
        None => ErrorKind::AttributeOverrun { command: layout.name },
    }
}

#[cold]
fn missing(layout: &Layout, present: u8) -> ErrorKind {
    let absent = layout.required & !present;
    let slot = usize::try_from(absent.trailing_zeros()).unwrap_or(SLOTS);
    match layout.attributes.get(slot) {
        Some(&attribute) => ErrorKind::MissingAttribute { command: layout.name, attribute },
        None => ErrorKind::AttributeOverrun { command: layout.name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_wherever_it_stands() {
        for len in 0..70 {
            let mut name = vec![b'n'; len];
            assert!(!holds_nul(&name), "{len}");
            for place in 0..len {
                name.splice(place..=place, [0]);
                assert!(holds_nul(&name), "{place} of {len}");
                name.splice(place..=place, [0xff]);
            }
        }
    }
}
