//! `model-factory doctor`: checks everything that a worker needs, and says what to do about what is missing.

use super::output::{Output, terminal_width};
use crate::config::Config;
use crate::telemetry::plain;
use crate::tools::doctor::{self, Finding, Light};
use console::{Style, measure_text_width};
use std::io::{self, Write};
use std::process::ExitCode;

/// Check brokers, topics, offsets, database, store, inputs, keys and this machine, and say what to do.
///
/// Green: no problem. Yellow: works, but read the advice. Red: a worker would not start, or would break a guarantee.
/// Nothing is changed, except that the evidence store keeps one small test object, as at every start of a worker. Exit
/// status 0 if nothing is red, else 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory doctor
  model-factory --config worker.toml doctor --output json | jq 'select(.light != \"green\")'")]
pub(super) struct Args {
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        report(self.output, &doctor::examine(&config).await)
    }
}

/// Prints findings. The exit status is 1 if one is red.
pub(super) fn report(output: Output, findings: &[Finding]) -> anyhow::Result<ExitCode> {
    match output {
        Output::Json => output.print(findings, |_| Ok(()))?,
        // Prints directly, because `Output` would escape the colours.
        Output::Table => print(&mut io::stdout().lock(), findings, terminal_width().map(usize::from))?,
    }
    let sound = doctor::worst(findings) < Light::Red;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Wraps text to the terminal's width. Does not wrap the advice, so that its commands can be copied.
fn print(out: &mut dyn Write, findings: &[Finding], width: Option<usize>) -> io::Result<()> {
    let names = findings.iter().map(|finding| measure_text_width(&finding.check)).max().unwrap_or(0);
    let names = names.min(width.map_or(usize::MAX, |width| width / 2));
    // The widths: two spaces, the light, two spaces, the name, two spaces.
    let indent = 2 + 6 + 2 + names + 2;
    for finding in findings {
        let mut lines =
            wrap(&plain(&finding.found), width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20)));
        let first = if lines.is_empty() { String::new() } else { lines.remove(0) };
        writeln!(out, "  {}  {:<names$}  {first}", lamp(finding.light), plain(&finding.check))?;
        for line in lines {
            writeln!(out, "{:indent$}{line}", "")?;
        }
        for advice in &finding.advice {
            let lines: Vec<String> = advice.lines().map(plain).collect();
            writeln!(out, "{:10}→ {}", "", lines.join("\n"))?;
        }
    }
    let count = |light: Light| findings.iter().filter(|finding| finding.light == light).count();
    writeln!(out, "\n{} green, {} yellow, {} red", count(Light::Green), count(Light::Yellow), count(Light::Red))
}

/// Returns the light's name in six characters, coloured if the terminal shows colours.
fn lamp(light: Light) -> String {
    let (name, style) = match light {
        Light::Green => ("green ", Style::new().green()),
        Light::Yellow => ("yellow", Style::new().yellow()),
        Light::Red => ("red   ", Style::new().red().bold()),
    };
    style.apply_to(name).to_string()
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_fit_the_terminal_and_commands_stay_whole() {
        let command = format!("kafka-topics.sh {}", "x".repeat(100));
        let finding = Finding {
            check: "topic t".to_owned(),
            light: Light::Red,
            found: "one two three four five six seven eight nine ten".to_owned(),
            advice: vec![command.clone()],
        };
        let mut out = Vec::new();
        print(&mut out, &[finding], Some(60)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "  red     topic t  one two three four five six seven eight");
        assert_eq!(lines[1].trim_start(), "nine ten");
        assert!(lines[2].ends_with(&command));
        assert!(text.ends_with("0 green, 0 yellow, 1 red\n"));
        assert!(!text.contains('\u{1b}'), "no colour where there is no terminal");
    }
}
