//! The header of a message, read from its bytes: its sender, its kind, and the positions of the bytes that the service changes.
//!
//! ["Message Format"](https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol-messages) of the D-Bus
//! specification.

use std::num::NonZeroU32;

/// The length of the fixed start of a message, up to the length of its fields.
pub(super) const FIXED: usize = 16;
/// The flag `NO_REPLY_EXPECTED`.
const NO_REPLY: u8 = 1;
/// The position of the flags.
const FLAGS: usize = 2;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    /// An answer, or an error in place of one.
    Reply,
    Signal,
    /// A kind that this version of the protocol does not know; receivers ignore it.
    Other,
}

/// The first bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) kind: Kind,
    pub(super) serial: NonZeroU32,
    pub(super) wants_reply: bool,
    /// The length of the header with its padding.
    pub(super) header: usize,
    /// The length of the message.
    pub(super) total: usize,
    little: bool,
}

/// The fields that the service reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fields<'m> {
    pub(super) sender: &'m str,
    pub(super) interface: &'m str,
    pub(super) member: &'m str,
    /// The number of descriptors.
    pub(super) descriptors: usize,
    /// The position of that number.
    at: Option<usize>,
}

impl Fixed {
    /// None if it is not the start of a message.
    pub(super) fn read(bytes: &[u8; FIXED]) -> Option<Self> {
        let little = match bytes.first()? {
            b'l' => true,
            b'B' => false,
            _ => return None,
        };
        let kind = match bytes.get(1)? {
            1 => Kind::Call,
            2 | 3 => Kind::Reply,
            4 => Kind::Signal,
            _ => Kind::Other,
        };
        let body = usize::try_from(number(bytes, 4, little)?).ok()?;
        let fields = usize::try_from(number(bytes, 12, little)?).ok()?;
        let header = FIXED.checked_add(fields)?.checked_next_multiple_of(8)?;
        Some(Self {
            kind,
            serial: NonZeroU32::new(number(bytes, 8, little)?)?,
            wants_reply: bytes.get(FLAGS)? & NO_REPLY == 0,
            header,
            total: header.checked_add(body)?,
            little,
        })
    }

    /// The fields of a message, which are complete in these bytes; none if they cannot be parsed.
    pub(super) fn fields<'m>(&self, bytes: &'m [u8]) -> Option<Fields<'m>> {
        let end = FIXED.checked_add(usize::try_from(number(bytes, 12, self.little)?).ok()?)?;
        let bytes = bytes.get(..end)?;
        let mut fields = Fields::default();
        let mut at = FIXED;
        while at < end {
            at = at.checked_next_multiple_of(8)?;
            let [code, 1, kind, 0] = *bytes.get(at..at.checked_add(4)?)? else { return None };
            at = at.checked_add(4)?;
            let (from, length) = self.value(bytes, kind, at)?;
            let value = bytes.get(from..from.checked_add(length)?)?;
            match code {
                2 => fields.interface = std::str::from_utf8(value).ok()?,
                3 => fields.member = std::str::from_utf8(value).ok()?,
                7 => fields.sender = std::str::from_utf8(value).ok()?,
                9 => {
                    fields.descriptors = usize::try_from(number(bytes, from, self.little)?).ok()?;
                    fields.at = Some(from);
                }
                _ => {}
            }
            let is_text = matches!(kind, b's' | b'o' | b'g');
            at = from.checked_add(length)?.checked_add(usize::from(is_text))?;
        }
        Some(fields)
    }

    /// The position and the length of the value of a field.
    fn value(&self, bytes: &[u8], kind: u8, at: usize) -> Option<(usize, usize)> {
        match kind {
            b'y' => Some((at, 1)),
            b'u' => Some((at, 4)),
            b'g' => Some((at.checked_add(1)?, usize::from(*bytes.get(at)?))),
            b's' | b'o' => Some((at.checked_add(4)?, usize::try_from(number(bytes, at, self.little)?).ok()?)),
            // The specification has no field of another type.
            _ => None,
        }
    }
}

/// Makes a call request a reply, so that the service sees its end.
pub(super) fn ask_for_reply(bytes: &mut [u8]) {
    if let Some(flags) = bytes.get_mut(FLAGS) {
        *flags &= !NO_REPLY;
    }
}

/// Makes a message one that no descriptors belong to.
pub(super) fn without_descriptors(bytes: &mut [u8], at: Descriptors) {
    if let Some(number) = at.0.and_then(|at| bytes.get_mut(at..at.saturating_add(4))) {
        number.fill(0);
    }
}

/// Where a message says how many descriptors belong to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptors(Option<usize>);

impl Fields<'_> {
    pub(super) fn place(&self) -> Descriptors {
        Descriptors(self.at)
    }
}

fn number(bytes: &[u8], at: usize, little: bool) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use zbus::message::{EndianSig, Flags};
    use zbus::{Fd, Message};

    use super::*;

    fn call(order: EndianSig) -> Message {
        let call = Message::method_call("/a/b", "Member").endian(order.into()).sender(":1.7");
        let call = call.interface("org.example.Interface").with_flags(Flags::NO_REPLY_EXPECTED);
        call.build(&("text", Fd::from(&std::io::stdin()))).expect("a call")
    }

    fn fixed(bytes: &[u8]) -> Fixed {
        Fixed::read(bytes.get(..FIXED).expect("long enough").try_into().expect("as long")).expect("a message")
    }

    #[test]
    fn a_call_is_read_in_both_byte_orders() {
        for order in [EndianSig::Little, EndianSig::Big] {
            let call = call(order);
            let bytes: &[u8] = call.data();
            let read = fixed(bytes);
            assert_eq!((read.kind, read.wants_reply, read.total), (Kind::Call, false, bytes.len()));
            assert_eq!(read.serial, call.primary_header().serial_num());
            let fields = read.fields(bytes).expect("its fields");
            assert_eq!((fields.sender, fields.member), (":1.7", "Member"));
            assert_eq!((fields.interface, fields.descriptors), ("org.example.Interface", 1));
        }
    }

    #[test]
    fn changing_the_header_keeps_other_fields() {
        for order in [EndianSig::Little, EndianSig::Big] {
            let call = call(order);
            let mut bytes = call.data().to_vec();
            let place = fixed(&bytes).fields(&bytes).expect("its fields").place();
            ask_for_reply(&mut bytes);
            without_descriptors(&mut bytes, place);
            let read = fixed(&bytes);
            let fields = read.fields(&bytes).expect("its fields");
            assert_eq!((read.wants_reply, fields.descriptors, fields.member), (true, 0, "Member"));
            let same = bytes.iter().zip(call.data().iter()).filter(|(now, before)| now != before).count();
            assert_eq!(same, 2);
        }
    }

    #[test]
    fn truncated_or_wrong_bytes_have_no_fields() {
        let call = call(EndianSig::Little);
        let bytes = call.data().to_vec();
        let read = fixed(&bytes);
        for end in FIXED..read.header.saturating_sub(8) {
            assert_eq!(read.fields(&bytes[..end]), None, "{end}");
        }
        for at in FIXED..read.header {
            let mut bytes = bytes.clone();
            bytes[at] = 0xff;
            // It may be understood as something else, and must not panic.
            assert!(read.fields(&bytes).is_none_or(|fields| fields.member.len() < bytes.len()));
        }
        assert_eq!(Fixed::read(&[0; FIXED]), None);
    }
}
