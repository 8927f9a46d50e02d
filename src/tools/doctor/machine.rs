//! Checks what a trainer needs of this machine: disk, memory, confinement, registered commands.

use super::finding::Finding;
use crate::config::{Config, TrainerSettings};
use crate::training::{self, Enforcement, HostLayers};
use std::path::Path;

const MIB: u64 = 1024 * 1024;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let trainer = &config.trainer;
    let commands = trainer.commands.iter().map(|(name, registration)| {
        let check = format!("trainer {name}");
        match config.check_command(name, registration) {
            Ok(()) => Finding::green(check, registration.program.display().to_string()),
            Err(why) => Finding::red(check, why, format!("mend [trainer.commands.{name}]")),
        }
    });
    let machine = [scratch(trainer, config.worker.slots), memory(trainer.max_memory_mib), confinement(trainer)];
    let layers = (!trainer.commands.is_empty()).then(|| layers(trainer, HostLayers::find()));
    machine.into_iter().chain(layers.into_iter().flatten()).chain(commands).collect()
}

fn scratch(settings: &TrainerSettings, slots: u32) -> Finding {
    let check = "scratch disk";
    let advice = "mend [trainer] scratch, or let this user write there";
    let scratch = match std::path::absolute(&settings.scratch) {
        Ok(scratch) => scratch,
        Err(error) => return Finding::red(check, error.to_string(), advice),
    };
    // Tests the nearest folder that exists, because a worker creates the folders below it.
    let folder = scratch.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    if let Err(error) = tempfile::tempfile_in(folder) {
        return Finding::red(check, format!("{} cannot be written: {error}", folder.display()), advice);
    }
    match nix::sys::statvfs::statvfs(folder) {
        Ok(disk) => {
            #[allow(clippy::useless_conversion, reason = "the width of these differs between machines")]
            let free_mib = u64::from(disk.blocks_available()) * u64::from(disk.fragment_size()) / MIB;
            room(check, free_mib, u64::from(settings.max_file_mib) * u64::from(slots.max(1)))
        }
        Err(error) => Finding::red(check, format!("{}: {error}", folder.display()), advice),
    }
}

/// Judges the free disk space. The trainer of every slot may write a file up to its limit.
fn room(check: &str, free_mib: u64, needed_mib: u64) -> Finding {
    const LEAST_MIB: u64 = 256;
    if free_mib < LEAST_MIB.min(needed_mib) {
        Finding::red(check, format!("{free_mib} MiB are free"), "make room, or let [trainer] scratch name another disk")
    } else if free_mib < needed_mib {
        let found = format!("{free_mib} MiB are free, trainers may take {needed_mib} ([trainer] max_file_mib × slots)");
        Finding::yellow(check, found, "make room, or lower [trainer] max_file_mib")
    } else {
        Finding::green(check, format!("{free_mib} MiB are free, trainers may take {needed_mib}"))
    }
}

fn memory(limit_mib: u32) -> Finding {
    let check = "memory";
    match training::available_memory_mib() {
        Some(here) if here < limit_mib => {
            let found = format!("{here} MiB for a trainer, less than [trainer] max_memory_mib = {limit_mib}");
            let advice = format!("nothing where profiles ask for at most {here}; else a larger machine or container");
            Finding::yellow(check, found, advice)
        }
        Some(here) => Finding::green(check, format!("{here} MiB for a trainer, which gets at most {limit_mib}")),
        None => Finding::yellow(check, "this machine does not tell", "watch [trainer] max_memory_mib yourself"),
    }
}

fn confinement(settings: &TrainerSettings) -> Finding {
    let check = "confinement";
    let needed = !settings.commands.is_empty();
    match training::enforcement() {
        Enforcement::Full => Finding::green(check, "Landlock confines files, network and signals of trainer commands"),
        Enforcement::Files | Enforcement::Nothing if !needed => {
            Finding::green(check, "not needed: no trainer command is registered")
        }
        Enforcement::Files => Finding::yellow(
            check,
            "Landlock confines the files of trainer commands, but not what they signal or connect to",
            "use Linux 6.12 or newer",
        ),
        Enforcement::Nothing if settings.allow_unconfined => Finding::yellow(
            check,
            "trainer commands are not confined: one that looks for the test labels finds them",
            "use Linux 5.13 or newer with Landlock switched on",
        ),
        Enforcement::Nothing => Finding::red(
            check,
            "this kernel has no Landlock, so trainer commands do not run",
            "use Linux 5.13 or newer with Landlock, or set [trainer] allow_unconfined = true",
        ),
    }
}

/// Lists which layers of the sandbox this host has. Which of them closes what stands in docs/sandbox.md.
fn layers(settings: &TrainerSettings, host: HostLayers) -> Vec<Finding> {
    let landlock = match host.landlock {
        // `confinement` judges it.
        0 => Finding::yellow("sandbox: Landlock", "this kernel has none", "use Linux 6.12 or newer with Landlock"),
        version => {
            Finding::green("sandbox: Landlock", format!("version {version} of its interface, of 6 that are used"))
        }
    };
    let seccomp = match host.seccomp {
        true => Finding::green("sandbox: seccomp", "trainer commands make only calls that are listed"),
        false if settings.allow_unconfined => Finding::yellow(
            "sandbox: seccomp",
            "none: trainer commands reach the network and every Unix socket",
            "use a kernel with CONFIG_SECCOMP_FILTER, on x86-64 or ARM64",
        ),
        false => Finding::red(
            "sandbox: seccomp",
            "none, so trainer commands do not run",
            "use a kernel with CONFIG_SECCOMP_FILTER, or set [trainer] allow_unconfined = true",
        ),
    };
    let found = |has: bool, what: &str| format!("{what}: {}", if has { "yes" } else { "no" });
    let namespaces = match host.namespaces {
        Some(own) => Finding::green(
            "sandbox: namespaces",
            [
                "own processes: yes".to_owned(),
                found(own.network, "network"),
                found(own.memory, "System V memory"),
                found(own.proc, "/proc"),
            ]
            .join(", "),
        ),
        None => Finding::yellow(
            "sandbox: namespaces",
            "none: trainer commands see names and command lines of other processes; the other layers close the rest",
            "let this user make user namespaces, or keep secrets out of command lines",
        ),
    };
    let groups = Finding::green(
        "sandbox: control group",
        if host.memory_group {
            "the kernel counts the memory of a trainer command"
        } else {
            "none can be made: the watcher counts memory and disk by itself, 20 times a second"
        },
    );
    vec![landlock, seccomp, namespaces, groups]
}

#[cfg(test)]
mod tests {
    use super::super::finding::Light;
    use super::*;

    #[test]
    fn each_layer_is_listed_and_a_missing_filter_is_red() {
        let none = HostLayers { landlock: 0, seccomp: false, namespaces: None, memory_group: false };
        let lights = |settings: &TrainerSettings| layers(settings, none).iter().map(|f| f.light).collect::<Vec<_>>();
        let mut settings = TrainerSettings::default();
        assert_eq!(lights(&settings), [Light::Yellow, Light::Red, Light::Yellow, Light::Green]);
        settings.allow_unconfined = true;
        assert_eq!(lights(&settings), [Light::Yellow, Light::Yellow, Light::Yellow, Light::Green]);
    }

    #[test]
    fn room_is_measured_against_what_trainers_may_take() {
        for (free, needed, light) in [
            (10_000, 8_000, Light::Green),
            (5_000, 8_000, Light::Yellow),
            (200, 8_000, Light::Red),
            (200, 100, Light::Green),
        ] {
            assert_eq!(room("disk", free, needed).light, light, "{free} of {needed}");
        }
    }
}
