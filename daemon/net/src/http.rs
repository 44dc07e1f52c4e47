//! HTTP requests.

use std::io::{self, Read as _};
use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::Duration;

use butterdock_net_protocol::{Cause, ContentType, HttpUrl, Line, Post};
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Error};

use crate::error_text::{cause_of, text_of};
use crate::{authorities, credential};

/// Limit of redirects.
const REDIRECTS: usize = 3;
/// Limit of bytes that are read of an answer; more are left unread.
const ANSWER: u64 = 1024;
/// Limit of bytes of the headers of an answer.
const HEADERS: usize = 16 << 10;
/// The program waits less long if the order says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a request. Only an answer of success counts.
///
/// # Errors
/// Why it was not sent, or what the server answered.
pub(crate) fn send(post: &Post, version: &str) -> Result<(), Cause> {
    // The library does not always say whether the name or the connection failed.
    if let Err(error) = (post.url.host().as_str(), post.url.port()).to_socket_addrs() {
        return Err(Cause::Name(Line::of(&error.to_string())));
    }
    let agent = agent(post, version)?;
    let mut url = post.url.clone();
    for _ in 0..=REDIRECTS {
        let answer = request(&agent, &url, post)?;
        let status = answer.status();
        match status {
            status if status.is_success() => return Ok(()),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => url = next(&url, &answer)?,
            // The request would become another one.
            status if status.is_redirection() => {
                let to = location(&answer).unwrap_or_default();
                return Err(Cause::Redirect(Line::of(&format!("{} {to}", status.as_u16()))));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Cause::Login(said(answer))),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Err(Cause::Later(status.as_u16(), said(answer)));
            }
            status if status.is_server_error() => return Err(Cause::Later(status.as_u16(), said(answer))),
            status => return Err(Cause::Refused(status.as_u16(), said(answer))),
        }
    }
    Err(Cause::Redirect(Line::of("too many of them")))
}

fn agent(post: &Post, version: &str) -> Result<Agent, Cause> {
    let tls = TlsConfig::builder().provider(TlsProvider::Rustls);
    let tls = tls.unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let tls = if post.url.is_tls() {
        let trusted = authorities::certificates(&post.authority)?;
        let trusted: Vec<_> = trusted.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
        tls.root_certs(RootCerts::new_with_certs(&trusted))
    } else {
        tls.root_certs(RootCerts::new_with_certs(&[]))
    };
    let config = Agent::config_builder()
        .tls_config(tls.build())
        // The environment may name one.
        .proxy(None)
        // They are followed here, and only to the same server.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .max_response_header_size(HEADERS)
        .user_agent(format!("butterdock/{version}"))
        .build();
    Ok(config.new_agent())
}

fn request(agent: &Agent, url: &HttpUrl, post: &Post) -> Result<Response<Body>, Cause> {
    let content_type = match post.content_type {
        ContentType::Json => "application/json",
        ContentType::Text => "text/plain; charset=utf-8",
    };
    let mut request = agent.post(url.to_string()).header(header::CONTENT_TYPE, content_type);
    if let Some(name) = &post.token {
        let token = credential::read(name)?;
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.as_str()));
    }
    request.send(post.body.as_str()).map_err(|error| cause(&error))
}

fn cause(error: &Error) -> Cause {
    let text = text_of(error);
    if let Error::Timeout(_) = error {
        Cause::Timeout
    } else if let Error::Rustls(tls) = error {
        cause_of(tls).unwrap_or(Cause::Tls(text))
    } else if let Error::Io(io) = error {
        cause_of(io).unwrap_or(Cause::Connection(text))
    } else if let Error::HostNotFound = error {
        Cause::Name(text)
    } else if let Error::Tls(_) = error {
        Cause::Tls(text)
    } else {
        Cause::Protocol(text)
    }
}

/// Where a redirect leads; only to the same server.
fn next(from: &HttpUrl, answer: &Response<Body>) -> Result<HttpUrl, Cause> {
    let to = location(answer).unwrap_or_default();
    let refused = || Cause::Redirect(Line::of(&to));
    let next =
        if to.starts_with('/') && !to.starts_with("//") { from.with_path(&to) } else { HttpUrl::try_from(to.clone()) };
    next.ok().filter(|next| next.is_same_server(from)).ok_or_else(refused)
}

fn location(answer: &Response<Body>) -> Option<String> {
    answer.headers().get(header::LOCATION)?.to_str().ok().map(str::to_owned)
}

/// The first words of an answer.
fn said(mut answer: Response<Body>) -> Line {
    let mut bytes = Vec::new();
    let read: io::Result<usize> = answer.body_mut().as_reader().take(ANSWER).read_to_end(&mut bytes);
    // What arrived before is enough: the status is known.
    drop(read);
    Line::of(String::from_utf8_lossy(&bytes).trim())
}
