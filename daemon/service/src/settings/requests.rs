//! Requests about settings.

use std::time::Duration;

use super::change::{Changed, changed};
use super::warnings::{SettingWarning, Subject};
use super::{SettingChange, Settings, SettingsChanged, file, reading};
use crate::blocking::local;
use crate::config::{ConfigFiles, ConfigTexts};
use crate::service::Service;
use crate::types::{Error, ErrorCode};

/// Timeout for looking at a source or a volume after a change.
const LOOKING: Duration = Duration::from_secs(10);

impl Service {
    /// The settings of both files, as they are on disk.
    ///
    /// # Errors
    /// `Failed`: a file cannot be read, or has a mistake; with its place.
    pub async fn settings(&self) -> Result<Settings, Error> {
        let files = self.0.files().clone();
        let read = local(move || {
            let texts = texts(&files)?;
            reading::read(&texts)
                .map_err(|mistake| Error::new(ErrorCode::Failed, format!("{mistake}; correct the file")))
        });
        read.await.map_err(lost)?
    }

    /// Changes the administrator's file, and takes it over. With a revision, only if the file is as it was then.
    ///
    /// # Errors
    /// Nothing was changed: `StaleRevision`, `NotAllowed`, `NotFound`, `ReadOnly`, `InvalidArgs` with what the parser refuses, or
    /// `Failed`. `Failed` also if the file was changed and the service could not take it over: the sentence says which.
    pub async fn change_settings(
        &self,
        change: SettingChange,
        revision: Option<String>,
    ) -> Result<SettingsChanged, Error> {
        let _editing = self.0.editing.lock().await;
        let files = self.0.files().clone();
        let (revision, subject) = match rename_of(&change) {
            Some((from, to)) => self.rename(files, change, revision, (&from, &to)).await?,
            None => local(move || write(&files, &change, revision.as_deref())).await.map_err(lost)??,
        };
        self.reload().await.map_err(|text| {
            Error::new(ErrorCode::Failed, format!("the settings were written, and are not in effect: {text}"))
        })?;
        let warnings = match subject {
            Some(subject) => self.warnings(subject).await,
            None => Vec::new(),
        };
        Ok(SettingsChanged { revision, warnings })
    }

    /// Writes the change that gives a backup another name. The rename is recorded before: a crash in between leaves the old name, or
    /// a record that the next start applies.
    async fn rename(
        &self,
        files: ConfigFiles,
        change: SettingChange,
        revision: Option<String>,
        (from, to): (&str, &str),
    ) -> Result<(String, Option<Subject>), Error> {
        let (looked, wanted, known) = (files.clone(), change.clone(), revision.clone());
        local(move || prepare(&looked, &wanted, known.as_deref()).map(drop)).await.map_err(lost)??;
        self.begin_rename(from, to).await?;
        let read = files.clone();
        let written = local(move || write(&files, &change, revision.as_deref())).await.map_err(lost)?;
        if written.is_err() {
            // An error does not always say that the old file is there.
            let name = to.to_owned();
            let is_renamed = local(move || texts(&read).map(|texts| is_configured(&texts, &name))).await;
            if let Ok(Ok(false)) = is_renamed {
                self.cancel_rename(from, to).await?;
            }
        }
        written
    }

    async fn warnings(&self, subject: Subject) -> Vec<SettingWarning> {
        let mut warnings = subject.unknown(|name| self.0.manager.is_known(name));
        let name = subject.name().to_owned();
        match self.0.looks.run(LOOKING, move || subject.look()).await {
            Ok(found) => warnings.extend(found),
            Err(why) => {
                let english =
                    format!("its directories were not looked at: {why}; butterdockd check-config looks at them");
                warnings.push(SettingWarning { code: "not-checked", name, english });
            }
        }
        warnings
    }
}

fn texts(files: &ConfigFiles) -> Result<ConfigTexts, Error> {
    ConfigTexts::read(files).map_err(|error| Error::new(ErrorCode::Failed, format!("{error:#}")))
}

/// The former and the new name of a backup.
fn rename_of(change: &SettingChange) -> Option<(String, String)> {
    match change {
        SettingChange::Set { name, rename_from, .. } => Some((rename_from.clone()?, name.clone())),
        SettingChange::Remove { .. } | SettingChange::Defaults { .. } => None,
    }
}

/// Whether the files have a backup of this name; also if they have a mistake.
fn is_configured(texts: &ConfigTexts, name: &str) -> bool {
    texts.config().map_or(true, |config| config.backup(name).is_some())
}

/// Checks the change; the texts before and after it.
fn prepare(
    files: &ConfigFiles,
    change: &SettingChange,
    revision: Option<&str>,
) -> Result<(ConfigTexts, Changed), Error> {
    let texts = texts(files)?;
    let administrator = &texts.administrator;
    if revision.is_some_and(|revision| revision != file::revision(administrator.text.as_deref())) {
        return Err(file::stale(&administrator.path));
    }
    let changed = changed(&texts, change)?;
    Ok((texts, changed))
}

/// Changes the file; its new revision, and what to look at.
pub(super) fn write(
    files: &ConfigFiles,
    change: &SettingChange,
    revision: Option<&str>,
) -> Result<(String, Option<Subject>), Error> {
    let (texts, Changed { text, config }) = prepare(files, change, revision)?;
    let administrator = &texts.administrator;
    let before = administrator.text.as_deref();
    let after = Some(text.as_str()).filter(|text| before.is_some() || !text.is_empty());
    if let Some(after) = after.filter(|after| before != Some(*after)) {
        file::replace(&administrator.path, before, after)?;
    }
    Ok((file::revision(after), Subject::of(change, &config)))
}

fn lost(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Failed, format!("cannot read or write the settings: {error}"))
}
