//! The calls that the service works on, and what their callers may still have answered.
//!
//! The service has one connection to the bus, and the bus counts an answer against its sender until it was read. A user who
//! calls and does not read would so use up what the service may send to all. Therefore each user has
//!
//! * so many calls in flight: from when a call was read from the bus until its answer was written to it;
//! * so many bytes of answers, which come back with time. What an answer will cost is guessed by the last one of that method;
//! * so many bytes of refusals, which nobody need read either. Beyond these a call is not answered at all: then the bus, which
//!   lets a connection have 128 calls without an answer, refuses the next one itself. That is the last resort, because the bus
//!   searches all of them at each call of anybody's.
//!
//! All users together have no more than a part of what the bus lets the service send. Root is not counted.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Instant;

use super::budget::Bucket;

/// A user may have so many calls in flight.
const CALLS: usize = 64;
/// All users together.
const CALLS_IN_ALL: usize = 256;
/// Of these so many with a long answer.
const LONG_CALLS: usize = 8;
/// All users together.
const LONG_CALLS_IN_ALL: usize = 16;
/// An answer from this length on is a long one.
const LONG: usize = 16 << 10;
/// A user may be sent so many bytes at once, and so many more each second.
const BYTES: u32 = 4 << 20;
const BYTES_RATE: u32 = 16 << 10;
/// All users together. `max_incoming_bytes`, what dbus-daemon takes of one connection before others have read it, is 127 MiB;
/// this and what all are refused with is less than a quarter of it.
const BYTES_IN_ALL: u32 = 16 << 20;
const BYTES_IN_ALL_RATE: u32 = 64 << 10;
/// A user is told in so many bytes at once that there is too much, and in so many more each second.
const REFUSALS: u32 = 8 << 20;
const REFUSALS_RATE: u32 = 16 << 10;
/// All users together.
const REFUSALS_IN_ALL: u32 = 12 << 20;
const REFUSALS_IN_ALL_RATE: u32 = 64 << 10;
/// No refusal is longer.
const REFUSAL: usize = 400;
/// What an answer costs at least: the bus has to keep its header too.
const LEAST: usize = 512;
/// Users who are remembered at the same time.
const USERS: usize = 1024;
/// Methods whose last answer is remembered.
const METHODS: usize = 64;

/// One call: who sent it, and its number among those of the sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallId {
    pub(super) sender: String,
    pub(super) serial: NonZeroU32,
}

/// A call that was just read.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewCall<'c> {
    pub(super) uid: u32,
    pub(super) member: &'c str,
    /// How long it is itself.
    pub(super) length: usize,
    pub(super) wants_reply: bool,
}

/// Why a call is not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The caller is told so, in this sentence.
    Busy(&'static str),
    /// The caller is told nothing.
    Unanswered,
}

/// Every call in flight, and what each user has used up.
#[derive(Debug)]
pub(super) struct CallTable {
    calls: HashMap<CallId, Call>,
    users: HashMap<u32, User>,
    all: User,
    /// How long the last answer of each method was.
    lengths: HashMap<String, usize>,
}

#[derive(Debug)]
struct Call {
    uid: u32,
    member: String,
    cost: usize,
    wants_reply: bool,
}

#[derive(Debug, Clone, Copy)]
struct User {
    calls: usize,
    long: usize,
    bytes: Bucket,
    refusals: Bucket,
}

impl CallTable {
    pub(super) fn new(now: Instant) -> Self {
        let bytes = Bucket::new(BYTES_IN_ALL, BYTES_IN_ALL_RATE, now);
        let all = User { calls: 0, long: 0, bytes, refusals: Bucket::new(REFUSALS_IN_ALL, REFUSALS_IN_ALL_RATE, now) };
        Self { calls: HashMap::new(), users: HashMap::new(), all, lengths: HashMap::new() }
    }

