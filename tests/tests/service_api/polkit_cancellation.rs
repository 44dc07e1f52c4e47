//! A caller that leaves ends its polkit check: a fake polkit that never answers.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::MANAGER;
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_tests::{Service, TIMEOUT};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use tokio::runtime::{Builder as Runtime, Handle};
use zbus::message::Flags;
use zbus::{Connection, Message, OwnedVariant, connection, interface};

/// What it is asked.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Check { subject: (String, String), interactive: bool, cancellation: String },
    Cancel { cancellation: String },
}

struct Thinker {
    tell: Sender<Asked>,
}

type Subject = (String, HashMap<String, OwnedVariant>);

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Thinker {
    async fn check_authorization(
        &self,
        subject: Subject,
        _action: String,
        _details: HashMap<String, String>,
        flags: u32,
        cancellation: String,
    ) -> (bool, bool, HashMap<String, String>) {
        let (kind, details) = subject;
        let name = details.get("name").and_then(|name| String::try_from(name.clone()).ok());
        let subject = (kind, name.unwrap_or_default());
        self.tell.send(Asked::Check { subject, interactive: flags & 1 != 0, cancellation }).ok();
        std::future::pending().await
    }

    fn cancel_check_authorization(&self, cancellation: String) {
        self.tell.send(Asked::Cancel { cancellation }).ok();
    }
}

async fn thinker(address: &str) -> zbus::Result<(Connection, Receiver<Asked>)> {
    let (tell, asked) = channel();
    let polkit = connection::Builder::address(address)
        .serve_at("/org/freedesktop/PolicyKit1/Authority", Thinker { tell })
        .name("org.freedesktop.PolicyKit1")
        .build()
        .await?;
    Ok((polkit, asked))
}

/// A user who is not root: root passes without a question.
const USER: u32 = 1000;

/// [`caller`] in a thread of that user's: the bus goes by who connects.
fn caller_of_a_user(runtime: &Handle, address: &str, interactive: bool) -> Result<Connection> {
    scope(|threads| {
        let connecting = threads.spawn(|| -> Result<Connection> {
            let uid = Uid::from_raw(USER);
            set_thread_res_uid(uid, uid, uid).context("becoming another user")?;
            Ok(runtime.block_on(caller(address, interactive))?)
        });
        connecting.join().ok().context("the thread panicked")?
    })
}

/// A caller of its own connection who asks for something that is asked about, and waits for no answer.
async fn caller(address: &str, interactive: bool) -> zbus::Result<Connection> {
    let connection = connection::Builder::address(address).build().await?;
    let none = HashMap::<&str, OwnedVariant>::new();
    let mut call = Message::method_call(ROOT, "Reload").destination(BUS_NAME).interface(MANAGER);
    if interactive {
        call = call.with_flags(Flags::ALLOW_INTERACTIVE_AUTH);
    }
    connection.send(&call.build(&none)?).await?;
    Ok(connection)
}

fn in_background() -> Result<Handle> {
    let runtime = Runtime::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(handle)
}

#[test]
fn polkit_checks_the_bus_name_until_it_leaves() -> Result<()> {
    let service = Service::start()?;
    let (runtime, address) = (in_background()?, service.bus.address());
    let address = &*address;
    let (_polkit, asked) = runtime.block_on(thinker(address))?;
    for interactive in [false, true] {
        let connection = caller_of_a_user(&runtime, address, interactive)?;
        let Asked::Check { subject, interactive: may_ask, cancellation } = asked.recv_timeout(TIMEOUT)? else {
            anyhow::bail!("taken back before it was asked")
        };
        // A process id may belong to another process when polkit checks it; a name on the bus is unique.
        let name = connection.unique_name().context("a name on the bus")?.to_string();
        ensure!(subject == ("system-bus-name".to_owned(), name), "polkit is asked about {subject:?}");
        ensure!(may_ask == interactive, "polkit may ask a person: {may_ask}; the caller allows it: {interactive}");
        sleep(Duration::from_millis(100));
        ensure!(asked.try_recv().is_err(), "taken back while the caller waits");
        let others = service.client()?;
        others.get::<String>(ROOT, MANAGER, "Version").context("while polkit thinks")?;
        runtime.block_on(connection.close())?;
        ensure!(asked.recv_timeout(TIMEOUT)? == Asked::Cancel { cancellation }, "another one was taken back");
    }
    Ok(())
}
