//! Connections to Postgres on which no wait for the server lasts for ever.
//!
//! sqlx sets neither TCP keepalive nor a bound of its own. If the server falls silent (a firewall forgets the
//! connection, a host freezes), the server's timeouts do not help, and the statement would never return. So this
//! process bounds each wait for an answer or a row, a little above the server's own bound.
//!
//! Guarantees: a statement without an answer ends with an error, and its connection is dropped without another word on
//! it; a session that is dropped in a transaction is rolled back; a future on a session may be dropped at any point.
//! Never: returns a silent connection to the pool.

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr};
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A pool of connections with a bound on each wait for an answer or a row; clones share the connections.
#[derive(Debug, Clone)]
pub struct Connections {
    pool: PgPool,
    bound: Duration,
}

/// A connection of the pool, alone or in a transaction.
pub struct Session {
    /// `None` only while the session is dropped.
    connection: Option<PoolConnection<Postgres>>,
    bound: Duration,
    is_in_transaction: bool,
    /// Whether a statement got no answer in time: then the connection is not used again.
    is_silent: bool,
}

/// How long an idle connection may take to answer before it is used again.
const IDLE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection that is given back may take to end its transaction and answer.
const RETURNS_WITHIN: Duration = Duration::from_secs(5);

impl Connections {
    /// `bound` is the longest wait for the answer to a statement or for the next row; it should be above the server's
    /// `statement_timeout`. Connections are opened at first use.
    pub fn new(pool: PgPoolOptions, options: PgConnectOptions, bound: Duration) -> Self {
        let pool = pool.test_before_acquire(false).before_acquire(|connection, _| {
            Box::pin(async move {
                match timeout(IDLE_ANSWERS_WITHIN, connection.ping()).await {
                    Ok(answered) => answered.map(|()| true),
                    Err(_) => Err(silence(IDLE_ANSWERS_WITHIN)),
                }
            })
        });
        Self { pool: pool.connect_lazy_with(options), bound }
    }

    pub async fn acquire(&self) -> Result<Session, Error> {
        let connection = Some(self.pool.acquire().await?);
        Ok(Session { connection, bound: self.bound, is_in_transaction: false, is_silent: false })
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Session, Error> {
        let mut session = self.acquire().await?;
        session.is_in_transaction = true;
        sqlx::query("BEGIN").execute(&mut session).await?;
        Ok(session)
    }

    /// The pool without bounds, for migrations: they may take as long as they need.
    pub fn unbounded(&self) -> &PgPool {
        &self.pool
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Session {
    /// Returns the session with another bound, for statements that the server may work on for long.
    pub fn bounded_by(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    pub async fn commit(mut self) -> Result<(), Error> {
        sqlx::query("COMMIT").execute(&mut self).await?;
        self.is_in_transaction = false;
        Ok(())
    }

    pub async fn rollback(mut self) -> Result<(), Error> {
        sqlx::query("ROLLBACK").execute(&mut self).await?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Returns the connection, and where to note that it fell silent. Returns an error if that is noted already.
    fn open(&mut self) -> Result<(&mut PgConnection, &mut bool), Error> {
        match &mut self.connection {
            Some(connection) if !self.is_silent => Ok((connection, &mut self.is_silent)),
            _ => Err(silence(self.bound)),
        }
    }
}

/// Gives the connection back, after a rollback if a transaction is open; drops it instead if it fell silent or does not
/// answer within `RETURNS_WITHIN`.
impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let runtime = Handle::try_current().ok().filter(|_| !self.is_silent);
        let Some(runtime) = runtime else {
            drop(connection.detach());
            return;
        };
        let is_in_transaction = self.is_in_transaction;
        runtime.spawn(timeout(RETURNS_WITHIN, async move {
            if is_in_transaction {
                // Whatever happens to the rollback, sqlx would wait without bound for the connection's answer.
                connection.close_on_drop();
                if sqlx::query("ROLLBACK").execute(&mut *connection).await.is_err() {
                    return;
                }
            }
            // Dropping the connection would do this too, but without a bound on the time.
            connection.return_to_pool().await;
        }));
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_in_transaction", &self.is_in_transaction).finish_non_exhaustive()
    }
}

fn silence(bound: Duration) -> Error {
    Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer from Postgres within {bound:?}; the connection was dropped"),
    ))
}

impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let bound = self.bound;
        let (connection, is_silent) = match self.open() {
            Ok(open) => open,
            Err(error) => return stream::once(std::future::ready(Err(error))).boxed(),
        };
        let answers = connection.fetch_many(query);
        let next = move |(mut answers, is_silent): (BoxStream<'e, _>, &'e mut bool)| async move {
            let answered = timeout(bound, answers.try_next()).await.unwrap_or_else(|_| {
                *is_silent = true;
                Err(silence(bound))
            });
            Ok(answered?.map(|answer| (answer, (answers, is_silent))))
        };
        stream::try_unfold((answers, is_silent), next).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let bound = self.bound;
        Box::pin(async move {
            let (connection, is_silent) = self.open()?;
            timeout(bound, connection.fetch_optional(query)).await.unwrap_or_else(|_| {
                *is_silent = true;
                Err(silence(bound))
            })
        })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        let bound = self.bound;
        Box::pin(async move {
            let (connection, is_silent) = self.open()?;
            timeout(bound, connection.prepare_with(sql, parameters)).await.unwrap_or_else(|_| {
                *is_silent = true;
                Err(silence(bound))
            })
        })
    }
}

/// Runs each statement on a connection that it takes from the pool for this statement.
impl<'p> Executor<'p> for &'p Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answers = async move {
            let mut session = self.acquire().await?;
            let answers: Vec<_> = session.fetch_many(query).try_collect().await?;
            Ok::<_, Error>(stream::iter(answers.into_iter().map(Ok)))
        };
        stream::once(answers).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move { self.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.acquire().await?.prepare_with(sql, parameters).await })
    }
}
