//! Bounds the connections to the worker's own ports in number and time. A client that sends nothing, sends slowly or
//! does not read loses its connection, and holds up no other client.
//!
//! Guarantees: at most `MOST` connections are open at one time, at most `MOST_OF_A_PEER` from one address. A connection
//! on which no byte moves for `STALL` ends with an error, and so does one that has to wait when it is older than
//! `LIFE`.

use crate::clock;
use axum::serve::Listener;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};

const MOST: usize = 64;
/// Less than `MOST`, so that health checks from other addresses get through while one client uses all its connections.
const MOST_OF_A_PEER: usize = 32;
/// Longer than a page of the console waits for its reads, because no byte moves on a connection meanwhile.
const STALL: Duration = Duration::from_secs(15);
/// Long enough to download the largest document at 224 kB a second.
const LIFE: Duration = Duration::from_mins(5);

/// A listener that immediately closes connections above the bounds.
pub(super) struct FewConnections {
    listener: TcpListener,
    open: OpenConnections,
}

/// Number of open connections. The key is the client's address.
#[derive(Clone, Default)]
struct OpenConnections(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Counts one open connection of an address. Dropping it ends the count.
struct Counted {
    open: OpenConnections,
    peer: IpAddr,
}

pub(super) struct ShortConnection {
    stream: TcpStream,
    born: Instant,
    deadline: Pin<Box<Sleep>>,
    _counted: Counted,
}

impl FewConnections {
    pub(super) fn on(listener: TcpListener) -> Self {
        Self { listener, open: OpenConnections::default() }
    }
}

impl Listener for FewConnections {
    type Io = ShortConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (ShortConnection, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Some(counted) = self.open.count_in(address.ip()) {
                return (ShortConnection::new(stream, counted), address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl OpenConnections {
    /// Counts one more connection of this address. `None` if that would exceed a bound.
    fn count_in(&self, peer: IpAddr) -> Option<Counted> {
        let mut open = self.counts();
        let of_peer = open.get(&peer).copied().unwrap_or(0);
        if of_peer >= MOST_OF_A_PEER || open.values().sum::<usize>() >= MOST {
            return None;
        }
        open.insert(peer, of_peer + 1);
        Some(Counted { open: self.clone(), peer })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.open.counts();
        match open.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.peer)),
        }
    }
}

impl ShortConnection {
    fn new(stream: TcpStream, counted: Counted) -> Self {
        let born = Instant::from_std(clock::now());
        Self { stream, born, deadline: Box::pin(sleep_until(born + STALL)), _counted: counted }
    }

    /// Returns the result of an operation on the stream. Returns an error if the operation still waits after its
    /// timeout.
    fn within<T>(&mut self, context: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            let deadline = (Instant::from_std(clock::now()) + STALL).min(self.born + LIFE);
            self.deadline.as_mut().reset(deadline);
            return moved;
        }
        self.deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ShortConnection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, into);
        self.within(context, moved)
    }
}

impl AsyncWrite for ShortConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within(context, moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_connections_for_others_and_a_closed_one_counts_no_more() {
        let open = OpenConnections::default();
        let [greedy, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let mut held: Vec<Counted> = (0..MOST_OF_A_PEER).map(|_| open.count_in(greedy).unwrap()).collect();
        assert!(open.count_in(greedy).is_none());
        let others: Vec<Counted> = (MOST_OF_A_PEER..MOST).map(|_| open.count_in(other).unwrap()).collect();
        assert!(open.count_in(IpAddr::from([10, 0, 0, 3])).is_none());
        held.pop();
        assert!(open.count_in(greedy).is_some());
        drop((held, others));
        assert!(open.counts().is_empty());
    }
}
