//! Progress in Plasma's job view: `org.kde.JobViewServerV2` and `org.kde.JobViewV3`, as KDE's library for jobs uses them.
//!
//! A view ends when the drive is safe or its backups have failed, and not when all bytes are written: Plasma shows the end of a
//! view as the end of the work.

use std::collections::{BTreeMap, HashMap};

use zbus::fdo::DBusProxy;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::{Connection, OwnedObjectPath, Variant};

use crate::notify::DESKTOP_ENTRY;
use crate::story::{Action, Activity, Key};
use butterdock_desktop::output::complain;

/// The name of the server.
pub(crate) const NAME: &str = "org.kde.JobViewServer";
/// The interface of a view.
pub(crate) const VIEW: &str = "org.kde.JobViewV3";

const SERVER: (&str, &str) = ("/JobViewServer", "org.kde.JobViewServerV2");
/// `KJob::Killable`: the view has a button that cancels.
const KILLABLE: i32 = 1;
/// `KJob::UserDefinedError`
const FAILED: u32 = 100;

/// The views of running backups.
#[derive(Debug)]
pub(crate) struct JobViews {
    session: Connection,
    /// The unique name of the server: another server has other views at the same paths.
    server: Option<OwnedUniqueName>,
    views: BTreeMap<Key, View>,
}

/// A view, and what it shows.
#[derive(Debug)]
struct View {
    place: Place,
    activity: Activity,
}

/// Where a view is.
#[derive(Debug)]
enum Place {
    /// At this path of the server.
    At(OwnedObjectPath),
    /// At this path, but the server did not take an update: it gets no others, so that messages need not wait for it, and ends.
    Stuck(OwnedObjectPath),
    /// A person has closed it.
    Closed,
    /// The server did not make it: notifications show the progress.
    Refused,
}

impl JobViews {
    /// Asks the bus which server is there.
    ///
    /// # Errors
    /// The bus does not answer.
    pub(crate) async fn new(session: Connection) -> zbus::Result<Self> {
        let bus = DBusProxy::new(&session).await?;
        let server = match bus.get_name_owner(BusName::try_from(NAME)?).await {
            Ok(owner) => Some(owner),
            Err(zbus::fdo::Error::NameHasNoOwner(_)) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { session, server, views: BTreeMap::new() })
    }

    /// Shows the progress; false if it is not shown here.
    pub(crate) async fn show(&mut self, activity: &Activity) -> bool {
        let Some(server) = self.server.clone() else { return false };
        let known = self.views.remove(&activity.key).map(|view| view.place);
        let mut place = match known {
            Some(place) => place,
            None => self.request(&server, activity).await,
        };
        if let Place::At(path) = &place
            && let Err(error) = self.call(&server, path, "update", &(properties(activity),)).await
        {
            place = if is_gone(&error) { Place::Closed } else { Place::Stuck(path.clone()) };
        }
        let is_shown = !matches!(place, Place::Refused);
        self.views.insert(activity.key.clone(), View { place, activity: activity.clone() });
        is_shown
    }

    /// Ends a view.
    pub(crate) async fn end(&mut self, key: &Key, error: Option<&str>) {
        let Some(View { place: Place::At(path) | Place::Stuck(path), .. }) = self.views.remove(key) else { return };
        let Some(server) = &self.server else { return };
        let code = error.map_or(0, |_| FAILED);
        let none = HashMap::<&str, Variant<'_>>::new();
        if let Err(error) = self.call(server, &path, "terminate", &(code, error.unwrap_or_default(), none)).await {
            complain(&format!("the job view does not end: {error}"));
        }
    }

    /// The action of a view that a person cancels.
    pub(crate) fn action(&self, view: &str) -> Option<Action> {
        let of_path =
            |known: &&View| matches!(&known.place, Place::At(path) | Place::Stuck(path) if path.as_str() == view);
        Some(self.views.values().find(of_path)?.activity.stop.as_ref()?.action.clone())
    }

    /// The server has this unique name now, or is not there any more: a new one gets the views of the old one.
    pub(crate) async fn server_changed(&mut self, owner: Option<OwnedUniqueName>) {
        if self.server == owner {
            return;
        }
        self.server = owner;
        if self.server.is_some() {
            for view in std::mem::take(&mut self.views).into_values() {
                self.show(&view.activity).await;
            }
        }
    }

    async fn request(&self, server: &OwnedUniqueName, activity: &Activity) -> Place {
        let (path, interface) = SERVER;
        let capabilities = if activity.stop.is_some() { KILLABLE } else { 0 };
        let mut hints = properties(activity);
        hints.insert("immediate", Variant::from(true));
        let arguments = (DESKTOP_ENTRY, capabilities, hints);
        let reply = self.session.call_method(Some(server), path, Some(interface), "requestView", &arguments).await;
        match reply.and_then(|reply| reply.body().deserialize()) {
            Ok(view) => Place::At(view),
            Err(error) => {
                complain(&format!("no job view: {error}; showing notifications"));
                Place::Refused
            }
        }
    }

    async fn call(
        &self,
        server: &OwnedUniqueName,
        view: &OwnedObjectPath,
        method: &str,
        body: &(impl serde::Serialize + zbus::DynamicType),
    ) -> zbus::Result<()> {
        self.session.call_method(Some(server), view.as_str(), Some(VIEW), method, body).await.map(drop)
    }
}

/// Whether the server says that it has no such view.
fn is_gone(error: &zbus::Error) -> bool {
    use zbus::fdo::Error::{UnknownInterface, UnknownMethod, UnknownObject};
    let zbus::Error::FDO(error) = error else { return false };
    matches!(**error, UnknownObject(_) | UnknownInterface(_) | UnknownMethod(_))
}

/// What a view shows, by the names that Plasma knows.
fn properties(activity: &Activity) -> HashMap<&'static str, Variant<'static>> {
    let mut properties = HashMap::from([
        ("title", Variant::from(activity.title.clone())),
        ("infoMessage", Variant::from(activity.body.clone())),
        ("processedBytes", Variant::from(activity.bytes)),
        ("speed", Variant::from(activity.rate)),
    ]);
    if activity.total > 0 {
        properties.insert("totalBytes", Variant::from(activity.total.max(activity.bytes)));
    }
    if let Some(percent) = activity.percent {
        properties.insert("percent", Variant::from(percent));
    }
    properties
}
