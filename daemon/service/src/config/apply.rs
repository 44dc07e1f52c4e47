//! Puts what the files set over the defaults.

use super::backup::Backup;
use super::destination::Destination;
use super::drives::Import;
use super::file::{self, File, Paths, Queue, Worker};
use super::notify::Notify;
use super::validated::Within;
use super::{Config, VolumeRule, WorkerRule};

/// Names every field, so that the compiler requires a new key here.
pub(super) fn apply(config: &mut Config, file: File) {
    let File { max_jobs, history, queue, streams, worker, paths, drives, volume, backup, destination, import, notify } =
        file;
    let Queue { max, max_per_user } = queue;
    // Where the administrator's file is, is known before it is read.
    let Paths { state, run, settings: _ } = paths;
    set(&mut config.max_jobs, max_jobs.map(Within::get));
    set(&mut config.history, history.map(Within::get));
    set(&mut config.max_queued, max.map(Within::get));
    set(&mut config.max_queued_per_user, max_per_user.map(Within::get));
    set(&mut config.state, state.map(|path| path.0));
    set(&mut config.run, run.map(|path| path.0));
    streams.apply(&mut config.streams);
    drives.apply(&mut config.drives);
    apply_worker(&mut config.worker, &worker);
    let rule = |file::Volume { name, path, uuid, enabled }| {
        enabled.then(|| VolumeRule { name: name.into_inner(), path: path.into_inner().0, uuid })
    };
    config.volumes = volume.into_iter().flatten().filter_map(rule).collect();
    config.backups = backup.into_iter().flatten().map(Backup::rule).collect();
    config.imports = import.into_iter().flatten().filter_map(Import::rule).collect();
    let notify = notify.into_iter().flatten().filter(|one: &Notify| one.enabled);
    config.notify = notify.map(|one| one.rule).collect();
    let destinations = destination.into_iter().flatten().filter(|one: &Destination| one.enabled);
    config.destinations = destinations.map(|one| one.rule).collect();
}

fn apply_worker(rule: &mut WorkerRule, worker: &Worker) {
    let Worker { nice, io_class, io_priority, writer_threads } = worker;
    set(&mut rule.nice, nice.map(Within::get));
    set(&mut rule.io_class, *io_class);
    set(&mut rule.io_priority, io_priority.map(Within::get));
    set(&mut rule.writer_threads, writer_threads.map(|writer_threads| Some(writer_threads.get())));
}

/// Sets the new value, if there is one.
pub(super) fn set<T>(value: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *value = new;
    }
}
