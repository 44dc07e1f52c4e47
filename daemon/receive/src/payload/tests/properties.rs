//! Properties of all payloads, good and bad.

use butterdock_stream::Compression;
use proptest::prelude::*;

use super::{LZO, deflate, encode, lines, lzo_segments, noise, padded, whole, zstd_frame};
use crate::payload::{Decoder, MAX_LEN, check_structure};

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        Just(Compression::Zlib),
        Just(Compression::Zstd),
        Just(LZO),
        Just(Compression::Lzo { sector_size: 65_536 }),
    ]
}

/// Runs of text and of noise, 1 byte to 128 KiB.
fn source() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((any::<bool>(), 1..40_000_usize, any::<u8>()), 1..6).prop_map(|runs| {
        let mut source: Vec<u8> = runs
            .into_iter()
            .flat_map(|(text, len, salt)| {
                let run = if text { lines(len) } else { noise(len) };
                run.into_iter().map(move |byte| byte ^ salt)
            })
            .collect();
        source.truncate(MAX_LEN);
        source
    })
}

/// Decodes twice with one decoder; the answer depends on nothing but the payload, and is within the bounds.
fn decode(compression: Compression, len: usize, payload: &[u8]) -> Option<Vec<u8>> {
    let extent = whole(compression, len);
    let checked = check_structure(&extent, payload);
    let mut decoder = Decoder::new();
    let first = decoder.decode(&extent, payload).map(<[u8]>::to_vec);
    let again = decoder.decode(&extent, payload).map(<[u8]>::to_vec);
    assert_eq!(first, again);
    assert!(checked.is_ok() || first.is_err(), "decoded what the check refuses: {checked:?}");
    assert!(first.as_ref().is_ok_and(|bytes| bytes.len() == len) || first.is_err());
    first.ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_zstd_encodes_comes_back(
        source in source(), level in 1..=15, size: bool, checksum: bool, on_disk: bool, more in 0..5000_usize,
    ) {
        let frame = zstd_frame(&source, level, size, checksum);
        let payload = if on_disk { padded(frame) } else { frame };
        let len = (source.len() + more).min(MAX_LEN);
        if payload.len() <= MAX_LEN {
            let decoded = decode(Compression::Zstd, len, &payload).unwrap();
            prop_assert!(decoded.starts_with(&source));
            prop_assert!(decoded[source.len()..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn what_zlib_encodes_comes_back(source in source(), level in 0..=9_u32, on_disk: bool) {
        let stream = deflate(&source, level);
        let payload = if on_disk { padded(stream) } else { stream };
        if payload.len() <= MAX_LEN {
            prop_assert!(decode(Compression::Zlib, source.len(), &payload).unwrap() == source);
        }
    }

    #[test]
    fn what_lzo_encodes_comes_back(source in source(), shift in 0..=4_u32, on_disk: bool) {
        let sector_size = 4096_u32 << shift;
        let segments = lzo_segments(&source, sector_size as usize);
        let payload = if on_disk { padded(segments) } else { segments };
        if payload.len() <= MAX_LEN {
            let decoded = decode(Compression::Lzo { sector_size }, source.len(), &payload).unwrap();
            prop_assert!(decoded == source);
        }
    }

    #[test]
    fn a_damaged_payload_never_panics(
        source in source(), compression in compression(), len in 1..=MAX_LEN, exact: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), front: bool,
        cut in any::<prop::sample::Index>(), shorten: bool,
    ) {
        let mut payload = encode(compression, &source);
        for (at, byte) in damage {
            let end = if front { payload.len().min(16) } else { payload.len() };
            payload[at.index(end)] = byte;
        }
        if shorten {
            payload.truncate(cut.index(payload.len()));
        }
        decode(compression, if exact { source.len() } else { len }, &payload);
    }

    #[test]
    fn garbage_never_panics(
        compression in compression(), len in 0..=MAX_LEN + 1, garbage in prop::collection::vec(any::<u8>(), 0..9000),
    ) {
        decode(compression, len, &garbage);
    }

    #[test]
    fn garbage_in_a_good_frame_never_panics(garbage in prop::collection::vec(any::<u8>(), 3..4000)) {
        let size = u32::try_from(garbage.len()).unwrap();
        let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
        zstd.extend(&(size << 3 | 2 << 1 | 1).to_le_bytes()[..3]);
        zstd.extend(&garbage);
        prop_assert!(check_structure(&whole(Compression::Zstd, MAX_LEN), &zstd).is_ok());
        decode(Compression::Zstd, MAX_LEN, &zstd);

        let mut lzo = (size + 8).to_le_bytes().to_vec();
        lzo.extend(size.to_le_bytes());
        lzo.extend(&garbage);
        prop_assert!(check_structure(&whole(LZO, 4096), &lzo).is_ok());
        decode(LZO, 4096, &lzo);

        decode(Compression::Zlib, MAX_LEN, &[&[0x78, 0x9c][..], &garbage, &[0; 8]].concat());
    }
}
