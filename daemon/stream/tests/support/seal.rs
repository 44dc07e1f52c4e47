//! Correct checksums for damaged streams. A file of its own, because the fuzz targets include it.

use butterdock_stream::{Encoder, Version};

/// Computes the checksum of each command anew, up to the first command whose length is wrong.
pub(crate) fn seal(bytes: &[u8]) -> Vec<u8> {
    let Some((header, mut rest)) = bytes.split_at_checked(17) else { return bytes.to_vec() };
    let mut sealed = header.to_vec();
    while let Some(([a, b, c, d, number @ .., _, _, _, _], tail)) = rest.split_first_chunk::<10>() {
        let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let Some((payload, tail)) = tail.split_at_checked(len) else { break };
        let mut encoder = Encoder::new(Version::V1);
        if encoder.raw(u16::from_le_bytes(*number), payload).is_err() {
            break;
        }
        sealed.extend_from_slice(encoder.bytes());
        rest = tail;
    }
    sealed.extend_from_slice(rest);
    sealed
}
