use std::fmt;

/// Rows of text in columns, each as wide as its widest entry.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    rows: Vec<Vec<String>>,
}

/// Space between columns.
const GAP: usize = 2;

impl Grid {
    /// A grid under these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).into()] }
    }

    /// A grid without headings.
    pub(crate) const fn bare() -> Self {
        Self { rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, entries: [String; N]) {
        self.rows.push(entries.into());
    }
}

impl fmt::Display for Grid {
    /// Every row ends its line; nothing stands behind its last entry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let entries = self.rows.iter().filter_map(|row| row.get(column));
            entries.map(|entry| entry.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (entry, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{entry:<0$}", width + GAP));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_last_entry() {
        let mut grid = Grid::new(["PEER", "RTT"]);
        grid.row(["3f2a8c01de".to_owned(), "0.31 ms".to_owned()]);
        grid.row(["é".to_owned(), String::new()]);
        assert_eq!(grid.to_string(), "PEER        RTT\n3f2a8c01de  0.31 ms\né\n");
        assert_eq!(Grid::bare().to_string(), "");
    }
}
