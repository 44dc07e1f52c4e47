//! The machine, its drives, and the questions that all scenarios ask.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use butterdock_tests::guest::{Machine, Place, Stick};
use serde_json::Value;

/// How long a step in the machine may take that has nothing to wait for.
pub(crate) const STEP: Duration = Duration::from_secs(60);
/// How long a backup may take.
pub(crate) const BACKUP: Duration = Duration::from_secs(180);

/// What a scenario works with.
#[derive(Debug)]
pub(crate) struct Lab {
    place: Place,
    machine: Option<Machine>,
    /// A drive with btrfs on it.
    pub(crate) blue: Stick,
    /// A drive that is encrypted later.
    pub(crate) vault: Stick,
}

impl Lab {
    /// Boots it, and gives it something to back up.
    pub(crate) fn boot(place: Place, blue: Stick, vault: Stick) -> Result<Self> {
        let machine = place.boot()?;
        let mut lab = Self { place, machine: Some(machine), blue, vault };
        lab.sh(
            "mountpoint -q /srv/lab || mount /srv/lab
            btrfs -q subvolume create /srv/lab/home && cd /srv/lab/home || exit 1
            for i in $(seq 100); do mkdir -p d$((i % 10)); head -c 20000 /dev/urandom >d$((i % 10))/f$i; done
            head -c 12M /dev/urandom >big; seq 1 200000 >text; ln -s text link; ln text d1/hard; setfattr -n user.a -v b text
            chown ann text; truncate -s 5M hole; chmod 4750 big; sync -f .",
        )?;
        lab.configure("")?;
        Ok(lab)
    }

