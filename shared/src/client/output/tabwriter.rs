//! Aligns tab-terminated cells in columns as Go's tabwriter does: a column is a run of lines that all have that cell.

/// How columns are widened and filled.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub min_width: usize,
    pub padding: usize,
    /// Fill with tabs of eight instead of blanks.
    pub tabs: bool,
}

/// `osc get`: at least twenty wide, three blanks apart.
pub const TABLE: Layout = Layout { min_width: 20, padding: 3, tabs: false };
/// `osc describe`: tabs.
pub const DESCRIPTION: Layout = Layout { min_width: 0, padding: 1, tabs: true };

const TAB: usize = 8;

struct Writer<'a> {
    layout: Layout,
    lines: Vec<Vec<&'a str>>,
    widths: Vec<usize>,
    out: String,
}

/// Aligns `text`, whose cells end with a tab; the last cell of a line is not part of a column.
pub fn align(text: &str, layout: Layout) -> String {
    let mut lines: Vec<Vec<&str>> = text.split('\n').map(|l| l.split('\t').collect()).collect();
    let ends_with_newline = text.ends_with('\n');
    if ends_with_newline {
        lines.pop();
    }
    let count = lines.len();
    let mut writer = Writer { layout, lines, widths: Vec::new(), out: String::with_capacity(text.len() * 2) };
    writer.block(0, count);
    if !ends_with_newline {
        writer.out.pop();
    }
    writer.out
}

impl Writer<'_> {
    fn block(&mut self, mut from: usize, to: usize) {
        let column = self.widths.len();
        let mut at = from;
        while at < to {
            if column + 1 >= self.lines[at].len() {
                at += 1;
                continue;
            }
            self.print(from, at);
            from = at;
            let mut width = self.layout.min_width;
            while at < to && column + 1 < self.lines[at].len() {
                width = width.max(self.lines[at][column].chars().count() + self.layout.padding);
                at += 1;
            }
            self.widths.push(width);
            self.block(from, at);
            self.widths.pop();
            from = at;
        }
        self.print(from, to);
    }

    fn print(&mut self, from: usize, to: usize) {
        for line in &self.lines[from..to] {
            for (i, cell) in line.iter().enumerate() {
                self.out.push_str(cell);
                let Some(width) = self.widths.get(i) else { continue };
                if i + 1 == line.len() {
                    continue;
                }
                let have = cell.chars().count();
                if self.layout.tabs {
                    let width = width.div_ceil(TAB) * TAB;
                    self.out.extend(std::iter::repeat_n('\t', (width - have).div_ceil(TAB)));
                } else {
                    self.out.extend(std::iter::repeat_n(' ', width - have));
                }
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_twenty_wide_or_three_more_than_their_longest_cell() {
        let text = "NAME\tIP\tLAST\na-name-of-more-than-twenty\t\tx\n";
        let want = "NAME                         IP                  LAST\na-name-of-more-than-twenty                       x\n";
        assert_eq!(align(text, TABLE), want);
    }

    #[test]
    fn a_line_without_cells_separates_blocks() {
        let text = "Replication Controllers:\t<none>\nConditions:\n  Kind\tStatus\n  Ready \tFull \n";
        let want = "Replication Controllers:\t<none>\nConditions:\n  Kind\t\tStatus\n  Ready \tFull \n";
        assert_eq!(align(text, DESCRIPTION), want);
        assert_eq!(align("Name:\tx\nReplication Controllers:\ty\n", DESCRIPTION), "Name:\t\t\t\tx\nReplication Controllers:\ty\n");
    }
}
