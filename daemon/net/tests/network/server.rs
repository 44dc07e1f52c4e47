//! Servers on the loopback that follow a script.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server. It ends with the test.
pub(crate) struct Server {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    heard: Receiver<String>,
}

/// The end of a connection at a server.
pub(crate) struct Peer {
    stream: Stream,
    tls: Option<Arc<ServerConfig>>,
    heard: Sender<String>,
    /// Counted from 0.
    pub(crate) number: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Upgrading,
}

impl Server {
    /// A server that speaks TLS from the first byte, if it has a configuration for it.
    pub(crate) fn start(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_plain(tls.clone(), move |peer| {
            if tls.is_some() {
                peer.upgrade();
            }
            script(peer)
        })
    }

    /// A server that begins without TLS.
    pub(crate) fn start_plain(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let (hear, heard) = channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let stream = Stream::Plain(stream.expect("a connection"));
                let mut peer = Peer { stream, tls: tls.clone(), heard: hear.clone(), number };
                // The client may leave, and most of these tests want it to.
                drop(script(&mut peer));
            }
        });
        Self { port, connections, heard }
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What a script noted.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.try_iter().collect()
    }
}

impl Peer {
    pub(crate) fn upgrade(&mut self) {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Upgrading) else { panic!("plain") };
        let connection = ServerConnection::new(self.tls.clone().expect("a certificate")).expect("a connection");
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, stream)));
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.heard.send(text.into()).expect("the test runs");
    }

    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.write(text.as_bytes())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let to: &mut dyn Write = match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream,
            Stream::Upgrading => panic!("no stream"),
        };
        to.write_all(bytes)?;
        to.flush()
    }

    fn from(&mut self) -> &mut dyn Read {
        match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream,
            Stream::Upgrading => panic!("no stream"),
        }
    }

    /// A line without its end; empty at the end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.from().read(&mut byte)? > 0 && byte != *b"\n" {
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
    }

    /// An HTTP request: its head and its body. It is noted.
    pub(crate) fn request(&mut self) -> io::Result<()> {
        let mut head = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            head.push_str(&line);
            head.push('\n');
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.from().read_exact(&mut body)?;
        self.note(format!("{head}\n{}", String::from_utf8_lossy(&body)));
        Ok(())
    }

    /// Nothing more until the client leaves.
    pub(crate) fn hang(&mut self) -> io::Result<()> {
        io::copy(self.from(), &mut io::sink()).map(drop)
    }
}
