//! Backups in bad weather: drives that fill up and fail, processes that are killed, plugs that come and go.

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
