//! The service on the bus: the API `org.butterdock.Butterdock1` of the crate butterdock-dbus. No decision is made
//! here.
//!
//! * `manager`, `volume`, `drive`, `job`: one interface each. Their methods are `&self`: read the arguments, ask whether
//!   the caller may, call the service, return. A password prompt that waits for a person holds up no other call.
//! * `job_publisher`, `drive_publisher` and `volume_publisher` follow what the service has and publish it: `InterfacesAdded`,
//!   `PropertiesChanged` (at most four a second, none when nothing changed), `Completed`, `InterfacesRemoved`, in this order.
//! * `mapping` has the service's types in the words of the contract.
//! * `authority` decides who may, from the contract's table; `polkit` is how polkit is asked.
//! * `socket` reads from the bus and writes to it. Everything that is read is judged by `admission` before zbus has it:
//!   `header` says what it is, `callers` whose, `calls` how much that user may still ask for (`budget`), and `fd_table`
//!   keeps the descriptors that came with it.
//! * `inhibitor` asks logind to keep the machine awake, `timedate` asks systemd whether the clock is synchronised.
//!
//! Public data contains no file names and no paths: only `public` sentences of a job get into properties and signals.

mod admission;
mod authority;
mod budget;
mod callers;
mod calls;
mod drive;
mod drive_publisher;
mod fd_table;
mod header;
mod inhibitor;
mod job;
mod job_publisher;
mod manager;
mod mapping;
mod polkit;
mod receive;
mod server;
mod socket;
mod timedate;
mod volume;
mod volume_publisher;

pub(crate) use server::BusServer;
