//! A client on the bus.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::{BUS_NAME, ROOT, interface};
use butterdock_dbus::{
    Completed, Error, HistoryEntry, JobProperties, JobProxy, JobState, ManagerProxy, ReceiveOptions,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use zbus::connection::Builder;
use zbus::fdo::{DBusProxy, ManagedObjects, ObjectManagerProxy};
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, Variant};

use super::wait_until;
use crate::rig::{PATIENCE, Patience};

/// A connection, and every `Completed` that it heard.
#[derive(Debug)]
pub struct Client {
    handle: Handle,
    bus: Connection,
    completed: Arc<Mutex<Vec<(String, String)>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects, and listens from now on.
    ///
    /// # Errors
    /// When there is no bus at this address.
    pub fn connect(address: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        let made = handle.block_on(async {
            let bus = Builder::address(address).build().await?;
            let rule = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender(BUS_NAME)
                .interface(interface::JOB)
                .member("Completed")
                .build()?;
            let signals = MessageStream::for_match_rule(rule, &bus, NonZero::new(4096)).await?;
            Ok::<_, zbus::Error>((bus, signals))
        });
        let (bus, mut signals) = made.with_context(|| format!("connecting to {address}"))?;
        let completed: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let heard = Arc::clone(&completed);
        handle.spawn(async move {
            while let Some(Ok(signal)) = signals.next().await {
                let path = signal.header().path().map(ToString::to_string).unwrap_or_default();
                let result =
                    Completed::from_message(signal).and_then(|signal| Some(signal.args().ok()?.result().to_string()));
                heard.lock().unwrap_or_else(PoisonError::into_inner).push((path, result.unwrap_or_default()));
            }
        });
        Ok(Self { handle, bus, completed, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs a future on this client's connection; one that does not end for long is an error.
    ///
    /// # Errors
    /// When it hangs.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> Result<T> {
        let bounded = async { timeout(PATIENCE, what).await };
        self.handle.block_on(bounded).ok().context("no answer for minutes: the service hangs")
    }

    /// The connection, for calls of a test's own.
    pub fn bus(&self) -> &Connection {
        &self.bus
    }

    /// Whether anybody has the service's name.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub fn service_is_there(&self) -> Result<bool> {
        self.wait(async {
            let bus = DBusProxy::new(&self.bus).await?;
            Ok::<_, zbus::Error>(bus.name_has_owner(zbus::names::BusName::try_from(BUS_NAME)?).await?)
        })?
        .map_err(Into::into)
    }

    /// Ends whoever has the service's name with SIGTERM, and waits until nobody has it: for a daemon that the bus started.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end_the_service(&self) -> Result<()> {
        let pid = self.wait(async {
            let bus = DBusProxy::new(&self.bus).await?;
            bus.get_connection_unix_process_id(zbus::names::BusName::try_from(BUS_NAME)?).await
        })??;
        kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
        wait_until("the service has ended", || Ok(!self.service_is_there()?))
    }

    /// Begins a job.
    ///
    /// # Errors
    /// When the service hangs; within, why it refused.
    pub fn try_receive(
        &self,
        volume: &str,
        stream: impl AsFd,
        options: &ReceiveOptions,
    ) -> Result<Result<String, Error>> {
        let stream: BorrowedFd<'_> = stream.as_fd();
        self.wait(async {
            let manager = ManagerProxy::builder(&self.bus).cache_properties(CacheProperties::No).build().await?;
            let job: OwnedObjectPath = manager.receive(volume, stream.into(), options.to_options()).await?;
            Ok(job.to_string())
        })
    }

