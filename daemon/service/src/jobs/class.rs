//! The classes of jobs and their limits. Each class has its own limit, so that neither a stream nor another user takes
//! the place of a backup.
//!
//! | class | user | jobs |
//! |---|---|---|
//! | [`RootDrive`](JobClass::RootDrive) | root, plugs, the configuration | backup, restore, import, verify |
//! | [`RootStream`](JobClass::RootStream) | root | a stream that a caller passes |
//! | [`UserDrive`](JobClass::UserDrive) | other users | backup, restore, import, verify |
//! | [`UserStream`](JobClass::UserStream) | other users | a stream that a caller passes |
//! | [`RootFiles`](JobClass::RootFiles) | root | reading or restoring files in a snapshot |
//! | [`UserFiles`](JobClass::UserFiles) | other users | reading or restoring files in a snapshot |
//! | [`Remove`](JobClass::Remove) | any user | making a drive safe to unplug: without a limit, because there are few for each drive |
//!
//! The sender of a stream can make it wait, a drive cannot: so the two have separate classes, also for one user. The reader of a file
//! can make it wait too. Jobs with files do not wait for other jobs on the drive: a person who opens a file does not wait for a backup.

/// How many jobs with files one user other than root may have open: all of them run at once.
const MOST_OF_FILES: usize = 8;

/// The class of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum JobClass {
    RootDrive,
    RootStream,
    UserDrive,
    UserStream,
    RootFiles,
    UserFiles,
    Remove,
}

/// How many jobs of one class may be open.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenBounds {
    pub(super) all: usize,
    /// Of one user.
    pub(super) of_user: usize,
}

/// Why one more job is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// This many of the class are open.
    Class(usize),
    /// This many of them are the user's own.
    User(usize),
}

impl JobClass {
    /// The class of a user's job on a drive. A plug and the configuration are root.
    pub(super) fn of_drive(uid: u32) -> Self {
        if uid == 0 { Self::RootDrive } else { Self::UserDrive }
    }

    /// The class of a stream that a user passes.
    pub(super) fn of_stream(uid: u32) -> Self {
        if uid == 0 { Self::RootStream } else { Self::UserStream }
    }

    /// The class of a user's job with files in a snapshot.
    pub(super) fn of_files(uid: u32) -> Self {
        if uid == 0 { Self::RootFiles } else { Self::UserFiles }
    }

    /// How many of it may run, where up to `max_jobs` of a class may.
    pub(super) fn places(self, max_jobs: usize) -> usize {
        match self {
            Self::RootDrive | Self::RootStream | Self::UserDrive | Self::UserStream => max_jobs,
            // Those of files: up to the limit of open ones.
            Self::RootFiles | Self::UserFiles | Self::Remove => usize::MAX,
        }
    }

    /// Priority among jobs that wait for one volume or drive: the lowest runs first.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Remove => 0,
            Self::RootDrive | Self::RootStream | Self::RootFiles => 1,
            Self::UserDrive | Self::UserStream | Self::UserFiles => 2,
        }
    }

    /// Whether users other than root make jobs of it.
    pub(super) fn is_of_users(self) -> bool {
        matches!(self, Self::UserDrive | Self::UserStream | Self::UserFiles)
    }

    /// Why this user may not start one more job of this class.
    pub(super) fn full(
        self,
        uid: u32,
        open: impl Iterator<Item = (Self, u32)>,
        OpenBounds { all, of_user }: OpenBounds,
    ) -> Option<Full> {
        if self == Self::Remove {
            return None;
        }
        let of_user = if self == Self::UserFiles { of_user.min(MOST_OF_FILES) } else { of_user };
        let (mut of_class, mut own) = (0_usize, 0_usize);
        for (_, asker) in open.filter(|(class, _)| *class == self) {
            of_class = of_class.saturating_add(1);
            own = own.saturating_add(usize::from(asker == uid));
        }
        if own >= of_user { Some(Full::User(own)) } else { (of_class >= all).then_some(Full::Class(of_class)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_user_has_the_class_of_the_table() {
        assert_eq!([0, 1000].map(JobClass::of_drive), [JobClass::RootDrive, JobClass::UserDrive]);
        assert_eq!([0, 1000].map(JobClass::of_stream), [JobClass::RootStream, JobClass::UserStream]);
        assert_eq!([0, 1000].map(JobClass::of_files), [JobClass::RootFiles, JobClass::UserFiles]);
    }

    #[test]
    fn the_limit_of_one_class_affects_no_other() {
        use JobClass::{Remove, RootDrive, RootStream, UserDrive, UserStream};
        let bounds = OpenBounds { all: 4, of_user: 3 };
        // Open, asked for, by, answer.
        type Row<'r> = (&'r [(JobClass, u32)], JobClass, u32, Option<Full>);
        let table: [Row<'_>; 10] = [
            (&[], UserStream, 1, None),
            (&[(UserStream, 1); 2], UserStream, 1, None),
            (&[(UserStream, 1); 3], UserStream, 1, Some(Full::User(3))),
            (&[(UserStream, 1); 3], UserStream, 2, None),
            (
                &[(UserStream, 1), (UserStream, 1), (UserStream, 2), (UserStream, 2)],
                UserStream,
                3,
                Some(Full::Class(4)),
            ),
            (&[(UserStream, 1); 4], UserDrive, 1, None),
            (&[(UserStream, 1); 4], RootDrive, 0, None),
            (&[(UserDrive, 1); 4], RootStream, 0, None),
            (&[(RootStream, 0); 4], RootDrive, 0, None),
            (&[(UserStream, 1); 4], Remove, 1, None),
        ];
        for (open, class, uid, answer) in table {
            assert_eq!(class.full(uid, open.iter().copied(), bounds), answer, "{class:?} of {uid} beside {open:?}");
        }
        assert_eq!(Remove.full(1, [(Remove, 1); 9].into_iter(), bounds), None);
    }

    #[test]
    fn making_a_drive_safe_needs_no_place_and_goes_first() {
        assert_eq!(JobClass::Remove.places(1), usize::MAX);
        assert_eq!(JobClass::RootDrive.places(1), 1);
        assert!(JobClass::Remove.rank() < JobClass::RootStream.rank());
        assert!(JobClass::RootStream.rank() < JobClass::UserDrive.rank());
    }
}
