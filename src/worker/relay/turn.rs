//! What a turn of the relay consists of: fill the places, collect reports, settle them.

use super::outcome::RelayError;
use super::progress::RelayProgress;
use super::sender::{HandedOver, Report, Sender, Ticket};
use super::shards::Holding;
use crate::adapters::kafka::{self, KafkaSettings};
use crate::adapters::ledger::{self, Coordinates, Lane, Ledger, OutboxRow, Sent};
use crate::domain::contract::OwnershipBoundaries;
use crate::failpoints::failpoint;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use std::collections::BTreeMap;
use std::time::Duration;
use strum::VariantArray as _;
use tracing::{error, warn};

/// Most reports that are taken at a time.
const REPORTS: usize = 1_000;

pub struct Relay {
    pub(super) ledger: Ledger,
    boundaries: OwnershipBoundaries,
    pub(super) name: String,
    pub(super) holding: Holding,
    /// In the order of [`Lane::VARIANTS`].
    pub(super) senders: Vec<Sender>,
    pub(super) in_flight: FuturesUnordered<BoxFuture<'static, Report>>,
    /// Records that their topic acknowledged and the ledger has not marked as sent yet.
    pub(super) acknowledged: Vec<(Ticket, Sent)>,
    pub(super) progress: RelayProgress,
}

/// What a turn handed over.
pub(super) struct Filled {
    pub(super) records: usize,
    /// The first lane's error that is not about one record.
    pub(super) error: Option<kafka::Error>,
}

impl Relay {
    /// `name` owns the leases on shards; it must be unique among relays.
    pub fn new(
        settings: &KafkaSettings,
        ledger: Ledger,
        boundaries: OwnershipBoundaries,
        name: String,
    ) -> Result<Self, RelayError> {
        settings.check()?;
        Ok(Self {
            ledger,
            boundaries,
            name,
            holding: Holding::none(),
            senders: Lane::VARIANTS.iter().map(|lane| Sender::new(*lane, settings)).collect(),
            in_flight: FuturesUnordered::new(),
            acknowledged: Vec::new(),
            progress: RelayProgress::default(),
        })
    }

    pub fn progress(&self) -> RelayProgress {
        self.progress.clone()
    }

    /// Chooses and hands over records for every lane that has places and is due; with `at_once`, for every lane that does
    /// not rest.
    pub(super) async fn fill(&mut self, at_once: bool) -> Result<Filled, RelayError> {
        let shards = self.holding.numbers();
        let mut filled = Filled { records: 0, error: None };
        for lane in 0..self.senders.len() {
            let sender = &self.senders[lane];
            let is_due = sender.until_look().is_some_and(|wait| wait.is_zero() || (at_once && !sender.rests()));
            if let Some(error) = sender.silent_or_broken() {
                self.fail(lane, error, &mut filled.error);
                continue;
            }
            if !is_due {
                continue;
            }
            let busy = sender.busy();
            let room = sender.room(&shards, &busy);
            let wanted = room.records;
            let rows = if shards.is_empty() { Vec::new() } else { self.ledger.unsent(sender.lane, room).await? };
            self.senders[lane].looked(rows.len(), wanted, &self.progress);
            if !rows.is_empty() {
                filled.records += rows.len();
                self.hand(lane, &rows, &mut filled.error).await?;
            }
        }
        Ok(filled)
    }