    /// Begins a job that must be taken.
    ///
    /// # Errors
    /// When it is not.
    pub fn receive(&self, volume: &str, stream: impl AsFd) -> Result<String> {
        Ok(self.try_receive(volume, stream, &ReceiveOptions::default())??)
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// When the service hangs; within, why it refused.
    pub fn cancel(&self, job: &str) -> Result<Result<(), Error>> {
        self.wait(async {
            let job = JobProxy::builder(&self.bus).path(job).cache_properties(CacheProperties::No).build().await?;
            job.cancel(HashMap::<&str, Variant<'_>>::new()).await
        })
    }

    /// Everything there is.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn objects(&self) -> Result<ManagedObjects> {
        let asked =
            self.wait(async { ObjectManagerProxy::new(&self.bus, BUS_NAME, ROOT).await?.get_managed_objects().await })?;
        Ok(asked?)
    }

    /// The property Size of a volume.
    ///
    /// # Errors
    /// When the service does not answer, or the volume is not there.
    pub fn size_of(&self, volume: &str) -> Result<u64> {
        let path = butterdock_dbus::path::volume_path(volume);
        let objects = self.objects()?;
        let (_, interfaces) =
            objects.iter().find(|(known, _)| known.as_str() == path.as_str()).context("the volume")?;
        let (_, properties) = interfaces.iter().find(|(name, _)| name.as_str() == interface::VOLUME).context("it")?;
        Ok(u64::try_from(properties.get("Size").context("its size")?)?)
    }

    /// The jobs there are, by path.
    ///
    /// # Errors
    /// When the service does not answer, or a property is not of its type.
    pub fn jobs(&self) -> Result<BTreeMap<String, JobProperties>> {
        let mut jobs = BTreeMap::new();
        for (path, interfaces) in self.objects()? {
            for (_, properties) in interfaces.into_iter().filter(|(name, _)| name.as_str() == interface::JOB) {
                let mut job = JobProperties::default();
                for (name, value) in properties {
                    job.set(&name, &value)?;
                }
                jobs.insert(path.to_string(), job);
            }
        }
        Ok(jobs)
    }

    /// One job, as it is.
    ///
    /// # Errors
    /// When it is not there.
    pub fn job(&self, path: &str) -> Result<JobProperties> {
        self.jobs()?.remove(path).with_context(|| format!("{path} is not there"))
    }

    /// Waits until a job is so.
    ///
    /// # Errors
    /// When it never is.
    pub fn until(&self, path: &str, what: &str, is_so: impl Fn(&JobProperties) -> bool) -> Result<JobProperties> {
        let mut patience = Patience::new(&format!("the job {what}"));
        loop {
            let job = self.job(path)?;
            if is_so(&job) {
                return Ok(job);
            }
            patience.pause(&format!("{job:?}"))?;
        }
    }

    /// Waits for the end of a job, which must be told once.
    ///
    /// # Errors
    /// When it does not end, or its end is told never, twice, or otherwise than its state is.
    pub fn end(&self, path: &str) -> Result<JobProperties> {
        let job = self.until(path, "has ended", |job| job.state.result().is_some())?;
        let mut patience = Patience::new("Completed tells of the job");
        while self.completions(path).is_empty() {
            patience.pause("it does not")?;
        }
        let told = self.completions(path);
        ensure!(told == [job.state.to_string()], "the job is {} and Completed told {told:?}", job.state);
        Ok(job)
    }

    /// Waits for the end of a job, which must be this one.
    ///
    /// # Errors
    /// When it is another.
    pub fn ends_as(&self, path: &str, state: &JobState) -> Result<JobProperties> {
        let job = self.end(path)?;
        ensure!(job.state == *state, "not {state}: {job:?}");
        Ok(job)
    }

    /// What `Completed` told of a job.
    #[must_use]
    pub fn completions(&self, path: &str) -> Vec<String> {
        let heard = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|(of, _)| of == path).map(|(_, result)| result.clone()).collect()
    }

    /// The history.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn history(&self) -> Result<Vec<HistoryEntry>> {
        let asked = self.wait(async {
            let manager = ManagerProxy::builder(&self.bus).cache_properties(CacheProperties::No).build().await?;
            manager.list_history(HashMap::<&str, Variant<'_>>::new()).await
        })?;
        Ok(asked?)
    }

    /// What the history says of a job: once, or it is an error.
    ///
    /// # Errors
    /// When it says nothing of it, or more than once.
    pub fn remembered(&self, path: &str) -> Result<HistoryEntry> {
        let id = butterdock_dbus::path::job_id(path).context("a job's path")?.to_string();
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
