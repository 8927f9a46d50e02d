//! `model-factory dead-letters`: lists rejected records, shows why they were rejected, sends them again, gives back what was
//! set aside.

use super::ledger::{self, ActorArgs};
use super::output::{Output, json_lines, print_table, stdout};
use crate::adapters::kafka::{Outlet, Record};
use crate::adapters::ledger::{Coordinates, DeadLetterRecord, Ledger, Original};
use crate::config::Config;
use crate::domain::contract::{ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, EvidenceRef};
use crate::domain::identity::Digest;
use crate::domain::run::{FailureCode, Guidance};
use anyhow::{Context as _, ensure};
use clap::Subcommand;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;

/// List and show rejected records, or send them to the request topic again.
///
/// Name a record by its position on the request topic: topic/partition/offset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory dead-letters list --code SCHEMA_INVALID --output json
  model-factory dead-letters show mf.train-requests.v0/0/17
  model-factory dead-letters replay mf.train-requests.v0/0/17 --reason 'profile is there now'
  model-factory dead-letters replay --code REF_NOT_ALLOWED --limit 20 --reason 'allow-list mended' --dry-run
  model-factory dead-letters list --set-aside
  model-factory dead-letters give-back mf.train-requests.v0/0/17 --reason 'the topic takes larger records'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: DeadLettersCommand,
    /// How to print.
    #[arg(long, value_enum, default_value = "table", global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List the latest rejected records, newest first.
    List {
        /// Only records that were rejected with this code.
        #[arg(long)]
        code: Option<FailureCode>,
        /// Only records whose dead letter was set aside, since its topic refused it again and again.
        #[arg(long)]
        set_aside: bool,
        /// List at most this many records.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Show one rejected record with its headers and text.
    Show {
        /// Position on the request topic: topic/partition/offset.
        source: Coordinates,
        /// Write the record's original bytes, and nothing else.
        #[arg(long)]
        raw: bool,
    },
    /// Send rejected records again, unchanged. Each is then judged like a new request.
    Replay(ReplayArgs),
    /// Give dead letters that were set aside back to the relay, which sends them to their own topic. Values, long keys and
    /// long headers go by reference then.
    GiveBack(GiveBackArgs),
}