    async fn hand(
        &mut self,
        lane: usize,
        rows: &[OutboxRow],
        first_error: &mut Option<kafka::Error>,
    ) -> Result<(), RelayError> {
        if self.senders[lane].lane == Lane::Publications {
            // The document lists outputs. Lineage describes the work and is none, so the document does not list it.
            if !self.boundaries.gives_to_mf("bundle_publication") {
                return Err(RelayError::Ownership("bundle_publication"));
            }
            self.ledger.note_handed(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
        }
        failpoint("relay.read").map_err(ledger::Error::from)?;
        let (HandedOver { reports, refused }, outcome) = self.senders[lane].hand(rows, &self.holding);
        self.in_flight.extend(reports);
        failpoint("relay.produced").map_err(ledger::Error::from)?;
        for (id, why) in refused {
            self.rest(lane, id, &why).await?;
        }
        if let Err(error) = outcome {
            self.fail(lane, error, first_error);
        }
        Ok(())
    }

    /// Waits at most `wait` for a report, then takes all that have come.
    pub(super) async fn collect(&mut self, wait: Duration) -> Vec<Report> {
        let mut reports = Vec::new();
        if self.in_flight.is_empty() {
            tokio::time::sleep(wait).await;
            return reports;
        }
        // No report is taken before this wait ends, so that a caller may drop this future without losing one.
        let Ok(Some(first)) = tokio::time::timeout(wait, self.in_flight.next()).await else { return reports };
        reports.push(first);
        while reports.len() < REPORTS
            && let Some(Some(report)) = self.in_flight.next().now_or_never()
        {
            reports.push(report);
        }
        reports
    }

    /// Marks what was acknowledged, lets rest what was refused, and gives up producers that failed. Returns how many
    /// records were marked, and the first lane's error that is not about one record.
    pub(super) async fn settle(&mut self, reports: Vec<Report>) -> Result<(usize, Option<kafka::Error>), RelayError> {
        let mut refused = Vec::new();
        let mut failed: BTreeMap<usize, kafka::Error> = BTreeMap::new();
        for (ticket, report) in reports {
            ticket.end_span(&report);
            let lane = self.senders.iter().position(|sender| sender.lane == ticket.lane).unwrap_or_default();
            let sender = &self.senders[lane];
            match report {
                Ok((partition, offset)) => {
                    self.progress.acknowledged(ticket.lane);
                    self.senders[lane].acknowledged(&ticket);
                    let sender = &self.senders[lane];
                    let coordinates = Coordinates { topic: sender.topic.clone(), partition, offset };
                    let sent = Sent { id: ticket.id, kind: ticket.lane.kind(), shard: ticket.shard, coordinates };
                    self.acknowledged.push((ticket, sent));
                }
                // The producer was given up before: the record is chosen again.
                Err(_) if !sender.is_of_now(&ticket) => {}
                Err(kafka::Error::Refused(why)) => {
                    if ticket.lane.is_ordered() {
                        failed.insert(lane, kafka::Error::Refused(why.clone()));
                    }
                    if sender.names_culprits() {
                        refused.push((lane, ticket, why));
                    }
                }
                Err(error) => {
                    failed.entry(lane).or_insert(error);
                }
            }
        }
        // Acknowledged records are marked even if others failed, so that they are not sent again.
        let marked = self.mark().await?;
        for (lane, ticket, why) in refused {
            self.rest(lane, ticket.id, &why).await?;
            self.senders[lane].free(&ticket);
        }
        let mut first_error = None;
        for (lane, error) in failed {
            self.fail(lane, error, &mut first_error);
        }
        Ok((marked, first_error))
    }

    /// Marks what was acknowledged, and returns how many records were marked. What could not be marked since the ledger is
    /// away stays for the next turn.
    async fn mark(&mut self) -> Result<usize, RelayError> {
        if self.acknowledged.is_empty() {
            return Ok(0);
        }
        failpoint("relay.acknowledged").map_err(ledger::Error::from)?;
        let sent: Vec<Sent> = self.acknowledged.iter().map(|(_, sent)| sent.clone()).collect();
        let marked = match self.ledger.mark_sent(&self.name, &sent).await {
            Ok(marked) => marked,
            Err(ledger::Error::Refused(_) | ledger::Error::Unfit(_)) => self.mark_each().await?,
            Err(error) => return Err(error.into()),
        };
        if marked < sent.len() {
            // Another relay holds some of these shards by now.
            self.holding.doubt();
        }
        for (ticket, _) in std::mem::take(&mut self.acknowledged) {
            self.free(&ticket);
        }
        Ok(marked)
    }

    /// Marks records one by one, so that a run that the ledger cannot write stops no other. Such a run's record rests,
    /// and is sent again afterwards.
    async fn mark_each(&mut self) -> Result<usize, RelayError> {
        let mut marked = 0;
        for (ticket, sent) in &self.acknowledged {
            match self.ledger.mark_sent(&self.name, std::slice::from_ref(sent)).await {
                Ok(one) => marked += one,
                Err(ledger::Error::Refused(why) | ledger::Error::Unfit(why)) => {
                    error!(outbox.id = ticket.id, why, "the ledger refuses to mark a record as sent");
                    self.ledger.rest_refused(ticket.lane, ticket.id, &format!("sent, but not marked: {why}")).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(marked)
    }

    fn free(&mut self, ticket: &Ticket) {
        if let Some(sender) = self.senders.iter_mut().find(|sender| sender.lane == ticket.lane) {
            sender.free(ticket);
            sender.went_well();
        }
    }

    async fn rest(&mut self, lane: usize, id: i64, why: &str) -> Result<(), RelayError> {
        let sender = &self.senders[lane];
        let is_set_aside = self.ledger.rest_refused(sender.lane, id, why).await?;
        warn!(topic = sender.topic, outbox.id = id, why, is_set_aside, "the broker refused a record");
        Ok(())
    }

    fn fail(&mut self, lane: usize, error: kafka::Error, first_error: &mut Option<kafka::Error>) {
        self.senders[lane].fail(&error, &self.progress);
        first_error.get_or_insert(error);
    }
}
