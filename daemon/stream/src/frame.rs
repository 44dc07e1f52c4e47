//! The header of a command: length, number and checksum.
//!
//! The checksum is CRC-32C over the header with the checksum's own field zeroed, then the payload. Unlike the usual CRC-32C
//! it begins with 0 and is not inverted at the end.
//!
//! Most commands are short, and a call into the crate `crc32c` costs as much as its work. So this module calls it for the
//! payload only. The checksum begins with 0, so the header's part is the exclusive or of what each byte contributes: six
//! independent loads from a table. The four zeros of the checksum's field contribute nothing.

/// What every stream begins with.
pub const MAGIC: &[u8; 13] = b"btrfs-stream\0";

/// Length of a stream's header in bytes: the magic and a le32 version.
pub(crate) const HEADER: usize = 17;

/// Length of a command's header in bytes: le32 length of the payload, le16 number, le32 checksum.
pub const FRAME: usize = 10;

/// A command's header.
pub(crate) struct Frame {
    /// The length of the payload.
    pub(crate) len: u32,
    pub(crate) command: u16,
    pub(crate) crc: u32,
}

impl Frame {
    /// The header that `bytes` begin with, and what follows it; none if they are too short.
    #[inline]
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[a, b, c, d, e, f, g, h, i, j], rest) = bytes.split_first_chunk::<FRAME>()?;
        let len = u32::from_le_bytes([a, b, c, d]);
        Some((Self { len, command: u16::from_le_bytes([e, f]), crc: u32::from_le_bytes([g, h, i, j]) }, rest))
    }

    /// The header's bytes.
    pub(crate) fn to_bytes(&self) -> [u8; FRAME] {
        let [a, b, c, d] = self.len.to_le_bytes();
        let [e, f] = self.command.to_le_bytes();
        let [g, h, i, j] = self.crc.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }
}

/// The checksum of the command with this length, number and payload.
#[inline]
pub(crate) fn checksum(len: u32, command: u16, payload: &[u8]) -> u32 {
    let [a, b, c, d] = len.to_le_bytes();
    let [e, f] = command.to_le_bytes();
    let [of_a, of_b, of_c, of_d, of_e, of_f] = &CONTRIBUTIONS;
    let head = of(of_a, a) ^ of(of_b, b) ^ of(of_c, c) ^ of(of_d, d) ^ of(of_e, e) ^ of(of_f, f);
    !crc32c::crc32c_append(!head, payload)
}

/// What each value of one byte of a header contributes.
type Contribution = [u32; 256];

#[inline]
fn of(contribution: &Contribution, byte: u8) -> u32 {
    contribution.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The table for each of the six bytes before the checksum's field.
static CONTRIBUTIONS: [Contribution; 6] = [behind(0), behind(1), behind(2), behind(3), behind(4), behind(5)];

/// The table for the byte of a header at the index `place`.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "runs in the compiler, which would stop")]
const fn behind(place: usize) -> Contribution {
    let mut contribution = [0; 256];
    let mut value = 0u8;
    loop {
        let mut sum = value as u32;
        let mut bits = 8 * (FRAME - place);
        while bits > 0 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bits -= 1;
        }
        contribution[value as usize] = sum;
        if value == u8::MAX {
            return contribution;
        }
        value += 1;
    }
}

/// The Castagnoli polynomial, least significant bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_crate() {
        for (len, command) in [(0, 0), (1, 1), (0x0102_0304, 0x0506), (0xffff_fff0, 0xffff), (147_000, 25)] {
            let [a, b, c, d] = u32::to_le_bytes(len);
            let [e, f] = u16::to_le_bytes(command);
            for payload in [b"".as_slice(), b"x", b"some bytes of a payload"] {
                let whole = [&[a, b, c, d, e, f, 0, 0, 0, 0], payload].concat();
                assert_eq!(checksum(len, command, payload), !crc32c::crc32c_append(!0, &whole));
            }
        }
    }
}
