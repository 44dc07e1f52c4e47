//! The programs of a desktop session with the real service, a drive on a loop device, and notification servers of the test, on
//! private buses.

#[cfg(feature = "screen")]
mod automount;
#[cfg(feature = "screen")]
mod automounter;
mod desktop;
#[cfg(feature = "screen")]
mod fake_service;
mod idle;
mod job_view_server;
mod job_views;
mod locked_drive;
#[cfg(feature = "screen")]
mod mako;
mod messages;
mod notification_server;
#[cfg(feature = "screen")]
mod pictures;
mod restarts;
#[cfg(feature = "screen")]
mod screen;
mod two_sessions;
#[cfg(feature = "screen")]
mod window;
#[cfg(feature = "screen")]
mod window_pictures;
mod without_polkit_agent;
