//! How many queries run at the same time. Each is a process.
//!
//! Queries on behalf of users have places of their own, and each user has a part of them: so no user takes the place of root, or
//! all places of the other users.

use std::sync::Arc;
use std::time::Duration;

use crate::blocking::{BlockingQueue, BlockingQueues, Turn};
use crate::types::{Error, ErrorCode};

/// Up to this many queries of root run at the same time,
const MOST: usize = 4;
/// and so many of users,
const MOST_OF_USERS: usize = 4;
/// of which each user has this many.
const MOST_OF_USER: usize = 2;

/// The places of the queries that run. Clones are the same places.
#[derive(Debug, Clone)]
pub(super) struct QueryPlaces {
    root: BlockingQueue,
    users: BlockingQueue,
    user: Arc<BlockingQueues<u32>>,
}

impl QueryPlaces {
    /// All are free.
    pub(super) fn new() -> Self {
        Self {
            root: BlockingQueue::new("query", MOST),
            users: BlockingQueue::new("query of users", MOST_OF_USERS),
            user: Arc::new(BlockingQueues::new("query of a user", MOST_OF_USER)),
        }
    }

    /// Takes the place of a query on behalf of this user, or of root. It is free again when the turns are dropped.
    ///
    /// # Errors
    /// `Busy`: too many queries run.
    pub(super) async fn take(&self, user: Option<u32>) -> Result<Vec<Turn>, Error> {
        let queues = match user {
            Some(uid) => vec![self.user.of(uid), self.users.clone()],
            None => vec![self.root.clone()],
        };
        let mut turns = Vec::new();
        for queue in queues {
            let busy = |_full| Error::new(ErrorCode::Busy, "too many queries at the same time; try again in a moment");
            turns.push(queue.turn(Duration::ZERO).await.map_err(busy)?);
        }
        Ok(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn users_take_no_place_of_root_or_of_each_other() {
        let places = QueryPlaces::new();
        let mut taken = Vec::new();
        for uid in [1000, 1000, 1001] {
            taken.push(places.take(Some(uid)).await.expect("free"));
        }
        assert_eq!(places.take(Some(1000)).await.map(drop).map_err(|error| error.code()), Err(ErrorCode::Busy));
        taken.push(places.take(Some(1002)).await.expect("another user"));
        assert!(places.take(Some(1003)).await.is_err(), "of all users");
        for _ in 0..MOST {
            taken.push(places.take(None).await.expect("root"));
        }
        assert!(places.take(None).await.is_err());
        taken.clear();
        places.take(Some(1000)).await.expect("free again");
    }
}
