//! All orders of the calls of processes that create and take one private directory, with a kill at any call.

use std::collections::HashSet;

type Inode = usize;

/// The call that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Next {
    Make,
    Open,
    Lock,
    Look,
    /// It is held. What it guards is done, then it is removed.
    Remove,
    Close,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    next: Next,
    open: Option<Inode>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    /// What has the name.
    at: Option<Inode>,
    /// Who has locked each directory that ever was.
    locks: Vec<Option<usize>>,
    processes: Vec<Process>,
}

impl World {
    fn new(processes: &[Next]) -> Self {
        let processes = processes.iter().map(|&next| Process { next, open: None }).collect();
        Self { at: None, locks: Vec::new(), processes }
    }

    fn close(&mut self, who: usize) {
        self.locks.iter_mut().filter(|lock| **lock == Some(who)).for_each(|lock| *lock = None);
        self.processes[who] = Process { next: Next::Nothing, open: None };
    }

    /// Has one of them make its next call.
    fn go_on(&mut self, who: usize, looks: bool) {
        let Process { next, open } = self.processes[who];
        let goes_on = match next {
            Next::Make if self.at.is_none() => {
                self.at = Some(self.locks.len());
                self.locks.push(None);
                Next::Open
            }
            Next::Open if self.at.is_some() => {
                self.processes[who].open = self.at;
                Next::Lock
            }
            Next::Lock if open.is_some_and(|inode| self.locks[inode].is_none()) => {
                self.locks[open.unwrap()] = Some(who);
                Next::Look
            }
            Next::Look if !looks || self.at == open => Next::Remove,
            Next::Remove => {
                self.at = None;
                Next::Close
            }
            Next::Make | Next::Open | Next::Lock | Next::Look | Next::Close | Next::Nothing => Next::Nothing,
        };
        if goes_on == Next::Nothing {
            self.close(who);
        } else {
            self.processes[who].next = goes_on;
        }
    }

    /// Whether at most one process holds the name, and holds the directory that has the name.
    fn is_well(&self) -> bool {
        let mut holders = self.processes.iter().filter(|process| process.next == Next::Remove);
        let well = holders.next().is_none_or(|holder| holder.open == self.at);
        well && holders.next().is_none()
    }

    fn is_over(&self) -> bool {
        self.processes.iter().all(|process| process.next == Next::Nothing)
    }
}

/// How many worlds can come of this one, and how many of them are not well.
fn explore(first: World, looks: bool) -> (usize, usize) {
    let (mut seen, mut to_see, mut bad) = (HashSet::new(), vec![first], 0);
    while let Some(world) = to_see.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        bad += usize::from(!world.is_well());
        if world.is_over() {
            // Whatever was left by those who were killed, the next one takes.
            let mut last = World { processes: vec![Process { next: Next::Open, open: None }], ..world };
            while !last.is_over() {
                last.go_on(0, looks);
            }
            bad += usize::from(last.at.is_some());
            continue;
        }
        for who in 0..world.processes.len() {
            let (mut goes_on, mut is_killed) = (world.clone(), world.clone());
            goes_on.go_on(who, looks);
            is_killed.close(who);
            to_see.extend([goes_on, is_killed]);
        }
    }
    (seen.len(), bad)
}

const ALL: [Next; 4] = [Next::Make, Next::Make, Next::Open, Next::Open];

#[test]
fn any_order_of_calls_gives_a_name_one_holder() {
    let (worlds, bad) = explore(World::new(&ALL), true);
    assert!(worlds > 1000 && bad == 0, "{bad} of {worlds}");
}

#[test]
fn without_the_second_look_a_deleted_directory_is_held() {
    assert!(explore(World::new(&ALL), false).1 > 0);
}
