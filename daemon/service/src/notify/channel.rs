//! One channel: what waits, and when it is tried again.

use std::collections::VecDeque;

use uuid::Uuid;

use super::notification::Notification;
use super::{NotifyFailure, NotifyProblem, NotifyStatus};
use crate::config::{NotifyChannel, NotifyRule};

/// Limit of notifications that wait for one channel.
pub(super) const MOST: usize = 50;
/// In microseconds.
const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The times between attempts; the last one repeats.
const WAITS: [u64; 5] = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR];

/// A channel. Times are microseconds since 1970.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) rule: NotifyRule,
    /// The oldest first.
    waiting: VecDeque<Notification>,
    /// The first one is being sent.
    is_sending: bool,
    dropped: u64,
    last_delivered: Option<u64>,
    problem: Option<NotifyProblem>,
}

impl Channel {
    pub(super) fn new(rule: NotifyRule) -> Self {
        let waiting = VecDeque::new();
        Self { rule, waiting, is_sending: false, dropped: 0, last_delivered: None, problem: None }
    }

    /// Another configuration: it is tried at once.
    pub(super) fn set_rule(&mut self, rule: NotifyRule) {
        if self.rule != rule {
            self.rule = rule;
            self.problem = None;
            if let Some(first) = self.waiting.front_mut() {
                first.attempts = 0;
            }
        }
    }

    /// Adds one, and returns those that are dropped for it: the oldest.
    pub(super) fn add(&mut self, notification: Notification) -> Vec<Notification> {
        self.waiting.push_back(notification);
        let mut dropped = Vec::new();
        while self.waiting.len() > MOST {
            // The first one may be on its way.
            let oldest = usize::from(self.is_sending);
            dropped.extend(self.waiting.remove(oldest));
        }
        self.dropped = self.dropped.saturating_add(count(dropped.len()));
        dropped
    }

    /// Drops those that are too old to be of use.
    pub(super) fn expired(&mut self, now: u64) -> Vec<Notification> {
        let lifetime = match self.rule.channel {
            // A ping counts when it arrives: a late one would hide that nothing was backed up since.
            NotifyChannel::Healthchecks { .. } => DAY,
            NotifyChannel::Mail(_) | NotifyChannel::Webhook { .. } | NotifyChannel::Ntfy { .. } => 7 * DAY,
        };
        if self.is_sending {
            return Vec::new();
        }
        let (old, waiting) = self.waiting.drain(..).partition(|one| now.saturating_sub(one.time) > lifetime);
        let old: Vec<_> = old;
        self.waiting = VecDeque::from(waiting);
        self.dropped = self.dropped.saturating_add(count(old.len()));
        old
    }

    /// When the next one is to be sent; None if none waits, or one is being sent.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let first = self.waiting.front().filter(|_| !self.is_sending)?;
        let Some(failed) = first.attempts.checked_sub(1) else { return Some(now) };
        let wait = usize::try_from(failed).ok().and_then(|failed| WAITS.get(failed));
        let wait = wait.or(WAITS.last()).copied().unwrap_or(HOUR);
        // A clock that was set back does not delay it.
        Some(first.tried.min(now).saturating_add(wait))
    }

    /// Takes the first one to send it.
    pub(super) fn begin(&mut self) -> Option<Notification> {
        let first = self.waiting.front()?.clone();
        self.is_sending = true;
        Some(first)
    }

    /// The first one was delivered. Returns whether a problem ended with it.
    pub(super) fn delivered(&mut self, id: Uuid, now: u64) -> bool {
        self.is_sending = false;
        self.waiting.retain(|one| one.id != id);
        self.works(now)
    }

    /// Something was delivered.
    pub(super) fn works(&mut self, now: u64) -> bool {
        self.last_delivered = Some(now);
        // What waits behind is not to wait longer for the sake of the first.
        if let Some(first) = self.waiting.front_mut() {
            first.attempts = 0;
        }
        self.problem.take().is_some()
    }

    /// The first one was not delivered. Returns it with its attempts, to be recorded, and whether the failure is a new one.
    pub(super) fn failed(&mut self, id: Uuid, failure: NotifyFailure, now: u64) -> (Option<Notification>, bool) {
        self.is_sending = false;
        let first = self.waiting.iter_mut().find(|one| one.id == id);
        let first = first.map(|one| {
            (one.attempts, one.tried) = (one.attempts.saturating_add(1), now);
            one.clone()
        });
        let attempts = self.problem.as_ref().map_or(1, |problem| problem.attempts.saturating_add(1));
        let is_new = self.problem.as_ref().is_none_or(|before| before.failure.word() != failure.word());
        let channel = self.rule.name.as_str().to_owned();
        self.problem = Some(NotifyProblem { channel, failure, attempts, time: now });
        (first, is_new)
    }

    /// All that waits; for a channel that is not configured any more.
    pub(super) fn into_waiting(self) -> Vec<Notification> {
        self.waiting.into()
    }

    pub(super) fn status(&self) -> NotifyStatus {
        NotifyStatus {
            name: self.rule.name.as_str().to_owned(),
            kind: self.rule.channel.kind(),
            queued: count(self.waiting.len()),
            dropped: self.dropped,
            last_delivered: self.last_delivered,
            problem: self.problem.clone(),
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
