//! The service's signals about jobs.
//!
//! A connection buffers few unread signals; when the buffer is full it reads nothing more, not even method replies. So a client
//! that follows signals makes its calls through [`JobSignals::during`], which reads signals while it waits for the reply.
//! That may take minutes, for example while a user types a password.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;

use butterdock_dbus::names::{BUS_NAME, ROOT, interface};
use butterdock_dbus::{Completed, JobResult};
use tokio_stream::StreamExt as _;
use zbus::fdo::{InterfacesAdded, NameOwnerChanged, PropertiesChanged};
use zbus::message::Type;
use zbus::names::OwnedUniqueName;
use zbus::{MatchRule, Message, MessageStream, OwnedVariant};

use super::{Job, Service};
use crate::failure::Failure;

/// A subscription to the service's signals about jobs.
#[derive(Debug)]
pub(crate) struct JobSignals {
    signals: MessageStream,
    owners: MessageStream,
    owner: OwnedUniqueName,
    /// Signals that arrived during a call and were not returned yet.
    queued: VecDeque<JobSignal>,
}

/// A signal about a job.
#[derive(Debug)]
pub(crate) enum JobSignal {
    /// A job was added.
    Added(Box<Job>),
    /// Properties of the job at this path changed.
    Changed(String, HashMap<String, OwnedVariant>),
    /// The job at this path ended.
    Completed(String, JobResult),
    /// The service disappeared or has a new owner.
    ServiceLost,
}

impl JobSignals {
    /// Subscribes to the signals.
    pub(crate) async fn subscribe(service: &Service) -> Result<Self, Failure> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .add_arg(BUS_NAME)
            .build()?;
        let owners = MessageStream::for_match_rule(rule, service.bus(), None).await?;
        let owner = service.owner().await?;
        // Last, because signals arrive from now on.
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(BUS_NAME).path_namespace(ROOT).build()?;
        let signals = MessageStream::for_match_rule(rule, service.bus(), None).await?;
        Ok(Self { signals, owners, owner, queued: VecDeque::new() })
    }

    /// Waits for a reply, and keeps the signals that arrive meanwhile for [`JobSignals::next`].
    pub(crate) async fn during<T>(&mut self, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let mut call = pin!(call);
        loop {
            tokio::select! {
                biased;
                reply = &mut call => return reply,
                signal = self.receive() => match signal? {
                    // No more signals will arrive; the bus reports the missing reply.
                    JobSignal::ServiceLost => {
                        self.queued.push_back(JobSignal::ServiceLost);
                        return call.await;
                    }
                    signal @ (JobSignal::Added(_) | JobSignal::Changed(..) | JobSignal::Completed(..)) => {
                        self.queue(signal);
                    }
                },
            }
        }
    }

    /// Waits for the next signal. Cancel-safe: no signal is lost.
    pub(crate) async fn next(&mut self) -> Result<JobSignal, Failure> {
        match self.queued.pop_front() {
            Some(signal) => Ok(signal),
            None => self.receive().await,
        }
    }

    /// Queues a signal. The changes of each job are merged into one signal, so that the queue stays short.
    fn queue(&mut self, signal: JobSignal) {
        if let JobSignal::Changed(path, changes) = &signal {
            for queued in &mut self.queued {
                if let JobSignal::Changed(of, before) = queued
                    && of == path
                {
                    before.extend(changes.iter().map(|(name, value)| (name.clone(), value.clone())));
                    return;
                }
            }
        }
        self.queued.push_back(signal);
    }

    async fn receive(&mut self) -> Result<JobSignal, Failure> {
        loop {
            let signal = tokio::select! {
                // Signals from before the service disappeared come first.
                biased;
                signal = self.signals.next() => match signal {
                    Some(signal) => self.read(signal?)?,
                    None => Some(JobSignal::ServiceLost),
                },
                change = self.owners.next() => match change {
                    Some(change) => owner_changed(change?),
                    None => Some(JobSignal::ServiceLost),
                },
            };
            if let Some(signal) = signal {
                return Ok(signal);
            }
        }
    }

    fn read(&self, signal: Message) -> Result<Option<JobSignal>, Failure> {
        let header = signal.header();
        // The bus filters broadcasts by sender, but not signals that another client sends to this connection alone.
        if header.sender() != Some(&*self.owner) {
            return Ok(None);
        }
        let Some(path) = header.path().map(ToString::to_string) else { return Ok(None) };
        let member = header.member().map(ToString::to_string).unwrap_or_default();
        match member.as_str() {
            "PropertiesChanged" => {
                let Some(signal) = PropertiesChanged::from_message(signal) else { return Ok(None) };
                let change = signal.args()?;
                if change.interface_name().as_str() != interface::JOB {
                    return Ok(None);
                }
                let owned = |(name, value): (&&str, &zbus::Variant<'_>)| {
                    Ok::<_, zbus::Error>(((*name).to_owned(), value.try_to_owned()?))
                };
                let changes = change.changed_properties().iter().map(owned).collect::<Result<_, _>>()?;
                Ok(Some(JobSignal::Changed(path, changes)))
            }
            "Completed" => {
                let Some(signal) = Completed::from_message(signal) else { return Ok(None) };
                Ok(Some(JobSignal::Completed(path, signal.args()?.result().clone())))
            }
            "InterfacesAdded" => added(signal),
            _ => Ok(None),
        }
    }
}

fn added(signal: Message) -> Result<Option<JobSignal>, Failure> {
    let Some(signal) = InterfacesAdded::from_message(signal) else { return Ok(None) };
    let object = signal.args()?;
    let mut properties = HashMap::new();
    for (name, values) in object.interfaces_and_properties() {
        if name.as_str() == interface::JOB {
            for (name, value) in values {
                properties.insert((*name).to_owned(), value.try_to_owned()?);
            }
        }
    }
    let job = Job::read(object.object_path().as_str(), &properties)?;
    Ok(job.filter(|_job| !properties.is_empty()).map(|job| JobSignal::Added(Box::new(job))))
}

fn owner_changed(change: Message) -> Option<JobSignal> {
    let change = NameOwnerChanged::from_message(change)?;
    let gone = change.args().is_ok_and(|change| change.name().as_str() == BUS_NAME && change.old_owner().is_some());
    gone.then_some(JobSignal::ServiceLost)
}
