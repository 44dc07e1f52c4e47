//! This room shows the service on the bus: `org.butterdock.Butterdock1`, as the crate butterdock-dbus has it.
//!
//! * `manager`, `volume`, `drive`, `job`: one interface each. Their methods are `&self`: read the arguments, ask whether the caller
//!   may, order, return. Nobody is held up by them, whatever a person at a password prompt does.
//! * `mirror` follows a job and tells: `InterfacesAdded`, `PropertiesChanged` (at most four a second, none when nothing
//!   changed), `Completed`, `InterfacesRemoved`, in this order.
//! * `showing` shows the drives as they come and go, and tells of them as `mirror` does of jobs; `errands` are what their
//!   methods have the desk do.
//! * `authority` decides who may, from the contract's table; `polkit` is how polkit is asked.
//! * `stream` looks at a descriptor that a caller passed.
//! * `socket` reads from the bus and writes to it. Everything that is read is judged by `admission` before zbus has it: `header`
//!   says what it is, `callers` whose, `calls` how much that user may still ask for (`budget`), and `fd_table` keeps the
//!   descriptors that came with it.
//! * `inhibitor` asks logind to keep the machine awake, `timedate` asks systemd whether the clock is synchronised.
//!
//! What is told to everybody holds no name of a file and no path: only `public` sentences of a job get into properties
//! and signals.

mod admission;
mod authority;
mod budget;
mod callers;
mod calls;
mod drive;
mod errands;
mod estimates;
mod fd_table;
mod hall;
mod header;
mod imports;
mod inhibitor;
mod job;
mod manager;
mod mirror;
mod polkit;
mod receive;
mod showing;
mod socket;
mod stay;
mod stream;
mod timedate;
mod volume;

pub(crate) use hall::Hall;
pub(crate) use manager::Reload;
