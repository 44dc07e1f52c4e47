//! A fake service. Its interfaces are the committed XML (`contract`): a call, an answer or a property that differs from
//! it fails the test. `answers` has the objects and the answers, `rows` the rows in them, `job` the progress and the end of a job.

mod answers;
mod contract;
mod job;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use butterdock_dbus::names::{BUS_NAME, ROOT, interface};
use butterdock_dbus::path::drive_id;
use butterdock_dbus::{Error, HistoryEntry};
use serde::Serialize;
use tokio_stream::StreamExt as _;
use zbus::message::Type;
use zbus::{Connection, DynamicType, Message, MessageStream, ObjectPath, OwnedVariant, Signature, Structure, Variant};

pub(crate) use answers::{QUOTING, STEERING};
use contract::Properties;
use job::Job;

/// A service in a thread; it ends with its bus.
#[derive(Debug)]
pub(crate) struct Fake(Arc<Service>);

impl Fake {
    /// Answers on this bus once it returns.
    pub(crate) fn start(address: &str) -> Self {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let address = address.to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let bus = zbus::connection::Builder::address(&*address).build().await.expect("a bus");
                let mut messages = MessageStream::from(&bus);
                let (jobs, history, calls) = Default::default();
                let objects = Mutex::new(answers::objects());
                let service = Arc::new(Service { bus: bus.clone(), objects, jobs, history, calls });
                let serving = tokio::spawn({
                    let service = Arc::clone(&service);
                    async move {
                        while let Some(Ok(message)) = messages.next().await {
                            if message.message_type() == Type::MethodCall {
                                drop(tokio::spawn(Arc::clone(&service).reply(message)));
                            }
                        }
                    }
                });
                bus.request_name(BUS_NAME).await.expect("the name");
                ready.send(service).expect("waited for");
                drop(serving.await);
            });
        });
        Self(is_ready.recv().expect("a service"))
    }

    /// The calls so far, one a line, without those that only read: method, object, arguments without
    /// descriptors and empty options.
    pub(crate) fn calls(&self) -> String {
        let all = self.0.calls.lock().expect("unpoisoned");
        let changing = |call: &&String| !call.starts_with("Get") && !call.starts_with("List");
        all.iter().filter(changing).cloned().collect::<Vec<_>>().join("\n")
    }

    /// How often a client has read all objects; it listens to the signals by then.
    pub(crate) fn reads(&self) -> usize {
        self.count("GetManagedObjects")
    }

    /// How often this method was called.
    pub(crate) fn count(&self, method: &str) -> usize {
        let all = self.0.calls.lock().expect("unpoisoned");
        all.iter().filter(|call| call.starts_with(method)).count()
    }
}

/// An object: its interfaces, each with its properties.
type Object = HashMap<&'static str, Properties>;

#[derive(Debug)]
struct Service {
    bus: Connection,
    objects: Mutex<BTreeMap<String, Object>>,
    jobs: Mutex<HashMap<String, Arc<Job>>>,
    history: Mutex<Vec<HistoryEntry>>,
    calls: Mutex<Vec<String>>,
}

/// The reply to a method.
type Answer = Result<Message, Error>;

