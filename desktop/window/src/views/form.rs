//! A dialog with entries: Cancel and one other button in its title bar, and room for what went wrong.

use std::cell::RefCell;

use adw::prelude::*;
use butterdock_desktop::undumpable::Undumpable;
use gtk::glib;

use crate::context::Context;

use super::parts::{label, labelled_button};

/// The dialog.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) window: adw::Window,
    /// The button that does what the dialog is for.
    pub(crate) submit: gtk::Button,
    words: gtk::Label,
    page: adw::PreferencesPage,
    error: gtk::Label,
    spinner: gtk::Spinner,
}

impl Form {
    pub(crate) fn new(context: &Context, parent: &impl IsA<gtk::Window>, heading: &str) -> Self {
        let (cancel, _) = labelled_button(&context.text("Cancel"));
        let (submit, words) = labelled_button("");
        submit.add_css_class("suggested-action");
        let spinner = gtk::Spinner::new();
        let title = adw::WindowTitle::new(heading, "");
        let bar = adw::HeaderBar::builder()
            .show_start_title_buttons(false)
            .show_end_title_buttons(false)
            .title_widget(&title)
            .build();
        bar.pack_start(&cancel);
        bar.pack_end(&submit);
        bar.pack_end(&spinner);
        let error = label("error");
        error.set_visible(false);
        let of_error = adw::PreferencesGroup::new();
        of_error.add(&error);
        let page = adw::PreferencesPage::new();
        page.add(&of_error);
        page.set_vexpand(true);
        let content = gtk::Box::new(gtk::Orientation::Vertical, 0);
        content.append(&bar);
        content.append(&page);
        let window = adw::Window::builder()
            .title(heading)
            .transient_for(parent)
            .modal(true)
            .default_width(480)
            .default_height(620)
            .width_request(320)
            .content(&content)
            .build();
        let closed = window.downgrade();
        cancel.connect_clicked(move |_| closed.upgrade().iter().for_each(GtkWindowExt::close));
        let keys = gtk::EventControllerKey::new();
        let closed = window.downgrade();
        keys.connect_key_pressed(move |_, key, _, _| {
            if key != gtk::gdk::Key::Escape {
                return glib::Propagation::Proceed;
            }
            closed.upgrade().iter().for_each(GtkWindowExt::close);
            glib::Propagation::Stop
        });
        window.add_controller(keys);
        window.set_default_widget(Some(&submit));
        of_error.set_visible(false);
        Self { window, submit, words, page, error, spinner }
    }

    /// Keeps the parts of the dialog until it is closed. A passphrase may be in its entries until then.
    pub(crate) fn keep(&self, dialog: impl std::fmt::Debug + 'static) {
        let kept = RefCell::new(Some((dialog, Undumpable::new())));
        self.window.connect_close_request(move |_| {
            drop(kept.take());
            glib::Propagation::Proceed
        });
    }

    /// Names the button that does what the dialog is for.
    pub(crate) fn set_verb(&self, words: &str) {
        self.words.set_text(words);
    }

    /// Adds a group of rows.
    pub(crate) fn add(&self, group: &adw::PreferencesGroup) {
        self.page.add(group);
    }

    /// Says why it did not work; without a sentence nothing.
    pub(crate) fn set_error(&self, sentence: Option<&str>) {
        self.error.set_text(sentence.unwrap_or_default());
        self.error.set_visible(sentence.is_some());
        if let Some(group) = self.error.ancestor(adw::PreferencesGroup::static_type()) {
            group.set_visible(sentence.is_some());
        }
    }

    /// While the call is not answered, nothing can be entered.
    pub(crate) fn set_busy(&self, is_busy: bool) {
        self.page.set_sensitive(!is_busy);
        self.submit.set_sensitive(!is_busy);
        self.spinner.set_spinning(is_busy);
    }
}

/// Longer values wrap.
const VALUE_WIDTH: usize = 24;

/// A row with a fact. Its texts are never markup.
pub(crate) fn fact_row(title: &str, value: &str) -> adw::ActionRow {
    let row = adw::ActionRow::new();
    row.set_use_markup(false);
    row.set_title(title);
    let text = label("");
    text.set_text(value);
    // A label that wraps would be as narrow as it can be.
    text.set_width_chars(i32::try_from(value.chars().count().saturating_add(2).min(VALUE_WIDTH)).unwrap_or_default());
    text.set_xalign(1.0);
    text.set_justify(gtk::Justification::Right);
    row.add_suffix(&text);
    row
}
