//! A screen of the test, and the notification servers of desktops on it.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Running, Sandbox, TIMEOUT, Wait, as_nobody, run, start};

use crate::desktop::Desktop;

/// Where the pictures of the messages are; `make desktop-test` names it.
const PICTURES: &str = "BUTTERDOCK_PICTURES";

/// The user of the Wayland compositor.
const NOBODY: u32 = 65534;

/// Where Debian has the servers of Xfce.
const XFCE: &str = "/usr/lib/x86_64-linux-gnu/xfce4";

/// A notification server that people use, or what screen readers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Dunst,
    Xfce,
    /// On Wayland.
    Mako,
    /// The bus of AT-SPI: no notifications.
    Accessibility,
}

/// A screen with a notification server. The fields are in the order in which they have to end.
#[derive(Debug)]
pub(crate) struct Screen {
    servers: Vec<Running>,
    _display: Running,
    /// Of the display, for programs on it.
    name: String,
    session: String,
    /// Where programs find the icons of the package.
    data: PathBuf,
    home: PathBuf,
    server: Server,
}

impl Screen {
    /// Shows what the server is asked to show in this session.
    pub(crate) fn new(sandbox: &Sandbox, desktop: &Desktop, server: Server) -> Result<Self> {
        let (data, home) = (sandbox.join("data"), sandbox.join("home"));
        install_icons(&data)?;
        fs::create_dir_all(&home)?;
        // Pictures of a dialog stay the same.
        fs::write(home.join(".gtkrc-2.0"), "gtk-cursor-blink = 0\n")?;
        let (display, name) = match server {
            Server::Dunst | Server::Xfce => start_xvfb("640x480x24")?,
            Server::Accessibility => start_xvfb("720x720x24")?,
            Server::Mako => start_sway(sandbox, &home)?,
        };
        let mut screen =
            Self { servers: Vec::new(), _display: display, name, session: desktop.address(), data, home, server };
        let icons = format!("--icon-path={}", screen.data.join("icons/hicolor").display());
        let xfce = |program: &str| format!("{XFCE}/{program}");
        let (notifications, settings) = ("org.freedesktop.Notifications", "org.xfce.Xfconf");
        let servers = match server {
            Server::Dunst => vec![(vec!["dunst".to_owned()], notifications)],
            Server::Xfce => {
                vec![(vec![xfce("xfconf/xfconfd")], settings), (vec![xfce("notifyd/xfce4-notifyd")], notifications)]
            }
            Server::Mako => vec![(vec!["mako".to_owned(), icons], notifications)],
            // In a PID namespace: the bus that it starts ends with it.
            Server::Accessibility => {
                let launcher = ["unshare", "--pid", "--fork", "--kill-child", "/usr/libexec/at-spi-bus-launcher"];
                vec![(launcher.map(str::to_owned).to_vec(), "org.a11y.Bus")]
            }
        };
        if server != Server::Mako {
            screen.command("xsetroot", &["-solid", "#7a8a99"])?;
        }
        for (program, name) in servers {
            let mut command = Command::new("/usr/bin/setpriv");
            let mut running = screen.start(command.args(["--pdeathsig", "KILL"]).args(&program))?;
            let mut wait = Wait::new(&format!("{} has its name", program.concat()));
            while !desktop.client.has_owner(name)? {
                ensure!(!running.has_ended()?, "{} ended: {}", program.concat(), running.err_so_far());
                wait.pause(&running.err_so_far())?;
            }
            screen.servers.push(running);
        }
        Ok(screen)
    }

    fn start(&self, command: &mut Command) -> Result<Running> {
        let command = self.environment(command);
        // sway does not run as root, and no other user may show something there.
        if self.server == Server::Mako { start(&mut as_nobody(command)) } else { start(command) }
    }

