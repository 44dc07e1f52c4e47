//! The page of drives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use adw::prelude::*;
use butterdock_window_model::drives::drive_items;

use crate::context::{Context, now};

use super::drive_card::{DriveCard, OnButton};
use super::parts::column;

/// The page.
pub(crate) struct DrivesPage {
    pub(crate) widget: gtk::Box,
    empty: adw::StatusPage,
    scrolled: gtk::ScrolledWindow,
    context: Rc<Context>,
    list: gtk::Box,
    cards: RefCell<BTreeMap<String, DriveCard>>,
    on_button: OnButton,
}

impl std::fmt::Debug for DrivesPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DrivesPage").finish_non_exhaustive()
    }
}

impl DrivesPage {
    pub(crate) fn new(context: &Rc<Context>, on_button: OnButton) -> Self {
        let list = column(18);
        list.set_margin_top(18);
        list.set_margin_bottom(18);
        list.set_margin_start(12);
        list.set_margin_end(12);
        let clamp = adw::Clamp::builder().maximum_size(720).child(&list).build();
        let scrolled = gtk::ScrolledWindow::builder()
            .hscrollbar_policy(gtk::PolicyType::Never)
            .vexpand(true)
            .child(&clamp)
            .build();
        let empty = adw::StatusPage::builder()
            .icon_name("butterdock-symbolic")
            .title(context.text("No drives"))
            .description(context.text("Plug in a drive to use it for backups."))
            .build();
        let widget = column(0);
        empty.set_vexpand(true);
        widget.append(&empty);
        widget.append(&scrolled);
        Self { widget, empty, scrolled, context: Rc::clone(context), list, cards: RefCell::default(), on_button }
    }

    /// Draws the drives.
    pub(crate) fn draw(&self) {
        let items = self.context.with_objects(|objects| Some(drive_items(objects, &self.context.words, now())));
        let items = items.unwrap_or_default();
        let mut cards = self.cards.borrow_mut();
        cards.retain(|path, card| {
            let stays = items.iter().any(|item| item.path == *path);
            if !stays {
                self.list.remove(&card.widget);
            }
            stays
        });
        let mut before: Option<gtk::Box> = None;
        for item in &items {
            if !cards.contains_key(&item.path)
                && let Some(card) = DriveCard::new()
            {
                self.list.append(&card.widget);
                cards.insert(item.path.clone(), card);
            }
            let Some(card) = cards.get(&item.path) else { continue };
            card.draw(item, &self.on_button);
            if card.widget.prev_sibling() != before.clone().map(Cast::upcast) {
                self.list.reorder_child_after(&card.widget, before.as_ref());
            }
            before = Some(card.widget.clone());
        }
        self.empty.set_visible(items.is_empty());
        self.scrolled.set_visible(!items.is_empty());
    }
}
