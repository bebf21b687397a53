//! Exit codes that mean something, after sysexits.

use crate::config::ConfigErrors;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: the server refused, or what was asked for does not exist.
    Refused,
    /// 64 (EX_USAGE): the command line or the configuration is wrong.
    Usage,
    /// 69 (EX_UNAVAILABLE): the server does not answer.
    Unavailable,
    /// 75 (EX_TEMPFAIL): something else is away; the same command may work later.
    Temporary,
    /// 77 (EX_NOPERM): not permitted.
    NotPermitted,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Temporary => 75,
            Self::NotPermitted => 77,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration file has problems.
    #[error("{0}")]
    Config(#[from] Box<ConfigErrors>),
    /// Something in the command line or its input.
    #[error("{0}")]
    Usage(String),
    /// The server said no.
    #[error("{0}")]
    Refused(String),
    /// The server said: later.
    #[error("{0}")]
    Temporary(String),
    /// The server, or the system, does not permit it.
    #[error("{0}")]
    NotPermitted(String),
    /// Nobody answers on the admin socket.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Usage(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::Temporary(_) => Exit::Temporary,
            Self::NotPermitted(_) => Exit::NotPermitted,
            Self::Unavailable(_) => Exit::Unavailable,
        }
    }
}
