//! The messages to the service manager (`sd_notify(3)`), received by the test.

use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::{Daemon, Service, TIMEOUT};

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
