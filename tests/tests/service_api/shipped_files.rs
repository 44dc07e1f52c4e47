//! The programs that read the installed files accept them; the messages to the service manager (`sd_notify(3)`).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_dbus::authority::ACTIONS;
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::{
    Bus, Client, Daemon, Polkit, Rules, Sandbox, Service, TIMEOUT, as_nobody, butterdockd, run, shipped,
};

#[test]
fn only_root_may_own_the_bus_name() -> Result<()> {
    let sandbox = Sandbox::new()?;
    // It does not start when it does not understand a file that it includes.
    let bus = Bus::start(sandbox.path())?;
    let mut take = Command::new("gdbus");
    take.args(["call", "--system", "--dest", "org.freedesktop.DBus", "--object-path", "/org/freedesktop/DBus"]);
    take.args(["--method", "org.freedesktop.DBus.RequestName", BUS_NAME, "4"]);
    take.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    let nobody = run(&mut as_nobody(&take), TIMEOUT)?;
    ensure!(nobody.code() != 0 && nobody.err().contains("AccessDenied"), "{}{}", nobody.out(), nobody.err());
    run(&mut take, TIMEOUT)?.success()?;
    Ok(())
}

#[test]
fn polkit_accepts_the_shipped_actions() -> Result<()> {
    let file = shipped("dbus/data/org.butterdock.Butterdock1.policy");
    let dtd = "/usr/share/polkit-1/policyconfig-1.dtd";
    run(Command::new("xmllint").args(["--noout", "--nonet", "--dtdvalid", dtd]).arg(file), TIMEOUT)?.success()?;
    let sandbox = Sandbox::new()?;
    let bus = Bus::start(sandbox.path())?;
    let _polkit = Polkit::start(&sandbox, &bus, &Rules::None)?;
    let client = Client::connect(&bus.address())?;
    let name = "org.freedesktop.PolicyKit1";
    let place = (name, "/org/freedesktop/PolicyKit1/Authority");
    let answer = client.ask(place, (&format!("{name}.Authority"), "EnumerateActions"), &"")?;
    let body = answer.body();
    let (actions,): (Vec<Action>,) = body.deserialize()?;
    let known: BTreeSet<_> =
        actions.iter().map(|action| action.0.as_str()).filter(|id| id.starts_with(BUS_NAME)).collect();
    ensure!(known == ACTIONS.iter().map(|row| row.action.id()).collect(), "{known:?}");
    Ok(())
}

/// As polkit's documentation has it: id, description, message, vendor, its address, icon, three defaults, annotations.
type Action =
    (String, String, String, String, String, String, u32, u32, u32, std::collections::HashMap<String, String>);

#[test]
fn the_bus_takes_the_shipped_activation_file() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let mut bus = Bus::start(sandbox.path())?;
    let client = Client::connect(&bus.address())?;
    bus.activate(BUS_NAME, &fs::read_to_string(shipped("dbus/data").join(format!("{BUS_NAME}.service")))?)?;
    let the_bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
    client.until("the bus lists the name", |client| {
        let answer = client.ask(the_bus, ("org.freedesktop.DBus", "ListActivatableNames"), &())?;
        let names: Vec<String> = answer.body().deserialize()?;
        Ok(names.iter().any(|name| name == BUS_NAME))
    })
}

#[test]
fn systemd_accepts_the_unit_that_activation_names() -> Result<()> {
    let unit = fs::read_to_string(shipped("daemon/data/butterdockd.service")).context("the unit")?;
    let activation = fs::read_to_string(shipped("dbus/data").join(format!("{BUS_NAME}.service")))?;
    ensure!(activation.lines().any(|line| line == "SystemdService=butterdockd.service"), "{activation}");
    ensure!(unit.lines().any(|line| line == format!("BusName={BUS_NAME}")), "{unit}");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("ExecStart")?;
    let program = start.split(' ').next().context("a program")?;
    ensure!(start == format!("{program} serve"), "{start}");
    let sandbox = Sandbox::new()?;
    let copy = sandbox.join("butterdockd.service");
    // The program is not where a package would put it.
    fs::write(&copy, unit.replace(program, butterdockd()?.to_str().context("a path in UTF-8")?))?;
    let mut verify = Command::new("systemd-analyze");
    match run(verify.args(["verify", "--man=no"]).arg(&copy), TIMEOUT) {
        Ok(done) => ensure!(done.code() == 0 && done.err().is_empty(), "{}{}", done.out(), done.err()),
        Err(error) => println!("not checked, because there is no systemd-analyze here: {error}"),
    }
    Ok(())
}

#[test]
fn the_service_takes_the_example_of_its_configuration() -> Result<()> {
    run(Command::new(butterdockd()?).arg("check-config").arg(shipped("daemon/data/butterdock.toml")), TIMEOUT)?
        .success()?;
    Ok(())
}

/// The next words.
fn hear(ear: &UnixDatagram) -> Result<String> {
    let mut words = [0; 256];
    let count = ear.recv(&mut words).context("the service manager hears no more")?;
    Ok(String::from_utf8_lossy(words.get(..count).unwrap_or_default()).into_owned())
}

#[test]
fn systemd_gets_ready_watchdog_and_stopping() -> Result<()> {
    let mut service = Service::start()?;
    service.stop()?.success()?;
    let socket = service.join("notify");
    let ear = UnixDatagram::bind(&socket)?;
    ear.set_read_timeout(Some(TIMEOUT))?;
    let (client, listening) = (service.client()?, ear.try_clone()?);
    // Looked at in the moment in which it is heard.
    let ready = std::thread::spawn(move || Ok::<_, anyhow::Error>((hear(&listening)?, client.has_owner(BUS_NAME)?)));
    let environment = [("NOTIFY_SOCKET", socket.as_os_str()), ("WATCHDOG_USEC", OsStr::new("200000"))];
    let daemon = Daemon::with(&service.bus, &service.configuration(), &environment)?;
    let ready = ready.join().map_err(|_panic| anyhow!("the listening thread panicked"))??;
    ensure!(ready == ("READY=1".to_owned(), true), "{ready:?}: the first words, and whether the name was taken then");
    for number in 0..10 {
        let words = hear(&ear)?;
        ensure!(words == "WATCHDOG=1", "sign of life {number}: {words}");
    }
    daemon.stop()?.success()?;
    ear.set_nonblocking(true)?;
    let heard: Vec<_> = std::iter::from_fn(|| hear(&ear).ok()).collect();
    let last: Vec<_> = heard.iter().filter(|words| *words != "WATCHDOG=1").collect();
    ensure!(last == ["STOPPING=1"], "after SIGTERM: {heard:?}");
    Ok(())
}
