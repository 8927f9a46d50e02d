//! Declares every metric of a worker, and renders the page that Prometheus scrapes. Each entry of `catalogue!` gives
//! the help text, then type, labels, name and unit, then what values are normal.

use super::domain_labels::{Requeued, RunEnd};
use super::instrument::{Counter, Described, Gauge, Histogram, Instrument, TransientGauge};
use super::labels::{
    BuildInfo, Correction, LoopLabel, NeedLabel, NoticedBy, Partition, PartitionChange, Stage, StageEnd, StaleWrite,
};
use crate::domain::run::{FailureCode, OutboxKind, OutcomeKind, RegistryReply, State};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

macro_rules! catalogue {
    ($($subject:literal {
        $(#[doc = $help:literal] $constant:ident: $kind:ty, $labels:ty = $name:literal in $unit:literal, $normal:literal;)+
    })+) => {
        $($(
            #[doc = $help]
            pub static $constant: Instrument<$kind, $labels> = Instrument::new($name, $unit, $help, $normal);
        )+)+

        pub static CATALOGUE: &[(&str, &[&dyn Described])] = &[$(($subject, &[$(&$constant),+])),+];
    };
}

catalogue! {
    "Requests" {
        /// Records of the request topic that this worker decided on, by outcome
        REQUESTS: Counter, OutcomeKind = "model_factory_requests_total" in "records",
            "Grows with the topic. A record that is brought again counts once; one whose COMMIT was not acknowledged to \
             this worker does not count.";
        /// Dead letters that this worker wrote, by failure code
        DEAD_LETTERS: Counter, FailureCode = "model_factory_dead_letters_total" in "records",
            "Rare. Each stands for a requester who has to change something; `QUOTA_EXCEEDED` in bursts.";
        /// Records of a partition that this worker holds and has not settled yet
        CONSUMER_LAG: TransientGauge, Partition = "model_factory_consumer_lag" in "records",
            "Near 0; some thousands for seconds after a burst. As the client library knows it, at most 5 seconds old; \
             missing until it knows, and once the partition is another's.";
        /// Changes of this worker's partitions: a rebalance revokes and assigns; it follows a change of members
        REBALANCES: Counter, PartitionChange = "model_factory_rebalances_total" in "changes",
            "One `assigned` at the start, two changes for each worker that comes or goes. `failed` stays 0.";
        /// Partitions that this worker read from elsewhere than Kafka's committed offset says, by why
        POSITION_CORRECTIONS: Counter, Correction = "model_factory_position_corrections_total" in "partitions",
            "0. `ahead_of_ledger` after a restore of the ledger, `made_anew` after the request topic was deleted and created \
             again; `deleted_unread` means that requests are lost. `doctor` says more.";
        /// Partitions that the group gave this worker and that it does not read yet
        PARTITIONS_UNPLACED: Gauge, () = "model_factory_partitions_unplaced" in "partitions",
            "0, but for a second after a rebalance, and while the ledger is away.";
        /// Whether the policy's file cannot be used, so that the policy that was read before stays in force; missing where no policy is set
        POLICY_STALE: Gauge, () = "model_factory_policy_stale" in "0 or 1",
            "0. 1 means that a change of the policy has no effect; the log says what is wrong with the file.";
    }
    "Runs" {
        /// Runs in the ledger by state; the same on every worker
        RUNS: Gauge, State = "model_factory_runs" in "runs",
            "`QUEUED`, `RUNNING`, `EVAL_READY` and `PUBLISH_PENDING` come and go; the others only grow. \
             What has ended is counted less often where the ledger is large: at most every hundredth of the time goes into it.";
        /// Runs that wait and may be claimed now; the same on every worker
        QUEUE_DEPTH: Gauge, () = "model_factory_queue_depth" in "runs",
            "Near 0 with enough runners. The autoscaler follows it and the runs that are worked on.";
        /// How long the run has waited that may be claimed longest; 0 where none waits; the same on every worker
        QUEUE_OLDEST_AGE: Gauge, () = "model_factory_queue_oldest_age_seconds" in "seconds",
            "Below the length of a usual run.";
        /// From when a run may be claimed (its admission, or the end of a pause after a failure) to its claim
        QUEUE_WAIT: Histogram, () = "model_factory_queue_wait_seconds" in "seconds",
            "Below a second with a free runner; the length of the queue otherwise.";
        /// Runs that this worker brought to PASS, FAIL or PUBLISHED; a published one counts at PASS and at PUBLISHED
        RUNS_ENDED: Counter, RunEnd = "model_factory_runs_ended_total" in "runs",
            "Grows with the work. `GATE_FAIL` is a verdict, not a fault; `ATTEMPTS_EXHAUSTED` and codes of evidence ask for \
             an operator.";
        /// Runs that this worker put back into the queue, by why; `none` where it gave one back to shut down
        RUNS_REQUEUED: Counter, Requeued = "model_factory_runs_requeued_total" in "runs",
            "Rare: an attempt was lost or will be made again. `LEASE_EXPIRED` with workers that die; `TRAINER_OUT_OF_MEMORY` \
             and `TRAINER_TIMEOUT` where limits are too tight; `…_UNRESOLVED` while a store is away.";
        /// How long a stage of a run took on this worker, by how it ended
        STAGE: Histogram, (Stage, StageEnd) = "model_factory_stage_seconds" in "seconds",
            "`train` takes minutes to hours with the data; the others below some seconds. `stopped` with lost leases, \
             cancellations and shutdowns only.";
        /// Runs that the ledger itself refuses to read or to write, each time one is left alone for a minute
        RUNS_POSTPONED: Counter, () = "model_factory_runs_postponed_total" in "refusals",
            "0. Anything else is a defect or a row made by hand: look at the log.";
    }
    "Publications" {
        /// Publish-only attempts that this worker began
        PUBLISH_RETRIES: Counter, () = "model_factory_publish_retries_total" in "attempts",
            "Grows only while broker or registry do not answer, or when somebody asks for it.";
        /// Publications that will not be tried again by themselves: attempts used up, or no attempt can help
        PUBLISH_EXHAUSTED: Counter, () = "model_factory_publish_exhausted_total" in "publications",
            "0. Each waits for `runs retry-publish`.";
        /// Records of the registry's topic, by what they led to
        REGISTRY_EVENTS: Counter, RegistryReply = "model_factory_registry_events_total" in "records",
            "`published` and `other` grow; `malformed` and `refused` stay 0. All 0 where `publish.confirm` is `broker`.";
    }
    "Outbox" {
        /// Records of the outbox that are not sent yet; the same on every worker
        OUTBOX_DEPTH: Gauge, OutboxKind = "model_factory_outbox_depth" in "records",
            "Near 0; grows while the broker is away.";
        /// Age of the oldest record of the outbox that is not sent yet; 0 where there is none; the same on every worker
        OUTBOX_OLDEST_AGE: Gauge, OutboxKind = "model_factory_outbox_oldest_age_seconds" in "seconds",
            "Below a few seconds.";
        /// Records of the outbox that their topic refused again and again, and that no relay sends any more; the same on every worker
        OUTBOX_SET_ASIDE: Gauge, OutboxKind = "model_factory_outbox_set_aside" in "records",
            "0. Others wait for `dead-letters give-back`; only `dead_letter` and `lifecycle` (about rejected records) can be.";
        /// Records that this worker's relay sent, acknowledged and marked
        EVENTS_SENT: Counter, OutboxKind = "model_factory_events_sent_total" in "records",
            "Five to seven `lifecycle` a run, and those that tell of progress.";
        /// From when a record entered the outbox to its acknowledgement
        RELAY_DELAY: Histogram, () = "model_factory_relay_delay_seconds" in "seconds",
            "Below a second; the length of an outage after one.";
        /// Producers that were made again after a fatal error
        PRODUCERS_RECREATED: Counter, () = "model_factory_producers_recreated_total" in "producers",
            "0, or one after trouble with the brokers.";
    }
    "Leases and connections" {
        /// Leases that this worker lost while it worked
        LEASES_LOST: Counter, NoticedBy = "model_factory_leases_lost_total" in "leases",
            "0, or one for each run whose lease expired or was taken away by `runs requeue`. `own_clock` grows while the \
             database is away.";
        /// Writes that the ledger refused because the lease was lost
        STALE_WRITES: Counter, StaleWrite = "model_factory_stale_writes_refused_total" in "writes",
            "0. Others go with a worker that slept or was cut off: the fence held.";
        /// Refusals between a Kafka broker and this worker that waiting does not mend
        KAFKA_DENIALS: Counter, () = "model_factory_kafka_denials_total" in "refusals",
            "0. Otherwise credentials, certificates or rights are wrong: look at the log.";
        /// When the gauges of the ledger were last read, by the database's clock; 0 before that
        LEDGER_SURVEYED: Gauge, () = "model_factory_ledger_surveyed_timestamp_seconds" in "seconds since 1970",
            "At most 20 seconds ago. Older: the database is away or too slow, and the gauges of the ledger stand at \
             what was read then.";
    }
    "Worker" {
        /// 1; which build this is
        BUILD_INFO: Gauge, BuildInfo = "model_factory_build_info" in "builds",
            "1.";
        /// 1 where what the worker needs answers, 0 where not, as /readyz says
        READY: Gauge, NeedLabel = "model_factory_ready" in "yes or no",
            "1.";
        /// 1 while a loop has not turned in time, as /livez says
        LOOP_LATE: Gauge, LoopLabel = "model_factory_loop_late" in "yes or no",
            "0.";
        /// 1 once the worker takes no new work
        DRAINING: Gauge, () = "model_factory_draining" in "yes or no",
            "0; 1 for at most `worker.drain_seconds` and 20 seconds.";
        /// Runs that this worker can work on at once
        SLOTS: Gauge, () = "model_factory_slots" in "runs",
            "`worker.slots`; 0 without the runner's role.";
        /// Runs that this worker works on now
        SLOTS_BUSY: Gauge, () = "model_factory_slots_busy" in "runs",
            "Between 0 and `model_factory_slots`.";
    }
    "Trainers" {
        /// Processor time of this worker's child processes and all below them, those that run included, in whole seconds
        TRAINER_CPU: Counter, () = "model_factory_trainer_cpu_seconds_total" in "seconds",
            "Grows by up to the number of cores each second while runs train.";
        /// Resident memory of this worker's child processes and all below them now
        TRAINER_MEMORY: Gauge, () = "model_factory_trainer_memory_bytes" in "bytes",
            "0 between runs, but for the Postgres that `dev` and `demo` start; below the profile's `memory_mib` for each \
             slot.";
        /// The most resident memory of one child process with all below it, seen at least every second
        TRAINER_PEAK_MEMORY: Histogram, () = "model_factory_trainer_peak_memory_bytes" in "bytes",
            "Some hundred MiB for a million rows; well below `max_memory_mib`. A registered command has three children \
             a run.";
        /// Job folders of lost attempts that this worker removed from the scratch folder
        SCRATCH_SWEPT: Counter, () = "model_factory_scratch_swept_total" in "folders",
            "0, or one for each run whose worker was killed while it trained.";
    }
    "Process" {
        /// Processor time of the worker itself, in whole seconds
        PROCESS_CPU: Counter, () = "process_cpu_seconds_total" in "seconds",
            "A few hundredths of a second each second.";
        /// Resident memory of the worker itself
        PROCESS_MEMORY: Gauge, () = "process_resident_memory_bytes" in "bytes",
            "Below 200 MiB; documents and models pass through it.";
        /// Open file descriptors of the worker itself
        PROCESS_OPEN_FDS: Gauge, () = "process_open_fds" in "descriptors",
            "Below a hundred.";
        /// When the worker started
        PROCESS_START: Gauge, () = "process_start_time_seconds" in "seconds since 1970",
            "Changes with a restart only.";
    }
}

/// The bounds of the histogram buckets for durations, in seconds, from five milliseconds to six hours.
const SECONDS: [f64; 20] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
    7_200.0, 21_600.0,
];
/// Renders the metrics of this process. A clone is cheap and renders the same metrics.
#[derive(Debug, Clone)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// Installs the recorder of metrics for this process. A second call returns an error.
    pub fn install() -> Result<Self, BuildError> {
        // The bounds of the histogram buckets for bytes: from 16 MiB to 64 GiB, each twice the one before.
        let bytes: [f64; 13] = std::array::from_fn(|power| f64::from(16_u32 << power) * 1_048_576.0);
        let mut builder = PrometheusBuilder::new();
        for metric in metrics().filter(|metric| metric.kind() == "histogram") {
            let buckets: &[f64] = if metric.unit() == "bytes" { &bytes } else { &SECONDS };
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name().to_owned()), buckets)?;
        }
        let page = Self(builder.install_recorder()?);
        metrics().filter(|metric| !metric.is_transient()).for_each(Described::register);
        BUILD_INFO.set(BuildInfo, 1.0);
        for gauge in [&DRAINING, &SLOTS, &SLOTS_BUSY, &LEDGER_SURVEYED] {
            gauge.set((), 0.0);
        }
        Ok(page)
    }

    /// Renders the page. `show` sets the transient gauges for this page. The next page does not contain them unless
    /// they are set again.
    pub fn render(&self, show: impl FnOnce()) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics().filter(|metric| metric.is_transient()).for_each(Described::register);
            show();
        });
        self.0.render() + &recorder.handle().render()
    }

    /// Moves the recorded values of histograms into buckets. Each value stays in memory until this call or the next
    /// page.
    pub fn sum_up(&self) {
        self.0.run_upkeep();
    }
}

fn metrics() -> impl Iterator<Item = &'static dyn Described> {
    CATALOGUE.iter().flat_map(|(_, metrics)| metrics.iter().copied())
}
