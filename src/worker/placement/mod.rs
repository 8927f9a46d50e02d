//! Places the partitions that the consumer group assigns: each is read on from where the ledger stands.
//!
//! Guarantees: no partition is read before its starting offset is decided; while Kafka or the ledger does not answer,
//! the question is asked again, and the partitions that are placed go on; a topic that was deleted and created again
//! begins a new incarnation, of which every record is decided; a worker on another ledger than the group's does not
//! begin. Never: passes over a record that the ledger has not decided, unless a new group starts with `--from latest`,
//! or Kafka has deleted the record.

mod decide;

use crate::adapters::kafka::{self, AssignedPartition, Inbox, ReadFrom, StartAt};
use crate::adapters::ledger::{self, Ledger};
use crate::clock::{self, Stopwatch};
use crate::telemetry::metrics::{self, Correction};
use decide::{Circumstances, Decided, Placement, placement};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How often an idle topic is compared with the ledger again. If a topic was made anew and is long enough, the client
/// library goes on at the old offset in it, and tells nobody.
const COMPARE_EVERY: Duration = Duration::from_mins(1);
/// Pause before Kafka is asked again about partitions whose leader did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// After a change of leaders a broker may name an end that is too early. A topic counts as made anew only if it still
/// looks so after this time.
const LOOK_TWICE: Duration = Duration::from_secs(2);

/// Decides where one topic's partitions are read from, and remembers the topic's incarnation.
pub(super) struct Placer {
    ledger: Ledger,
    worker: String,
    /// The topic's incarnation as the ledger counts it, from 1; 0 until the ledger was asked.
    incarnation: u32,
    /// Time since the topic first looked as if it had been made anew; `None` if it does not look so.
    suspected: Option<Stopwatch>,
    ask_at: Instant,
    compare_at: Instant,
}

/// What the loop may do now.
#[derive(Debug)]
pub(super) enum Placing {
    /// The loop may read. Some partitions may still be unplaced.
    Done,
    /// All partitions must be placed again, in another incarnation of the topic. The loop must drop the records in
    /// hand.
    Anew,
    /// The ledger does not answer.
    Waiting(ledger::Error),
}

/// What follows from the ledger's answer.
enum Answer {
    Place {
        starts: Vec<(ReadFrom, Option<Correction>)>,
        mark: String,
    },
    /// Another worker has begun an incarnation.
    OtherIncarnation(u32),
    MadeAnew,
}

/// What Kafka and the operator say about the partitions to place; see [`Circumstances`].
struct Question<'a> {
    topic: &'a str,
    from: Option<StartAt>,
    has_committed: bool,
    standings: &'a [AssignedPartition],
}

impl Placer {
    pub(super) fn new(ledger: Ledger, worker: String) -> Self {
        let now = clock::now();
        Self { ledger, worker, incarnation: 0, suspected: None, ask_at: now, compare_at: now + COMPARE_EVERY }
    }

    /// The topic's incarnation, which the coordinates of its records carry.
    pub(super) fn incarnation(&self) -> u32 {
        self.incarnation.max(1)
    }

    /// Places the partitions that are assigned and not read yet. Fails if Kafka does not answer, or if a person has to
    /// change something first.
    pub(super) async fn follow(&mut self, inbox: &mut Inbox) -> Result<Placing, kafka::Error> {
        let unplaced = inbox.unplaced().len();
        if unplaced == 0 || clock::now() < self.ask_at {
            return Ok(Placing::Done);
        }
        let standings = inbox.standings().await?;
        if standings.is_empty() {
            return Ok(Placing::Done);
        }
        if standings.len() < unplaced {
            self.ask_at = clock::now() + ASK_AGAIN;
        }
        let (topic, from, has_committed) = (inbox.topic().to_owned(), inbox.from(), inbox.has_committed());
        let question = Question { topic: &topic, from, has_committed, standings: &standings };
        match inbox.attend(Box::pin(self.decide(question))).await? {
            Err(error) => Ok(Placing::Waiting(error)),
            Ok(Answer::Place { starts, mark }) => {
                self.suspected = None;
                self.compare_at = clock::now() + COMPARE_EVERY;
                report(&topic, &standings, &starts);
                let starts: Vec<ReadFrom> = starts.into_iter().map(|(start, _)| start).collect();
                inbox.begin_at(&starts, &mark)?;
                Ok(Placing::Done)
            }
            Ok(Answer::OtherIncarnation(current)) => {
                self.incarnation = current;
                self.suspected = None;
                inbox.displace()?;
                Ok(Placing::Anew)
            }
            Ok(Answer::MadeAnew) => {
                let since = self.suspected.get_or_insert_with(Stopwatch::start);
                if since.elapsed() < LOOK_TWICE {
                    self.ask_at = clock::now() + LOOK_TWICE;
                    return Ok(Placing::Done);
                }
                self.begin_incarnation(inbox, "its end lies before what was read").await
            }
        }
    }

    /// Begins a new incarnation of the topic, since `reason` shows that it was made anew.
    pub(super) async fn begin_incarnation(&mut self, inbox: &mut Inbox, reason: &str) -> Result<Placing, kafka::Error> {
        let (topic, before) = (inbox.topic().to_owned(), self.incarnation());
        let begun = self.ledger.begin_incarnation(&topic, before, reason, &self.worker);
        match inbox.attend(Box::pin(begun)).await {
            Ok(current) => self.incarnation = current,
            Err(error) => return Ok(Placing::Waiting(error)),
        }
        self.suspected = None;
        error!(
            kafka.topic = topic,
            incarnation = self.incarnation,
            reason,
            "the topic was deleted and created again; every record of it is decided, as a record of a new incarnation"
        );
        metrics::POSITION_CORRECTIONS.count(Correction::MadeAnew);
        inbox.displace()?;
        Ok(Placing::Anew)
    }

