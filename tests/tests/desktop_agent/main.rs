//! The agent of a desktop session with the real service, a drive on a loop device, and notification servers of the test, on private
//! buses.

mod desktop;
mod fake_service;
mod idle;
mod job_view_server;
mod job_views;
mod locked_drive;
mod messages;
mod notification_server;
mod pictures;
mod restarts;
mod screen;
