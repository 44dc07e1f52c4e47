//! Tests of several modules together: simulated years, two drives at the same time, and real volumes (`privileged_*`).

mod interleaved;
mod privileged_holds;
mod privileged_retention;
mod privileged_room;
mod privileged_run_room;
mod privileged_source_space;
mod privileged_two_drives;
mod privileged_world;
mod simulation;
