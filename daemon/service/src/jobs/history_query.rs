//! A page of the history.

use std::cmp::Reverse;

use super::record::Record;

/// Which jobs of the history are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only jobs that ended before this time, in microseconds since 1970.
    pub before: Option<u64>,
    /// Up to this many. More where several ended at the time of the last one: the next page begins before that time.
    pub limit: usize,
    /// Only jobs on the destination or drive with this id.
    pub destination: Option<String>,
    /// Only jobs of the backup with this name.
    pub backup: Option<String>,
}

impl HistoryQuery {
    /// The jobs that are asked for, by the time of their end, the newest first: a clock that was set back changes their order.
    pub(super) fn page(&self, records: impl IntoIterator<Item = Record>) -> Vec<Record> {
        let mut wanted: Vec<Record> = records.into_iter().filter(|record| self.wants(record)).collect();
        wanted.sort_by_key(|record| Reverse(record.end_time));
        if let Some(last) = self.limit.checked_sub(1).and_then(|at| wanted.get(at)) {
            let last = last.end_time;
            wanted.retain(|record| record.end_time >= last);
        }
        wanted
    }

    fn wants(&self, record: &Record) -> bool {
        let Self { before, limit: _, destination, backup } = self;
        let is = |wanted: &Option<String>, has: [&Option<String>; 2]| wanted.is_none() || has.contains(&wanted);
        before.is_none_or(|before| record.end_time < before)
            && is(destination, [&record.destination, &record.drive])
            && is(backup, [&record.backup; 2])
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::config::VolumeName;
    use crate::jobs::{About, Job, Total};
    use crate::types::Trigger;

    fn record(end_time: u64, drive: &str, backup: &str) -> Record {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        let job = Job::new(Uuid::new_v4(), About::receive(volume), Trigger::User(0), 1, Total::UNKNOWN);
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Record { end_time, drive: some(drive), backup: some(backup), ..Record::of(&job) }
    }

    fn ends(query: &HistoryQuery, records: &[Record]) -> Vec<u64> {
        query.page(records.to_vec()).iter().map(|record| record.end_time).collect()
    }

    #[test]
    fn pages_have_every_job_once_also_of_one_time_and_a_clock_set_back() {
        let records = [3, 9, 5, 5, 5, 7, 1].map(|time| record(time, "", ""));
        let mut query = HistoryQuery { limit: 3, ..HistoryQuery::default() };
        let mut all = Vec::new();
        loop {
            let page = ends(&query, &records);
            let Some(last) = page.last() else { break };
            query.before = Some(*last);
            all.push(page);
        }
        assert_eq!(all, [vec![9, 7, 5, 5, 5], vec![3, 1]]);
    }

    #[test]
    fn jobs_are_chosen_by_drive_and_backup() {
        let records = [record(1, "blue", "home"), record(2, "blue", ""), record(3, "red", "home"), record(4, "", "")];
        let some = |text: &str| Some(text.to_owned());
        let query = |destination, backup| HistoryQuery { limit: 9, destination, backup, before: None };
        assert_eq!(ends(&query(some("blue"), None), &records), [2, 1]);
        assert_eq!(ends(&query(None, some("home")), &records), [3, 1]);
        assert_eq!(ends(&query(some("blue"), some("home")), &records), [1]);
        assert_eq!(ends(&query(some("green"), None), &records), [0; 0]);
        assert_eq!(ends(&query(None, None), &records), [4, 3, 2, 1]);
    }
}
