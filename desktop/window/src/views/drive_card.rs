//! A drive or another destination.

use std::cell::RefCell;
use std::rc::Rc;

use butterdock_window_model::drives::{DriveItem, Tone};
use butterdock_window_model::{Button, ProblemItem};
use gtk::prelude::*;

use super::parts::{button, clear, row};
use super::problem::problem;

/// What a card does with a button.
pub(crate) type OnButton = Rc<dyn Fn(&Button, &gtk::Button)>;

/// The widgets of a drive. They stay while the drive is there, so that a change moves no keyboard focus.
#[derive(Debug)]
pub(crate) struct DriveCard {
    pub(crate) widget: gtk::Box,
    title: gtk::Label,
    state: gtk::Label,
    facts: gtk::Label,
    space: gtk::LevelBar,
    space_text: gtk::Label,
    activity: gtk::Label,
    progress: gtk::ProgressBar,
    problems: gtk::Box,
    buttons: gtk::Box,
    shown: RefCell<Option<DriveItem>>,
}

impl DriveCard {
    /// An empty card; `None` if its XML has a mistake.
    pub(crate) fn new() -> Option<Self> {
        let builder = gtk::Builder::from_string(include_str!("drive_card.ui"));
        let space: gtk::LevelBar = builder.object("space")?;
        // Full is no goal here: the colours of a battery would say the opposite.
        for name in ["low", "high", "full"] {
            space.remove_offset_value(Some(name));
        }
        Some(Self {
            widget: builder.object("card")?,
            title: builder.object("title")?,
            state: builder.object("state")?,
            facts: builder.object("facts")?,
            space,
            space_text: builder.object("space-text")?,
            activity: builder.object("activity")?,
            progress: builder.object("progress")?,
            problems: builder.object("problems")?,
            buttons: builder.object("buttons")?,
            shown: RefCell::default(),
        })
    }

    /// Draws what the model says, where it differs from what is drawn.
    pub(crate) fn draw(&self, item: &DriveItem, on_button: &OnButton) {
        let before = self.shown.replace(Some(item.clone()));
        if before.as_ref() == Some(item) {
            return;
        }
        self.title.set_text(&item.title);
        self.state.set_text(&item.state);
        let class = match item.tone {
            Tone::Safe => "success",
            Tone::Busy => "accent",
            Tone::Waiting => "warning",
            Tone::Plain => "dim-label",
        };
        self.state.set_css_classes(&["heading", class]);
        self.facts.set_text(&item.facts);
        self.facts.set_visible(!item.facts.is_empty());
        self.space.set_visible(item.space.is_some());
        self.space_text.set_visible(item.space.is_some());
        if let Some(space) = &item.space {
            self.space.set_value(space.used);
            self.space_text.set_text(&space.text);
        }
        self.draw_activity(item);
        let before = before.as_ref();
        if before.is_none_or(|before| before.problems != item.problems) {
            self.draw_problems(&item.problems, on_button);
        }
        let buttons = all_buttons(item);
        if before.is_none_or(|before| all_buttons(before) != buttons) {
            draw_buttons(&self.buttons, &buttons, on_button);
        }
    }

    fn draw_activity(&self, item: &DriveItem) {
        let activity = item.activity.as_ref();
        self.activity.set_visible(activity.is_some());
        let percent = activity.and_then(|activity| activity.percent);
        self.progress.set_visible(percent.is_some());
        if let Some(percent) = percent {
            self.progress.set_fraction(f64::from(percent) / 100.0);
        }
        if let Some(activity) = activity {
            self.activity.set_text(&activity.text);
        }
    }

    fn draw_problems(&self, problems: &[ProblemItem], on_button: &OnButton) {
        clear(&self.problems);
        self.problems.set_visible(!problems.is_empty());
        for item in problems {
            let widget = problem(item);
            self.problems.append(&widget);
            if let Some(button) = &item.button {
                let buttons = row(0);
                draw_buttons(&buttons, std::slice::from_ref(button), on_button);
                self.problems.append(&buttons);
            }
        }
    }
}

/// The button that stops the job, and those of the drive.
fn all_buttons(item: &DriveItem) -> Vec<Button> {
    let stop = item.activity.as_ref().and_then(|activity| activity.stop.as_ref());
    stop.into_iter().chain(&item.buttons).cloned().collect()
}

fn draw_buttons(parent: &gtk::Box, buttons: &[Button], on_button: &OnButton) {
    clear(parent);
    parent.set_visible(!buttons.is_empty());
    for item in buttons {
        let widget = button(&item.label, &item.accessible);
        if item.is_suggested {
            widget.add_css_class("suggested-action");
        }
        let (item, on_button) = (item.clone(), Rc::clone(on_button));
        widget.connect_clicked(move |widget| on_button(&item, widget));
        parent.append(&widget);
    }
}
