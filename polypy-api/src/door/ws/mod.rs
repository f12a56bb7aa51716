//! WebSockets: the handshake, the socket itself, what its client says and how often it may.

mod control;
mod handshake;
mod line;
mod pace;
mod socket;

pub(crate) use control::{BadOperation, Operation};
pub use handshake::upgrade;
pub(crate) use line::{Line, Sent, Wire};
pub(crate) use pace::{Pace, Verdict};
pub use socket::{End, Socket, SocketLimits, Turn};
pub use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