    /// The machine.
    pub(crate) fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().context("the machine is off")
    }

    /// Cuts its power.
    pub(crate) fn cut(&mut self) -> Result<()> {
        self.machine.take().context("the machine is off")?.cut()
    }

    /// Switches it on again.
    pub(crate) fn boot_again(&mut self) -> Result<()> {
        self.machine = Some(self.place.boot()?);
        self.sh("mountpoint -q /srv/lab || mount /srv/lab").map(drop)
    }

    /// Runs a command in it that has to succeed.
    pub(crate) fn sh(&mut self, command: &str) -> Result<String> {
        self.machine()?.console.ok(command, STEP)
    }

    /// Runs a command in it until it succeeds.
    pub(crate) fn until(&mut self, command: &str, limit: Duration) -> Result<String> {
        self.machine()?.console.until(command, limit)
    }

    /// Writes the configuration, with `drives` in its table of that name, and has it read.
    pub(crate) fn configure(&mut self, drives: &str) -> Result<()> {
        self.sh(&format!(
            "cat >/etc/butterdock/butterdock.toml <<'END'
[[backup]]
name = \"home\"
source = \"/srv/lab/home\"
drives = [\"blue\", \"vault\"]
[drives]
{drives}
END
systemctl reload-or-restart butterdockd"
        ))
        .map(drop)
    }

    /// What the command line answers in JSON.
    pub(crate) fn ask(&mut self, verb: &str) -> Result<Value> {
        let text = self.sh(&format!("butterdock --json {verb}"))?;
        serde_json::from_str(&text).with_context(|| format!("butterdock --json {verb}: {text}"))
    }

    /// The drive of that serial number, if it is shown.
    pub(crate) fn drive(&mut self, serial: &str) -> Result<Option<Value>> {
        let drives = self.ask("drives")?;
        let drives = drives.get("drives").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(drives.into_iter().find(|drive| drive.get("serial").and_then(Value::as_str) == Some(serial)))
    }

    /// Waits until that drive is in one of these states.
    pub(crate) fn state(&mut self, serial: &str, states: &[&str], limit: Duration) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let drive = self.drive(serial)?;
            if let Some(drive) = &drive
                && drive.get("state").and_then(Value::as_str).is_some_and(|state| states.contains(&state))
            {
                return Ok(drive.clone());
            }
            if begun.elapsed() > limit {
                bail!("{serial} is not {states:?} after {limit:?}: {drive:?}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The jobs that ended, the newest first.
    pub(crate) fn history(&mut self) -> Result<Vec<Value>> {
        Ok(self.ask("history")?.get("history").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Waits for a job more than `before` in the history, and gives the newest backup.
    pub(crate) fn backup_after(&mut self, before: usize, limit: Duration) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let history = self.history()?;
            if history.len() > before {
                let backup = |job: &&Value| job.get("kind").and_then(Value::as_str) == Some("backup");
                return history.iter().find(backup).cloned().context("no backup among the jobs");
            }
            ensure!(begun.elapsed() < limit, "no job ended within {limit:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a backup has begun to write.
    pub(crate) fn under_way(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let jobs = self.ask("jobs")?;
            let jobs = jobs.get("jobs").and_then(Value::as_array).cloned().unwrap_or_default();
            let runs = |job: &Value| {
                job.get("state").and_then(Value::as_str) == Some("running")
                    && job.get("bytes_received").and_then(Value::as_u64).is_some_and(|bytes| bytes > 1 << 20)
            };
            if jobs.iter().any(runs) {
                return Ok(());
            }
            ensure!(begun.elapsed() < BACKUP, "no backup is under way: {jobs:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Mounts a drive through the service, compares its newest snapshot with the source, and makes it safe again.
    pub(crate) fn same_on(&mut self, serial: &str) -> Result<()> {
        let drive = self.drive(serial)?.with_context(|| format!("{serial} is not shown"))?;
        let id = text(&drive, "id");
        // Its end is enough: how an id is written in a path is the service's affair.
        let end = id.rsplit('-').next().unwrap_or_default();
        let said = self.sh(&format!(
            "busctl call org.butterdock.Butterdock1 \
             $(busctl --list tree org.butterdock.Butterdock1 | grep -m1 'drives/.*{end}') \
             org.butterdock.Butterdock1.Drive Mount 'a{{sv}}' 0"
        ))?;
        let path = said.trim().trim_start_matches("s ").trim_matches('"').to_owned();
        self.sh(&format!(
            "cd '{path}'/butterdock/home && new=$(ls -d home.* | tail -n1) && [ -n \"$new\" ] &&
            diff -r --no-dereference --exclude=.butterdock /srv/lab/home \"$new\" &&
            [ \"$(cd /srv/lab/home; find . -name .butterdock -prune -o ! -type d -printf '%p %m %u %g %s %T@ %n\\n' | sort)\" = \
              \"$(cd \"$new\"; find . -name .butterdock -prune -o ! -type d -printf '%p %m %u %g %s %T@ %n\\n' | sort)\" ]"
        ))
        .context("what is on the drive is not what is in the source")?;
        self.whole_on(&path)?;
        self.sh(&format!("cd / && butterdock safely-remove {serial}"))?;
        Ok(())
    }

    /// Nothing below a mounted drive is half-made: what has a name is read-only and marked as received.
    pub(crate) fn whole_on(&mut self, path: &str) -> Result<()> {
        self.sh(&format!(
            "cd '{path}' || exit 1
            [ -d butterdock/home ] || exit 0
            for one in butterdock/home/*; do
                [ -e \"$one\" ] || continue
                btrfs property get -ts \"$one\" ro | grep -q true || {{ echo \"$one is writable\"; exit 1; }}
                btrfs subvolume show \"$one\" | grep -Eq 'Received UUID:[[:space:]]+[0-9a-f]' || {{ echo \"$one: not received\"; exit 1; }}
            done"
        ))
        .context("something half-made can be seen")
        .map(drop)
    }

    /// While the service is stopped: plugs a drive in, looks for anything half-made, and starts the service, which goes on
    /// then as with any drive that is there when it starts.
    pub(crate) fn plug_and_look(&mut self, stick: &Stick) -> Result<()> {
        self.sh("systemctl stop butterdockd")?;
        self.machine()?.plug(stick)?;
        self.until(&format!("readlink -e /dev/disk/by-label/{}", stick.name), STEP)?;
        self.sh(&format!("mkdir -p /mnt/look && mount -o ro /dev/disk/by-label/{} /mnt/look", stick.name))?;
        self.whole_on("/mnt/look")?;
        self.sh("umount /mnt/look && systemctl start butterdockd").map(drop)
    }

    /// What the service said lately, for who has to find out what went wrong.
    pub(crate) fn told(&mut self) -> String {
        let ask =
            "butterdock drives; butterdock history | head -n 8; journalctl -b -n 60 --no-pager -o short-monotonic";
        self.sh(ask).unwrap_or_else(|error| format!("(it says nothing any more: {error:#})"))
    }
}

/// A text in an answer; empty where there is none.
pub(crate) fn text(of: &Value, key: &str) -> String {
    of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A line for who watches.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}