/// The id of a drive, or the last part of another path.
fn name(path: &str) -> String {
    drive_id(path).unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Whether these are no options.
fn is_empty(field: &Variant<'_>) -> bool {
    matches!(field, Variant::Dict(options) if options.iter().next().is_none())
}

/// The error of a call or of an answer that is not as the XML says: it fails the test at once.
fn differs(member: &str, is: &Signature, in_xml: impl Debug) -> Error {
    Error::InvalidArgs(format!("{member}: the signature is {is}, and in the XML {in_xml:?}"))
}

fn answer(call: &Message, body: &(impl Serialize + DynamicType)) -> Answer {
    Ok(Message::method_return(&call.header()).build(body)?)
}

impl Service {
    async fn reply(self: Arc<Self>, call: Message) {
        let header = call.header();
        let [path, interface, member] = [
            header.path().expect("a path").as_str(),
            header.interface().expect("an interface").as_str(),
            header.member().expect("a member").as_str(),
        ];
        self.record(path, member, &call);
        let given = call.body();
        let (reply, wanted) = match (interface, member) {
            ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects") => {
                (answer(&call, &self.managed()), "a{oa{sa{sv}}}".to_owned())
            }
            ("org.freedesktop.DBus.Properties", "Get") => {
                let (of, name): (&str, &str) = given.deserialize().expect("an interface and a name");
                (answer(&call, &self.property(path, of, name)), "v".to_owned())
            }
            ("org.freedesktop.DBus.Introspectable", "Introspect") => {
                let of = self.objects.lock().expect("unpoisoned").get(path).and_then(|of| of.keys().next().copied());
                (answer(&call, &contract::xml(of.unwrap_or(interface::JOB))), "s".to_owned())
            }
            _ => match contract::method(interface, member) {
                Some((arguments, wanted)) if given.signature().to_string_no_parens() == arguments => {
                    (self.answer(path, (interface, member), &call).await, wanted)
                }
                in_xml => (Err(differs(member, given.signature(), in_xml)), String::new()),
            },
        };
        let reply = reply.and_then(|reply| {
            let body = reply.body();
            let is = body.signature();
            if is.to_string_no_parens() == wanted { Ok(reply) } else { Err(differs(member, is, wanted)) }
        });
        match reply {
            Ok(reply) => self.bus.send(&reply).await,
            Err(error) => self.bus.reply_dbus_error(&header, error).await,
        }
        .expect("sent");
        if member == "GetManagedObjects" {
            self.jobs.lock().expect("unpoisoned").values().for_each(|job| job.read.notify_one());
        }
    }

    fn record(&self, path: &str, member: &str, call: &Message) {
        let body = call.body();
        let arguments = body.deserialize::<Structure<'_>>().ok();
        let fields = arguments.iter().flat_map(Structure::fields);
        let shown = |field: &&Variant<'_>| !matches!(field, Variant::Fd(_)) && !is_empty(field);
        let fields = fields.filter(shown).map(ToString::to_string);
        let words = [member.to_owned(), name(path)].into_iter().chain(fields).collect::<Vec<_>>();
        self.calls.lock().expect("unpoisoned").push(words.join(" "));
    }

    fn managed(&self) -> HashMap<ObjectPath<'static>, HashMap<&'static str, Properties>> {
        let objects = self.objects.lock().expect("unpoisoned");
        let path = |path: &String| ObjectPath::try_from(path.clone()).expect("a path");
        objects.iter().map(|(at, object)| (path(at), object.clone())).collect()
    }

    fn property(&self, path: &str, interface: &str, name: &str) -> OwnedVariant {
        self.objects.lock().expect("unpoisoned")[path][interface][name].clone()
    }

    /// Adds an object.
    async fn add(&self, path: &str, of: &'static str, properties: Properties) {
        let added = HashMap::from([(of, properties)]);
        self.objects.lock().expect("unpoisoned").insert(path.to_owned(), added.clone());
        let path = ObjectPath::try_from(path).expect("a path");
        self.signal(ROOT, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded", &(path, added)).await;
    }

    /// Changes properties of an object with one interface.
    async fn change(&self, path: &str, changes: &[(&'static str, Variant<'static>)]) {
        let of = {
            let mut objects = self.objects.lock().expect("unpoisoned");
            let (of, properties) = objects.get_mut(path).expect("an object").iter_mut().next().expect("an interface");
            contract::change(properties, changes);
            *of
        };
        let changed = changes.iter().map(|(name, value)| (*name, value)).collect::<HashMap<_, _>>();
        let body = (of, changed, Vec::<&str>::new());
        self.signal(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", &body).await;
    }

    async fn signal(&self, path: &str, interface: &str, member: &str, body: &(impl Serialize + DynamicType)) {
        self.bus.emit_signal(None::<&str>, path, interface, member, body).await.expect("sent");
    }
}
