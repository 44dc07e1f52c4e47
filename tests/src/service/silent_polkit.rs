//! A polkit whose agents never answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use zbus::{Connection, Message, MessageStream, Variant};

use crate::chaos::wait_until;

/// Whoever has polkit's name on a bus, and answers a question only when it is taken back, as polkitd does whose agents ask
/// persons who are away.
#[derive(Debug)]
pub struct SilentPolkit {
    asked: Arc<AtomicUsize>,
    connection: Option<Connection>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SilentPolkit {
    /// Takes the name.
    ///
    /// # Errors
    /// When somebody else has it.
    pub fn start(address: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        let made = handle.block_on(async {
            let connection = zbus::connection::Builder::address(address).build().await?;
            let messages = MessageStream::from(&connection);
            connection.request_name("org.freedesktop.PolicyKit1").await?;
            Ok::<_, zbus::Error>((connection, messages))
        });
        let (connection, messages) = made?;
        let asked = Arc::new(AtomicUsize::new(0));
        handle.spawn(serve(connection.clone(), messages, Arc::clone(&asked)));
        Ok(Self { asked, connection: Some(connection), stop: Some(stop), thread: Some(thread) })
    }

    /// How many questions it has had.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits for so many questions.
    ///
    /// # Errors
    /// When they do not come.
    pub fn has_been_asked(&self, times: usize) -> Result<()> {
        wait_until("polkit has been asked", || Ok(self.asked() >= times))
    }
}

impl Drop for SilentPolkit {
    fn drop(&mut self) {
        drop(self.connection.take());
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// `CheckAuthorization`: the subject, the action, its details, flags, and what the question is called.
type Question<'m> = ((&'m str, HashMap<&'m str, Variant<'m>>), &'m str, HashMap<&'m str, &'m str>, u32, &'m str);

async fn serve(connection: Connection, mut messages: MessageStream, asked: Arc<AtomicUsize>) {
    let mut waiting: HashMap<String, Message> = HashMap::new();
    while let Some(Ok(message)) = messages.next().await {
        let (header, body) = (message.header(), message.body());
        match header.member().map(|member| member.as_str()) {
            Some("CheckAuthorization") => {
                let Ok((_, _, _, _, name)) = body.deserialize::<Question<'_>>() else { continue };
                waiting.insert(name.to_owned(), message.clone());
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Some("CancelCheckAuthorization") => {
                let name = body.deserialize::<&str>().unwrap_or_default();
                if let Some(question) = waiting.remove(name) {
                    let error = "org.freedesktop.PolicyKit1.Error.Cancelled";
                    connection.reply_error(&question.header(), error, &"cancelled").await.ok();
                }
                connection.reply(&header, &()).await.ok();
            }
            _ => {}
        }
    }
}
