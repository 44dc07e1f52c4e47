//! Renames of backups, as a change of the settings begins them.

use crate::blocking::local;
use crate::renames::Rename;
use crate::service::Service;
use crate::types::{Error, ErrorCode};

impl Service {
    /// A backup gets another name. To be called before the configuration with the new name is written; the next reload, or the
    /// next start, takes its snapshots and records along.
    ///
    /// # Errors
    /// `NotFound`: there is no such backup; `Busy`: a job of it is unfinished; `Exists`: there is a backup of the new name, or
    /// there are records of one.
    pub async fn begin_rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let (manager, jobs) = (&self.0.manager, &self.0.jobs);
        if manager.rule(from).is_none() {
            let text = "there is no such backup to be renamed; butterdock backups lists the backups";
            return Err(Error::new(ErrorCode::NotFound, text));
        }
        let (known, name) = (jobs.clone(), to.to_owned());
        // Without an answer it counts as recorded.
        let has_source = local(move || known.has_source_of(&name)).await.unwrap_or(true);
        if manager.rule(to).is_some() || manager.has_records_of(to) || has_source {
            let text = "there is, or was, another backup of the new name; choose another name";
            return Err(Error::new(ErrorCode::Exists, text));
        }
        if jobs.is_unfinished(from) {
            let text =
                "a job of the backup is unfinished; wait until it has ended, or cancel it, then rename the backup";
            return Err(Error::new(ErrorCode::Busy, text));
        }
        self.change(move |renames, rename| renames.add(rename), from, to).await
    }

    /// The configuration with the new name was not written.
    ///
    /// # Errors
    /// `Failed`: the state directory cannot be written.
    pub async fn cancel_rename(&self, from: &str, to: &str) -> Result<(), Error> {
        self.change(move |renames, rename| renames.remove(&rename), from, to).await
    }

    async fn change(
        &self,
        change: impl FnOnce(&crate::renames::Renames, Rename) -> std::io::Result<()> + Send + 'static,
        from: &str,
        to: &str,
    ) -> Result<(), Error> {
        let (renames, rename) = (self.0.renames.clone(), Rename { from: from.to_owned(), to: to.to_owned() });
        let written = local(move || change(&renames, rename)).await;
        written.unwrap_or_else(|lost| Err(std::io::Error::other(lost))).map_err(|error| {
            let text = format!("cannot record the rename: {error}; check the disk of the state directory");
            Error::new(ErrorCode::Failed, text)
        })
    }
}
