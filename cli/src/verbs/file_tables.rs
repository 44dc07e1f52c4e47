//! The tables of snapshots, files and versions of a file, for people.

use butterdock_dbus::{FileKind, FileRow, FileVersionRow, SnapshotRow};

use crate::render::{Table, bytes, escaped, escaped_name, signed_time, time};

pub(super) fn snapshot_table(rows: &[SnapshotRow]) -> String {
    if rows.is_empty() {
        return "no snapshots\n".to_owned();
    }
    let mut table = Table::new(&["SNAPSHOT", "BACKUP", "MADE", "UUID"]);
    for row in rows {
        table.row([
            escaped_name(&row.name),
            row.backup.as_deref().map(escaped).unwrap_or_default(),
            row.created.map(time).unwrap_or_default(),
            escaped(&row.uuid),
        ]);
    }
    table.render()
}

pub(super) fn file_table(rows: &[FileRow]) -> String {
    if rows.is_empty() {
        return "the directory is empty\n".to_owned();
    }
    let mut table = Table::new(&["MODE", "UID", "GID", "SIZE", "MODIFIED", "NAME"]);
    for row in rows {
        let target = row.target.as_deref().map(|target| format!(" -> {}", escaped_name(target))).unwrap_or_default();
        table.row([
            mode(row),
            row.uid.to_string(),
            row.gid.to_string(),
            bytes(row.size),
            signed_time(row.modified),
            escaped_name(&row.name) + &target,
        ]);
    }
    table.render()
}

pub(super) fn version_table(rows: &[FileVersionRow]) -> String {
    if rows.is_empty() {
        return "no snapshot has that file\n".to_owned();
    }
    let mut table = Table::new(&["SNAPSHOT", "MADE", "SINCE", "SIZE", "MODIFIED", "UUID"]);
    for row in rows {
        table.row([
            escaped_name(&row.snapshot_name),
            row.created.map(time).unwrap_or_default(),
            row.oldest.map(time).unwrap_or_default(),
            bytes(row.size),
            signed_time(row.modified),
            escaped(&row.snapshot),
        ]);
    }
    table.render()
}

/// `drwxr-x---`, as ls(1) shows it.
fn mode(row: &FileRow) -> String {
    let kind = match row.kind.parse() {
        Ok(FileKind::File) => '-',
        Ok(FileKind::Directory) => 'd',
        Ok(FileKind::Symlink) => 'l',
        Ok(FileKind::Fifo) => 'p',
        Ok(FileKind::Socket) => 's',
        Ok(FileKind::BlockDevice) => 'b',
        Ok(FileKind::CharacterDevice) => 'c',
        Ok(FileKind::Other(_)) | Err(_) => '?',
    };
    let mut text = String::from(kind);
    // The bits of a class, and the set-id or sticky bit that is shown with them.
    for (shift, special, letters) in [(6, 0o4000, ['s', 'S']), (3, 0o2000, ['s', 'S']), (0, 0o1000, ['t', 'T'])] {
        let bits = row.mode >> shift & 0o7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, row.mode & special != 0) {
            (true, true) => letters[0],
            (false, true) => letters[1],
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_ls() {
        let shown = |kind: &str, bits| mode(&FileRow { kind: kind.to_owned(), mode: bits, ..FileRow::default() });
        assert_eq!(shown("directory", 0o1755), "drwxr-xr-t");
        assert_eq!(shown("file", 0o4750), "-rwsr-x---");
        assert_eq!(shown("symlink", 0o777), "lrwxrwxrwx");
        assert_eq!(shown("file", 0o2640), "-rw-r-S---");
        assert_eq!(shown("later", 0), "?---------");
    }

    #[test]
    fn names_cannot_send_control_sequences() {
        let row = FileRow { name: b"a\n\x1b[2J\xff".to_vec(), target: Some(b"\x07".to_vec()), ..FileRow::default() };
        let text = file_table(&[row]);
        assert!(text.contains(r"a\n\u{1b}[2J\xff -> \u{7}") && text.lines().count() == 2, "{text}");
    }
}
