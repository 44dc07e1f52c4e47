//! The active swapfiles of a source. The kernel makes no snapshot of a subvolume with one, and does not say which file that is.

use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::{ffi::OsString, fs};

use butterdock_btrfs::file;

/// The paths of the active swapfiles in the subvolume of `source`; empty if they cannot be read.
pub(crate) fn active_in(source: impl AsFd) -> Vec<Vec<u8>> {
    let Ok(device) = file::stat(source).map(|stat| stat.dev) else { return Vec::new() };
    let is_here = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|facts| facts.dev() == device);
    let all = parse(&fs::read("/proc/swaps").unwrap_or_default());
    all.into_iter().filter(is_here).map(|path| path.as_os_str().as_bytes().to_vec()).collect()
}

/// The files in the text of `proc_swaps(5)`, without devices.
fn parse(text: &[u8]) -> Vec<PathBuf> {
    let lines = text.split(|&byte| byte == b'\n').skip(1);
    let file = |line: &[u8]| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let name = fields.next()?;
        (fields.next()? == b"file").then(|| PathBuf::from(OsString::from_vec(unescaped(name))))
    };
    lines.filter_map(file).collect()
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| first == b'\\' && digits.iter().all(u8::is_ascii_digit));
        let octal = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapfiles_are_listed_without_devices() {
        let text = b"Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition\t9\t0\t-2\n/home/my\\040swap file\t16380\t0\t-3\n";
        assert_eq!(parse(text), [PathBuf::from("/home/my swap")]);
        assert_eq!((parse(b""), parse(b"Filename\n\n")), (Vec::new(), Vec::new()));
        assert_eq!(unescaped(b"a\\134\\9\\400b"), b"a\\\\9\\400b");
    }
}