    /// Takes a call on.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn begin(&mut self, id: &CallId, call: NewCall<'_>, now: Instant) -> Result<(), Refusal> {
        if self.is_in_flight(id) {
            return Err(Refusal::Unanswered);
        }
        let cost = self.cost(call);
        if call.uid != 0 {
            self.forget_users(now);
            if !self.users.contains_key(&call.uid) && self.users.len() >= USERS {
                return Err(Refusal::Unanswered);
            }
            let user = self.users.entry(call.uid).or_insert_with(|| User::new(now));
            if let Some(text) = user.lacks(cost, now).or_else(|| self.all.lacks_in_all(cost, now)) {
                return Err(if user.refuse(&mut self.all, now) { Refusal::Busy(text) } else { Refusal::Unanswered });
            }
            user.begin(cost);
            self.all.begin(cost);
        }
        let NewCall { uid, member, wants_reply, .. } = call;
        self.calls.insert(id.clone(), Call { uid, member: member.to_owned(), cost, wants_reply });
        Ok(())
    }

    /// Whether a call with this number is worked on already.
    pub(super) fn is_in_flight(&self, id: &CallId) -> bool {
        self.calls.contains_key(id)
    }

    /// Whether this user may be told once more why a call was refused.
    pub(super) fn may_refuse(&mut self, uid: u32, now: Instant) -> bool {
        if uid == 0 {
            return true;
        }
        if !self.users.contains_key(&uid) && self.users.len() >= USERS {
            return false;
        }
        let user = self.users.entry(uid).or_insert_with(|| User::new(now));
        user.refuse(&mut self.all, now)
    }

    /// Whether an answer to this call is wanted; also where the call is not known.
    pub(super) fn wants_reply(&self, id: &CallId) -> bool {
        self.calls.get(id).is_none_or(|call| call.wants_reply)
    }

    /// The call is over. Its answer has so many bytes, which are paid for also where nobody wants them; `is_good` where it was
    /// not an error.
    pub(super) fn end(&mut self, id: &CallId, sent: usize, is_good: bool) {
        let Some(call) = self.calls.remove(id) else { return };
        if is_good && (self.lengths.contains_key(&call.member) || self.lengths.len() < METHODS) {
            self.lengths.insert(call.member.clone(), sent);
        }
        if call.uid == 0 {
            return;
        }
        let paid = if sent == 0 { 0 } else { sent.max(LEAST) };
        if let Some(user) = self.users.get_mut(&call.uid) {
            user.end(call.cost, paid);
        }
        self.all.end(call.cost, paid);
    }

    /// What it will cost, as far as can be known: while it is worked on it is in memory, and then its answer.
    fn cost(&self, call: NewCall<'_>) -> usize {
        let answer = match (self.lengths.get(call.member), call.member) {
            (Some(length), _) => *length,
            // All objects are in these.
            (None, "Introspect" | "GetManagedObjects") => LONG,
            (None, _) => LEAST,
        };
        let most = usize::try_from(BYTES).unwrap_or(usize::MAX);
        answer.max(call.length).clamp(LEAST, most)
    }

    /// Users who have nothing to come back need not be remembered.
    fn forget_users(&mut self, now: Instant) {
        if self.users.len() >= USERS {
            self.users.retain(|_, user| user.calls > 0 || !user.bytes.is_full(now) || !user.refusals.is_full(now));
        }
    }
}

impl User {
    fn new(now: Instant) -> Self {
        let (bytes, refusals) = (Bucket::new(BYTES, BYTES_RATE, now), Bucket::new(REFUSALS, REFUSALS_RATE, now));
        Self { calls: 0, long: 0, bytes, refusals }
    }

