//! Applies steps without the rest of the engine: in one go, or in parts with a checkpoint between two of them.

use std::thread::{Scope, scope};

use butterdock_stream::{Command, Position};

use super::{EARLY, IMMUTABLE_ATTRIBUTE, LATE, OURS, path, plan};
use crate::apply::{Applier, ApplyOptions, Cloned, DeferredRoot, Ineffective, RunContext, RunErrors, set_root_access};
use crate::control::Control;
use crate::error::{Cause, Error};
use crate::name::StreamPath;
use crate::plan::Step;
use crate::tests::memory::MemoryVolume;
use crate::volume::{Inode, Volume};

/// Applies `steps`, the commands between `SUBVOL` and `END`, with `writer_threads` threads and without the rest of the engine;
/// at the end it sets the root's access. Stops at the first error.
///
/// # Errors
/// The first error in the order of the steps.
pub(crate) fn apply_steps<V: Volume>(
    volume: V,
    steps: Vec<Step>,
    apply_options: ApplyOptions,
    writer_threads: usize,
) -> Result<V, Error> {
    apply_parts(volume, vec![steps], apply_options, writer_threads, |same| same)
}

/// The same for steps in several parts, with a checkpoint between two parts: `copy` makes a snapshot, and a new applier continues in it
/// with what a journal has.
///
/// # Errors
/// As for [`apply_steps`].
pub(crate) fn apply_parts<V: Volume>(
    mut volume: V,
    mut parts: Vec<Vec<Step>>,
    apply_options: ApplyOptions,
    writer_threads: usize,
    copy: impl Fn(V) -> V,
) -> Result<V, Error> {
    let last = parts.pop().unwrap_or_default();
    let mut root = None;
    for part in parts {
        (volume, root) = apply_part(volume, root, part, apply_options, writer_threads)?;
        volume = copy(volume);
    }
    apply_last(volume, root, last, apply_options, writer_threads)
}

/// Applies steps up to a checkpoint; returns what the next part continues from.
fn apply_part<V: Volume>(
    volume: V,
    root: Option<DeferredRoot>,
    steps: Vec<Step>,
    options: ApplyOptions,
    writer_threads: usize,
) -> Result<(V, Option<DeferredRoot>), Error> {
    let context = context(options)?;
    let (volume, root) = scope(|threads| {
        let mut applier = begin(volume, root, threads, writer_threads, &context)?;
        for Step { place, action } in steps {
            applier.apply(place, action);
        }
        let (_, root) = applier.quiesce()?;
        let text = serde_json::to_string(&root.access).expect("JSON");
        let root = DeferredRoot { access: serde_json::from_str(&text).expect("JSON"), ..root };
        Ok::<_, Error>((applier.into_volume(), Some(root)))
    })?;
    context.errors.into_error(false).map_or(Ok((volume, root)), Err)
}

fn context(options: ApplyOptions) -> Result<RunContext, Error> {
    let control = Control::new().map_err(|error| Error::new(Cause::Read(error)))?;
    let errors = RunErrors::new(1, control.clone());
    Ok(RunContext { options, control, errors, ineffective: Ineffective::default(), cloned: Cloned::default() })
}

fn begin<'r, 'scope, V: Volume>(
    volume: V,
    root: Option<DeferredRoot>,
    threads: &'scope Scope<'scope, 'r>,
    writer_threads: usize,
    context: &'r RunContext,
) -> Result<Applier<'r, V>, Error> {
    let mut applier = Applier::new(volume, threads, writer_threads, context, |_, _| {})?;
    if let Some(root) = root {
        applier.restore(root, Position { command: 1, at: 0 });
    }
    Ok(applier)
}

fn apply_last<V: Volume>(
    volume: V,
    root: Option<DeferredRoot>,
    steps: Vec<Step>,
    apply_options: ApplyOptions,
    writer_threads: usize,
) -> Result<V, Error> {
    let context = context(apply_options)?;
    let volume = scope(|threads| {
        let mut applier = begin(volume, root, threads, writer_threads, &context)?;
        for Step { place, action } in steps {
            applier.apply(place, action);
        }
        let (finished, mut volume) = applier.finish();
        if context.errors.any() {
            return Ok(volume);
        }
        let root = volume.open(&StreamPath::root()).map_err(|fault| Error::call("open the root", fault))?;
        let state = root.state().map_err(|fault| Error::call("read the attributes of the root", fault))?;
        set_root_access(&root, finished, state)?;
        Ok(volume)
    })?;
    context.errors.into_error(false).map_or(Ok(volume), Err)
}

#[test]
fn after_a_resume_directory_times_and_the_roots_flags_are_kept() {
    let context = context(ApplyOptions::default()).unwrap();
    let commands = [
        Command::Mkdir { path: b"d", ino: None },
        Command::Utimes { path: b"d", atime: EARLY, mtime: EARLY, ctime: EARLY, otime: None },
        Command::Fileattr { path: b"", attr: IMMUTABLE_ATTRIBUTE },
    ];
    let (volume, root) =
        apply_part(MemoryVolume::new(OURS), None, plan(&commands), ApplyOptions::default(), 1).unwrap();
    let mut volume = scope(|threads| {
        let mut applier = begin(volume, root, threads, 1, &context).unwrap();
        for Step { place, action } in plan(&[Command::Mkfile { path: b"d/f", ino: None }]) {
            applier.apply(place, action);
        }
        // In a real volume the new name changes the times of its directory.
        applier.volume_mut().open(&path(b"d")).unwrap().set_times(LATE, LATE).unwrap();
        let (_, deferred) = applier.quiesce().unwrap();
        assert_ne!(deferred.flags, None, "the root's flags");
        applier.into_volume()
    });
    assert_eq!(volume.open(&path(b"d")).unwrap().times().unwrap(), (EARLY, EARLY));
}
