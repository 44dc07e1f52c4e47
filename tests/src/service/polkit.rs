//! The real polkitd, with rules of the test's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Bus, Client, shipped};
use crate::rig::{PATIENCE, Rig, Running, start};

/// What an administrator's rules say about the service's actions.
#[derive(Debug, Clone)]
pub enum Rules {
    /// Nothing: the shipped defaults hold.
    None,
    /// No to everybody.
    Deny,
    /// Yes to everybody.
    Allow,
    /// Yes to these actions (the last word of their ids), no to the others.
    Only(Vec<&'static str>),
    /// A body in JavaScript of a rule's function of `action` and `subject`.
    Script(String),
}

/// polkitd on the test's bus. Ends when dropped.
#[derive(Debug)]
pub struct Polkit {
    running: Option<Running>,
    mounts: Vec<PathBuf>,
}

/// Where polkitd looks for actions.
const ACTIONS: &str = "/usr/share/polkit-1/actions";
/// Where it looks for rules; not every version in all of them.
const RULES: [&str; 4] = [
    "/etc/polkit-1/rules.d",
    "/run/polkit-1/rules.d",
    "/usr/local/share/polkit-1/rules.d",
    "/usr/share/polkit-1/rules.d",
];
/// Where Debian and others keep the program.
const PROGRAMS: [&str; 3] = ["/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd", "/usr/libexec/polkit-1/polkitd"];
const NAME: &str = "org.freedesktop.PolicyKit1";

impl Polkit {
    /// Starts it, and waits until it answers. The system's own actions and rules are covered by the test's, in the mount
    /// namespace that the rig has made, so nothing of the machine changes.
    ///
    /// # Errors
    /// When polkitd is not installed or does not start.
    pub fn start(rig: &Rig, bus: &Bus, rules: &Rules) -> Result<Self> {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
        let program = program.context("polkitd is missing: install the package polkitd")?;
        let mut polkit = Self { running: None, mounts: Vec::new() };
        let actions = folder(rig, "actions")?;
        let name = "org.butterdock.Butterdock1.policy";
        readable(&actions.join(name), &fs::read_to_string(shipped("dbus/data").join(name))?)?;
        let folder = folder(rig, "rules")?;
        readable(&folder.join("10-test.rules"), &rules.text())?;
        polkit.cover(&actions, Path::new(ACTIONS))?;
        for place in RULES.map(Path::new).into_iter().filter(|place| place.exists()) {
            polkit.cover(&folder, place)?;
        }
        // The thread of the test may end without any Drop.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", program, "--no-debug"])
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
            .stdin(Stdio::null());
        let mut running = start(&mut command)?;
        let client = Client::connect(bus.address())?;
        let began = Instant::now();
        while !client.has_owner(NAME)? {
            if running.has_ended()? || began.elapsed() > PATIENCE {
                bail!("polkitd does not start: {}", running.finish(Duration::ZERO)?.err());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        polkit.running = Some(running);
        Ok(polkit)
    }

    fn cover(&mut self, with: &Path, place: &Path) -> Result<()> {
        mount(Some(with), place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("covering {}", place.display()))?;
        self.mounts.push(place.to_path_buf());
        Ok(())
    }
}

impl Drop for Polkit {
    fn drop(&mut self) {
        drop(self.running.take());
        for place in self.mounts.iter().rev() {
            // It ends with the namespace at the latest.
            umount2(place, MntFlags::MNT_DETACH).ok();
        }
    }
}

impl Rules {
    fn text(&self) -> String {
        let body = match self {
            Self::None => return String::new(),
            Self::Deny => "return polkit.Result.NO;".to_owned(),
            Self::Allow => "return polkit.Result.YES;".to_owned(),
            Self::Only(words) => {
                format!("return {words:?}.indexOf(word) >= 0 ? polkit.Result.YES : polkit.Result.NO;")
            }
            Self::Script(body) => body.clone(),
        };
        format!(
            "polkit.addRule(function(action, subject) {{\n\
             \x20   if (action.id.indexOf(\"org.butterdock.\") != 0) return polkit.Result.NOT_HANDLED;\n\
             \x20   var word = action.id.split(\".\").pop();\n    {body}\n}});\n"
        )
    }
}

/// A folder that polkitd, which is not root, can read.
fn folder(rig: &Rig, name: &str) -> Result<PathBuf> {
    let path = rig.join(name);
    fs::create_dir_all(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn readable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o644))?)
}
