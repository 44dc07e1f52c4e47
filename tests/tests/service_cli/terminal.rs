//! A progress bar on a terminal, and none without one.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use anyhow::{Result, ensure};
use butterdock_tests::{Load, Service, wait_until};
use nix::pty::{Winsize, openpty};

#[test]
fn a_terminal_gets_a_bar_that_moves() -> Result<()> {
    let fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 60, 1);
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None)?;
    let (stream, feed) = load.pipe()?;
    let mut command = fixture.butterdock(&["receive", "tank", "-"])?;
    command.env("TERM", "xterm").stdin(stream).stdout(Stdio::piped()).stderr(Stdio::from(terminal.slave));
    let program = command.spawn()?;
    // The command holds the terminal and the stream open, too.
    drop(command);
    let shown = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // A terminal that nobody holds any more ends with EIO.
        File::from(terminal.master).read_to_end(&mut shown).ok();
        shown
    });
    feed.up_to(load.bytes().len() / 2);
    wait_until("the job reads", || Ok(client.jobs()?.values().any(|job| job.bytes_received > 0)))?;
    std::thread::sleep(std::time::Duration::from_millis(800));
    feed.finish();
    let output = program.wait_with_output()?;
    let shown = shown.join().map(|shown| String::from_utf8_lossy(&shown).into_owned()).unwrap_or_default();
    ensure!(output.status.success(), "{} {shown:?}", output.status);
    ensure!(shown.contains("tank") && shown.contains("iB"), "no bar: {shown:?}");
    ensure!(shown.matches('\r').count() > 1, "a bar that does not move: {shown:?}");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!crate::steers(&out) && out.contains("durable"), "{out:?}");
    load.is_whole_in(&fixture.path("tank"))
}
