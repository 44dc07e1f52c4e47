//! Which of the subvolumes with a uuid may be a parent or a clone source: a pure function of the facts about them.
//!
//! A stream carries the uuid on, and the owner of a subvolume can set it to any value. So a candidate is usable only if it is
//! trusted, read-only and unchanged. The number beside the uuid is a preference: the kernel writes the sender's own number
//! beside a uuid that came from elsewhere, so the number differs after a relay, a restore, a sync back and a deduplication.
//! The number is a condition if a user sends the stream and root received the candidate: many users may know a uuid, so the
//! uuid alone must not give access.
//!
//! Of the usable candidates, one with the wanted number is preferred, then one with a record, then the one received last. Two
//! without a record and with the same identity cannot be distinguished, so neither is used, unless one is a snapshot of the
//! other. A candidate that is not usable never prevents the use of another one.

use butterdock_stream::Identity;

use super::record::SubvolumeState;

/// The facts about a subvolume that has the wanted uuid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) state: SubvolumeState,
    /// The uuid of the subvolume that it is a snapshot of.
    pub(super) parent_uuid: [u8; 16],
    pub(super) read_only: bool,
    pub(super) trust: Trust,
    /// Whether it is usable only with exactly the wanted number.
    pub(super) exact: bool,
    /// Whether it was changed since it was received or made; false if it is not usable for another reason.
    pub(super) changed: bool,
}

/// Why a candidate is trusted, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It agrees with a record for root or for this user, or with the list in the options.
    Recorded,
    /// It has no record, and only root can have created or changed it.
    Roots,
    /// It has no record, and another user may have created it.
    Unrecorded,
    /// It was received for another user.
    RecordedForAnother,
    /// It differs from its record.
    RecordedOtherwise,
    /// It is not in the list of the options.
    NotListed,
}

/// The candidate that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Its index.
    pub(super) index: usize,
    /// Its number differs from the one in the stream.
    pub(super) number_differs: bool,
}

impl Candidate {
    /// Whether the wanted uuid is its `received_uuid`; otherwise it is its own uuid.
    pub(super) fn is_received(&self, wanted: &Identity) -> bool {
        self.state.received_uuid == wanted.uuid.0
    }

    /// The number that belongs to the wanted uuid: its `stransid` or its `ctransid`.
    pub(super) fn number(&self, wanted: &Identity) -> u64 {
        if self.is_received(wanted) { self.state.stransid } else { self.state.ctransid }
    }

    /// Why it is not usable; none if it is.
    pub(super) fn rejection(&self, wanted: &Identity) -> Option<&'static str> {
        if !self.read_only {
            return Some("is not read-only");
        }
        match self.trust {
            Trust::Recorded | Trust::Roots => {}
            Trust::Unrecorded => return Some("has no record, and a user other than root may have created it"),
            Trust::RecordedForAnother => return Some("was received for another user"),
            Trust::RecordedOtherwise => return Some("was changed after it was received (its record differs)"),
            Trust::NotListed => return Some("is not among the snapshots that were recorded when they were sent"),
        }
        if !self.changed {
            return None;
        }
        Some(if self.is_received(wanted) {
            "was changed after it was received"
        } else {
            "was changed after it was made"
        })
    }

    /// Why it is not usable with another number than the wanted one. A user does not learn the number of root's subvolumes,
    /// because the number would give access.
    fn number_rejection(&self, wanted: &Identity) -> String {
        if self.exact {
            return "is root's, and has another number than the stream wants".to_owned();
        }
        format!("has another number ({}, the stream wants {})", self.number(wanted), wanted.ctransid)
    }

    /// Whether the two have the same content because one is a snapshot of the other, or both are snapshots of a third.
    fn is_copy_of(&self, other: &Self) -> bool {
        let mark = |state: &SubvolumeState| (state.received_uuid, state.stransid, state.rtransid, state.ctransid);
        let related = self.parent_uuid == other.state.uuid
            || other.parent_uuid == self.state.uuid
            || (self.parent_uuid == other.parent_uuid && self.parent_uuid != [0; 16]);
        mark(&self.state) == mark(&other.state) && related
    }
}

/// Whether a subvolume that was received for the user `of` is usable for `asked_by` only with exactly its number.
pub(super) fn needs_number(asked_by: u32, of: u32) -> bool {
    asked_by != 0 && of != asked_by
}

