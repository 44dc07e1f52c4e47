//! Compares the man page of the interface with the running service.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::{Service, Stalled, butterdockd, introspected_objects};

#[test]
fn the_built_page_shows_every_live_member() -> Result<()> {
    let program = butterdockd()?;
    let built = program.parent().context("a folder")?.join(format!("share/man/man5/{BUS_NAME}.5"));
    let page = fs::read_to_string(&built).with_context(|| built.display().to_string())?;
    // As a reader sees it: without fonts and escapes.
    let page = page.replace(r"\fB", "").replace(r"\fI", "").replace(r"\fR", "").replace(r"\-", "-");
    let service = Service::start()?;
    let client = service.client()?;
    let _stalled = Stalled::start(&client, "sub")?;
    let mut seen = 0;
    for object in introspected_objects(&client)? {
        for interface in object.node.interfaces().iter().filter(|one| one.name().starts_with(BUS_NAME)) {
            let has = |line: &str| page.lines().any(|shown| shown == line);
            ensure!(has(&format!(".SH \"THE INTERFACE {}\"", interface.name())), "{}", interface.name());
            for method in interface.methods() {
                ensure!(page.lines().any(|line| line.starts_with(&format!("{}(", method.name()))), "{}", method.name());
            }
            for signal in interface.signals() {
                ensure!(page.lines().any(|line| line.starts_with(&format!("{}(", signal.name()))), "{}", signal.name());
            }
            for property in interface.properties() {
                let line = format!("{} {}", property.name(), property.ty());
                ensure!(has(&line), "the page lacks {line}");
                seen += 1;
            }
        }
    }
    ensure!(seen > 20, "only {seen} properties were live");
    Ok(())
}
