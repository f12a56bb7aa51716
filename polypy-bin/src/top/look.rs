//! Colours: the sixteen that every terminal has, and none where they are unwanted. They only
//! repeat what a word says.

use ratatui::style::{Color, Modifier, Style};

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) has_colours: bool,
}

/// What a text is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// Names beside numbers.
    Quiet,
    Good,
    Doubtful,
    Bad,
    Bid,
    Ask,
    /// The head of a table.
    Head,
    /// The row with the cursor.
    Cursor,
}

impl Look {
    pub(super) fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        let style = match tone {
            Tone::Plain | Tone::Good | Tone::Bid | Tone::Ask => plain,
            Tone::Quiet => plain.add_modifier(Modifier::DIM),
            Tone::Doubtful | Tone::Bad => plain.add_modifier(Modifier::BOLD),
            Tone::Head | Tone::Cursor => plain.add_modifier(Modifier::REVERSED),
        };
        let colour = match tone {
            Tone::Good => Color::Green,
            Tone::Doubtful => Color::Yellow,
            Tone::Bad => Color::Red,
            Tone::Bid => Color::Cyan,
            Tone::Ask => Color::Magenta,
            Tone::Plain | Tone::Quiet | Tone::Head | Tone::Cursor => return style,
        };
        if self.has_colours {
            style.fg(colour)
        } else {
            style
        }
    }

    /// How a state of a book or of a connection looks.
    pub(super) fn of_state(state: &str) -> Tone {
        match state {
            "live" => Tone::Good,
            "lost" | "mute" => Tone::Bad,
            "stale" | "silent" | "lagging" => Tone::Doubtful,
            _ => Tone::Quiet,
        }
    }
}