/// Chooses a candidate for `wanted`. If none is chosen, returns the reason for each usable one. `strict` requires the wanted
/// number.
pub(super) fn choose(wanted: &Identity, strict: bool, all: &[Candidate]) -> Result<Chosen, Vec<(usize, String)>> {
    let usable = || all.iter().enumerate().filter(|(_, candidate)| candidate.rejection(wanted).is_none());
    let (exact, others): (Vec<_>, Vec<_>) =
        usable().partition(|(_, candidate)| candidate.number(wanted) == wanted.ctransid);
    let number_differs = exact.is_empty();
    let among = if number_differs {
        let (refused, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, one)| strict || one.exact);
        if rest.is_empty() {
            return Err(refused.into_iter().map(|(index, one)| (index, one.number_rejection(wanted))).collect());
        }
        rest
    } else {
        exact
    };
    let latest = |recorded: bool| {
        let wanted = |(_, candidate): &&(usize, &Candidate)| !recorded || candidate.trust == Trust::Recorded;
        among.iter().filter(wanted).max_by_key(|(_, candidate)| candidate.state.rtransid).copied()
    };
    if let Some((index, _)) = latest(true) {
        return Ok(Chosen { index, number_differs });
    }
    // A subvolume with this uuid of its own and this number is the sender's: the kernel chose both.
    let own = among.iter().find(|(_, candidate)| !number_differs && !candidate.is_received(wanted));
    if let Some(&(index, _)) = own {
        return Ok(Chosen { index, number_differs });
    }
    let Some((index, newest)) = latest(false) else { return Err(Vec::new()) };
    let same = |candidate: &Candidate| candidate.number(wanted) == newest.number(wanted);
    let conflicting = among.iter().filter(|(_, candidate)| same(candidate) && !candidate.is_copy_of(newest));
    let conflicting: Vec<_> = conflicting.filter(|(other, _)| *other != index).collect();
    if conflicting.is_empty() {
        return Ok(Chosen { index, number_differs });
    }
    let doubled = || "has the same identity as another one, and neither has a record".to_owned();
    Err(among.iter().filter(|(_, candidate)| same(candidate)).map(|(index, _)| (*index, doubled())).collect())
}

#[cfg(test)]
mod tests {
    use butterdock_stream::Uuid;

    use super::*;

    const WANTED: Identity = Identity { uuid: Uuid([7; 16]), ctransid: 100 };

    /// Received under the wanted identity.
    fn received(own: u8, stransid: u64, rtransid: u64, trust: Trust) -> Candidate {
        let state = SubvolumeState { uuid: [own; 16], received_uuid: [7; 16], stransid, rtransid, ctransid: rtransid };
        Candidate { state, parent_uuid: [0; 16], read_only: true, trust, exact: false, changed: false }
    }

    /// The sender's own subvolume.
    fn own(ctransid: u64, trust: Trust) -> Candidate {
        let state = SubvolumeState { uuid: [7; 16], ctransid, ..SubvolumeState::default() };
        Candidate { state, parent_uuid: [0; 16], read_only: true, trust, exact: false, changed: false }
    }

    fn chosen(all: &[Candidate]) -> Option<(usize, bool)> {
        choose(&WANTED, false, all).ok().map(|Chosen { index, number_differs }| (index, number_differs))
    }

    #[test]
    fn the_wanted_number_is_preferred() {
        use Trust::{Recorded, Roots};
        for (what, all, expected) in [
            ("nothing", vec![], None),
            ("the wanted number", vec![received(1, 100, 5, Recorded)], Some((0, false))),
            ("another number", vec![received(1, 99, 5, Recorded)], Some((0, true))),
            (
                "the wanted number before a later one",
                vec![received(1, 99, 9, Recorded), received(2, 100, 5, Recorded)],
                Some((1, false)),
            ),
            (
                "of other numbers the one received last",
                vec![received(1, 98, 5, Recorded), received(2, 97, 9, Recorded)],
                Some((1, true)),
            ),
            (
                "of two records the one received last",
                vec![received(1, 100, 9, Recorded), received(2, 100, 5, Recorded)],
                Some((0, false)),
            ),
            ("without a record", vec![received(1, 100, 5, Roots)], Some((0, false))),
            ("without a record and with another number", vec![received(1, 99, 5, Roots)], Some((0, true))),
            ("the sender's own", vec![own(100, Roots)], Some((0, false))),
            ("the sender's own with another number", vec![own(99, Roots)], Some((0, true))),
            (
                "the wanted number before a record",
                vec![received(1, 99, 5, Recorded), received(2, 100, 5, Roots)],
                Some((1, false)),
            ),
        ] {
            assert_eq!(chosen(&all), expected, "{what}");
        }
    }

