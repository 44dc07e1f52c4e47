//! The program's main loop: the service, its bus connection and the signals.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use butterdock_service::Service;
use butterdock_service::clock::Clock;
use butterdock_service::config::{Config, ConfigFiles};
use tokio::time::{sleep, timeout};

use super::system::{SignalAction, Signals, notify, watchdog_interval};
use crate::bus::BusServer;

/// Timeout for the end of the service after SIGTERM.
const ENDING: Duration = Duration::from_secs(9);
/// Time for the last replies to reach the bus.
const LAST_REPLIES: Duration = Duration::from_millis(50);
/// Time between two attempts to connect to a bus that was lost.
const RECONNECT: Duration = Duration::from_secs(2);

/// Starts the service and serves until a signal ends it.
///
/// # Errors
/// The service or its first bus connection could not be started; or a part of the service ended.
pub(super) async fn serve(
    sources: ConfigFiles,
    config: Config,
    address: Option<&str>,
    mut signals: Signals,
) -> Result<()> {
    let started = async {
        let volumes = config.volumes.len();
        let service = Service::start(sources, config, Clock::system()?).await?;
        let server = BusServer::start(address, service.clone()).await?;
        tracing::info!("butterdockd {} serves {volumes} volumes", env!("CARGO_PKG_VERSION"));
        anyhow::Ok((service, server))
    };
    // A drive or disk that hangs does not delay the end, neither here nor later.
    let (service, mut server) = tokio::select! {
        started = Box::pin(started) => started?,
        () = signals.end() => return Ok(()),
    };
    notify("READY=1");
    if let Some(every) = watchdog_interval() {
        tokio::spawn(watchdog(every, service.clone()));
    }
    let result = tokio::select! {
        result = follow(&service, &mut server, address, &mut signals) => result,
        // The service manager restarts the service, which then reads the current state.
        error = service.ended() => Err(error),
    };
    end(&service, &server).await;
    result
}

async fn follow(
    service: &Service,
    server: &mut Arc<BusServer>,
    address: Option<&str>,
    signals: &mut Signals,
) -> Result<()> {
    loop {
        tokio::select! {
            action = signals.next() => match action {
                SignalAction::End => return Ok(()),
                SignalAction::Reload => {}
            },
            () = server.lost() => {
                tracing::error!("lost the connection to the bus; jobs continue, and the service connects again when \
                                 the bus is back");
                server.close().await;
                tokio::select! {
                    connected = reconnect(address, service) => *server = connected,
                    () = signals.end() => return Ok(()),
                }
                continue;
            }
        }
        tokio::select! {
            // The result is logged.
            done = service.reload() => drop(done),
            () = signals.end() => return Ok(()),
        }
    }
}

/// Tries until the bus is back. Jobs continue without it.
async fn reconnect(address: Option<&str>, service: &Service) -> Arc<BusServer> {
    let mut logged = String::new();
    loop {
        match BusServer::start(address, service.clone()).await {
            Ok(server) => {
                tracing::info!("connected to the bus again");
                return server;
            }
            Err(error) => {
                let text = format!("{error:#}");
                // Once for each reason, so that a bus that is away for a day does not fill the journal.
                if text != logged {
                    tracing::warn!("{text}");
                    logged = text;
                }
            }
        }
        sleep(RECONNECT).await;
    }
}

/// Ends every job and publishes their ends.
async fn end(service: &Service, server: &BusServer) {
    notify("STOPPING=1");
    tracing::info!("ending");
    let over = async {
        service.stop().await;
        server.all_ends_published().await;
        sleep(LAST_REPLIES).await;
    };
    if timeout(ENDING, over).await.is_err() {
        tracing::error!(
            "some tasks did not end in time; workers end with the service, and the next start removes incomplete \
             subvolumes"
        );
        service.log_mounted_drives();
    }
    server.close().await;
}

/// Sends `WATCHDOG=1` while all tasks of the service answer.
async fn watchdog(every: Duration, service: Service) {
    loop {
        if timeout(every, service.all_answer()).await.is_ok_and(|all| all) {
            notify("WATCHDOG=1");
        }
        sleep(every).await;
    }
}
