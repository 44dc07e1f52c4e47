//! The folder for snapshots, also where its owner exchanges it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::{Child, Command};

use butterdock_fixtures::{Sandbox, Volume};

use super::*;

const USER: u32 = 1000;

struct Fixture {
    volume: Volume,
    /// Declared last, so that the sandbox goes last.
    sandbox: Sandbox,
}

impl Fixture {
    /// A volume with the source `home`, a user's subvolume, and root's folder `theirs` beside it.
    fn new() -> Self {
        let sandbox = Sandbox::new().expect("a sandbox");
        let volume = sandbox.volume("source", &Default::default()).expect("a volume");
        butterdock_fixtures::snapshot::create(&volume.join("home")).expect("a subvolume");
        chown(volume.join("home"), Some(USER), Some(USER)).expect("given to the user");
        fs::create_dir(volume.join("theirs")).expect("made");
        Self { volume, sandbox }
    }

    fn open(&self, snapshots: &str) -> Result<OwnedFd, Unfit> {
        let source = self.volume.join("home");
        open(File::open(&source).expect("opened").as_fd(), &source, &self.volume.join(snapshots))
    }

    fn refusal(&self, snapshots: &str) -> String {
        self.open(snapshots).expect_err("refused").to_string()
    }
}

#[test]
fn privileged_a_link_in_place_of_the_folder_leads_nowhere() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.volume.join(name);
    symlink(at("theirs"), at("home/.butterdock")).expect("linked");
    assert!(fixture.refusal("home/.butterdock").contains("symbolic link"));
    symlink(at("theirs"), at("home/on-the-way")).expect("linked");
    assert!(fixture.refusal("home/on-the-way/snapshots").contains("symbolic link"));
    assert_eq!(fs::read_dir(at("theirs")).expect("read").count(), 0);
    // A link beside the source that belongs to root is allowed.
    symlink(at("theirs"), at("link")).expect("linked");
    fixture.open("link/snapshots").expect("made");
    assert!(at("theirs/snapshots").is_dir());
}

#[test]
fn privileged_a_link_to_a_directory_of_the_system_is_not_followed() {
    let fixture = Fixture::new();
    // A subvolume that root received may bring such a link after the path was set.
    symlink("/usr", fixture.volume.join("link")).expect("linked");
    for snapshots in ["link/butterdock-snapshots", "link/share/butterdock-snapshots"] {
        let refusal = fixture.refusal(snapshots);
        assert!(refusal.contains("leads to a directory of the system"), "{refusal}");
    }
}

#[test]
fn privileged_a_mount_that_shows_programs_is_not_used() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.volume.join(name);
    let ran = |command: &mut Command| assert!(command.status().expect("ran").success(), "{command:?}");
    let bind = |from: &Path, to: &Path| ran(Command::new("mount").arg("--bind").arg(from).arg(to));
    fs::create_dir_all(at("programs/units")).expect("made");
    fs::create_dir(at("shown")).expect("made");
    fixture.open("shown/before").expect("data");
    bind(&at("programs"), Path::new("/opt"));
    bind(&at("programs/units"), &at("shown"));
    let refusal = fixture.refusal("shown/snapshots");
    assert!(refusal.contains("leads to a directory of the system"), "{refusal}");
    assert_eq!(fs::read_dir(at("programs/units")).expect("read").count(), 0);
    ran(Command::new("umount").arg(at("shown")).arg("/opt"));
    fixture.open("shown/snapshots").expect("data again");
}

#[test]
fn privileged_a_folder_on_another_filesystem_is_refused_before_it_is_made() {
    let fixture = Fixture::new();
    let other = fixture.sandbox.volume("other", &Default::default()).expect("a volume");
    let (source, place) = (fixture.volume.join("home"), other.join("snapshots"));
    let root = File::open(&source).expect("opened");
    let refusal = |snapshots: &Path| open(root.as_fd(), &source, snapshots).expect_err("refused").to_string();
    let text = refusal(&place);
    assert!(text.contains("on another filesystem than the source") && !place.exists(), "{text}");
    fs::create_dir(&place).expect("made");
    let found = existing(root.as_fd(), &source, &place);
    assert!(matches!(found, Err(Unfit::Filesystem)), "{found:?}");
    let text = refusal(Path::new("/proc/snapshots"));
    assert!(text.contains("on another filesystem"), "{text}");
    // Mounted on the folder itself.
    fixture.open("snapshots").expect("made");
    let mounted = Command::new("mount").arg("--bind").arg(&place).arg(fixture.volume.join("snapshots")).status();
    assert!(mounted.expect("ran").success());
    assert!(fixture.refusal("snapshots").contains("on another filesystem"));
    let unmounted = Command::new("umount").arg(fixture.volume.join("snapshots")).status();
    assert!(unmounted.expect("ran").success());
}

