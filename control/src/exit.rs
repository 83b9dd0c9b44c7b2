//! How the program ends: the exit codes that scripts and service managers may rely on.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thiserror::Error;

use crate::config::ConfigErrors;
use crate::datapath::xdp_program::XdpError;
use crate::handshake::ContextError;

/// Why the program has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It did what it was asked for, and a gateway or client was told to stop.
    Success,
    /// Something failed while it ran.
    Failure,
    /// The command line is wrong; clap's own code.
    Usage,
    /// The configuration, or what `check` or `doctor` looked at, has a problem.
    Problem,
    /// Privileges are missing.
    Privileges,
    /// Nobody answers on the admin socket.
    NoAnswer,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::Problem,
        Self::Privileges,
        Self::NoAnswer,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What the number means, for help and manual.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done, or stopped as asked; check and doctor: no problem found",
            Self::Failure => "failed while running",
            Self::Usage => "the command line is wrong",
            Self::Problem => "the configuration is wrong, or check or doctor found a problem",
            Self::Privileges => "privileges are missing; the message names them",
            Self::NoAnswer => "nobody answers on the admin socket",
        }
    }

    /// The code for an error: that of the first cause that has one of its own.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failure)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if cause.is::<ConfigErrors>() || cause.is::<ContextError>() {
            return Some(Self::Problem);
        }
        if cause.is::<NoAnswer>() {
            return Some(Self::NoAnswer);
        }
        // What lies below is the verifier's, which says EACCES to whatever it does not like.
        if let Some(error) = cause.downcast_ref() {
            let forbidden = matches!(error, XdpError::NotPermitted { .. });
            return Some(if forbidden { Self::Privileges } else { Self::Failure });
        }
        let io = cause.downcast_ref::<io::Error>()?;
        (io.kind() == io::ErrorKind::PermissionDenied).then_some(Self::Privileges)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// No gateway or client answers on an admin socket.
#[derive(Debug, Error)]
#[error("nobody answers on {}: is xdtls running, with this admin socket?", .0.display())]
pub struct NoAnswer(pub PathBuf);

impl NoAnswer {
    /// The error of whoever could not connect to the socket at `path`. That it is forbidden is
    /// another matter than that nobody is there.
    #[must_use]
    pub fn or(path: &Path, error: io::Error) -> anyhow::Error {
        if error.kind() == io::ErrorKind::PermissionDenied {
            let whose = format!("{} may not be used by this user", path.display());
            return anyhow::Error::new(error).context(whose);
        }
        Self(path.to_owned()).into()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn codes_are_the_positions_in_the_list() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn errors_get_the_code_of_their_cause() {
        let of = |error: anyhow::Error| Exit::of(&error.context("while at it"));
        assert_eq!(of(anyhow!("anything")), Exit::Failure);
        assert_eq!(of(ConfigErrors(Vec::new()).into()), Exit::Problem);
        assert_eq!(of(ContextError::KeyMismatch.into()), Exit::Problem);
        assert_eq!(of(XdpError::NoObject.into()), Exit::Failure);
        let gate = "CAP_BPF is missing".to_owned();
        assert_eq!(of(XdpError::NotPermitted { gate }.into()), Exit::Privileges);
        assert_eq!(of(NoAnswer("admin.sock".into()).into()), Exit::NoAnswer);
        let io = |kind| Err::<(), _>(io::Error::from(kind)).context("port").unwrap_err();
        assert_eq!(of(io(io::ErrorKind::PermissionDenied)), Exit::Privileges);
        assert_eq!(of(io(io::ErrorKind::AddrInUse)), Exit::Failure);
    }
}
