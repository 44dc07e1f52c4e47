//! A connection to the bus, for code that waits for each answer.

use std::collections::HashMap;
use std::os::fd::AsFd;

use anyhow::{Context as _, Result};
use butterdock_dbus::names::interface::{JOB, MANAGER};
use butterdock_dbus::names::{BUS_NAME, ROOT};
use serde::Serialize;
use tokio::runtime::Runtime;
use zbus::{Connection, DBusError as _, DynamicType, Fd, Message, OwnedObjectPath, OwnedVariant, Variant};

use super::TANK;
use crate::rig::{PATIENCE, Patience};

/// Options of a call.
pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// No options.
#[must_use]
pub fn no_options() -> Options<'static> {
    Options::new()
}

/// The D-Bus name of an error; empty for one that did not come over the bus.
#[must_use]
pub fn error_name(error: &zbus::Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "zbus has thirty errors, and two come from the other side")]
    match error {
        zbus::Error::MethodError(name, ..) => name.to_string(),
        zbus::Error::FDO(error) => error.name().to_string(),
        _ => String::new(),
    }
}

/// A connection of the test's own user.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    // Behind the connection, whose end needs it.
    runtime: Runtime,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When there is no bus at the address, or it refuses the connection.
    pub fn connect(address: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connection = async { zbus::connection::Builder::address(address).method_timeout(PATIENCE).build().await };
        let connection = runtime.block_on(connection).context("a connection to the test's bus")?;
        Ok(Self { connection, runtime })
    }

    /// Calls a method of anybody's and waits for the answer.
    ///
    /// # Errors
    /// What the other side answers.
    pub fn ask(
        &self,
        (destination, path): (&str, &str),
        (interface, method): (&str, &str),
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<Message> {
        self.runtime.block_on(self.connection.call_method(Some(destination), path, Some(interface), method, body))
    }

    /// Calls a method of the service's.
    ///
    /// # Errors
    /// What it answers.
    pub fn call(
        &self,
        path: &str,
        method: (&str, &str),
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<Message> {
        self.ask((BUS_NAME, path), method, body)
    }

    /// Receives into [`TANK`].
    ///
    /// # Errors
    /// What the service answers.
    pub fn receive(&self, stream: impl AsFd, options: &Options<'_>) -> zbus::Result<OwnedObjectPath> {
        let body = (TANK, Fd::from(stream.as_fd()), options);
        self.call(ROOT, (MANAGER, "Receive"), &body)?.body().deserialize()
    }

    /// Reads a property.
    ///
    /// # Errors
    /// What the service answers, or when it is of another type.
    pub fn get<T>(&self, path: &str, interface: &str, property: &str) -> Result<T>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        let body = self.call(path, ("org.freedesktop.DBus.Properties", "Get"), &(interface, property))?.body();
        let value: OwnedVariant = body.deserialize()?;
        T::try_from(value).with_context(|| format!("{interface}.{property}"))
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// When it never is, or cannot be asked for.
    pub fn until(&self, what: &str, mut is: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let mut patience = Patience::new(what);
        while !is(self)? {
            patience.pause("it is not so yet")?;
        }
        Ok(())
    }

    /// Waits for a job's end and answers how it ended: the property State, then `ErrorName` without its prefix.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end_of(&self, job: &str) -> Result<(String, String)> {
        let mut patience = Patience::new(&format!("{job} has ended"));
        let state = loop {
            let state: String = self.get(job, JOB, "State")?;
            if ["succeeded", "failed", "cancelled"].contains(&state.as_str()) {
                break state;
            }
            let (received, progress): (u64, f64) =
                (self.get(job, JOB, "BytesReceived")?, self.get(job, JOB, "Progress")?);
            patience.pause(&format!("{state}, {received} bytes, {progress}"))?;
        };
        let name: String = self.get(job, JOB, "ErrorName")?;
        Ok((state, name.rsplit('.').next().unwrap_or_default().to_owned()))
    }

    /// The live introspection of an object.
    ///
    /// # Errors
    /// What the service answers.
    pub fn introspect(&self, path: &str) -> Result<String> {
        let answer = self.call(path, ("org.freedesktop.DBus.Introspectable", "Introspect"), &())?;
        Ok(answer.body().deserialize()?)
    }

    /// Whether somebody has this name on the bus.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub fn has_owner(&self, name: &str) -> Result<bool> {
        Ok(self.ask(THE_BUS, ("org.freedesktop.DBus", "NameHasOwner"), &name)?.body().deserialize()?)
    }

    /// The process that has this name.
    ///
    /// # Errors
    /// When nobody has.
    pub fn process_of(&self, name: &str) -> Result<u32> {
        Ok(self.ask(THE_BUS, ("org.freedesktop.DBus", "GetConnectionUnixProcessID"), &name)?.body().deserialize()?)
    }

    /// Sends a signal of the test's own to everybody.
    ///
    /// # Errors
    /// When the bus is gone.
    pub fn signal(&self, interface: &str, member: &str) -> Result<()> {
        let sent = self.connection.emit_signal(None::<&str>, "/", interface, member, &());
        Ok(self.runtime.block_on(sent)?)
    }
}

/// Where the bus itself is.
const THE_BUS: (&str, &str) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
