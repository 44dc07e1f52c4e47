//! Random orders of everything that may happen to drives.
//!
//! One service lives through many orders. In each, things are begun one after another and overlap; then all faults end, every
//! timeout passes, and nothing may be left.
//!
//! A seed repeats what is begun, not how the threads of the drives interleave: run a seed that failed several times.

use butterdock_fixtures::{rounds, seed};
use nix::errno::Errno;
use tokio::task::JoinHandle;

use super::*;
use crate::config::DriveRules;
use crate::device::simulated::{Moment, Step, Usage};

/// How many services, how many orders each, and how many things happen in one.
const SERVICES: usize = 24;
const FULL_SERVICES: usize = 1000;
const ORDERS: usize = 84;
const ACTIONS: u64 = 12;

/// Real time in which every caller has an answer, after every timeout of the service.
const ANSWER: Duration = Duration::from_secs(60);

/// Which may fail. The kernel detaches every mount.
const STEPS: [Step; 9] = [
    Step::Superblock,
    Step::Mount,
    Step::Open,
    Step::WriteOut,
    Step::Unmount,
    Step::Unlock,
    Step::Lock,
    Step::CheckUnused,
    Step::PowerOff,
];

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Plug,
    Pull,
    PullAtStep,
    ReplugAtStep,
    Unlock,
    UnlockWrongly,
    Mount,
    BackUp,
    Verify,
    Cancel,
    List,
    Lease,
    Estimate,
    SafelyRemove,
    Forget,
    Enrol,
    Fail,
    Refuse,
    EndFaults,
    BecomeReadOnly,
    MountElsewhere,
    Use,
    ChangeMounts,
    Wait,
    WaitLong,
}

const ACTIONS_OF_A_DRIVE: [Action; 33] = {
    use Action::*;
    [
        Plug,
        Plug,
        Plug,
        Plug,
        Plug,
        Pull,
        PullAtStep,
        ReplugAtStep,
        Unlock,
        Unlock,
        Unlock,
        UnlockWrongly,
        Mount,
        BackUp,
        BackUp,
        Verify,
        Cancel,
        List,
        Lease,
        Estimate,
        SafelyRemove,
        SafelyRemove,
        Forget,
        Enrol,
        Fail,
        Refuse,
        EndFaults,
        BecomeReadOnly,
        MountElsewhere,
        Use,
        ChangeMounts,
        Wait,
        WaitLong,
    ]
};

/// Numbers by chance (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }
}

/// A service, its drives, and what callers wait for.
struct World {
    fixture: Arc<Fixture>,
    drives: Vec<SimulatedDrive>,
    callers: Vec<(Action, JoinHandle<()>)>,
    usages: Vec<Usage>,
    /// What happened in this order, for a test that fails.
    done: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn new(chance: &mut Chance) -> Self {
        let on_finish = chance.of(&[OnFinish::Unmount, OnFinish::Unmount, OnFinish::PowerOff, OnFinish::Keep]);
        let config = Config {
            backups: vec![rule("home", &["blue", "red"]), rule("etc", &["blue"])],
            drives: DriveRules { on_finish, ..DriveRules::default() },
            ..Config::default()
        };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let disks = usize::try_from(1 + chance.below(2)).expect("a number");
        let drives = vec![
            SimulatedDrive::new("blue", disks, chance.below(2) == 0),
            SimulatedDrive::new("red", 1, chance.below(2) == 0),
        ];
        for drive in &drives {
            fixture.enrol(drive).await;
        }
        let copy = drives[0].copy("blue-0");
        let drives = [drives, vec![copy, SimulatedDrive::new("green", 1, false)]].concat();
        Self { fixture: Arc::new(fixture), drives, callers: Vec::new(), usages: Vec::new(), done: Arc::default() }
    }

