//! What disks say of themselves: a fake udisks2 knows it.

use std::sync::mpsc::channel;
use std::thread::spawn;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Scenario, ShownDrive, TIMEOUT, butterdock, run};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zbus::fdo::ObjectManager;
use zbus::{Connection, OwnedObjectPath, interface};

const UDISKS: &str = "org.freedesktop.UDisks2";
const ROOT: &str = "/org/freedesktop/UDisks2";
const DRIVE: &str = "/org/freedesktop/UDisks2/drives/one";

struct Block(String);

#[interface(name = "org.freedesktop.UDisks2.Block")]
impl Block {
    #[zbus(property)]
    fn device(&self) -> Vec<u8> {
        format!("/dev/{}\0", self.0).into_bytes()
    }

    #[zbus(property)]
    fn drive(&self) -> zbus::fdo::Result<OwnedObjectPath> {
        OwnedObjectPath::try_from(DRIVE).map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
    }
}

struct Drive;

#[interface(name = "org.freedesktop.UDisks2.Drive")]
impl Drive {
    #[zbus(property)]
    fn serial(&self) -> String {
        String::new()
    }
}

struct Ata {
    is_failing: bool,
}

#[interface(name = "org.freedesktop.UDisks2.Drive.Ata")]
impl Ata {
    #[zbus(property)]
    fn smart_updated(&self) -> u64 {
        7
    }

    #[zbus(property)]
    fn smart_failing(&self) -> bool {
        self.is_failing
    }
}

/// Plays udisks with this disk, until the sender is dropped; what is sent is what the disk says.
fn play(address: &str, disk: &str) -> Result<UnboundedSender<bool>> {
    let (address, disk) = (address.to_owned(), disk.to_owned());
    let (says, mut said) = unbounded_channel();
    let (ready, is_ready) = channel();
    spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let bus = serve(&address, disk).await?;
            ready.send(())?;
            while let Some(is_failing) = said.recv().await {
                let ata = bus.object_server().interface::<_, Ata>(DRIVE).await?;
                ata.get_mut().await.is_failing = is_failing;
                ata.get().await.smart_failing_changed(ata.signal_emitter()).await?;
            }
            anyhow::Ok(())
        })
    });
    is_ready.recv().context("udisks is not played")?;
    Ok(says)
}

async fn serve(address: &str, disk: String) -> zbus::Result<Connection> {
    let builder = zbus::connection::Builder::address(address);
    let builder = builder.serve_at(ROOT, ObjectManager).serve_at(format!("{ROOT}/block_devices/{disk}"), Block(disk));
    builder.serve_at(DRIVE, Drive).serve_at(DRIVE, Ata { is_failing: false }).name(UDISKS).build().await
}

#[test]
fn a_disk_that_says_it_is_failing_is_a_problem() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    let started = scenario.fixture.sandbox.join("started");
    let exec = format!("/usr/bin/touch {}", started.display());
    scenario.fixture.bus.activate(UDISKS, &format!("[D-BUS Service]\nName={UDISKS}\nExec={exec}\nUser=root\n"))?;
    let bus = &scenario.fixture.bus;
    let drive = scenario.fixture.one("enrolled", |is| is.enrolled)?;
    ensure!(drive.properties.health.smart_failing.is_none(), "{drive:?}");

    let says = play(&bus.address(), &drive.properties.disk)?;
    let is_failing = |is: &ShownDrive| is.problems.iter().any(|problem| problem.code == "drive-failing");
    scenario.fixture.one("good", |is| is.health.smart_failing == Some(false) && !is_failing(is))?;
    says.send(true)?;
    scenario.fixture.one("failing", |is| is.health.smart_failing == Some(true) && is_failing(is))?;
    let mut command = std::process::Command::new(butterdock()?);
    let listed = run(command.arg("drives").env("BUTTERDOCK_BUS_ADDRESS", bus.address()), TIMEOUT)?.success()?;
    ensure!(listed.err().contains("the drive says that it is failing (SMART)"), "{listed:?}");
    says.send(false)?;
    scenario.fixture.one("good again", |is| is.health.smart_failing == Some(false) && !is_failing(is))?;

    drop(says);
    scenario.fixture.one("unknown again", |is| is.health.smart_failing.is_none() && !is_failing(is))?;
    ensure!(!started.exists(), "udisks was started");
    Ok(())
}
