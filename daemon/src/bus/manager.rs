//! `org.butterdock.Butterdock1.Manager`.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::authority::Permission;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_dbus::{
    BackupRow, Error, ErrorName, HistoryEntry, ListBackupsOptions, ListHistoryOptions, NotificationChannel,
    NotificationTest, Options, Problem, Settings, no_options,
};
use butterdock_service::jobs::EndedCount;
use butterdock_service::settings::SettingList;
use zbus::message::Header;
use zbus::{OwnedObjectPath, interface};

use super::authority::Question;
use super::fd_table::PassedFd;
use super::mapping::{ForCaller as _, backup_row, history_entry, history_query, job_result};
use super::notifications;
use super::server::{BusServer, bus_failed};
use super::settings;
use super::volume::receive;

/// The object at the root.
#[derive(Debug)]
pub(super) struct Manager {
    server: Arc<BusServer>,
}

impl Manager {
    pub(super) fn new(server: Arc<BusServer>) -> Self {
        Self { server }
    }
}

#[interface(name = "org.butterdock.Butterdock1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(out_args("job"))]
    async fn receive(
        &self,
        volume: String,
        stream: PassedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let volume = self.server.service.volume(&volume).for_caller()?;
        receive(&self.server, MANAGER, (volume, stream), &options, &header).await
    }

    #[zbus(out_args("entries"))]
    async fn list_history(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<HistoryEntry>, Error> {
        let query = history_query(ListHistoryOptions::from_options(&options)?);
        self.server.authority.allow(&header, &Question::new(MANAGER, "ListHistory")).await?;
        Ok(self.server.service.jobs().history_page(&query).into_iter().map(history_entry).collect())
    }

    #[zbus(out_args("permissions"))]
    async fn get_permissions(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<HashMap<&'static str, Permission>, Error> {
        no_options(&options)?;
        let permissions = self.server.authority.permissions(&header).await?;
        Ok(permissions.into_iter().map(|(action, permission)| (action.short(), permission)).collect())
    }

    #[zbus(out_args("backups"))]
    async fn list_backups(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<BackupRow>, Error> {
        let request = ListBackupsOptions::from_options(&options)?;
        self.server.authority.allow(&header, &Question::new(MANAGER, "ListBackups").with(&options)).await?;
        Ok(self.server.service.backups(request.estimate).await.into_iter().map(backup_row).collect())
    }

    async fn reload(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        no_options(&options)?;
        self.server.authority.allow(&header, &Question::new(MANAGER, "Reload")).await?;
        let failed = |text: String| Error::new(ErrorName::Failed, text);
        self.server.service.reload().await.map_err(failed)?;
        // A client that has the answer finds the new destinations, backups and volumes.
        self.server.publish_drives().await;
        self.server.publish_backups().await;
        self.server.publish_volumes().await.map_err(|error| bus_failed(&error))
    }

    async fn trust_clock(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        no_options(&options)?;
        self.server.authority.allow(&header, &Question::new(MANAGER, "TrustClock")).await?;
        self.server.service.clock().trust().await.map_err(|error| {
            let text = "check the disk of the state directory, then try again";
            Error::new(ErrorName::Failed, format!("cannot record that the clock is right: {error}; {text}"))
        })
    }

    #[zbus(out_args("settings", "revision"))]
    async fn get_settings(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(Settings, String), Error> {
        no_options(&options)?;
        settings::get(&self.server, &header).await
    }

    #[zbus(out_args("revision", "warnings"))]
    async fn set_backup(
        &self,
        name: String,
        values: Options,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(String, Vec<Problem>), Error> {
        settings::set(&self.server, ("SetBackup", &header), (SettingList::Backup, name), &values, &options).await
    }

    #[zbus(out_args("revision"))]
    async fn remove_backup(
        &self,
        name: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Error> {
        settings::remove(&self.server, ("RemoveBackup", &header), (SettingList::Backup, name), &options).await
    }

    #[zbus(out_args("revision", "warnings"))]
    async fn set_volume(
        &self,
        name: String,
        values: Options,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(String, Vec<Problem>), Error> {
        settings::set(&self.server, ("SetVolume", &header), (SettingList::Volume, name), &values, &options).await
    }

    #[zbus(out_args("revision"))]
    async fn remove_volume(
        &self,
        name: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Error> {
        settings::remove(&self.server, ("RemoveVolume", &header), (SettingList::Volume, name), &options).await
    }

    #[zbus(out_args("revision", "warnings"))]
    async fn set_destination(
        &self,
        name: String,
        values: Options,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(String, Vec<Problem>), Error> {
        settings::set(&self.server, ("SetDestination", &header), (SettingList::Destination, name), &values, &options)
            .await
    }

    #[zbus(out_args("revision"))]
    async fn remove_destination(
        &self,
        name: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Error> {
        settings::remove(&self.server, ("RemoveDestination", &header), (SettingList::Destination, name), &options).await
    }

    #[zbus(out_args("revision"))]
    async fn set_defaults(
        &self,
        values: Options,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Error> {
        settings::set_defaults(&self.server, &header, &values, &options).await
    }

    #[zbus(out_args("notifications"))]
    async fn list_notifications(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<NotificationChannel>, Error> {
        no_options(&options)?;
        notifications::list(&self.server, &header).await
    }

    #[zbus(out_args("result"))]
    async fn test_notification(
        &self,
        name: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<NotificationTest, Error> {
        no_options(&options)?;
        notifications::test(&self.server, &header, &name).await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> Vec<String> {
        ["drives", "backups", "clock", "settings", "notifications"].map(str::to_owned).to_vec()
    }

    #[zbus(property)]
    fn notification_problems(&self) -> Vec<Problem> {
        notifications::problems(&self.server.service.notifications().borrow())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn jobs_ended(&self) -> Vec<(String, String, u64)> {
        let counts = self.server.service.jobs().ended_counts();
        let row = |one: EndedCount| Some((one.kind.clone(), job_result(one.result()?).to_string(), one.count));
        counts.into_iter().filter_map(row).collect()
    }
}
