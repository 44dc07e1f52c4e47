//! Commands that must fail, whatever the order.

use crate::order::changes::{ACCESS, DEFAULT};
use crate::order::command::{Bytes, Owned, What};
use crate::order::payloads::payload;
use crate::order::sequence::Draw;
use crate::order::world::join;

/// One of them, if there is what it needs.
pub(crate) fn draw(draw: &mut Draw) {
    let (a, b) = (draw.roll(), draw.roll());
    let missing = draw.world.free(a);
    let below_missing = join(&missing, "x");
    let file = draw.world.pick(a, |known| known.what == What::File);
    let directory = draw.world.pick_path(a, |path, known| known.what == What::Directory && !path.is_empty());
    let full = draw.world.directory(b, false);
    let what = if b % 2 == 0 { What::File } else { What::Directory };
    let command = match (draw.roll() % 18, file, directory) {
        (0, ..) => Some(Owned::Unlink { path: missing }),
        (1, ..) => Some(Owned::Rename { path: missing.clone(), to: below_missing }),
        (2, ..) => Some(Owned::Chmod { path: missing, mode: 0o644 }),
        (3, ..) => Some(Owned::Make { path: below_missing, what }),
        (4, Some(path), _) => {
            let temporary =
                draw.world.pick_path(b, |path, known| path.starts_with('o') && known.what != What::Directory);
            let path = temporary.unwrap_or(path);
            draw.add_invalid(Owned::Make { path: path.clone(), what });
            Some(Owned::Rename { path, to: missing })
        }
        (5, Some(path), _) => Some(Owned::Rmdir { path }),
        (6, Some(path), _) => Some(Owned::Link { path: path.clone(), existing: path }),
        (7, Some(path), _) => Some(Owned::SetXattr { path, name: ACCESS, data: vec![2, 0, 0, 0, 1, 0, 0, 0] }),
        (8, Some(path), _) => Some(Owned::SetXattr { path, name: DEFAULT, data: minimal() }),
        (9, Some(path), _) => Some(Owned::Utimes { path: join(&path, "x"), atime: draw.time(), mtime: draw.time() }),
        (10, Some(path), Some(to)) => Some(Owned::Rename { path, to }),
        (11, Some(path), _) => Some(Owned::Clone { path, offset: 0, len: 4096, source: missing, source_offset: 0 }),
        (12, Some(path), _) => {
            Some(Owned::Clone { path: path.clone(), offset: 0, len: 4096, source: path, source_offset: 1 << 40 })
        }
        (13, Some(path), _) => {
            let (extent, mut data) = payload(usize::from(b) % 5, 0);
            data.0[0] ^= 0xff;
            Some(Owned::Encoded { path, extent, data })
        }
        (14, _, Some(path)) => Some(Owned::Write { path, offset: 0, data: Bytes(vec![1]) }),
        (15, _, Some(path)) => Some(Owned::Unlink { path }),
        (16, _, Some(path)) => Some(Owned::Rename { to: join(&path, "x"), path }),
        (17, ..) => full.map(|path| Owned::Rmdir { path }),
        _ => None,
    };
    if let Some(command) = command {
        draw.add_invalid(command);
    }
}

fn minimal() -> Vec<u8> {
    let mut acl = vec![2, 0, 0, 0];
    for tag in [1_u8, 4, 32] {
        acl.extend([tag, 0, 7, 0, 0xff, 0xff, 0xff, 0xff]);
    }
    acl
}
