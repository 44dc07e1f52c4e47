//! Rules for the sources of the daemon that no compiler checks.

#[cfg(test)]
mod circles;
#[cfg(test)]
mod discarded;
#[cfg(test)]
mod ignored;
#[cfg(test)]
mod modules;
#[cfg(test)]
mod network;
#[cfg(test)]
mod one_place;
#[cfg(test)]
mod retired;
#[cfg(test)]
mod small_files;
