//! `model-factory bench`: measures how fast the worker's code admits, claims, relays, computes metrics and trains on
//! this machine. Each rate stands beside an upper limit of the same machine, measured in the same invocation.

use super::output::{Output, print_table};
use super::progress::Narrator;
use crate::adapters::kafka::{KafkaSettings, MockBroker, StartAt, TopicNames, Topics};
use crate::tools::bench::{
    AdmissionSpec, BenchDatabase, Coverage, CoverageShares, CoverageSpec, Figures, LatencySpec, LifecycleSpec,
    MetricsSpec, RelaySpec, Scene, TrainingFigures, TrainingSpec, admission, coverage, latency, lifecycle, metrics,
    relay, training,
};
use crate::tools::dev::wide::WideSpec;
use anyhow::{Context as _, ensure};
use clap::Subcommand;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure this machine: a private Postgres that commits durably, and the worker's own code. Touches no database or
/// topic that others use.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  model-factory bench admission
  model-factory bench admission --brokers localhost:9092
  model-factory bench admission --brokers localhost:9092 --requests 1000000     does memory stay flat?
  model-factory bench lifecycle --queued 200000
  model-factory bench relay --brokers localhost:9092 --output json
  model-factory bench metrics --rows 1000000
  model-factory bench coverage --windows 1000      do the intervals hold the true values?
  model-factory bench training --rows 1000000 --features 30")]