#[derive(Debug, clap::Args)]
struct GiveBackArgs {
    /// topic/partition/offset; without any, the oldest ones.
    sources: Vec<Coordinates>,
    /// Largest number of records, each dead letter and each event about it.
    #[arg(long, default_value_t = 10_000)]
    limit: i64,
    /// Reason, which is written to the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// Position on the request topic: topic/partition/offset.
    #[arg(required_unless_present = "code", conflicts_with = "code")]
    sources: Vec<Coordinates>,
    /// All records that were rejected with this code, newest first.
    #[arg(long)]
    code: Option<FailureCode>,
    /// Send at most this many records. If there are more, the command sends nothing and exits with status 1.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Reason, which is written to the header `mf_replay_reason` and the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = ledger::connect(&config).await?;
        let mut out = stdout();
        match self.command {
            DeadLettersCommand::List { code, set_aside, limit } => {
                let letters = ledger.dead_letters(code, set_aside, limit).await?;
                self.output.print(&letters, |out| list(out, &letters))?;
            }
            DeadLettersCommand::Show { source, raw } => show(&mut out, &ledger, &source, raw, self.output).await?,
            DeadLettersCommand::Replay(args) => replay(&mut out, &ledger, &config, args, self.output).await?,
            DeadLettersCommand::GiveBack(GiveBackArgs { sources, limit, reason, actor }) => {
                let records = ledger.give_back_set_aside(&sources, limit, &actor.name(), &reason).await?;
                match self.output {
                    Output::Json => json_lines(&mut out, &[json!({"given_back": records})])?,
                    Output::Table => writeln!(out, "  the relay has {records} records back")?,
                }
            }
        }
        ledger.close().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the table of dead letters. `demo` prints this table too.
pub(super) fn list(out: &mut dyn Write, letters: &[DeadLetterRecord]) -> io::Result<()> {
    let rows = letters.iter().map(|letter| {
        let header = |name: &str| letter.headers.get(name).cloned().unwrap_or_default();
        let bytes = letter.bytes.to_string();
        [letter.source.to_string(), bytes, header("mf_code"), header("mf_pointer"), header("mf_message")]
    });
    print_table(out, ["SOURCE", "BYTES", "CODE", "POINTER", "MESSAGE"], rows)
}

async fn show(
    out: &mut dyn Write,
    ledger: &Ledger,
    source: &Coordinates,
    raw: bool,
    output: Output,
) -> anyhow::Result<()> {
    let (letter, original) = ledger.dead_letter(source).await?.with_context(|| unknown(source))?;
    if raw {
        ensure!(!letter.is_cut, cut(source));
        return Ok(io::stdout().write_all(&original.value)?);
    }
    let text = String::from_utf8_lossy(&original.value).escape_debug().to_string();
    if output == Output::Json {
        return Ok(json_lines(out, &[json!({"letter": letter, "text": text})])?);
    }
    for (name, value) in &letter.headers {
        writeln!(out, "  {name:<22} {value}")?;
    }
    let (rejected, standing) = (letter.created_at.to_rfc3339(), letter.standing());
    writeln!(out, "  {:<22} {rejected}\n  {:<22} {standing}", "rejected at", "on its topic")?;
    if let Some(Ok(code)) = letter.headers.get("mf_code").map(|name| name.parse::<FailureCode>()) {
        let Guidance { requester, operator, .. } = code.guidance();
        writeln!(out, "\n  requester: {requester}\n  operator:  {operator}")?;
    }
    writeln!(out, "\n{text}")?;
    if letter.is_cut {
        writeln!(out, "\n  {}", cut(source))?;
    }
    Ok(())
}

async fn replay(
    out: &mut dyn Write,
    ledger: &Ledger,
    config: &Config,
    args: ReplayArgs,
    output: Output,
) -> anyhow::Result<()> {
    let sources = match args.code {
        // Reads one more than the limit, to see whether there are more.
        Some(code) => {
            let letters = ledger.dead_letters(Some(code), false, args.limit as i64 + 1).await?;
            letters.into_iter().map(|letter| letter.source).collect()
        }
        None => args.sources,
    };
    ensure!(sources.len() <= args.limit, "more than {} records; raise --limit if that is meant", args.limit);
    let mut originals = Vec::with_capacity(sources.len());
    for source in sources {
        let (letter, original) = ledger.dead_letter(&source).await?.with_context(|| unknown(&source))?;
        ensure!(!letter.is_cut, cut(&source));
        originals.push((source, original));
    }
    if originals.is_empty() && output == Output::Table {
        return Ok(writeln!(out, "  no rejected record has this code; nothing is sent")?);
    }
    let outlet = if args.dry_run { None } else { Some(Outlet::open(&config.kafka)?) };
    let actor = args.actor.name();
    let by = format!("operator:{actor}");
    let requested = |source, original| replay_requested(&actor, &args.reason, source, original);
    if outlet.is_some() {
        // Appends the acts before it sends the first record. If this process dies, the log shows that records may have
        // been sent.
        let acts = originals.iter().map(|(source, original)| requested(source, original)).collect();
        ledger.append_acts(&by, acts).await?;
    }
    for (source, original) in &originals {
        let mut sent = None;
        if let Some(outlet) = &outlet {
            let headers = [
                ("mf_replay_of".to_owned(), source.to_string().into_bytes()),
                ("mf_replay_reason".to_owned(), args.reason.clone().into_bytes()),
            ];
            let topic = &config.kafka.topics.requests;
            let record = Record { topic, key: original.key.as_deref(), value: &original.value, headers: &headers };
            let (partition, offset) = outlet.send(record).await?;
            let at = Coordinates { topic: topic.clone(), partition, offset };
            let mut act = requested(source, original);
            act.act = ActKind::DeadLetterReplayed;
            act.subject.acknowledged_at = Some(at.to_string());
            ledger.append_acts(&by, vec![act]).await?;
            sent = Some(at);
        }
        match output {
            Output::Json => json_lines(out, &[json!({"source": source, "sent": sent})])?,
            Output::Table => {
                let what = sent.map_or_else(|| "would be sent again".to_owned(), |at| format!("sent again as {at}"));
                writeln!(out, "  {source} {what}")?;
            }
        }
    }
    if let Some(outlet) = outlet {
        outlet.close().await;
    }
    Ok(())
}

/// Builds the act that is appended to the audit log before the record is sent again.
fn replay_requested(actor: &str, why: &str, source: &Coordinates, original: &Original) -> AuditAct {
    let subject = ActSubject { record: Some(source.to_string()), ..ActSubject::default() };
    let actor = Actor::new(ActorKind::Operator, actor);
    let mut act = AuditAct::new(ActKind::DeadLetterReplayRequested, actor, subject);
    act.reason = Some(ActReason::said(why));
    let bytes = EvidenceRef { reference: format!("ledger:{source}"), sha256: Digest::of(&original.value) };
    act.evidence.insert("request".to_owned(), bytes);
    act
}

/// Says where to find the rest of a record of which the ledger holds only the beginning.
fn cut(source: &Coordinates) -> String {
    let Coordinates { topic, partition, offset } = source;
    format!(
        "the ledger keeps only the beginning of {source}, so that it cannot be sent again from here; the topic has all \
         of it: kcat -b BROKERS -C -t {topic} -p {partition} -o {offset} -c 1"
    )
}

fn unknown(source: &Coordinates) -> String {
    format!("no rejected record stood at {source}; `model-factory dead-letters list` shows them")
}
