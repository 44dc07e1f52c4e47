//! Progress in Plasma's job view: `org.kde.JobViewServerV2` and `org.kde.JobViewV3`, as KDE's library for jobs uses them.
//!
//! A view ends when the drive is safe or its backups have failed, and not when all bytes are written: Plasma shows the end of a
//! view as the end of the work.

use std::collections::{BTreeMap, HashMap};

use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::{Connection, OwnedObjectPath, Variant};

use crate::notify::DESKTOP_ENTRY;
use crate::output::complain;
use crate::story::{Action, Activity, Key};

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
    is_there: bool,
    views: BTreeMap<Key, View>,
}

/// A view, and what it shows. Without a path, a person has closed it.
#[derive(Debug)]
struct View {
    path: Option<OwnedObjectPath>,
    activity: Activity,
}

impl JobViews {
    /// Asks the bus whether the server is there.
    ///
    /// # Errors
    /// The bus does not answer.
    pub(crate) async fn new(session: Connection) -> zbus::Result<Self> {
        let bus = DBusProxy::new(&session).await?;
        let is_there = bus.name_has_owner(BusName::try_from(NAME)?).await?;
        Ok(Self { session, is_there, views: BTreeMap::new() })
    }

    /// Shows the progress; false if there is no server for it.
    pub(crate) async fn show(&mut self, activity: &Activity) -> bool {
        if !self.is_there {
            return false;
        }
        if !self.views.contains_key(&activity.key) {
            let Some(path) = self.request(activity).await else {
                self.is_there = false;
                return false;
            };
            self.views.insert(activity.key.clone(), View { path: Some(path), activity: activity.clone() });
        }
        let Some(view) = self.views.get_mut(&activity.key) else { return true };
        view.activity = activity.clone();
        if let Some(path) = view.path.clone() {
            let done = self.call(&path, "update", &(properties(activity),)).await;
            if done.is_err()
                && let Some(view) = self.views.get_mut(&activity.key)
            {
                view.path = None;
            }
        }
        true
    }

    /// Ends a view.
    pub(crate) async fn end(&mut self, key: &Key, error: Option<&str>) {
        let Some(View { path: Some(path), .. }) = self.views.remove(key) else { return };
        let code = error.map_or(0, |_| FAILED);
        let none = HashMap::<&str, Variant<'_>>::new();
        if let Err(error) = self.call(&path, "terminate", &(code, error.unwrap_or_default(), none)).await {
            complain(&format!("the job view does not end: {error}"));
        }
    }

    /// The action of a view that a person cancels.
    pub(crate) fn action(&self, view: &str) -> Option<Action> {
        let of_path = |known: &&View| known.path.as_ref().is_some_and(|path| path.as_str() == view);
        Some(self.views.values().find(of_path)?.activity.stop.as_ref()?.action.clone())
    }

    /// The server is there now, or not any more: a new one gets the views of the old one.
    pub(crate) async fn server_changed(&mut self, is_there: bool) {
        self.is_there = is_there;
        if is_there {
            for view in std::mem::take(&mut self.views).into_values() {
                self.show(&view.activity).await;
            }
        }
    }

    async fn request(&self, activity: &Activity) -> Option<OwnedObjectPath> {
        let (path, interface) = SERVER;
        let capabilities = if activity.stop.is_some() { KILLABLE } else { 0 };
        let mut hints = properties(activity);
        hints.insert("immediate", Variant::from(true));
        let arguments = (DESKTOP_ENTRY, capabilities, hints);
        let reply = self.session.call_method(Some(NAME), path, Some(interface), "requestView", &arguments).await;
        match reply.and_then(|reply| reply.body().deserialize()) {
            Ok(view) => Some(view),
            Err(error) => {
                complain(&format!("no job view: {error}; showing notifications"));
                None
            }
        }
    }

    async fn call(
        &self,
        view: &OwnedObjectPath,
        method: &str,
        body: &(impl serde::Serialize + zbus::DynamicType),
    ) -> zbus::Result<()> {
        self.session.call_method(Some(NAME), view.as_str(), Some(VIEW), method, body).await.map(drop)
    }
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
