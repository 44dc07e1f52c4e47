//! Tests of the fixtures themselves: a comparison that sees nothing proves nothing.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use butterdock_tests::compare::{Rules, Tree, differences};
use butterdock_tests::{Disk, Loop, LoopNumber, Sandbox, TIMEOUT, mount, run, shipped, snapshot, trees, unmount};
use rustix::fs::{
    FallocateFlags, IFlags, OFlags, XattrFlags, fallocate, ioctl_getflags, ioctl_setflags, lremovexattr, lsetxattr,
};

const RULES: Rules = Rules { flags: true, ..Rules::SOURCE };

/// What is done to a copy, and a word of the line that must tell it.
type Damage = (&'static str, fn(&Path) -> Result<()>);

const DAMAGES: [Damage; 16] = [
    ("content", |root| {
        let path = root.join("files/text-131072");
        let before = fs::metadata(&path)?;
        let open = OpenOptions::new().write(true).open(&path)?;
        open.write_all_at(b"#", 70_000)?;
        Ok(open.set_times(FileTimes::new().set_modified(before.modified()?).set_accessed(before.accessed()?))?)
    }),
    ("missing", |root| Ok(fs::remove_file(root.join("names/..."))?)),
    ("missing on the left", |root| Ok(fs::write(root.join("many/new"), "")?)),
    ("mode", |root| Ok(fs::set_permissions(root.join("files/mixed"), fs::Permissions::from_mode(0o4644))?)),
    ("owner", |root| Ok(chown(root.join("files/mixed"), Some(1), None)?)),
    ("mtime", |root| {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_600_000_000_123_456_788);
        Ok(File::open(root.join("times/nanoseconds"))?.set_times(FileTimes::new().set_modified(moment))?)
    }),
    ("(the root): mtime", |root| {
        Ok(File::open(root)?.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH))?)
    }),
    ("xattr", |root| Ok(lremovexattr(root.join("xattrs/file"), "user.empty")?)),
    ("xattr", |root| Ok(lsetxattr(root.join("xattrs/file"), "user.small", b"Value", XattrFlags::empty())?)),
    ("xattr", |root| Ok(lremovexattr(root.join("acl/hands-down"), "system.posix_acl_default")?)),
    ("data at", |root| {
        let open = OpenOptions::new().write(true).open(root.join("sparse/only-a-hole"))?;
        Ok(open.write_all_at(&[0; 4096], 1 << 20)?)
    }),
    ("data at", |root| {
        let open = OpenOptions::new().write(true).open(root.join("files/mixed"))?;
        Ok(fallocate(&open, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 4096)?)
    }),
    ("linked to", |root| {
        // One of many names becomes a file of its own with the same content.
        let name = root.join("links/two/third");
        let content = fs::read(&name)?;
        fs::remove_file(&name)?;
        Ok(fs::write(&name, content)?)
    }),
    ("Symlink", |root| {
        fs::remove_file(root.join("symlinks/dangling"))?;
        Ok(symlink("elsewhere", root.join("symlinks/dangling"))?)
    }),
    ("Node", |root| {
        fs::remove_file(root.join("special/fifo"))?;
        Ok(fs::write(root.join("special/fifo"), "")?)
    }),
    ("flags", |root| {
        let open = File::open(root.join("files/mixed"))?;
        Ok(ioctl_setflags(&open, ioctl_getflags(&open)? | IFlags::NODUMP)?)
    }),
];

#[test]
fn the_comparison_finds_every_kind_of_difference() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("volume")?;
    let live = volume.join("live");
    snapshot::create(&live)?;
    trees::build(&live)?;
    let tree = Tree::read(&live)?;
    let copy = volume.join("copy");
    for (word, damage) in DAMAGES {
        snapshot::branch(&live, &copy)?;
        let found = differences(&tree, &Tree::read(&copy)?, RULES);
        ensure!(found.is_empty(), "differences without cause: {found:?}");
        damage(&copy)?;
        let found = differences(&tree, &Tree::read(&copy)?, RULES);
        ensure!(found.iter().any(|line| line.contains(word)), "{word} is not seen: {found:?}");
        snapshot::delete(&copy)?;
    }
    Ok(())
}

#[test]
fn a_panicking_test_leaves_nothing_in_its_sandbox() -> Result<()> {
    let path = thread::spawn(|| -> Result<PathBuf> {
        let sandbox = Sandbox::new()?;
        let path = sandbox.path().to_path_buf();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| -> Result<()> {
            let volume = sandbox.plain_volume("volume")?;
            fs::write(volume.join("file"), "x")?;
            // The way of a failed assertion, without its noise.
            std::panic::resume_unwind(Box::new("as a failing test does"));
        }));
        ensure!(panicked.is_err(), "did not panic");
        ensure!(
            !fs::read_to_string("/proc/thread-self/mounts")?.contains(&path.display().to_string()),
            "still mounted"
        );
        Ok(path)
    })
    .join()
    .map_err(|_panic| anyhow::anyhow!("the thread died"))??;
    ensure!(!path.exists(), "{} is still there", path.display());
    Ok(())
}

