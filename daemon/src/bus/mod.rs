//! The service on the bus: the API `org.butterdock.Butterdock1` of the crate butterdock-dbus. No decision is made
//! here.
//!
//! * `server` is the connection, and what all objects share. `objects` publishes them and takes the name.
//! * `manager`, `volume`, `drive`, `destination`, `backup`, `job`: one interface each. Their methods are `&self`: read the
//!   arguments, ask whether the caller may, call the service, return. Other calls do not wait for a password prompt.
//! * `object_publisher` follows the drives, destinations and backups of the service, `job_publisher` its jobs and volumes. They
//!   publish: `InterfacesAdded`, `PropertiesChanged` (at most four a second, none when nothing changed), `Completed`,
//!   `InterfacesRemoved`, in this order.
//! * `mapping` translates the types of the service into those of the contract.
//! * `authority` decides who may call, by the table of the contract; `polkit` makes one call to polkit, and `waiting_calls`
//!   limits how many wait for it.
//! * `socket` reads from the bus and writes to it. `admission` judges each message before zbus sees it: `header` reads what it
//!   is, `callers` knows its user, `calls` counts what that user may still ask for (`budget`), and `fd_table` keeps the
//!   descriptors that came with it.
//! * `systemd` asks logind to keep the machine awake, and timedated whether the clock is synchronised.
//!
//! Public data contains no file names and no paths: only `public` sentences of a job get into properties and signals.

mod admission;
mod authority;
mod backup;
mod budget;
mod callers;
mod calls;
mod destination;
mod drive;
mod fd_table;
mod files;
mod header;
mod job;
mod job_publisher;
mod manager;
mod mapping;
mod notifications;
mod object_publisher;
mod objects;
mod polkit;
mod server;
mod settings;
mod snapshots;
mod socket;
mod systemd;
mod udisks;
mod volume;
mod waiting_calls;

pub(crate) use server::BusServer;
