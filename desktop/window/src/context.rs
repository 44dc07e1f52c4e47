//! What all views share.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use adw::prelude::*;
use butterdock_dbus::Error;
use butterdock_desktop::objects::Objects;
use butterdock_desktop::output::complain;
use butterdock_desktop::wording::error_text;
use butterdock_desktop::words::Words;
use gtk::glib;

use crate::service::Service;

/// The words, the service and its objects.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) words: Words,
    pub(crate) service: Service,
    /// The objects; `None` while the service is not there.
    pub(crate) objects: RefCell<Option<Objects>>,
}

impl Context {
    pub(crate) fn new(service: Service) -> Rc<Self> {
        Rc::new(Self { words: Words::of_session(), service, objects: RefCell::new(None) })
    }

    /// A text in the language of the session.
    pub(crate) fn text(&self, english: &'static str) -> String {
        self.words.say(english, &[])
    }

    /// Reads something in the objects of the service.
    pub(crate) fn with_objects<T>(&self, read: impl FnOnce(&Objects) -> Option<T>) -> Option<T> {
        self.objects.borrow().as_ref().and_then(read)
    }

    /// Shows that something did not work.
    pub(crate) fn show_error(&self, parent: &impl IsA<gtk::Window>, error: &Error) {
        complain(&format!("a button failed: {error}"));
        let heading = self.text("That did not work");
        let dialog = adw::MessageDialog::new(Some(parent), Some(&heading), Some(&error_text(&self.words, error)));
        dialog.add_response("close", &self.text("Close"));
        dialog.set_default_response(Some("close"));
        dialog.set_close_response("close");
        dialog.present();
    }
}

/// The time, in microseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Runs a future in the main loop.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    glib::spawn_future_local(future);
}