    #[test]
    fn of_two_with_one_identity_only_a_recorded_one_is_used() {
        use Trust::{Recorded, Roots};
        let copy = |of: &Candidate, uuid| {
            let state = SubvolumeState { uuid: [uuid; 16], ..of.state };
            Candidate { state, parent_uuid: of.state.uuid, ..of.clone() }
        };
        let first = received(1, 100, 5, Roots);
        let changed_mark =
            |candidate: Candidate| Candidate { state: SubvolumeState { rtransid: 6, ..candidate.state }, ..candidate };
        for (what, all, expected) in [
            ("a record", vec![received(1, 100, 9, Roots), received(2, 100, 5, Recorded)], Some((1, false))),
            ("none", vec![received(1, 100, 9, Roots), received(2, 100, 5, Roots)], None),
            ("none, by another number", vec![received(1, 99, 9, Roots), received(2, 99, 5, Roots)], None),
            ("the later of two numbers", vec![received(1, 99, 9, Roots), received(2, 98, 5, Roots)], Some((0, true))),
            ("its snapshot", vec![first.clone(), copy(&first, 2)], Some((1, false))),
            ("its snapshot, marked anew", vec![first.clone(), changed_mark(copy(&first, 2))], None),
            ("the sender's own", vec![received(1, 100, 9, Roots), own(100, Roots)], Some((1, false))),
        ] {
            assert_eq!(chosen(&all), expected, "{what}");
        }
    }

    #[test]
    fn an_unusable_candidate_does_not_prevent_another() {
        let good = received(9, 99, 5, Trust::Roots);
        let bad = |change: fn(&mut Candidate)| {
            let mut candidate = received(1, 100, 50, Trust::Recorded);
            change(&mut candidate);
            candidate
        };
        for (what, bad) in [
            ("writable", bad(|one| one.read_only = false)),
            ("changed", bad(|one| one.changed = true)),
            ("another user's", bad(|one| one.trust = Trust::RecordedForAnother)),
            ("not as recorded", bad(|one| one.trust = Trust::RecordedOtherwise)),
            ("without a record", bad(|one| one.trust = Trust::Unrecorded)),
            ("not listed", bad(|one| one.trust = Trust::NotListed)),
        ] {
            assert_eq!(chosen(std::slice::from_ref(&bad)), None, "{what}");
            assert!(bad.rejection(&WANTED).is_some(), "{what}");
            assert_eq!(chosen(&[bad, good.clone()]), Some((1, true)), "{what}");
        }
    }

    #[test]
    fn two_hundred_forged_candidates_change_nothing() {
        let mut all: Vec<_> = (0..200).map(|number| received(number, 100, 50, Trust::RecordedForAnother)).collect();
        all.push(received(201, 100, 5, Trust::Recorded));
        all.extend((0..200).map(|number| received(number, 100, 60, Trust::Unrecorded)));
        assert_eq!(chosen(&all), Some((200, false)));
    }

    #[test]
    fn a_user_needs_the_exact_number_of_roots_subvolume() {
        for (what, asked_by, of, expected) in [
            ("root and root's", 0, 0, false),
            ("root and a user's", 0, 1000, false),
            ("a user and their own", 1000, 1000, false),
            ("a user and root's", 1000, 0, true),
            ("a user and another's", 1000, 1001, true),
        ] {
            assert_eq!(needs_number(asked_by, of), expected, "{what}");
        }
        let roots = |own, number| Candidate { exact: true, ..received(own, number, 50, Trust::Recorded) };
        for (what, all, expected) in [
            ("the wanted number", vec![roots(1, 100)], Some((0, false))),
            ("another number", vec![roots(1, 99)], None),
            (
                "another number beside their own",
                vec![roots(1, 99), received(2, 98, 5, Trust::Recorded)],
                Some((1, true)),
            ),
            (
                "the wanted number before their own",
                vec![received(2, 98, 60, Trust::Recorded), roots(1, 100)],
                Some((1, false)),
            ),
        ] {
            assert_eq!(chosen(&all), expected, "{what}");
        }
        let refused = choose(&WANTED, true, &[roots(1, 99)]).unwrap_err();
        assert!(!refused[0].1.contains("99"), "the message shows the number: {refused:?}");
    }

    #[test]
    fn strict_requires_the_wanted_number() {
        let strict = |all: &[Candidate]| choose(&WANTED, true, all);
        assert!(strict(&[received(1, 100, 5, Trust::Recorded)]).is_ok());
        let refused = strict(&[received(1, 99, 5, Trust::Recorded), own(98, Trust::Roots)]).unwrap_err();
        assert_eq!(refused[0], (0, "has another number (99, the stream wants 100)".to_owned()));
        assert_eq!(refused.len(), 2);
    }
}