/// As a script does that believes the number to be its own still.
fn another_detaches(node: &Path) -> Result<()> {
    run(Command::new("losetup").arg("--detach").arg(node), TIMEOUT).map(drop)
}

/// An image, and a directory to mount it at.
fn image_with_btrfs(sandbox: &Sandbox) -> Result<(PathBuf, PathBuf)> {
    let (image, at) = (sandbox.join("image"), sandbox.join("at"));
    File::create(&image)?.set_len(256 << 20)?;
    run(Command::new("mkfs.btrfs").arg("-q").arg(&image), TIMEOUT)?.success()?;
    fs::create_dir(&at)?;
    Ok((image, at))
}

#[test]
fn a_detached_loop_device_stays_until_drop() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (image, at) = image_with_btrfs(&sandbox)?;
    let device = Loop::attach(&image)?;
    another_detaches(device.path())?;
    // Without what keeps it: "can't read superblock on /dev/loop16".
    mount(device.path(), &at, "")?;
    another_detaches(device.path())?;
    unmount(&at)?;
    mount(device.path(), &at, "")?;
    unmount(&at)?;
    device.detach(&image)?;
    // The same for a disk: its device goes when the test drops it.
    let disk = Disk::attach(&image)?;
    let node = Path::new("/dev").join(disk.name());
    another_detaches(&node)?;
    ensure!(fs::read(&node)?.len() == 256 << 20, "it is gone");
    Ok(())
}

#[test]
fn leftovers_of_tests_are_reported_and_removed() -> Result<()> {
    let (sandbox, script) = (Sandbox::new()?, shipped("tests/leftovers"));
    let theirs = Loop::attach(&{
        let image = sandbox.join("theirs");
        File::create(&image)?.set_len(1 << 20)?;
        image
    })?;
    let leave = "truncate -s 1M $BUTTERDOCK_SHM/image; losetup --find $BUTTERDOCK_SHM/image; mkdir $TMPDIR/at; \
                 mount -t tmpfs none $TMPDIR/at; sleep 1000 & echo $BUTTERDOCK_RUN";
    let told = run(Command::new(&script).args(["sh", "-c", leave]), TIMEOUT)?;
    ensure!(told.code() == 1, "{} {}", told.code(), told.err());
    for what in ["process ", "mount ", "loop /dev/loop", "folder "] {
        ensure!(told.err().lines().any(|line| line.starts_with(what)), "{what}: {}", told.err());
    }
    let number = told.out().trim().to_owned();
    ensure!(!number.is_empty() && !told.err().contains(&theirs.name()), "{number} {}", told.err());
    let loops = run(&mut Command::new("losetup"), TIMEOUT)?.success()?.out();
    ensure!(!loops.contains(&number) && !Path::new(&format!("/dev/shm/butterdock-run-{number}")).exists(), "{loops}");
    ensure!(fs::read(theirs.path())?.len() == 1 << 20, "another's is gone");
    // One that leaves nothing ends as its command does.
    ensure!(run(Command::new(&script).arg("true"), TIMEOUT)?.code() == 0);
    ensure!(run(Command::new(&script).args(["sh", "-c", "exit 7"]), TIMEOUT)?.code() == 7);
    Ok(())
}

#[test]
fn a_loop_device_has_no_partitions_of_an_earlier_user() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let image = sandbox.join("parted.img");
    File::create(&image)?.set_len(8 << 20)?;
    let number = LoopNumber::reserve(97)?;
    let parts = |name: &str| -> Result<usize> {
        let entries = fs::read_dir(Path::new("/sys/class/block").join(name))?.collect::<Result<Vec<_>, _>>()?;
        Ok(entries.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with(name)).count())
    };
    let first = number.attach(&image)?;
    run(Command::new("addpart").arg(first.path()).args(["1", "2048", "4096"]), TIMEOUT)?.success()?;
    ensure!(parts(&first.name())? == 1);
    let name = first.name();
    first.detach(&image)?;
    ensure!(parts(&name)? == 1, "this kernel removes the partition: nothing is tested");
    let again = number.attach(&image)?;
    ensure!(parts(&again.name())? == 0, "a partition is left");
    Ok(())
}

#[test]
fn a_device_that_is_busy_for_a_moment_is_mounted_after_it() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (image, at) = image_with_btrfs(&sandbox)?;
    let device = Loop::attach(&image)?;
    let exclusive = i32::try_from(OFlags::EXCL.bits())?;
    let held = OpenOptions::new().read(true).custom_flags(exclusive).open(device.path())?;
    let refused = run(Command::new("mount").arg(device.path()).arg(&at), TIMEOUT)?;
    ensure!(refused.err().contains("already mounted or mount point busy"), "{}", refused.err());
    thread::scope(|scope| {
        let mounted = scope.spawn(|| mount(device.path(), &at, ""));
        drop(held);
        mounted.join().expect("it does not panic")
    })?;
    unmount(&at)
}