    /// Stores in the ledger how far partitions were read without a record being returned, and settles these offsets.
    /// Only called while no record is in hand.
    pub(super) async fn rest(&mut self, inbox: &mut Inbox) -> Result<Placing, kafka::Error> {
        let passed = inbox.passed();
        if !passed.is_empty() {
            if let Err(error) = self.pass(inbox, &passed).await {
                return Ok(Placing::Waiting(error));
            }
            inbox.settle_at(passed)?;
        }
        if clock::now() >= self.compare_at {
            self.compare_at = clock::now() + COMPARE_EVERY;
            inbox.displace()?;
        }
        Ok(Placing::Done)
    }

    /// Stores in the ledger that the partitions were read up to these offsets.
    pub(super) async fn pass(&self, inbox: &mut Inbox, next: &BTreeMap<i32, i64>) -> Result<(), ledger::Error> {
        let topic = inbox.topic().to_owned();
        inbox.attend(Box::pin(self.ledger.pass(&topic, self.incarnation(), next))).await
    }

    /// The outer error comes from what a person has to change; the inner one is the ledger's, and passes.
    async fn decide(&mut self, question: Question<'_>) -> Result<Result<Answer, ledger::Error>, kafka::Error> {
        let Question { topic, from, has_committed, standings } = question;
        let ledger = match self.ledger.identity().await {
            Ok(ledger) => ledger,
            Err(error) => return Ok(Err(error)),
        };
        let mark = mark_of(&ledger);
        if let Some(foreign) = standings.iter().find_map(|standing| foreign_ledger(standing.mark.as_deref(), &ledger)) {
            return Err(kafka::Error::Setup(format!(
                "the group's offsets were committed by workers on the ledger {foreign}, but [ledger] url leads to the \
                 ledger {ledger}: two ledgers would decide and publish side by side; mend [ledger] url or [kafka] \
                 group_id, or adopt the group (the runbook's section \"Two ledgers\" says how)"
            )));
        }
        let ends = standings.iter().map(|standing| (standing.partition, standing.end)).collect();
        let known = match self.ledger.positions(topic, &ends).await {
            Ok(known) => known,
            Err(error) => return Ok(Err(error)),
        };
        if self.incarnation != 0 && self.incarnation != known.incarnation {
            return Ok(Ok(Answer::OtherIncarnation(known.incarnation)));
        }
        self.incarnation = known.incarnation;
        let mut starts = Vec::with_capacity(standings.len());
        for standing in standings {
            let of_partition = known.partitions.iter().find(|position| position.partition == standing.partition);
            let decided = of_partition.map_or_else(Decided::default, |position| Decided {
                next: position.next_offset,
                witness: position.last_known,
            });
            let circumstances = Circumstances {
                incarnation: known.incarnation,
                is_ours: standing.mark.as_ref() == Some(&mark),
                from,
                is_begun: has_committed || known.is_known,
            };
            match placement(standing, decided, circumstances) {
                Placement::Read(start, correction) => starts.push((start, correction)),
                Placement::MadeAnew => return Ok(Ok(Answer::MadeAnew)),
                Placement::Unsaid => {
                    return Err(kafka::Error::Setup(
                        "the group has never committed an offset; say where it starts: --from earliest (with the \
                         oldest record) or --from latest (with the next one)"
                            .to_owned(),
                    ));
                }
            }
        }
        let next = starts.iter().map(|(start, _)| (start.partition, start.at)).collect();
        if let Err(error) = self.ledger.pass(topic, self.incarnation, &next).await {
            return Ok(Err(error));
        }
        Ok(Ok(Answer::Place { starts, mark }))
    }
}

const MARK: &str = "model-factory ledger ";

/// Returns the metadata that is committed to Kafka with each offset. It names the ledger.
pub(crate) fn mark_of(ledger: &str) -> String {
    format!("{MARK}{ledger}")
}

/// Returns the other ledger whose workers committed an offset with this mark; `None` if the mark is this ledger's or
/// none.
pub(crate) fn foreign_ledger<'a>(mark: Option<&'a str>, ledger: &str) -> Option<&'a str> {
    mark?.strip_prefix(MARK).filter(|found| *found != ledger)
}

/// Logs where each partition is read from. Counts the partitions that are read from elsewhere than Kafka says.
fn report(topic: &str, standings: &[AssignedPartition], starts: &[(ReadFrom, Option<Correction>)]) {
    for (start, correction) in starts {
        let standing = standings.iter().find(|standing| standing.partition == start.partition);
        let (committed, begin, end) = standing.map_or((None, 0, 0), |found| (found.committed, found.begin, found.end));
        let (partition, at) = (start.partition, start.at);
        let Some(correction) = *correction else {
            info!(kafka.topic = topic, kafka.partition = partition, at, begin, end, "reads on");
            continue;
        };
        metrics::POSITION_CORRECTIONS.count(correction);
        let (why, is_loss) = match correction {
            Correction::AheadOfLedger => {
                ("Kafka's offset is ahead of the ledger, as after a restore: back to the ledger's", false)
            }
            Correction::DeletedUnread => ("the topic deleted records that were not read; they are lost", true),
            Correction::EndLost => {
                ("the log ends before the offset that was committed: it was cut, or made anew", true)
            }
            Correction::MadeAnew => ("the topic was made anew", true),
        };
        if is_loss {
            error!(kafka.topic = topic, kafka.partition = partition, committed, at, begin, end, "{why}");
        } else {
            warn!(kafka.topic = topic, kafka.partition = partition, committed, at, begin, end, "{why}");
        }
    }
}