    /// Has a caller ask the service for something.
    fn call<F>(&mut self, action: Action, call: impl FnOnce(Arc<Fixture>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.callers.push((action, tokio::spawn(call(Arc::clone(&self.fixture)))));
    }

    fn remove(&mut self, action: Action, id: DriveId, when_idle: bool) {
        self.call(action, move |fixture| async move {
            drop(match when_idle {
                true => fixture.service.safely_remove_when_idle(id, 0).await,
                false => fixture.service.safely_remove(id, 0).await,
            });
        });
    }

    async fn act(&mut self, chance: &mut Chance) {
        let action = chance.of(&ACTIONS_OF_A_DRIVE);
        let at = usize::try_from(chance.below(self.drives.len() as u64 * 2)).expect("a number");
        // Mostly the first two, which are enrolled.
        let at = if at < self.drives.len() { at } else { at % 2 };
        let drive = self.drives[at].clone();
        lock(&self.done).push(format!("{action:?} {at}"));
        let id = self.fixture.shown(&drive).map(|shown| shown.id);
        let devices = self.fixture.devices.clone();
        match (action, id) {
            (Action::Plug, _) => devices.plug(&drive),
            (Action::Pull, _) => devices.pull(&drive),
            (Action::PullAtStep | Action::ReplugAtStep, _) => {
                let (step, moment) = (chance.below(12), chance.of(&[Moment::Before, Moment::After]));
                let same = devices.clone();
                devices.at_step(usize::try_from(step).expect("a number"), moment, move || {
                    same.pull(&drive);
                    if action == Action::ReplugAtStep {
                        same.plug(&drive);
                    }
                });
            }
            (Action::Fail, _) => {
                let errno = chance.of(&[Errno::EIO, Errno::EROFS, Errno::ENOSPC]);
                devices.fail(&drive, chance.of(&STEPS), errno, usize::try_from(1 + chance.below(3)).expect("a number"));
            }
            (Action::Refuse, _) => {
                let times = usize::try_from(1 + chance.below(60)).expect("a number");
                devices.refuse(&drive, chance.of(&STEPS), "it is in use", times);
            }
            (Action::EndFaults, _) => devices.unblock(),
            (Action::BecomeReadOnly, _) => devices.become_read_only(&drive),
            (Action::MountElsewhere, _) => devices.set_mounted_elsewhere(&drive, chance.below(2) == 0),
            (Action::Use, _) => {
                if chance.below(2) == 0 {
                    self.usages.extend(devices.begin_use_of(&drive));
                } else {
                    self.usages.clear();
                }
            }
            (Action::ChangeMounts, _) => devices.change_mounts(),
            (Action::Wait, _) => sleep(Duration::from_millis(chance.below(3000))).await,
            (Action::WaitLong, _) => sleep(Duration::from_secs(chance.below(60))).await,
            (Action::Estimate, _) => {
                self.call(action, |fixture| async move { drop(fixture.service.backups(true).await) })
            }
            (Action::Cancel, _) => {
                for job in self.fixture.unfinished() {
                    let id = job.id;
                    self.call(action, move |fixture| async move { drop(fixture.service.jobs().cancel(id).await) });
                }
            }
            (_, None) => {}
            (Action::Unlock, Some(id)) => self.call(action, move |fixture| async move {
                if fixture.drives().unlock_with(&id, PASSPHRASE).await.is_ok() {
                    fixture.set_by_hand(&drive);
                }
            }),
            (Action::UnlockWrongly, Some(id)) => self.call(action, move |fixture| async move {
                drop(fixture.drives().unlock_with(&id, b"wrong").await);
            }),
            (Action::Mount, Some(id)) => {
                let is_written = chance.below(2) == 0;
                self.call(action, move |fixture| async move {
                    if fixture.drives().mount(&id).await.is_ok() && is_written {
                        fixture.devices.write_if_mounted(&drive, "letter");
                    }
                });
            }
            (Action::BackUp, Some(id)) => self.call(action, move |fixture| async move {
                drop(fixture.service.back_up(&(&id).into(), None, BackupOptions::default(), 0).await);
            }),
            (Action::Verify, Some(id)) => self.call(action, move |fixture| async move {
                drop(fixture.service.verify(&(&id).into(), 0).await);
            }),
            (Action::List, Some(id)) => self.call(action, move |fixture| async move {
                drop(fixture.service.list_snapshots(&(&id).into()).await);
            }),
            (Action::Lease, Some(id)) => {
                let seconds = chance.below(30);
                self.call(action, move |fixture| async move {
                    if let Ok(lease) = fixture.drives().lease(&id, Need::Read).await {
                        sleep(Duration::from_secs(seconds)).await;
                        lease.close().await;
                    }
                });
            }
            (Action::SafelyRemove, Some(id)) => self.remove(action, id, chance.below(2) == 0),
            (Action::Forget, Some(id)) => self.call(action, move |fixture| async move {
                drop(fixture.drives().forget(&id).await);
            }),
            (Action::Enrol, Some(id)) => {
                let no_backup = chance.below(2) == 0;
                self.call(action, move |fixture| async move {
                    drop(fixture.drives().enrol(&id, EnrolOptions { no_backup, ..EnrolOptions::default() }).await);
                });
            }
        }
    }

    /// One order, from a service at rest to a service at rest.
    async fn order(&mut self, chance: &mut Chance) {
        lock(&self.done).clear();
        let seconds = chance.below(20);
        let work = [Work::Takes(seconds), Work::Takes(seconds), Work::Fills(seconds), Work::Waits, Work::Hangs];
        self.fixture.set_work(chance.of(&work));
        for _ in 0..ACTIONS {
            self.act(chance).await;
            match chance.below(3) {
                0 => tokio::task::yield_now().await,
                1 => self.fixture.settle().await,
                _ => {}
            }
            self.fixture.check(&self.drives);
        }
        self.rest().await;
    }

    async fn rest(&mut self) {
        self.fixture.devices.clear_actions();
        // Jobs that begin from now on end by themselves.
        self.fixture.set_work(Work::Takes(1));
        for job in self.fixture.unfinished() {
            drop(self.fixture.service.jobs().cancel(job.id).await);
        }
        self.fixture.quiet().await;
        for (action, caller) in self.callers.drain(..) {
            // The threads that it waits for may need real time on a busy machine.
            let until = std::time::Instant::now() + ANSWER;
            while !caller.is_finished() {
                assert!(std::time::Instant::now() < until, "{action:?} has no answer");
                sleep(Duration::from_secs(1)).await;
                std::thread::sleep(Duration::from_millis(1));
            }
            caller.await.expect("no caller panics");
        }
        self.fixture.check_at_rest(&self.drives);
        self.usages.clear();
        self.fixture.devices.unblock();
        for drive in &self.drives {
            self.fixture.devices.set_mounted_elsewhere(drive, false);
        }
    }
}

/// Shows what happened, where a test fails.
struct Shown(Arc<Mutex<Vec<String>>>, u64, Arc<Fixture>);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the service of the seed {}: {:?}", self.1, lock(&self.0));
            let steps = self.2.devices.steps();
            let ends = self.2.ends();
            eprintln!(
                "the last steps: {:?}; the last ends: {:?}",
                &steps[steps.len().saturating_sub(40)..],
                &ends[..ends.len().min(6)]
            );
        }
    }
}

/// One service from its start to its end.
fn live(first: u64, number: u64) {
    let seed = first.wrapping_add(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    run(async {
        let mut chance = Chance(seed);
        let mut world = World::new(&mut chance).await;
        let _shown = Shown(Arc::clone(&world.done), first.wrapping_add(number), Arc::clone(&world.fixture));
        for _ in 0..ORDERS {
            world.order(&mut chance).await;
        }
    });
}

#[test]
fn random_orders_leave_every_drive_released_or_with_a_problem() {
    let first = seed(20_261_127).expect("a seed");
    let services = rounds(SERVICES, FULL_SERVICES) as u64;
    // As many at the same time as there are processors.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for begin in 0..threads as u64 {
            scope.spawn(move || (begin..services).step_by(threads).for_each(|number| live(first, number)));
        }
    });
}
