//! Each message by mako on Wayland: `FULL=1 make desktop-test` runs this.

use anyhow::Result;

use crate::pictures::all_messages;
use crate::screen::Server;

#[test]
fn mako_shows_each_message() -> Result<()> {
    all_messages(Server::Mako, "C.UTF-8", "")
}
