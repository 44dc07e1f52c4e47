//! The calls in flight, and the limits of each user.
//!
//! The service has one connection to the bus, and the bus counts an answer against its sender until the receiver reads it. A
//! user who calls and does not read could use up what the service may send to all. So each user has a limit of
//!
//! * calls in flight: from reading a call from the bus until its answer is written;
//! * bytes of answers, a limit that refills with time. The cost of an answer is estimated from the last answer of its method;
//! * bytes of refusals, which a user need not read either. Beyond this limit the service does not answer: the bus allows a
//!   connection 128 unanswered calls and refuses the next one itself. That is the last resort, because the bus searches all
//!   unanswered calls at each call of any user.
//!
//! The limit of all users together is a part of what the bus lets the service send. Root has no limit.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Instant;

use super::budget::Bucket;

/// Calls in flight of one user.
const CALLS: usize = 64;
/// All users together.
const CALLS_IN_ALL: usize = 256;
/// Of these, calls with a long answer.
const LONG_CALLS: usize = 8;
/// All users together.
const LONG_CALLS_IN_ALL: usize = 16;
/// An answer of at least this length is long.
const LONG: usize = 16 << 10;
/// Bytes of answers to one user, and the refill per second.
const BYTES: u32 = 4 << 20;
const BYTES_RATE: u32 = 16 << 10;
/// All users together. dbus-daemon holds up to 127 MiB of one connection that are not read yet (`max_incoming_bytes`); this and
/// the refusals to all are less than a quarter of it.
const BYTES_IN_ALL: u32 = 16 << 20;
const BYTES_IN_ALL_RATE: u32 = 64 << 10;
/// Bytes of refusals to one user, and the refill per second.
const REFUSALS: u32 = 8 << 20;
const REFUSALS_RATE: u32 = 16 << 10;
/// All users together.
const REFUSALS_IN_ALL: u32 = 12 << 20;
const REFUSALS_IN_ALL_RATE: u32 = 64 << 10;
/// The longest refusal.
const REFUSAL: usize = 400;
/// The least cost of an answer: the bus also keeps its header.
const LEAST: usize = 512;
/// Limit of remembered users.
const USERS: usize = 1024;
/// Limit of methods whose last answer is remembered.
const METHODS: usize = 64;

/// One call: its sender, and its number among the calls of the sender.
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
    /// In bytes.
    pub(super) length: usize,
    pub(super) wants_reply: bool,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The caller gets this sentence.
    Busy(&'static str),
    /// The caller gets no answer.
    Unanswered,
}

/// Every call in flight, and the use of each user.
#[derive(Debug)]
pub(super) struct CallTable {
    calls: HashMap<CallId, Call>,
    users: HashMap<u32, User>,
    all: User,
    /// The length of the last answer of each method.
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

    /// Admits a call.
    ///
    /// # Errors
    /// Why it is refused.
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

    /// Whether a call with this number is in flight already.
    pub(super) fn is_in_flight(&self, id: &CallId) -> bool {
        self.calls.contains_key(id)
    }

    /// Whether this user may get one more refusal.
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

    /// Whether the caller wants an answer; true for an unknown call.
    pub(super) fn wants_reply(&self, id: &CallId) -> bool {
        self.calls.get(id).is_none_or(|call| call.wants_reply)
    }

    /// The call ends with an answer of `sent` bytes, which count even if the caller wants no answer; `is_good` if it is no error.
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

    /// The estimated cost: the call is in memory until its answer, and then the answer is.
    fn cost(&self, call: NewCall<'_>) -> usize {
        let answer = match (self.lengths.get(call.member), call.member) {
            (Some(length), _) => *length,
            // These answers contain all objects.
            (None, "Introspect" | "GetManagedObjects") => LONG,
            (None, _) => LEAST,
        };
        let most = usize::try_from(BYTES).unwrap_or(usize::MAX);
        answer.max(call.length).clamp(LEAST, most)
    }

    /// Forgets users whose limits are full again.
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

    /// Whether the user gets a refusal, which then counts.
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
    fn long_answers_count_before_they_are_made() {
        let now = Instant::now();
        let mut table = CallTable::new(now);
        assert_eq!(begin(&mut table, 0, 0, now), Ok(()));
        // The answer to root shows its length.
        table.end(&id(0), 3 << 20, true);
        assert_eq!(begin(&mut table, 1, 1000, now), Ok(()));
        assert!(matches!(begin(&mut table, 2, 1000, now), Err(Refusal::Busy(_))));
        // It was shorter: the rest is refunded.
        table.end(&id(1), 1 << 10, true);
        assert_eq!(begin(&mut table, 3, 1000, now), Ok(()));
    }

    #[test]
    fn the_limit_of_a_user_refills_with_time() {
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
