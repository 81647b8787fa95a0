//! A drawn terminal as lines of runs: text of one look each.
use vt100::{Cell, Color};

/// Cells beside each other that look alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub text: String,
    /// Classes of the style sheet: `f1 b4 bold`.
    pub class: String,
    /// Colours beyond the sixteen named ones, as CSS.
    pub colour: Option<String>,
    pub ground: Option<String>,
}

/// The lines of a screen; the cursor's cell has the class `cursor`.
pub fn lines(screen: &vt100::Screen) -> Vec<Vec<Run>> {
    let (rows, columns) = screen.size();
    // Of the past no cell is the cursor's.
    let cursor = (!screen.hide_cursor() && screen.scrollback() == 0).then(|| screen.cursor_position());
    (0..rows.get()).map(|row| line(screen, row, columns.get(), cursor)).collect()
}

fn line(screen: &vt100::Screen, row: u16, columns: u16, cursor: Option<(u16, u16)>) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { continue };
        if cell.is_wide_continuation() {
            continue;
        }
        let look = look(cell, cursor == Some((row, column)));
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            Some(last) if (&last.class, &last.colour, &last.ground) == (&look.class, &look.colour, &look.ground) => {
                last.text.push_str(text)
            }
            _ => runs.push(Run { text: text.to_string(), ..look }),
        }
    }
    // Nothing is to be seen of spaces at the end.
    while let Some(last) = runs.last_mut() {
        if !last.class.is_empty() || last.ground.is_some() {
            break;
        }
        last.text.truncate(last.text.trim_end_matches(' ').len());
        if !last.text.is_empty() {
            break;
        }
        runs.pop();
    }
    runs
}

fn look(cell: &Cell, cursor: bool) -> Run {
    let (mut front, mut back) = (cell.fgcolor(), cell.bgcolor());
    let mut classes: Vec<String> = vec![];
    if cell.inverse() {
        (front, back) = (back, front);
        // Two defaults turned round are no colours of their own.
        if front == Color::Default && back == Color::Default {
            classes.push("inverse".into());
        }
    }
    let mut look = Run::default();
    for (colour, letter, free) in [(front, 'f', &mut look.colour), (back, 'b', &mut look.ground)] {
        match colour {
            Color::Default => {}
            Color::Idx(n @ 0..16) => classes.push(format!("{letter}{n}")),
            Color::Idx(n) => *free = Some(of_palette(n)),
            Color::Rgb(r, g, b) => *free = Some(format!("rgb({r} {g} {b})")),
        }
    }
    for (on, class) in
        [(cell.bold(), "bold"), (cell.dim(), "dim"), (cell.italic(), "italic"), (cell.underline(), "underline"), (cursor, "cursor")]
    {
        if on {
            classes.push(class.into());
        }
    }
    look.class = classes.join(" ");
    look
}

/// The cube of 216 colours and the 24 greys of xterm.
fn of_palette(n: u8) -> String {
    if n >= 232 {
        let grey = 8 + (n - 232) * 10;
        return format!("rgb({grey} {grey} {grey})");
    }
    let part = |step: u8| if step == 0 { 0 } else { 55 + step * 40 };
    let n = n - 16;
    format!("rgb({} {} {})", part(n / 36), part(n / 6 % 6), part(n % 6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZero;

    fn drawn(bytes: &str) -> Vec<Vec<Run>> {
        let size = |n: u16| NonZero::new(n).unwrap();
        let mut parser = vt100::Parser::new(size(3), size(20), 100);
        parser.process(bytes.as_bytes());
        lines(parser.screen())
    }

    #[test]
    fn runs_of_one_look_are_one() {
        let seen = drawn("a \x1b[1;31mred\x1b[0m \x1b[38;5;196mx\x1b[48;2;1;2;3my\x1b[0m\x1b[?25l");
        let first: Vec<(&str, &str)> = seen[0].iter().map(|r| (r.text.as_str(), r.class.as_str())).collect();
        assert_eq!(first, [("a ", ""), ("red", "f1 bold"), (" ", ""), ("x", ""), ("y", "")]);
        assert_eq!((seen[0][3].colour.as_deref(), seen[0][4].ground.as_deref()), (Some("rgb(255 0 0)"), Some("rgb(1 2 3)")));
        assert!(seen[1].is_empty());
    }

    #[test]
    fn the_cursor_is_a_cell_of_its_own() {
        let seen = drawn("ab\x1b[1D");
        assert_eq!(seen[0].iter().map(|r| (r.text.as_str(), r.class.as_str())).collect::<Vec<_>>(), [("a", ""), ("b", "cursor")]);
        assert_eq!(drawn("\x1b[7mhi")[0][0].class, "inverse");
    }
}
