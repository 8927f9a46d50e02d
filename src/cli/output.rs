//! What commands print: tables for people, or one JSON object a line for scripts.

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
}

impl Output {
    /// Prints the items to standard output as lines of JSON, or what `table` prints of them.
    pub(super) fn print<T: Serialize>(
        self,
        items: &[T],
        table: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Json => json_lines(&mut out, items),
            Self::Table => table(&mut out),
        }
    }
}

/// Spaces before every column.
const GAP: u16 = 2;
/// Most characters of a cell that a terminal shows.
const WIDEST: u16 = 60;

/// Width of the terminal on standard output, in characters; `None` if that is a file or a pipe.
pub(super) fn terminal_width() -> Option<u16> {
    let terminal = console::Term::stdout();
    let size = if terminal.features().is_attended() { terminal.size_checked() } else { None };
    size.map(|(_, columns)| columns)
}

/// Prints aligned rows under their header. A terminal gets one line a row, with long cells cut; a file or a pipe
/// gets every cell whole.
pub(super) fn print_table<const COLUMNS: usize>(
    out: &mut dyn Write,
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> io::Result<()> {
    writeln!(out, "{}", laid_out(header, rows, terminal_width()))
}

fn laid_out<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
    terminal: Option<u16>,
) -> String {
    let mut table = Table::new();
    // No delimiter: a cell is cut where its column ends, not at the last space before.
    table.load_style(presets::NOTHING).set_delimiter('\0').set_truncation_indicator("…").set_header(header);
    for cells in rows {
        let mut row = Row::from(cells);
        if terminal.is_some() {
            row.max_height(1);
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((GAP, 0));
        if terminal.is_some() {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(GAP + WIDEST)));
        }
    }
    if let Some(columns) = terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    table.trim_fmt()
}

pub(super) fn json_lines<T: Serialize>(out: &mut dyn Write, items: &[T]) -> io::Result<()> {
    for item in items {
        serde_json::to_writer(&mut *out, item)?;
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_long_cells_are_cut() {
        let row = || [["long".to_owned(), "x".repeat(100)]];
        let text = laid_out(["a", "b"], row(), Some(200));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "  a     b");
        assert!(lines[1].ends_with('…') && lines[1].chars().count() == usize::from(2 + 4 + 2 + WIDEST), "{text}");
        let text = laid_out(["a", "b"], row(), None);
        assert_eq!(text, format!("  a     b\n  long  {}", "x".repeat(100)), "a pipe gets the whole cell");
    }

    #[test]
    fn on_a_terminal_the_widest_column_gives_up_room() {
        let text = laid_out(["a", "b", "c"], [["x".repeat(10), "y".repeat(50), "z".repeat(8)]], Some(40));
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line.chars().count(), 40);
        assert!(line.contains(&"x".repeat(10)) && line.contains('…') && line.ends_with("zzzzzzzz"), "{line}");
    }
}
