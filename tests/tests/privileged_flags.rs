//! Inode flags, set-id bits and capabilities: what the standard receiver ignores or loses is compared with the source.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Result, ensure};
use butterdock_btrfs::flags::{self, Flags};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees::{self, FLAGGED};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, start};

/// Sends what `steps` make of a live subvolume, one snapshot after each, and gives the source and our copy.
fn through(sandbox: &Sandbox, steps: &[fn(&Path) -> Result<()>]) -> Result<(Volume, Volume)> {
    let (source, ours) = (sandbox.plain_volume("source")?, sandbox.plain_volume("ours")?);
    let live = source.join("live");
    snapshot::create(&live)?;
    for (number, step) in steps.iter().enumerate() {
        step(&live)?;
        let snapshot = source.join(format!("s{number}"));
        snapshot::freeze(&live, &snapshot)?;
        let parent = number.checked_sub(1).map(|before| source.join(format!("s{before}")));
        let stream = sandbox.join("stream");
        snapshot::send(Proto::Two, parent.as_deref(), &snapshot, &stream)?;
        Receiver::Ours.receive(&stream, ours.path())?;
    }
    Ok((source, ours))
}

#[test]
fn inode_flags_survive_increments() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (source, ours) = through(&sandbox, &[trees::prepare_flags, trees::set_flags, trees::clear_and_change])?;
    for name in ["s0", "s1", "s2"] {
        let (source, ours) = (Tree::read(&source.join(name))?, Tree::read(&ours.join(name))?);
        same(name, &source, &ours, Rules { flags: true, ..Rules::SOURCE_OF_INCREMENT })?;
    }
    let flagged = Tree::read(&ours.join("s1"))?;
    for (name, flags) in FLAGGED {
        let has = flagged.entries.get(name.as_bytes()).map_or(0, |entry| entry.flags);
        ensure!(has & flags.bits() == flags.bits(), "{name} has {has:#x}, not {flags:?}");
    }
    Ok(())
}

#[test]
fn a_change_of_owner_keeps_set_id_bits() -> Result<()> {
    fn make(root: &Path) -> Result<()> {
        for mode in [0o4755, 0o2755, 0o6711] {
            let path = root.join(format!("{mode:o}"));
            fs::write(&path, "program")?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
    /// The kernel takes the bits away with the owner; the administrator gives them back before the snapshot, so that no CHMOD is sent.
    fn give_away(root: &Path) -> Result<()> {
        for mode in [0o4755, 0o2755, 0o6711] {
            let path = root.join(format!("{mode:o}"));
            chown(&path, Some(1000), Some(1000))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
    let sandbox = Sandbox::new()?;
    let (source, ours) = through(&sandbox, &[make, give_away])?;
    let (source, ours) = (Tree::read(&source.join("s1"))?, Tree::read(&ours.join("s1"))?);
    same("new owners", &source, &ours, Rules::SOURCE_OF_INCREMENT)
}

/// A send always gives a new directory its mode; a stream that does not is carried out as it is written.
#[test]
fn files_in_a_set_gid_directory_get_its_group() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let stream = Stream::new(1)
        .subvol("sub")
        .mkdir("d")
        .chown("d", 5, 6)
        .chmod("d", 0o2775)
        .mkdir("d/e")
        .mkfile("d/f")
        .mkdir("d/e/g")
        .end();
    let file = sandbox.join("stream");
    fs::write(&file, stream.bytes())?;
    let (ours, standard) = (sandbox.plain_volume("ours")?, sandbox.plain_volume("standard")?);
    Receiver::Ours.receive(&file, ours.path())?;
    Receiver::Standard.receive(&file, standard.path())?;
    for name in ["d/e", "d/f", "d/e/g"] {
        let looked = |volume: &Volume| -> Result<(u32, u32)> {
            let status = fs::metadata(volume.join("sub").join(name))?;
            Ok((status.mode() & 0o7777, status.gid()))
        };
        let (plain, ours) = (looked(&standard)?, looked(&ours)?);
        ensure!(plain == ours, "{name}: mode and group ({:o}, {}) ≠ ({:o}, {})", plain.0, plain.1, ours.0, ours.1);
    }
    Ok(())
}

/// rename(2) refuses an immutable directory, so such a root would never get its name.
#[test]
fn an_immutable_root_loses_its_flag_with_a_warning() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = sandbox.plain_volume("source")?;
    let ours = sandbox.plain_volume("ours")?;
    let (live, stream) = (source.join("live"), sandbox.join("stream"));
    snapshot::create(&live)?;
    snapshot::freeze(&live, &source.join("s0"))?;
    snapshot::send(Proto::Two, None, &source.join("s0"), &stream)?;
    Receiver::Ours.receive(&stream, ours.path())?;
    let root = fs::File::open(&live)?;
    let immutable = Flags::from_bits(flags::flags(&root)?.bits() | Flags::IMMUTABLE.bits());
    flags::set_flags(&root, immutable)?;
    snapshot::freeze(&live, &source.join("s1"))?;
    flags::set_flags(&root, Flags::from_bits(immutable.bits() & !Flags::IMMUTABLE.bits()))?;
    snapshot::send(Proto::Two, Some(&source.join("s0")), &source.join("s1"), &stream)?;
    let finished = start(Receiver::Ours.command()?.arg("-vf").arg(&stream).arg(ours.path()))?.finish(TIMEOUT)?;
    ensure!(
        finished.code() == 0 && finished.err().contains("flags that cannot be set"),
        "no word of it: {}",
        finished.err()
    );
    ensure!(snapshot::show(&ours.join("s1"))?.read_only, "s1 can be written");
    Ok(())
}

/// What our receiver says about a stream on a volume with these mount options; its exit code and its messages.
fn received_with(options: &str, stream: &Stream) -> Result<(i32, String)> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.volume("ours", &Layout { options: options.to_owned(), ..Layout::default() })?;
    let file = sandbox.join("stream");
    fs::write(&file, stream.bytes())?;
    let finished = start(Receiver::Ours.command()?.arg("-vf").arg(&file).arg(volume.path()))?.finish(TIMEOUT)?;
    Ok((finished.code(), finished.err()))
}

#[test]
fn an_acl_where_the_volume_has_none_is_an_error_with_a_way_out() -> Result<()> {
    const NOBODY: u32 = 65534;
    let entries = [(1_u16, 6_u16, u32::MAX), (2, 4, NOBODY), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()).chain(id.to_le_bytes()));
    }
    let stream = Stream::new(1).subvol("sub").mkfile("secret").xattr("secret", "system.posix_acl_access", acl).end();
    ensure!(received_with("", &stream)?.0 == 0, "it is a good stream");
    let (code, message) = received_with("noacl", &stream)?;
    for part in ["system.posix_acl_access", "on \"secret\"", "mounted without ACLs (noacl)"] {
        ensure!(code == 1 && message.contains(part), "{code}: {message}");
    }
    Ok(())
}

#[test]
fn compression_of_files_without_cow_is_counted() -> Result<()> {
    let stream = ["a", "b"].into_iter().fold(Stream::new(1).subvol("sub"), |stream, name| {
        stream.mkfile(name).xattr(name, "btrfs.compression", "zstd").write(name, 0, "content")
    });
    let (code, message) = received_with("nodatacow", &stream.end())?;
    ensure!(code == 0 && message.contains("2 files are received without their btrfs.compression"), "{code}: {message}");
    Ok(())
}
