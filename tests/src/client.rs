//! A client on the bus, for code that waits for each answer.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{JOB, MANAGER, VOLUME};
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::path::{job_id, volume_path};
use butterdock_dbus::{
    Completed, Error, HistoryEntry, JobProperties, JobProxy, JobState, ManagerProxy, ReceiveOptions,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use zbus::connection::Builder;
use zbus::fdo::{ManagedObjects, ObjectManagerProxy};
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::{
    Connection, DBusError as _, DynamicType, Fd, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant,
    Variant,
};

use crate::{TANK, TIMEOUT, Wait, wait_until};

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

/// The bus itself.
const THE_BUS: (&str, &str) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");

/// A connection of the test's own user, and every `Completed` that it received.
#[derive(Debug)]
pub struct Client {
    handle: Handle,
    connection: Connection,
    completed: Arc<Mutex<Vec<(String, String)>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects, and receives signals from now on.
    ///
    /// # Errors
    /// There is no bus at the address, or it refuses the connection.
    pub fn connect(address: &str) -> Result<Self> {
        Self::serve(address, |builder| builder)
    }

    /// Connects with the objects and the names that `add` gives the connection. It gets the names when the objects answer: the
    /// object server of a connection that exists begins some time after its first object, and calls before that are lost.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect); a name is taken.
    pub fn serve<'b>(address: &'b str, add: impl FnOnce(Builder<'b>) -> Builder<'b>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        let made = handle.block_on(async {
            let connection = add(Builder::address(address).method_timeout(TIMEOUT)).build().await?;
            let rule = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender(BUS_NAME)
                .interface(JOB)
                .member("Completed")
                .build()?;
            let signals = MessageStream::for_match_rule(rule, &connection, NonZero::new(4096)).await?;
            Ok::<_, zbus::Error>((connection, signals))
        });
        let (connection, mut signals) = made.with_context(|| format!("connecting to {address}"))?;
        let completed: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let received = Arc::clone(&completed);
        handle.spawn(async move {
            while let Some(Ok(signal)) = signals.next().await {
                let path = signal.header().path().map(ToString::to_string).unwrap_or_default();
                let result =
                    Completed::from_message(signal).and_then(|signal| Some(signal.args().ok()?.result().to_string()));
                received.lock().unwrap_or_else(PoisonError::into_inner).push((path, result.unwrap_or_default()));
            }
        });
        Ok(Self { handle, connection, completed, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs a future on this client's runtime. Calls of its connection time out after [`TIMEOUT`].
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// The connection, for proxies of a test.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Calls a method of any service and waits for the answer.
    ///
    /// # Errors
    /// The error that the service answers.
    pub fn ask(
        &self,
        (destination, path): (&str, &str),
        (interface, method): (&str, &str),
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<Message> {
        self.block_on(self.connection.call_method(Some(destination), path, Some(interface), method, body))
    }

    /// Calls a method of butterdockd.
    ///
    /// # Errors
    /// The error that it answers.
    pub fn call(
        &self,
        path: &str,
        method: (&str, &str),
        body: &(impl Serialize + DynamicType),
    ) -> zbus::Result<Message> {
        self.ask((BUS_NAME, path), method, body)
    }

    /// Reads a property.
    ///
    /// # Errors
    /// The error that the service answers; the property has another type.
    pub fn get<T>(&self, path: &str, interface: &str, property: &str) -> Result<T>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        let body = self.call(path, ("org.freedesktop.DBus.Properties", "Get"), &(interface, property))?.body();
        let value: OwnedVariant = body.deserialize()?;
        T::try_from(value).with_context(|| format!("{interface}.{property}"))
    }

    /// The live introspection of an object.
    ///
    /// # Errors
    /// The error that the service answers.
    pub fn introspect(&self, path: &str) -> Result<String> {
        let answer = self.call(path, ("org.freedesktop.DBus.Introspectable", "Introspect"), &())?;
        Ok(answer.body().deserialize()?)
    }

    /// Whether a process has this name on the bus.
    ///
    /// # Errors
    /// The bus does not answer.
    pub fn has_owner(&self, name: &str) -> Result<bool> {
        Ok(self.ask(THE_BUS, ("org.freedesktop.DBus", "NameHasOwner"), &name)?.body().deserialize()?)
    }

    /// The process that has this name.
    ///
    /// # Errors
    /// No process has it.
    pub fn process_of(&self, name: &str) -> Result<u32> {
        Ok(self.ask(THE_BUS, ("org.freedesktop.DBus", "GetConnectionUnixProcessID"), &name)?.body().deserialize()?)
    }

    /// Sends SIGTERM to butterdockd and waits for its end: for a daemon that the bus started.
    ///
    /// # Errors
    /// It does not end.
    pub fn end_the_service(&self) -> Result<()> {
        let pid = Pid::from_raw(self.process_of(BUS_NAME)?.try_into()?);
        kill(pid, Signal::SIGTERM)?;
        wait_until("the service has ended", || Ok(!self.has_owner(BUS_NAME)? && kill(pid, None).is_err()))
    }

    /// Sends a signal of the test to every listener.
    ///
    /// # Errors
    /// The bus is gone.
    pub fn signal(&self, interface: &str, member: &str) -> Result<()> {
        Ok(self.block_on(self.connection.emit_signal(None::<&str>, "/", interface, member, &()))?)
    }

    /// Waits for a condition.
    ///
    /// # Errors
    /// It never is true, or cannot be checked.
    pub fn until(&self, what: &str, mut is: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        wait_until(what, || is(self))
    }

    /// Calls Receive for a volume.
    ///
    /// # Errors
    /// Why the service refused.
    pub fn try_receive(&self, volume: &str, stream: impl AsFd, options: &ReceiveOptions) -> Result<String, Error> {
        self.block_on(async {
            let manager = ManagerProxy::builder(&self.connection).cache_properties(CacheProperties::No).build().await?;
            let job = manager.receive(volume, stream.as_fd().into(), options.to_options()).await?;
            Ok(job.to_string())
        })
    }

    /// Starts a job that receives into a volume.
    ///
    /// # Errors
    /// Why the service refused.
    pub fn receive(&self, volume: &str, stream: impl AsFd) -> Result<String> {
        Ok(self.try_receive(volume, stream, &ReceiveOptions::default())?)
    }

    /// Calls Receive for [`TANK`] with options that need not be valid.
    ///
    /// # Errors
    /// The error that the service answers.
    pub fn receive_with(&self, stream: impl AsFd, options: &Options<'_>) -> zbus::Result<OwnedObjectPath> {
        let body = (TANK, Fd::from(stream.as_fd()), options);
        self.call(ROOT, (MANAGER, "Receive"), &body)?.body().deserialize()
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// Why the service refused.
    pub fn cancel(&self, job: &str) -> Result<(), Error> {
        self.block_on(async {
            let proxy = JobProxy::builder(&self.connection).path(job).cache_properties(CacheProperties::No);
            proxy.build().await?.cancel(no_options()).await
        })
    }

    /// All objects of the service with their properties.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn objects(&self) -> Result<ManagedObjects> {
        let objects =
            async { ObjectManagerProxy::new(&self.connection, BUS_NAME, ROOT).await?.get_managed_objects().await };
        Ok(self.block_on(objects)?)
    }

    /// The property Size of a volume.
    ///
    /// # Errors
    /// The service does not answer, or does not have the volume.
    pub fn size_of(&self, volume: &str) -> Result<u64> {
        self.get(&volume_path(volume), VOLUME, "Size")
    }

    /// The jobs on the bus, by path.
    ///
    /// # Errors
    /// The service does not answer, or a property has another type.
    pub fn jobs(&self) -> Result<BTreeMap<String, JobProperties>> {
        let mut jobs = BTreeMap::new();
        for (path, interfaces) in self.objects()? {
            for (_, properties) in interfaces.into_iter().filter(|(name, _)| name.as_str() == JOB) {
                let mut job = JobProperties::default();
                properties.iter().try_for_each(|(name, value)| job.set(name, value))?;
                jobs.insert(path.to_string(), job);
            }
        }
        Ok(jobs)
    }

    /// The properties of a job.
    ///
    /// # Errors
    /// The service does not have it.
    pub fn job(&self, path: &str) -> Result<JobProperties> {
        self.jobs()?.remove(path).with_context(|| format!("there is no job {path}"))
    }

    /// Waits for a condition on a job.
    ///
    /// # Errors
    /// It never is true.
    pub fn until_job(&self, path: &str, what: &str, is: impl Fn(&JobProperties) -> bool) -> Result<JobProperties> {
        let mut wait = Wait::new(&format!("the job {what}"));
        loop {
            let job = self.job(path)?;
            if is(&job) {
                return Ok(job);
            }
            wait.pause(&format!("{job:?}"))?;
        }
    }

    /// Waits for the end of a job and its one signal `Completed`.
    ///
    /// # Errors
    /// It does not end; the signal comes never, twice, or with another result.
    pub fn end(&self, path: &str) -> Result<JobProperties> {
        let job = self.until_job(path, "has ended", |job| job.state.result().is_some())?;
        wait_until("Completed comes", || Ok(!self.completions(path).is_empty()))?;
        let results = self.completions(path);
        ensure!(results == [job.state.to_string()], "the job is {}, Completed said {results:?}", job.state);
        Ok(job)
    }

    /// Waits for the end of a job, which must be in this state.
    ///
    /// # Errors
    /// It ends in another one.
    pub fn ends_as(&self, path: &str, state: &JobState) -> Result<JobProperties> {
        let job = self.end(path)?;
        ensure!(job.state == *state, "not {state}: {job:?}");
        Ok(job)
    }

    /// Waits for the end of a job; its state, then `ErrorName` without its prefix.
    ///
    /// # Errors
    /// It does not end.
    pub fn end_of(&self, path: &str) -> Result<(String, String)> {
        let job = self.until_job(path, "has ended", |job| job.state.result().is_some())?;
        Ok((job.state.to_string(), job.error_name.rsplit('.').next().unwrap_or_default().to_owned()))
    }

    /// The results that `Completed` reported of a job.
    #[must_use]
    pub fn completions(&self, path: &str) -> Vec<String> {
        let received = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter(|(of, _)| of == path).map(|(_, result)| result.clone()).collect()
    }

    /// The history.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn history(&self) -> Result<Vec<HistoryEntry>> {
        Ok(self.block_on(async {
            let manager = ManagerProxy::builder(&self.connection).cache_properties(CacheProperties::No).build().await?;
            manager.list_history(no_options()).await
        })?)
    }

    /// The one entry of a job in the history.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn history_of(&self, path: &str) -> Result<HistoryEntry> {
        let id = job_id(path).context("a job's path")?.to_string();
        let mut entries: Vec<_> = self.history()?.into_iter().filter(|entry| entry.id == id).collect();
        ensure!(entries.len() == 1, "the history has {} entries of {id}: {entries:?}", entries.len());
        entries.pop().context("one")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