#[test]
fn privileged_a_folder_writable_by_others_is_refused() {
    let fixture = Fixture::new();
    let folder = fixture.volume.join("home/.butterdock");
    fs::create_dir(&folder).expect("made");
    chown(&folder, Some(USER), Some(USER)).expect("given to the user");
    assert!(fixture.refusal("home/.butterdock").contains("chown root:root and chmod go-w"));
    chown(&folder, Some(0), Some(0)).expect("taken back");
    fixture.open("home/.butterdock").expect("root's");
    for mode in [0o775, 0o757] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("set");
        assert!(fixture.refusal("home/.butterdock").contains("can write to it"), "{mode:o}");
    }
}

#[test]
fn privileged_a_rolled_back_source_gets_a_new_folder() {
    let fixture = Fixture::new();
    fixture.open("home/.butterdock").expect("made");
    let (source, old) = (fixture.volume.join("home"), fixture.volume.join("home.old"));
    fs::rename(&source, &old).expect("renamed");
    butterdock_fixtures::snapshot::branch(&old, &source).expect("a snapshot");
    let folder = File::from(fixture.open("home/.butterdock").expect("made in its place"));
    let facts = folder.metadata().expect("facts");
    assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.ino()), (0o700, 0, 256));
    assert!(old.join(".butterdock").metadata().expect("the old one stays").ino() == 256);
    fs::create_dir(source.join(".butterdock/something")).expect("it can be used");
}

#[test]
fn privileged_a_folder_elsewhere_lies_where_root_alone_can_write() {
    let fixture = Fixture::new();
    let users = fixture.volume.join("users");
    fs::create_dir_all(users.join("roots")).expect("made");
    fixture.open("users/roots/snapshots").expect("made");
    chown(&users, Some(USER), Some(USER)).expect("given to the user");
    assert!(fixture.refusal("users/roots/snapshots").contains("on its path"));
    assert!(fixture.refusal("users/snapshots").contains("on its path"));
}

#[test]
fn privileged_a_new_folder_is_private_despite_default_acls() {
    let fixture = Fixture::new();
    let source = fixture.volume.join("home");
    let given = Command::new("setfacl").args(["-d", "-m", "u:1000:rwx"]).arg(&source).status().expect("setfacl");
    assert!(given.success());
    let folder = fixture.open("home/.butterdock").expect("made");
    let facts = File::from(folder.try_clone().expect("a copy")).metadata().expect("facts");
    assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.ino()), (0o700, 0, 256));
    assert_eq!(xattr::get(&folder, c"system.posix_acl_access", &mut [0; 256]), Ok(None));
    assert_eq!(fs::read_dir(&source).expect("read").count(), 1, "nothing unfinished is left");
}

/// The owner of the source, who exchanges what is in it as fast as he can. Killed when dropped.
struct Owner(Child);

impl Owner {
    fn new(source: &Path, script: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            "1000",
            "--regid",
            "1000",
            "--clear-groups",
            "--pdeathsig",
            "KILL",
            "sh",
            "-c",
            script,
        ]);
        Self(command.current_dir(source).spawn().expect("started"))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It may have ended.
        best_effort(self.0.kill());
        best_effort(self.0.wait());
    }
}

#[test]
fn privileged_an_owner_who_exchanges_the_folder_gains_nothing() {
    let fixture = Fixture::new();
    let (source, theirs) = (fixture.volume.join("home"), fixture.volume.join("theirs"));
    let script = format!(
        "mkdir own; ln -s {} link; while :; do for name in .butterdock*; do mv -T $name gone 2>/dev/null; done; \
         mv -T link .butterdock; mv -T .butterdock link; mv -T own .butterdock; mv -T .butterdock own; rmdir gone; done \
         2>/dev/null",
        theirs.display()
    );
    let owner = Owner::new(&source, &script);
    let (mut opened, mut refused) = (0, 0);
    while opened < 50 || refused < 50 {
        match fixture.open("home/.butterdock") {
            Ok(folder) => {
                opened += 1;
                let facts = File::from(folder).metadata().expect("facts");
                assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.ino()), (0o700, 0, 256));
            }
            Err(_why) => refused += 1,
        }
    }
    drop(owner);
    assert_eq!(fs::read_dir(&theirs).expect("read").count(), 0);
    assert_eq!(theirs.metadata().expect("facts").mode() & 0o7777, 0o755);
}

#[test]
fn privileged_two_jobs_can_create_the_snapshots_folder() {
    let fixture = Fixture::new();
    for round in 0..20 {
        let folder = format!("home/snapshots-{round}");
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    start.wait();
                    fixture.open(&folder).expect("opened");
                });
            }
        });
    }
}