pub(super) struct Args {
    #[command(subcommand)]
    command: BenchCommand,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Admit records, then measure the time from a published request until its event can be read.
    Admission {
        /// Number of new requests. By default 50000 with `--brokers`; otherwise 7000, since the in-process broker holds no
        /// more.
        #[arg(long)]
        requests: Option<usize>,
        /// Number of tenants.
        #[arg(long, default_value_t = 50)]
        tenants: usize,
        /// Requests per second while latency is measured.
        #[arg(long, default_value_t = 100)]
        rate: u32,
        /// Seconds for which latency is measured. 0 skips this measurement.
        #[arg(long, default_value_t = 10)]
        latency_seconds: u32,
        #[command(flatten)]
        broker: Broker,
    },
    /// Claim runs from a long queue, then take runs through their states without training.
    Lifecycle {
        /// Number of runs in the queue.
        #[arg(long, default_value_t = 200_000)]
        queued: usize,
        /// Number of tenants.
        #[arg(long, default_value_t = 50)]
        tenants: usize,
        /// Number of claims, one after the other.
        #[arg(long, default_value_t = 2_000)]
        claims: usize,
        /// Number of runs that go through their states.
        #[arg(long, default_value_t = 4_000)]
        lives: usize,
        /// Number of workers that take runs through their states at the same time.
        #[arg(long, default_value_t = 4)]
        workers: usize,
    },
    /// Send events from the outbox, those of each run in order.
    Relay {
        /// Number of runs.
        #[arg(long, default_value_t = 1_000)]
        runs: usize,
        /// Number of events of each run.
        #[arg(long, default_value_t = 20)]
        events: usize,
        #[command(flatten)]
        broker: Broker,
    },
    /// Compute every metric and curve of a window of scores, then with slices and with intervals. Needs no database.
    Metrics {
        /// Number of rows of the window.
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
        /// How often each part is timed.
        #[arg(long, default_value_t = 5)]
        laps: usize,
    },
    /// Count how often the intervals of metrics hold the true value, in simulated windows. Needs no database.
    Coverage {
        /// Number of windows of each of the 42 scenes.
        #[arg(long, default_value_t = 200)]
        windows: usize,
        /// Seed of the windows.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run the trainer's child over a file, from reading to the written scores, and the same fit alone as its ceiling.
    Training {
        /// Number of rows. The model is fitted on four fifths of them.
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
        /// Number of features, all numeric.
        #[arg(long, default_value_t = 30)]
        features: usize,
        /// Number of trees.
        #[arg(long, default_value_t = 100)]
        trees: u32,
        /// Depth of a tree.
        #[arg(long, default_value_t = 6)]
        depth: u32,
        /// Threads of the fit.
        #[arg(long, default_value_t = 2)]
        threads: u32,
        /// How often each part is timed. The result is the median.
        #[arg(long, default_value_t = 3)]
        laps: usize,
        /// New folder to keep the data in. By default nothing is kept.
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Broker {
    /// Addresses of real brokers, on which the benchmark creates topics that stay. By default an in-process broker is
    /// used.
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let bar = Narrator::new();
        let doing = |what: &str| bar.doing(what);
        let (on, measured) = match self.command {
            BenchCommand::Training { rows, features, trees, depth, threads, laps, keep } => {
                let wide = WideSpec { rows, features: features.max(1), trees, depth };
                let spec = TrainingSpec { wide, threads: threads.max(1), laps: laps.max(1) };
                let figures = measure_training(&spec, keep, doing).await?;
                bar.finish();
                self.output.print(&[&figures], |out| print_training(out, &figures))?;
                return Ok(ExitCode::SUCCESS);
            }
            BenchCommand::Coverage { windows, seed } => {
                let spec = CoverageSpec { windows, seed, large: 1_000_000 };
                let found = coverage(&Scene::all(), &spec, doing);
                bar.finish();
                self.output.print(&found, |out| print_coverage(out, &found))?;
                return Ok(ExitCode::SUCCESS);
            }
            BenchCommand::Metrics { rows, laps } => {
                (format!("{rows} scores"), metrics(&MetricsSpec { rows, laps }, doing))
            }
            BenchCommand::Admission { requests, tenants, rate, latency_seconds, broker } => {
                let requests = broker.requests(requests)?;
                let (database, on) = start_database(doing).await?;
                let spec = AdmissionSpec { requests, tenants: tenants.max(1) };
                let (kafka, _mock, name) = broker.open("admission").await?;
                let mut measured = admission(&database, &kafka, &spec, doing).await?;
                if latency_seconds > 0 {
                    let (kafka, _mock, _) = broker.open("latency").await?;
                    let spec = LatencySpec { requests: (rate.max(1) * latency_seconds) as usize, rate };
                    // A new database, so that the outbox holds nothing else.
                    measured.push(latency(&BenchDatabase::start().await?, &kafka, &spec, doing).await?);
                }
                (format!("{on}; {name}"), measured)
            }
            BenchCommand::Lifecycle { queued, tenants, claims, lives, workers } => {
                let (database, on) = start_database(doing).await?;
                let spec = LifecycleSpec { queued, tenants: tenants.max(1), claims, lives, workers: workers.max(1) };
                (on, lifecycle(&database, &spec, doing).await?)
            }
            BenchCommand::Relay { runs, events, broker } => {
                let (database, on) = start_database(doing).await?;
                let (kafka, _mock, name) = broker.open("relay").await?;
                let spec = RelaySpec { runs: runs.max(1), events: events.max(1) };
                (format!("{on}; {name}"), relay(&database, &kafka, &spec, doing).await?)
            }
        };
        bar.finish();
        self.output.print(&measured, |out| print(out, &on, &measured))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Starts the database. Also returns its description for the report.
async fn start_database(doing: impl Fn(&str)) -> anyhow::Result<(BenchDatabase, String)> {
    doing("starting Postgres");
    let database = BenchDatabase::start().await?;
    let described = database.describe().await?;
    Ok((database, described))
}

async fn measure_training(
    spec: &TrainingSpec,
    keep: Option<PathBuf>,
    doing: impl FnMut(&str),
) -> anyhow::Result<TrainingFigures> {
    let Some(folder) = keep else {
        return Ok(training(spec, tempfile::tempdir()?.path(), doing).await?);
    };
    std::fs::create_dir(&folder).with_context(|| format!("the folder {}", folder.display()))?;
    Ok(training(spec, &folder.canonicalize()?, doing).await?)
}

fn print_training(out: &mut dyn Write, figures: &TrainingFigures) -> std::io::Result<()> {
    let TrainingFigures { rows, features, trees, threads, laps, .. } = figures;
    writeln!(out, "{rows} rows, {features} features, {trees} trees, {threads} threads, medians of {laps}")?;
    let columns = [
        ("fetch s", figures.fetch_seconds),
        ("child s", figures.child_seconds),
        ("bare fit s", figures.fit_seconds),
        ("ratio", figures.ratio),
        ("columns MiB", figures.columns_mib),
        ("peak MiB", figures.peak_mib),
    ];
    print_table(out, columns.map(|(name, _)| name), [columns.map(|(_, value)| format!("{value:.2}"))])
}

/// Prints the lowest and the highest coverage of all scenes, by the number of compromised cards. JSON has every scene.
fn print_coverage(out: &mut dyn Write, found: &[Coverage]) -> std::io::Result<()> {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let shares = |metric: &str, cards: Option<u32>| -> Vec<CoverageShares> {
        let of = |row: &&Coverage| row.metric == metric && cards.is_none_or(|cards| row.scene.cards == cards);
        found.iter().filter(of).filter_map(|row| row.shares).collect()
    };
    let most = |metric: &str, of: fn(&CoverageShares) -> f64| {
        shares(metric, None).iter().map(of).reduce(f64::max).map_or_else(String::new, percent)
    };
    let covered = |metric: &str, cards: u32| {
        let covered: Vec<f64> = shares(metric, Some(cards)).iter().map(|shares| shares.covered).collect();
        let (low, high) = (covered.iter().copied().reduce(f64::min), covered.into_iter().reduce(f64::max));
        low.zip(high).map_or_else(|| "none".to_owned(), |(low, high)| format!("{}–{}", percent(low), percent(high)))
    };
    let row = |metric: &str| {
        let [first, second, third, fourth, fifth] = Scene::CARDS.map(|cards| covered(metric, cards));
        let (above, below) = (most(metric, |shares| shares.above), most(metric, |shares| shares.below));
        [metric.to_owned(), first, second, third, fourth, fifth, above, below]
    };
    let metrics: BTreeSet<&str> = found.iter().map(|row| row.metric.as_str()).collect();
    let [first, second, third, fourth, fifth] = Scene::CARDS.map(|cards| format!("{cards} cards"));
    let header = ["covered %", &first, &second, &third, &fourth, &fifth, "above at most", "below at most"];
    print_table(out, header, metrics.into_iter().map(row))
}

impl Broker {
    /// How many requests the in-process broker keeps; it drops what comes before.
    const IN_PROCESS_REQUESTS: usize = 7_000;

    /// Returns how many requests are admitted, if `wanted` are asked for.
    fn requests(&self, wanted: Option<usize>) -> anyhow::Result<usize> {
        if self.brokers.is_some() {
            return Ok(wanted.unwrap_or(50_000));
        }
        let most = Self::IN_PROCESS_REQUESTS;
        let requests = wanted.unwrap_or(most);
        ensure!(
            requests <= most,
            "the in-process broker holds {most} requests; give a real one with --brokers HOST:PORT"
        );
        Ok(requests)
    }

    /// Returns settings with topics that only this benchmark uses, the in-process broker (`None` with `--brokers`), and
    /// the broker's description for the report. Dropping the in-process broker ends it.
    async fn open(&self, purpose: &str) -> anyhow::Result<(KafkaSettings, Option<MockBroker>, String)> {
        let id = std::process::id();
        let topic = |name: &str| format!("mf-bench-{id}-{purpose}-{name}");
        let topics = TopicNames {
            requests: topic("requests"),
            lifecycle: topic("lifecycle"),
            publications: topic("publications"),
            registry_lifecycle: topic("registry-lifecycle"),
            dead_letters: topic("dead-letters"),
            lineage: topic("lineage"),
        };
        let group_id = topic("group");
        let from = Some(StartAt::Earliest);
        let mut settings = KafkaSettings { group_id, from, topics, ..KafkaSettings::default() };
        if let Some(brokers) = &self.brokers {
            settings.brokers.clone_from(brokers);
            Topics::ensure(&settings, 3).await?;
            return Ok((settings, None, format!("Kafka at {brokers}")));
        }
        let mock = MockBroker::start(&settings.topics, 3)?;
        settings.brokers = mock.brokers();
        Ok((settings, Some(mock), "the in-process broker, which is not Apache Kafka".to_owned()))
    }
}

fn print(out: &mut dyn Write, on: &str, measured: &[Figures]) -> std::io::Result<()> {
    writeln!(out, "{on}")?;
    let columns = |figures: &Figures| {
        let cost = figures.cost.as_ref();
        [
            ("what", figures.name.clone()),
            ("count", figures.count.to_string()),
            ("per second", format!("{:.0}", figures.per_second)),
            ("p50 ms", format!("{:.2}", figures.latency_ms.p50)),
            ("p99 ms", format!("{:.2}", figures.latency_ms.p99)),
            ("max ms", format!("{:.2}", figures.latency_ms.max)),
            ("latency of", figures.latency_of.clone()),
            ("commits each", cost.map_or_else(String::new, |cost| format!("{:.4}", cost.commits))),
            ("WAL bytes each", cost.map_or_else(String::new, |cost| format!("{:.0}", cost.wal_bytes))),
            ("RSS MiB", figures.resident_mib.to_string()),
        ]
    };
    let header = measured.first().map(columns).unwrap_or_default().map(|(name, _)| name);
    print_table(out, header, measured.iter().map(|figures| columns(figures).map(|(_, cell)| cell)))
}
