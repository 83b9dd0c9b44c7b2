//! What an operator can choose about the way of packets.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use thiserror::Error;

/// The text is none of the choices.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("it must be {0}")]
pub struct NoSuchChoice(&'static str);

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident: $all:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl FromStr for $name {
            type Err = NoSuchChoice;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(NoSuchChoice($all)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
    };
}

choice! {
    /// How packets travel between the network and the workers.
    Datapath: "auto, xdp or socket" {
        /// XDP where an interface is given and takes it, otherwise sockets.
        #[default]
        Auto = "auto",
        /// XDP, or an error.
        Xdp = "xdp",
        /// Ordinary UDP sockets: needs no privileges.
        Socket = "socket",
    }
}

choice! {
    /// How the XDP program runs.
    XdpMode: "auto, native or generic" {
        /// In the driver if it can, otherwise in the network stack.
        #[default]
        Auto = "auto",
        /// In the driver, or an error.
        Native = "native",
        /// In the network stack: works with every driver and costs a copy.
        Generic = "generic",
    }
}

choice! {
    /// Whether AF_XDP sockets share their memory with the driver.
    ZeroCopy: "auto, require or off" {
        /// If the driver can.
        #[default]
        Auto = "auto",
        /// Or an error.
        Require = "require",
        /// Packets are copied.
        Off = "off",
    }
}

choice! {
    /// How packets leave the workers, if XDP brings them there.
    Transmit: "auto, socket or xdp" {
        /// Through AF_XDP if that needs no copy, otherwise through sockets.
        #[default]
        Auto = "auto",
        /// Through UDP sockets, in runs of equal datagrams.
        Socket = "socket",
        /// Through AF_XDP, also where packets are copied.
        Xdp = "xdp",
    }
}

choice! {
    /// Who answers ClientHellos that carry no cookie, if XDP brings them.
    AnswerHellos: "auto, socket or xdp" {
        /// The XDP program, but for native mode on veth, where its replies need a program at the
        /// other end too, and for virtio-net with zero-copy, which loses them.
        #[default]
        Auto = "auto",
        /// Workers, through their sockets.
        Socket = "socket",
        /// The XDP program.
        Xdp = "xdp",
    }
}

/// What was chosen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DatapathOptions {
    /// How packets travel.
    pub datapath: Datapath,
    /// The outside's network interface, which XDP needs.
    pub interface: Option<String>,
    /// How the XDP program runs.
    pub xdp_mode: XdpMode,
    /// Whether AF_XDP sockets share their memory with the driver.
    pub zero_copy: ZeroCopy,
    /// How packets leave the workers.
    pub transmit: Transmit,
    /// Who answers ClientHellos that carry no cookie.
    pub answer_hellos: AnswerHellos,
}

/// The same on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct DatapathArgs {
    /// How packets travel: auto, xdp or socket
    #[arg(long, value_name = "DATAPATH")]
    pub datapath: Option<Datapath>,

    /// Network interface of the outside, for XDP
    #[arg(long, value_name = "IF")]
    pub interface: Option<String>,

    /// How the XDP program runs: auto, native or generic
    #[arg(long, value_name = "MODE")]
    pub xdp_mode: Option<XdpMode>,

    /// Whether AF_XDP shares memory with the driver: auto, require or off
    #[arg(long, value_name = "WHEN")]
    pub zero_copy: Option<ZeroCopy>,

    /// How packets leave, if XDP brings them: auto, socket or xdp
    #[arg(long, value_name = "WAY")]
    pub transmit: Option<Transmit>,
}

impl DatapathArgs {
    /// What the command line says goes before what is configured.
    #[must_use]
    pub fn over(self, configured: DatapathOptions) -> DatapathOptions {
        DatapathOptions {
            datapath: self.datapath.unwrap_or(configured.datapath),
            interface: self.interface.or(configured.interface),
            xdp_mode: self.xdp_mode.unwrap_or(configured.xdp_mode),
            zero_copy: self.zero_copy.unwrap_or(configured.zero_copy),
            transmit: self.transmit.unwrap_or(configured.transmit),
            answer_hellos: configured.answer_hellos,
        }
    }
}
