//! The desktop that mounts a drive first: the real udisksd, and udiskie in the session of an unprivileged user.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use butterdock_tests::{Client, DriveFixture, Polkit, Rules, Running, Wait, as_nobody, start};
use nix::mount::{MsFlags, mount};
use zbus::OwnedVariant;

use crate::desktop::Desktop;

/// Where Debian has the daemon of udisks, and the actions that it asks polkit about.
const UDISKSD: &str = "/usr/libexec/udisks2/udisksd";
const UDISKS_ACTIONS: &str = "org.freedesktop.UDisks2.policy";

const UDISKS: &str = "org.freedesktop.UDisks2";

/// The user of the session may do what udisks allows at a seat.
const RULE: &str = "polkit.addRule(function (action, subject) {
    if (action.id.indexOf('org.freedesktop.udisks2.') == 0 && subject.user == 'nobody') return polkit.Result.YES;
});
";

/// Where udisks mounts drives for the user of the session.
const MOUNTS: &str = "/media/nobody";

/// udisksd on the system bus, and udiskie. The fields are in the order in which they have to end.
#[derive(Debug)]
pub(crate) struct Automounter {
    udiskie: Running,
    _udisksd: Running,
    _polkit: Polkit,
}

impl Automounter {
    /// Starts them, and waits until udiskie mounts what is plugged in. polkit allows the user everything.
    pub(crate) fn start(fixture: &DriveFixture, desktop: &Desktop) -> Result<Self> {
        ensure!(Path::new(UDISKSD).exists(), "{UDISKSD} is missing: install udisks2 and udiskie");
        // In the mount namespace of the test.
        for folder in ["/media", "/var/lib/udisks2"] {
            fs::create_dir_all(folder)?;
            mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
        }
        let actions = Path::new("/usr/share/polkit-1/actions").join(UDISKS_ACTIONS);
        for (folder, name, text) in
            [("actions", UDISKS_ACTIONS, fs::read_to_string(actions)?), ("rules", "20-udisks.rules", RULE.to_owned())]
        {
            let folder = fixture.sandbox.join(folder);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(name), text)?;
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o644))?;
        }
        let polkit = Polkit::start(&fixture.sandbox, &fixture.bus, &Rules::Allow)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", UDISKSD]).env("DBUS_SYSTEM_BUS_ADDRESS", fixture.bus.address());
        let mut udisksd = start(command.stdin(Stdio::null()))?;
        let mut wait = Wait::new("udisksd has its name");
        while !fixture.client.has_owner(UDISKS)? {
            ensure!(!udisksd.has_ended()?, "udisksd ended: {}", udisksd.err_so_far());
            wait.pause(&udisksd.err_so_far())?;
        }
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL", "udiskie", "--verbose", "--automount", "--no-config", "--no-notify"]);
        command.args(["--no-tray", "--no-file-manager", "--no-password-prompt"]);
        command
            .env("DBUS_SYSTEM_BUS_ADDRESS", fixture.bus.address())
            .env("DBUS_SESSION_BUS_ADDRESS", desktop.address());
        let udiskie = start(&mut as_nobody(&command))?;
        Ok(Self { udiskie, _udisksd: udisksd, _polkit: polkit })
    }

    /// Waits until udiskie has mounted a drive at this place.
    pub(crate) fn mounts(&self, at: &Path) -> Result<()> {
        let mut wait = Wait::new(&format!("udiskie mounts {}", at.display()));
        while !self.mounted().iter().any(|mounted| mounted == at) {
            wait.pause(&self.udiskie.err_so_far())?;
        }
        Ok(())
    }

    /// Where udiskie has mounted drives so far.
    pub(crate) fn mounted(&self) -> Vec<PathBuf> {
        let log = self.udiskie.err_so_far();
        let places = log.lines().filter_map(|line| line.split_once("udiskie.mount: mounted ")?.1.split_once(" on "));
        places.map(|(_, place)| PathBuf::from(place)).collect()
    }
}

/// Waits until udisks tells desktops to ignore a device.
pub(crate) fn is_ignored(system: &Client, device: &str) -> Result<()> {
    let block = format!("/org/freedesktop/UDisks2/block_devices/{device}");
    system.until("udisks hides the device", |system| {
        let asked = ("org.freedesktop.UDisks2.Block", "HintIgnore");
        let get = ("org.freedesktop.DBus.Properties", "Get");
        // udisks may not have seen the device yet.
        let Ok(answer) = system.ask((UDISKS, &block), get, &asked) else { return Ok(false) };
        let hint: OwnedVariant = answer.body().deserialize()?;
        Ok(hint.downcast_ref::<bool>()?)
    })
}

/// Where udisks mounts a drive with this label for the user.
pub(crate) fn mount_of(label: &str) -> PathBuf {
    Path::new(MOUNTS).join(label)
}
