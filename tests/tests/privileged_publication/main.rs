//! Which users can open a subvolume before it is read-only under its final name.

mod race;
mod reachability;
mod steps;

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use butterdock_tests::wire::Stream;

/// He owns what is received.
pub(crate) const USER: u32 = 65534;

/// A file at the top and one below, as they are sent.
const CONTENT: [(&str, &[u8]); 2] = [("f", &[b'x'; 8192]), ("d/f", &[b'y'; 8192])];

/// A subvolume that is the user's, with everything in it.
pub(crate) fn stream() -> Stream {
    let stream = Stream::new(2).subvol("s0").mkdir("d");
    let id = USER.into();
    let stream = CONTENT.iter().fold(stream, |stream, (name, content)| {
        stream.mkfile(name).write(name, 0, content).chown(name, id, id).chmod(name, 0o644)
    });
    stream.chown("d", id, id).chmod("d", 0o755).chown("", id, id).chmod("", 0o755).end()
}

/// That it is as it was sent.
pub(crate) fn is_as_sent(subvolume: &Path) -> Result<()> {
    for (name, content) in CONTENT {
        ensure!(fs::read(subvolume.join(name))? == content, "{} was tampered with", subvolume.join(name).display());
    }
    let mut names = fs::read_dir(subvolume)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    names.sort();
    ensure!(names == ["d", "f"], "{} holds {names:?}", subvolume.display());
    Ok(())
}
