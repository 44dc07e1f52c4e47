//! Users who call more than the service can answer, while other users still get answers. The bus has the limits of the
//! shipped system.conf.

mod calls;
mod descriptors;
mod polkit;
