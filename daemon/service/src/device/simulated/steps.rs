//! The steps that the service takes with simulated drives: each can fail, wait, or have something happen before or after it.

use super::*;

impl SimulatedDevices {
    /// Has a step of a drive fail so many times.
    pub(crate) fn fail(&self, drive: &SimulatedDrive, step: Step, errno: Errno, times: usize) {
        self.add(drive, step, Effect::Fails(errno), times);
    }

    /// Has a step of a drive be refused so many times, as if a program used the drive.
    pub(crate) fn refuse(&self, drive: &SimulatedDrive, step: Step, text: &'static str, times: usize) {
        self.add(drive, step, Effect::Refuses(text), times);
    }

    /// Has a step of a drive wait until [`Self::unblock`].
    pub(crate) fn block(&self, drive: &SimulatedDrive, step: Step) {
        self.add(drive, step, Effect::Waits, 1);
    }

    /// Lets every step that waits continue, and no more fail.
    pub(crate) fn unblock(&self) {
        self.state().faults.clear();
        self.0.opened.notify_all();
    }

    /// Has something happen at the n-th step from now.
    pub(crate) fn at_step(&self, step: usize, moment: Moment, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let at = state.steps.len() + step;
        state.actions.push((at, moment, Box::new(action)));
    }

    /// Forgets what was to happen at a later step.
    pub(crate) fn clear_actions(&self) {
        self.state().actions.clear();
    }

    /// The steps that were taken.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    /// Waits until a step is begun, which waits itself. The clock need not advance for that.
    pub(crate) async fn reached(&self, step: Step) {
        let mut last = self.0.last.subscribe();
        last.wait_for(|last| *last == Some(step)).await.expect("the devices are there");
    }

    fn add(&self, drive: &SimulatedDrive, step: Step, effect: Effect, times: usize) {
        self.state().faults.push(Fault { drive: drive.key(), step, effect, times });
    }

    fn run(&self, at: usize, moment: Moment) {
        let mut state = self.state();
        let (now, later) =
            std::mem::take(&mut state.actions).into_iter().partition(|(of, when, _)| (*of, *when) == (at, moment));
        state.actions = later;
        drop(state);
        let now: Vec<(usize, Moment, Action)> = now;
        now.into_iter().for_each(|(_, _, action)| action());
    }

    /// One step, with what happens before and after it.
    pub(super) fn step<T>(
        &self,
        step: Step,
        drive: Option<&SimulatedDrive>,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let at = {
            let mut state = self.state();
            state.steps.push(step);
            self.0.last.send_replace(Some(step));
            state.steps.len() - 1
        };
        self.run(at, Moment::Before);
        let mut state = self.wait(step, drive);
        let fault = drive.and_then(|drive| state.fault(step, drive));
        let done = match fault {
            Some(Effect::Fails(errno)) => Err(system(step, errno)),
            Some(Effect::Refuses(text)) => Err(Error::refused(text)),
            Some(Effect::Waits) | None => work(&mut state),
        };
        drop(state);
        self.run(at, Moment::After);
        done
    }

    fn wait(&self, step: Step, drive: Option<&SimulatedDrive>) -> MutexGuard<'_, State> {
        let waits = |state: &State| {
            let of_this = |fault: &Fault| drive.is_some_and(|drive| drive.key() == fault.drive) && fault.step == step;
            state.faults.iter().any(|fault| of_this(fault) && matches!(fault.effect, Effect::Waits))
        };
        let mut state = self.state();
        while waits(&state) {
            state = self.0.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

pub(super) fn system(step: Step, errno: Errno) -> Error {
    Error::system(format!("{step:?}"))(errno)
}
