//! Every call of the crate on real volumes: what it does, and the errnos that its documentation promises. Needs root and loop
//! devices.

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod privileged_contents;
#[cfg(test)]
mod privileged_encoded;
#[cfg(test)]
mod privileged_file;
#[cfg(test)]
mod privileged_filesystem;
#[cfg(test)]
mod privileged_inode;
#[cfg(test)]
mod privileged_names;
#[cfg(test)]
mod privileged_roots;
#[cfg(test)]
mod privileged_subvolume;
