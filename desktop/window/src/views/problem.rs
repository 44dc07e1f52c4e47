//! A problem with its remedy.

use butterdock_desktop::words::Severity;
use butterdock_window_model::ProblemItem;
use gtk::prelude::*;

use super::parts::{column, label, row};

/// Draws a problem, without its button.
pub(crate) fn problem(item: &ProblemItem) -> gtk::Box {
    let (icon, class) = match item.severity {
        Severity::Info => ("dialog-information-symbolic", "accent"),
        Severity::Warning => ("dialog-warning-symbolic", "warning"),
        Severity::Danger => ("dialog-error-symbolic", "error"),
    };
    let image = gtk::Image::builder().icon_name(icon).valign(gtk::Align::Start).css_classes([class]).build();
    let (title, remedy) = (label("heading"), label(""));
    title.set_text(&item.title);
    remedy.set_text(&item.remedy);
    remedy.set_visible(!item.remedy.is_empty());
    let words = column(3);
    words.set_hexpand(true);
    words.append(&title);
    words.append(&remedy);
    let shown = row(9);
    shown.append(&image);
    shown.append(&words);
    shown
}