    /// Starts the keyring of GNOME, unlocked.
    pub(crate) fn start_keyring(&mut self, desktop: &Desktop) -> Result<()> {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "gnome-keyring-daemon",
            "--foreground",
            "--unlock",
            "--components=secrets",
        ]);
        let mut keyring = start(self.environment(&mut command).stdin(Stdio::piped()))?;
        keyring.input()?.write_all(b"of the keyring")?;
        let mut wait = Wait::new("the keyring has its name");
        while !desktop.client.has_owner("org.freedesktop.secrets")? {
            ensure!(!keyring.has_ended()?, "the keyring ended: {}", keyring.err_so_far());
            wait.pause(&keyring.err_so_far())?;
        }
        self.servers.push(keyring);
        Ok(())
    }

    /// Runs a program on the screen, and returns what it prints.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Result<String> {
        Ok(self.start(Command::new(program).args(arguments))?.finish(TIMEOUT)?.success()?.out())
    }

    /// Waits until a picture of the screen stays the same and has a message, and keeps it as `name`.
    pub(crate) fn keep_picture(&self, name: &str) -> Result<PathBuf> {
        let folder = std::env::var_os(PICTURES).map_or_else(|| self.home.clone(), PathBuf::from);
        fs::create_dir_all(&folder)?;
        let server = match self.server {
            Server::Dunst => "dunst",
            Server::Xfce => "xfce",
            Server::Mako => "mako",
            Server::Accessibility => "gtk",
        };
        let file = folder.join(format!("{name}-{server}.png"));
        let mut wait = Wait::new(&format!("{name} is shown"));
        let (mut last, mut same) = (Vec::new(), 0);
        while same < 3 {
            self.take_picture(&file)?;
            let now = fs::read(&file)?;
            // A screen without a message is trimmed to a point.
            let is_empty = width_of(&now).is_none_or(|width| width < 100);
            same = if now == last && !is_empty { same + 1 } else { 0 };
            last = now;
            wait.pause(&format!("{} bytes", last.len()))?;
        }
        Ok(file)
    }

    /// The part of the screen that is not empty.
    fn take_picture(&self, file: &Path) -> Result<()> {
        let path = |file: &Path| Ok::<_, anyhow::Error>(file.to_str().context("a path in UTF-8")?.to_owned());
        if self.server == Server::Mako {
            let whole = path(&self.home.join("screen.png"))?;
            self.command("grim", &[&whole])?;
            let mut trim = Command::new("convert");
            // Without the time: two pictures of the same are the same.
            run(trim.args([&whole, "-trim", "+repage", "-strip", &path(file)?]), TIMEOUT)?.success().map(drop)
        } else {
            self.command("import", &["-window", "root", "-trim", "+repage", &path(file)?]).map(drop)
        }
    }

    /// The environment of programs on the screen.
    pub(crate) fn environment<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let (used, unused) = match self.server {
            Server::Dunst | Server::Xfce | Server::Accessibility => ("DISPLAY", "WAYLAND_DISPLAY"),
            Server::Mako => ("WAYLAND_DISPLAY", "DISPLAY"),
        };
        command.env(used, &self.name).env_remove(unused);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.session).env("HOME", &self.home);
        command.env("XDG_DATA_DIRS", format!("{}:/usr/share", self.data.display()));
        command.env("XDG_RUNTIME_DIR", &self.home).env("XDG_CONFIG_HOME", self.home.join("config"));
        command.stdin(Stdio::null())
    }
}

fn start_xvfb(size: &str) -> Result<(Running, String)> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "Xvfb", "-displayfd", "2", "-screen", "0", size, "-nolisten", "tcp"]);
    let mut display = start(command.stdin(Stdio::null()))?;
    let mut wait = Wait::new("the screen has a number");
    loop {
        let said = display.err_so_far();
        if let Some(number) = said.lines().find(|line| line.parse::<u32>().is_ok()).filter(|_| said.ends_with('\n')) {
            return Ok((display, format!(":{number}")));
        }
        ensure!(!display.has_ended()?, "Xvfb ended: {said}");
        wait.pause(&said)?;
    }
}

/// A Wayland compositor without hardware, which is not to be root.
fn start_sway(sandbox: &Sandbox, home: &Path) -> Result<(Running, String)> {
    // The user has to reach the home in it.
    fs::set_permissions(sandbox.path(), Permissions::from_mode(0o711))?;
    let configuration = home.join("sway.conf");
    let output = "output * resolution 640x480\noutput * background #7a8a99 solid_color\nxwayland disable\n";
    fs::write(&configuration, output)?;
    chown(home, Some(NOBODY), Some(NOBODY))?;
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "sway", "--config"]).arg(configuration);
    command.env("XDG_RUNTIME_DIR", home).env("HOME", home).env("WLR_LIBINPUT_NO_DEVICES", "1");
    command.env("WLR_BACKENDS", "headless").env("WLR_RENDERER", "pixman").env("DISPLAY", "");
    let mut sway = start(&mut as_nobody(&command))?;
    let name = "wayland-1";
    let mut wait = Wait::new("sway has its socket");
    while !home.join(name).exists() {
        ensure!(!sway.has_ended()?, "sway ended: {}", sway.err_so_far());
        wait.pause(&sway.err_so_far())?;
    }
    Ok((sway, name.to_owned()))
}

/// The width of a picture in PNG: the first number of its first chunk.
fn width_of(png: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(png.get(16..20)?.try_into().ok()?))
}

/// The icons as the package installs them.
fn install_icons(data: &Path) -> Result<()> {
    let source = butterdock_tests::shipped("desktop/data/icons");
    for file in fs::read_dir(&source).with_context(|| format!("{}", source.display()))? {
        let file = file?;
        let name = file.file_name();
        let is_symbolic = name.to_string_lossy().contains("-symbolic");
        let folder = data.join("icons/hicolor").join(if is_symbolic { "symbolic/apps" } else { "scalable/apps" });
        fs::create_dir_all(&folder)?;
        fs::copy(file.path(), folder.join(name))?;
    }
    fs::copy("/usr/share/icons/hicolor/index.theme", data.join("icons/hicolor/index.theme"))
        .context("a package hicolor-icon-theme")?;
    Ok(())
}
