//! What people see: aligned tables, or one JSON object a line.

use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
}

/// A table of text; columns are as wide as their widest cell, long cells are cut. On a terminal a table that
/// is too wide gives up room where it has most.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    terminal: Option<usize>,
}

const WIDEST: usize = 60;
/// A column is not cut below this.
const NARROWEST: usize = 8;

/// Columns of the terminal that standard output is; none where it is a file or a pipe.
pub(super) fn terminal_width() -> Option<usize> {
    let terminal = console::Term::stdout();
    let size = if terminal.features().is_attended() { terminal.size_checked() } else { None };
    size.map(|(_, columns)| usize::from(columns))
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let header = header.iter().map(|cell| (*cell).to_owned()).collect();
        Self { rows: vec![header], terminal: terminal_width() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| cut(&cell, WIDEST)).collect());
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(width).collect();
        if let Some(terminal) = self.terminal {
            // Two spaces before every column.
            fit(&mut widths, terminal.saturating_sub(2 * columns));
        }
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{:<width$}", cut(cell, width)));
            let cells: Vec<String> = cells.collect();
            writeln!(out, "  {}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Takes from the widest until all fit, or none is left that may be cut.
fn fit(widths: &mut [usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            Some(_) | None => return,
        }
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let mut text: String = cell.chars().take(width.saturating_sub(1)).collect();
    text.push('…');
    text
}

/// Prints each item as a line of JSON.
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
        let mut table = Table::new(&["a", "b"]);
        table.row(["long".to_owned(), "x".repeat(100)]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "  a     b");
        assert!(lines[1].ends_with('…') && lines[1].chars().count() == 2 + 4 + 2 + WIDEST);
    }

    #[test]
    fn on_a_terminal_the_widest_column_gives_up_room() {
        let mut table = Table { terminal: Some(40), ..Table::new(&["a", "b", "c"]) };
        table.row(["x".repeat(10), "y".repeat(50), "z".repeat(8)]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line.chars().count(), 40);
        assert!(line.contains(&"x".repeat(10)) && line.contains('…') && line.ends_with("zzzzzzzz"), "{line}");
    }
}