    fn lacks(&mut self, cost: usize, now: Instant) -> Option<&'static str> {
        if self.calls >= CALLS || cost >= LONG && self.long >= LONG_CALLS {
            return Some("too many of your calls are unanswered; read your answers, and call again");
        }
        let empty = "the service sent you too many bytes in a short time; read them, and call again in a few seconds";
        (!self.bytes.has(cost, now)).then_some(empty)
    }

    fn lacks_in_all(&mut self, cost: usize, now: Instant) -> Option<&'static str> {
        let is_full =
            self.calls >= CALLS_IN_ALL || cost >= LONG && self.long >= LONG_CALLS_IN_ALL || !self.bytes.has(cost, now);
        is_full.then_some("the service has too many unanswered calls; call again in a few seconds")
    }

    /// Whether he is told so, which is paid then.
    fn refuse(&mut self, all: &mut Self, now: Instant) -> bool {
        let may = self.refusals.has(REFUSAL, now) && all.refusals.has(REFUSAL, now);
        if may {
            self.refusals.take(REFUSAL);
            all.refusals.take(REFUSAL);
        }
        may
    }

    fn begin(&mut self, cost: usize) {
        self.calls = self.calls.saturating_add(1);
        self.long = self.long.saturating_add(usize::from(cost >= LONG));
        self.bytes.take(cost);
    }

    fn end(&mut self, cost: usize, paid: usize) {
        self.calls = self.calls.saturating_sub(1);
        self.long = self.long.saturating_sub(usize::from(cost >= LONG));
        self.bytes.give_back(cost);
        self.bytes.take(paid);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(number: u32) -> CallId {
        CallId { sender: format!(":1.{}", number % 100), serial: NonZeroU32::new(number + 1).expect("not 0") }
    }

    fn call(uid: u32, member: &str) -> NewCall<'_> {
        NewCall { uid, member, length: 200, wants_reply: true }
    }

    fn begin(table: &mut CallTable, number: u32, uid: u32, now: Instant) -> Result<(), Refusal> {
        table.begin(&id(number), call(uid, "Get"), now)
    }

    #[test]
    fn calls_in_flight_are_bounded_but_not_those_of_root() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        for number in 0..64 {
            assert_eq!(begin(&mut table, number, 1000, now), Ok(()));
        }
        assert!(matches!(begin(&mut table, 64, 1000, now), Err(Refusal::Busy(_))));
        assert_eq!(begin(&mut table, 65, 1001, now), Ok(()));
        for number in 1000..3000 {
            assert_eq!(begin(&mut table, number, 0, now), Ok(()));
        }
        table.end(&id(0), 100, true);
        assert_eq!(begin(&mut table, 66, 1000, now), Ok(()));
    }

    #[test]
    fn all_users_together_leave_most_of_the_bus_to_root() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        let mut sent = 0_usize;
        for number in 0..200_000 {
            let uid = 1000 + number % 500;
            match begin(&mut table, number, uid, now) {
                Ok(()) => {
                    table.end(&id(number), 1 << 20, true);
                    sent += 1 << 20;
                }
                Err(Refusal::Busy(_)) => sent += REFUSAL,
                Err(Refusal::Unanswered) => {}
            }
        }
        assert!(sent > 25 << 20, "{sent}");
        // `max_incoming_bytes` of system.conf.
        assert!(sent < 133_169_152 / 4, "{sent}");
        assert_eq!(begin(&mut table, 200_000, 0, now), Ok(()));
    }

    #[test]
    fn long_answers_are_paid_before_they_are_made() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        assert_eq!(begin(&mut table, 0, 0, now), Ok(()));
        // Root's answers show how long they are.
        table.end(&id(0), 3 << 20, true);
        assert_eq!(begin(&mut table, 1, 1000, now), Ok(()));
        assert!(matches!(begin(&mut table, 2, 1000, now), Err(Refusal::Busy(_))));
        // It was shorter: the rest comes back.
        table.end(&id(1), 1 << 10, true);
        assert_eq!(begin(&mut table, 3, 1000, now), Ok(()));
    }

    #[test]
    fn what_a_user_was_sent_comes_back_with_time() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        assert_eq!(begin(&mut table, 0, 1000, now), Ok(()));
        table.end(&id(0), 4 << 20, false);
        assert!(matches!(begin(&mut table, 1, 1000, now), Err(Refusal::Busy(_))));
        assert_eq!(begin(&mut table, 2, 1001, now), Ok(()));
        assert_eq!(begin(&mut table, 3, 1000, now + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_user_beyond_the_refusals_gets_no_more_answers() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        assert_eq!(begin(&mut table, 0, 1000, now), Ok(()));
        table.end(&id(0), 5 << 20, false);
        for number in 1..=20_000 {
            assert!(matches!(begin(&mut table, number, 1000, now), Err(Refusal::Busy(_))), "{number}");
        }
        let last = (20_001..30_000).map(|number| begin(&mut table, number, 1000, now)).last();
        assert_eq!(last, Some(Err(Refusal::Unanswered)));
        assert!(!table.may_refuse(1000, now) && table.may_refuse(1001, now) && table.may_refuse(0, now));
    }

    #[test]
    fn a_number_that_is_in_flight_is_not_taken_twice() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        assert_eq!(begin(&mut table, 0, 1000, now), Ok(()));
        assert_eq!(begin(&mut table, 0, 1000, now), Err(Refusal::Unanswered));
        assert!(table.wants_reply(&id(0)) && table.wants_reply(&id(1)));
        table.end(&id(0), 1, true);
        table.end(&id(0), 1, true);
        assert_eq!(begin(&mut table, 0, 1000, now), Ok(()));
    }

    #[test]
    fn old_users_and_methods_are_forgotten() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        for number in 0..5000_u32 {
            let method = format!("M{number}");
            let later = now + Duration::from_mins(u64::from(number));
            let taken = table.begin(&id(number), call(1000 + number, &method), later);
            assert_eq!(taken, Ok(()), "{number}");
            table.end(&id(number), 100, true);
        }
        assert!(table.users.len() <= USERS && table.lengths.len() <= METHODS && table.calls.is_empty());
    }
}
