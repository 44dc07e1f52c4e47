//! Real loop devices with a real udevd.

use std::fs::File;
use std::process::Command;

use butterdock_fixtures::Udevd;
use butterdock_fixtures::{Loop, Sandbox, TIMEOUT, run};

use super::*;

/// The next event about `node` that `wanted` takes.
async fn until(monitor: &mut Monitor, wanted: impl Fn(&Event) -> bool) -> Event {
    let waiting = async {
        loop {
            let event = monitor.next().await.expect("an event");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, waiting).await.expect("in time")
}

fn holds_btrfs(event: &Event, image: &Path) -> bool {
    match event {
        Event::All(all) => all.iter().any(|facts| is_image(facts, image)),
        Event::Present(facts) => is_image(facts, image),
        Event::Gone(_) => false,
    }
}

fn is_image(facts: &BlockDevice, image: &Path) -> bool {
    facts.loop_file.as_deref() == image.to_str() && facts.btrfs().is_some() && facts.bus == super::super::Bus::Loop
}

#[tokio::test]
async fn privileged_a_loop_device_comes_and_goes_and_comes_again() {
    let sandbox = Sandbox::new().expect("root");
    let _udevd = Udevd::start(&sandbox).expect("udevd");
    let image = sandbox.join("a.img");
    File::create(&image).expect("made").set_len(256 << 20).expect("sized");
    run(Command::new("mkfs.btrfs").arg("-q").arg(&image), TIMEOUT).expect("ran").success().expect("made");
    let mut monitor = Monitor::open().expect("listening");
    let disk = Loop::attach(&image).expect("a loop device");
    let event = until(&mut monitor, |event| holds_btrfs(event, &image)).await;
    let Event::Present(facts) = event else { panic!("it came") };
    assert_eq!((facts.size, &facts.node), (256 << 20, &disk.path().to_path_buf()));
    // A new monitor reports the attached devices.
    let mut later = Monitor::open().expect("listening");
    until(&mut later, |event| holds_btrfs(event, &image)).await;
    drop(disk);
    // A loop device stays, and is empty.
    let empty = |event: &Event| match event {
        Event::Present(now) => now.syspath == facts.syspath && now.loop_file.is_none(),
        Event::Gone(path) => *path == facts.syspath,
        Event::All(_) => false,
    };
    until(&mut monitor, empty).await;
    let _again = Loop::attach(&image).expect("a loop device");
    until(&mut monitor, |event| holds_btrfs(event, &image)).await;
}
