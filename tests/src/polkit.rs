//! The real polkitd with rules of the test, and a fake one that does not answer.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use zbus::{Connection, Message, MessageStream, Variant};

use crate::{Bus, Client, Running, Sandbox, TIMEOUT, shipped, start, wait_until};

/// What an administrator's rules say about the service's actions.
#[derive(Debug, Clone)]
pub enum Rules {
    /// Nothing: the shipped defaults hold.
    None,
    /// No to every caller.
    Deny,
    /// Yes to every caller.
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
    /// namespace that the sandbox has made, so nothing of the machine changes.
    ///
    /// # Errors
    /// When polkitd is not installed or does not start.
    pub fn start(sandbox: &Sandbox, bus: &Bus, rules: &Rules) -> Result<Self> {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
        let program = program.context("polkitd is missing: install the package polkitd")?;
        let mut polkit = Self { running: None, mounts: Vec::new() };
        let actions = folder(sandbox, "actions")?;
        let name = "org.butterdock.Butterdock1.policy";
        readable(&actions.join(name), &fs::read_to_string(shipped("dbus/data").join(name))?)?;
        let folder = folder(sandbox, "rules")?;
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
        let client = Client::connect(&bus.address())?;
        let began = Instant::now();
        while !client.has_owner(NAME)? {
            if running.has_ended()? || began.elapsed() > TIMEOUT {
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
fn folder(sandbox: &Sandbox, name: &str) -> Result<PathBuf> {
    let path = sandbox.join(name);
    fs::create_dir_all(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn readable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o644))?)
}

/// A fake polkit that answers a check only when the caller cancels it, like polkitd while an authentication agent waits for a
/// password.
#[derive(Debug)]
pub struct SilentPolkit {
    asked: Arc<AtomicUsize>,
    connection: Option<Connection>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SilentPolkit {
    /// Takes polkit's name on the bus at this address.
    ///
    /// # Errors
    /// Another process has it.
    pub fn start(address: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        let made = handle.block_on(async {
            let connection = zbus::connection::Builder::address(address).build().await?;
            let messages = MessageStream::from(&connection);
            connection.request_name("org.freedesktop.PolicyKit1").await?;
            Ok::<_, zbus::Error>((connection, messages))
        });
        let (connection, messages) = made?;
        let asked = Arc::new(AtomicUsize::new(0));
        handle.spawn(serve(connection.clone(), messages, Arc::clone(&asked)));
        Ok(Self { asked, connection: Some(connection), stop: Some(stop), thread: Some(thread) })
    }

    /// The number of checks so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until it has had this many checks.
    ///
    /// # Errors
    /// It does not get them.
    pub fn has_been_asked(&self, times: usize) -> Result<()> {
        wait_until("polkit has been asked", || Ok(self.asked() >= times))
    }
}

impl Drop for SilentPolkit {
    fn drop(&mut self) {
        drop(self.connection.take());
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The arguments of `CheckAuthorization`: the subject, the action, its details, flags, the cancellation id.
type Check<'m> = ((&'m str, HashMap<&'m str, Variant<'m>>), &'m str, HashMap<&'m str, &'m str>, u32, &'m str);

async fn serve(connection: Connection, mut messages: MessageStream, asked: Arc<AtomicUsize>) {
    let mut waiting: HashMap<String, Message> = HashMap::new();
    while let Some(Ok(message)) = messages.next().await {
        let (header, body) = (message.header(), message.body());
        match header.member().map(|member| member.as_str()) {
            Some("CheckAuthorization") => {
                let Ok((_, _, _, _, name)) = body.deserialize::<Check<'_>>() else { continue };
                waiting.insert(name.to_owned(), message.clone());
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Some("CancelCheckAuthorization") => {
                let name = body.deserialize::<&str>().unwrap_or_default();
                if let Some(check) = waiting.remove(name) {
                    let error = "org.freedesktop.PolicyKit1.Error.Cancelled";
                    connection.reply_error(&check.header(), error, &"cancelled").await.ok();
                }
                connection.reply(&header, &()).await.ok();
            }
            _ => {}
        }
    }
}
