//! The window of the session, which the session bus starts on demand.

use std::collections::HashMap;

use zbus::{Connection, Variant};

/// Its name, its object, and the interface of applications.
const NAME: &str = "org.butterdock.Window";
const PATH: &str = "/org/butterdock/Window";
const APPLICATION: &str = "org.freedesktop.Application";

/// Shows the dialog that enrols the drive at this path; false if there is no window.
pub(crate) async fn shows_enrolment(session: &Connection, drive: &str) -> bool {
    let body = ("enrol", vec![Variant::from(drive)], HashMap::<&str, Variant<'_>>::new());
    session.call_method(Some(NAME), PATH, Some(APPLICATION), "ActivateAction", &body).await.is_ok()
}
