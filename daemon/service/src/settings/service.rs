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
        let written = local(move || write(&files, &change, revision.as_deref()));
        let (revision, subject) = written.await.map_err(lost)??;
        self.reload().await.map_err(|text| {
            Error::new(ErrorCode::Failed, format!("the settings were written, and are not in effect: {text}"))
        })?;
        let warnings = match subject {
            Some(subject) => self.warnings(subject).await,
            None => Vec::new(),
        };
        Ok(SettingsChanged { revision, warnings })
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

/// Changes the file; its new revision, and what to look at.
pub(super) fn write(
    files: &ConfigFiles,
    change: &SettingChange,
    revision: Option<&str>,
) -> Result<(String, Option<Subject>), Error> {
    let texts = texts(files)?;
    let administrator = &texts.administrator;
    let before = administrator.text.as_deref();
    if revision.is_some_and(|revision| revision != file::revision(before)) {
        return Err(file::stale(&administrator.path));
    }
    let Changed { text, config } = changed(&texts, change)?;
    let after = Some(text.as_str()).filter(|text| before.is_some() || !text.is_empty());
    if let Some(after) = after.filter(|after| before != Some(*after)) {
        file::replace(&administrator.path, before, after)?;
    }
    Ok((file::revision(after), Subject::of(change, &config)))
}

fn lost(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Failed, format!("cannot read or write the settings: {error}"))
}
