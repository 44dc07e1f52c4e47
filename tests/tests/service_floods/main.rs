//! Users who call more than the service can answer, and others who are answered all the same. The bus has the limits of the
//! shipped system.conf.

mod calls;
mod descriptors;
mod polkit;
