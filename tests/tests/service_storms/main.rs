//! Backups under faults: full and failing drives, killed processes, rapid plugs.

mod clones;
mod counterparts;
mod elsewhere;
mod full;
mod kills;
mod machines;
mod plugs;
mod pushes;
mod strangers;
mod two_drives;
mod weather;
