//! Checks Postgres: version, durability of a commit, schema, what the outbox holds, the role's rights, clock.

use super::finding::Finding;
use crate::adapters::ledger::{Error, Ledger, LedgerSettings, SchemaState, ServerState, Standing};
use crate::config::Config;
use chrono::{DateTime, TimeDelta, Utc};

const OLDEST_VERSION: i32 = 140_000;

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let settings = LedgerSettings { max_connections: 1, ..config.ledger.clone() };
    let ledger = match Ledger::connect(&settings).await {
        Ok(ledger) => ledger,
        Err(error) => {
            let advice = "start Postgres, or mend [ledger] url; `model-factory config show` tells where it comes from";
            return vec![Finding::red("database", error.to_string(), advice)];
        }
    };
    let mut findings = match ledger.server_state().await {
        Ok(state) => server(&state),
        Err(error) => vec![unanswered("database", &error)],
    };
    let state = ledger.schema_state().await;
    let is_current = matches!(state, Ok(SchemaState::Current(_)));
    findings.push(schema(state));
    let missing = ledger.missing_rights().await;
    let may_read = matches!(&missing, Ok((_, statements)) if statements.is_empty());
    findings.push(rights(missing));
    if is_current && may_read {
        findings.push(outbox(ledger.standing().await));
    }
    let before = crate::clock::system_time().into();
    let answered = ledger.clock().await;
    findings.push(clock(before, answered, crate::clock::system_time().into()));
    ledger.close().await;
    findings
}

fn unanswered(check: &str, error: &Error) -> Finding {
    Finding::red(check, error.to_string(), "look at the database's log")
}

fn server(state: &ServerState) -> Vec<Finding> {
    let version = format!("Postgres {}.{}", state.version / 10_000, state.version % 10_000);
    let answers = if state.version < OLDEST_VERSION {
        Finding::red("database", format!("{version} is too old"), "use Postgres 14 or newer")
    } else if state.is_standby {
        let found = format!("{version}, a standby that takes no writes");
        Finding::red("database", found, "let [ledger] url name the primary")
    } else {
        Finding::green("database", version)
    };
    let check = "durability";
    let commit = &state.synchronous_commit;
    let durable = if !state.fsync {
        Finding::red(check, "fsync is off: a crash of the machine loses the ledger", "set fsync = on, restart Postgres")
    } else if commit == "off" {
        let found = "synchronous_commit is off: a crash loses commits whose offsets have moved, so requests vanish";
        Finding::red(check, found, "ALTER ROLE … SET synchronous_commit = on; or in postgresql.conf")
    } else if !state.full_page_writes {
        let found = "full_page_writes is off: a crash may tear pages";
        Finding::yellow(check, found, "set full_page_writes = on unless the file system writes pages as a whole")
    } else {
        Finding::green(check, format!("a commit lasts (synchronous_commit={commit}, fsync=on)"))
    };
    vec![answers, durable]
}

fn schema(state: Result<SchemaState, Error>) -> Finding {
    let check = "schema";
    match state {
        Ok(state @ SchemaState::Current(_)) => Finding::green(check, state.advice()),
        Ok(state @ (SchemaState::Missing | SchemaState::Older(_))) => {
            Finding::red(check, state.advice(), "model-factory migrate")
        }
        Ok(state @ SchemaState::Newer(_)) => Finding::red(check, state.advice(), "upgrade this binary"),
        Err(error) => unanswered(check, &error),
    }
}

fn rights(missing: Result<(String, Vec<String>), Error>) -> Finding {
    let check = "rights";
    match missing {
        Ok((role, statements)) if statements.is_empty() => {
            Finding::green(check, format!("the role {role} may do what a worker does"))
        }
        Ok((role, advice)) => {
            let found = format!("the role {role} lacks rights on {} tables", advice.len());
            Finding { advice, ..Finding::red(check, found, "") }
        }
        Err(error) => unanswered(check, &error),
    }
}

/// Judges what waits to be sent, and what topics refused.
fn outbox(standing: Result<Standing, Error>) -> Finding {
    const NOTABLE_SECONDS: f64 = 60.0;
    let check = "outbox";
    let standing = match standing {
        Ok(standing) => standing,
        Err(error) => return unanswered(check, &error),
    };
    let late = standing.outbox.iter().filter(|(_, _, oldest)| *oldest > NOTABLE_SECONDS);
    let late: Vec<String> = late
        .map(|(kind, records, oldest)| {
            format!("{records} records of kind {} wait, the oldest {oldest:.0} s", kind.as_str())
        })
        .collect();
    if !late.is_empty() {
        let advice = "see `/readyz` of the workers with the role relay: it names the topic and the error";
        return Finding::red(check, late.join("; "), advice);
    }
    let set_aside: i64 = standing.set_aside.iter().map(|(_, records)| records).sum();
    if set_aside > 0 {
        let found = format!("{set_aside} records were refused by their topic and set aside");
        return Finding::yellow(
            check,
            found,
            "model-factory dead-letters list --set-aside; mend the topic; dead-letters give-back",
        );
    }
    Finding::green(check, "nothing waits for long, and nothing is set aside")
}

/// Compares the clocks of database and machine. Leases work even if the clocks differ. But a difference confuses people
/// who compare logs with the ledger, and breaks signed URLs and certificates.
fn clock(before: DateTime<Utc>, answered: Result<DateTime<Utc>, Error>, after: DateTime<Utc>) -> Finding {
    const NOTABLE: TimeDelta = TimeDelta::seconds(2);
    const BROKEN: TimeDelta = TimeDelta::seconds(60);
    let check = "clock";
    let theirs = match answered {
        Ok(theirs) => theirs,
        Err(error) => return unanswered(check, &error),
    };
    // A difference no longer than the query itself may come from the query, and is no skew.
    let skew = (theirs - after).max(before - theirs).max(TimeDelta::zero());
    let found = format!("{:.1} seconds between the database and this machine", skew.as_seconds_f64());
    let advice = "let NTP set both clocks";
    if skew > BROKEN {
        Finding::red(check, found, advice)
    } else if skew > NOTABLE {
        Finding::yellow(check, found, advice)
    } else {
        Finding::green(check, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Light;
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_the_answer_s_time_does_not_explain() {
        let at = |seconds: i64| DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap();
        for (theirs, light) in [(3, Light::Green), (-1, Light::Green), (-3, Light::Yellow), (70, Light::Red)] {
            assert_eq!(clock(at(0), Ok(at(theirs)), at(5)).light, light, "{theirs}");
        }
    }

    #[test]
    fn a_server_whose_commits_do_not_last_is_red() {
        let sound = ServerState {
            version: 160_004,
            is_standby: false,
            synchronous_commit: "on".to_owned(),
            fsync: true,
            full_page_writes: true,
        };
        let lights = |state: ServerState| server(&state).iter().map(|finding| finding.light).collect::<Vec<_>>();
        assert_eq!(lights(sound.clone()), [Light::Green, Light::Green]);
        let off = ServerState { synchronous_commit: "off".to_owned(), ..sound.clone() };
        assert_eq!(lights(off), [Light::Green, Light::Red]);
        assert_eq!(lights(ServerState { fsync: false, ..sound.clone() }), [Light::Green, Light::Red]);
        assert_eq!(lights(ServerState { full_page_writes: false, ..sound.clone() }), [Light::Green, Light::Yellow]);
        assert_eq!(lights(ServerState { is_standby: true, ..sound.clone() }), [Light::Red, Light::Green]);
        assert_eq!(lights(ServerState { version: 130_009, ..sound }), [Light::Red, Light::Green]);
    }
}
