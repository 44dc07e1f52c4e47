//! Every call of the crate on real volumes: what it does, and the errno that it promises. Needs root and loop devices.

#[cfg(test)]
mod privileged_encoded;
#[cfg(test)]
mod privileged_extents;
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
mod privileged_scrub;
#[cfg(test)]
mod privileged_subvolume;
#[cfg(test)]
mod privileged_top;
#[cfg(test)]
mod privileged_xattr;

#[cfg(test)]
#[path = "../rig/mod.rs"]
mod rig;
