//! Why a notification was not delivered, and the state of a channel that this leads to.

use butterdock_net_protocol::{Cause, Line};

/// Why a notification was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyFailure {
    /// What `butterdock-net` reported.
    Reported(Cause),
    /// It was not reached, or did not report.
    Program(Line),
    /// The certificates of `ca` cannot be read.
    Authority(Line),
    /// The service ends.
    Ending,
}

impl NotifyFailure {
    /// For programs, for example `tls`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Reported(cause) => cause.word(),
            Self::Program(_) => "program",
            Self::Authority(_) => "authority",
            Self::Ending => "ending",
        }
    }

    /// What it is, and what to do; without words of other machines.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Reported(Cause::Later(code, _)) => {
                format!("the server refuses the message for now (status {code}); the service tries again")
            }
            Self::Reported(Cause::Refused(code, _)) => {
                format!("the server refuses the message with the status {code}; correct the channel in butterdock.toml")
            }
            Self::Reported(cause) => of_cause(cause).to_owned(),
            Self::Program(_) => {
                "butterdock-net cannot be started; check that it is installed, and see systemctl status \
                                 butterdock-net.socket"
                    .to_owned()
            }
            Self::Authority(_) => {
                "the certificates that `ca` names cannot be read; correct it in butterdock.toml".to_owned()
            }
            Self::Ending => "the service ends; try again when it runs".to_owned(),
        }
    }

    /// The same with what the other side said, for administrators.
    #[must_use]
    pub fn details(&self) -> String {
        let sentence = self.sentence();
        match self.said() {
            Some(said) if !said.as_str().is_empty() => format!("{sentence} ({})", said.as_str()),
            Some(_) | None => sentence,
        }
    }

    fn said(&self) -> Option<&Line> {
        match self {
            Self::Program(line) | Self::Authority(line) => Some(line),
            Self::Reported(cause) => match cause {
                Cause::Order(line)
                | Cause::Credential(line)
                | Cause::Name(line)
                | Cause::Connection(line)
                | Cause::Tls(line)
                | Cause::Unsupported(line)
                | Cause::Redirect(line)
                | Cause::Login(line)
                | Cause::Later(_, line)
                | Cause::Refused(_, line)
                | Cause::Protocol(line) => Some(line),
                Cause::Timeout | Cause::NoAuthorities => None,
            },
            Self::Ending => None,
        }
    }
}

fn of_cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::Order(_) => "butterdock-net does not accept the order; are both of the same version?",
        Cause::Credential(_) => {
            "the credential is missing, or is not one line of text; put it into /etc/butterdock/credentials"
        }
        Cause::Name(_) => "the server has no address; check its name and the network",
        Cause::Connection(_) => {
            "the server cannot be reached; check the network, and the server and port of the channel"
        }
        Cause::Timeout => "the server takes too long; check the network, and the server and port of the channel",
        Cause::Tls(_) => {
            "there is no secure connection: the certificate of the server is not trusted, is of another name, or has \
             expired; check the server of the channel, `ca` and the clock"
        }
        Cause::NoAuthorities => "the system trusts no authority; install ca-certificates, or set `ca`",
        Cause::Unsupported(_) => "the server offers no encryption or login that is known; check `security` and `port`",
        Cause::Redirect(_) => "the server sends requests elsewhere; correct `url`",
        Cause::Login(_) => "the server refuses the login; check `user` and the credential",
        Cause::Protocol(_) => {
            "the server does not answer as it should; check the kind, the server and the port of the channel"
        }
        Cause::Later(..) | Cause::Refused(..) => "the server refuses the message",
    }
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyStatus {
    /// Its name.
    pub name: String,
    /// Its kind, as in the file.
    pub kind: &'static str,
    /// How many notifications wait.
    pub queued: u64,
    /// How many were dropped since the start of the service.
    pub dropped: u64,
    /// When the last one was delivered since the start of the service, in microseconds since 1970.
    pub last_delivered: Option<u64>,
    /// Why it does not work, until it does.
    pub problem: Option<NotifyProblem>,
}

/// Why notifications do not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyProblem {
    /// The name of the channel.
    pub channel: String,
    /// The last failure.
    pub failure: NotifyFailure,
    /// How many attempts failed since the last success.
    pub attempts: u64,
    /// When the last attempt failed, in microseconds since 1970.
    pub time: u64,
}

impl NotifyProblem {
    /// For a program.
    pub const CODE: &str = "notification-failed";

    /// What it is, and what to do, in an English sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { channel, failure, attempts: _, time: _ } = self;
        format!("notifications over \"{}\" are not delivered: {}", channel.escape_debug(), failure.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_details_have_the_words_of_other_machines() {
        let failure = NotifyFailure::Reported(Cause::Refused(550, Line::of("no <zoe>\nhere")));
        assert_eq!(failure.word(), "refused");
        assert!(failure.sentence().contains("550") && !failure.sentence().contains("zoe"));
        assert!(failure.details().ends_with("(no <zoe> here)"), "{}", failure.details());
        let timeout = NotifyFailure::Reported(Cause::Timeout);
        assert_eq!(timeout.details(), timeout.sentence());
    }
}
