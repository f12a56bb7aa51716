//! The screen's lines: what stands where, from 80 columns and 24 lines up.

mod ladder;

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::look::{Look, Tone};
use super::model::{Above, FRAME, Kind, Link, Model};
use super::words::{
    CONNECTION_COLUMNS, Column, Health, MARKET_COLUMNS, clock, connection_cells, cost, last_end,
    market_cells, state_of, totals, uptime, verdict,
};
use crate::follow::{cut, padded, plain, width};

/// Below this nothing can be read.
const LEAST: (u16, u16) = (40, 10);
const KEYS: &str = "q quit  Tab markets/connections  s sort  / search  Enter ladder  ? help";
const LADDER_KEYS: &str = "q quit  Esc back  o other outcome  / search  ? help";
const HELP: &[(&str, &str)] = &[
    (
        "Tab",
        "markets or connections; in a ladder the other outcome",
    ),
    ("up down j k", "move; PgUp, PgDn, Home and End, too"),
    ("Enter", "the ladder of the market; Esc goes back"),
    ("o", "the other outcome of a ladder"),
    ("/", "search markets by their words; Esc ends the search"),
    ("s S", "the next order, the one before: the server sorts"),
    ("Ctrl-L", "draw everything again"),
    ("Ctrl-Z", "to the shell; fg comes back"),
    ("q Ctrl-C", "end"),
];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, look: Look) {
    draw_at(frame, model, look, Instant::now());
}

/// The same as of a moment.
pub(super) fn draw_at(frame: &mut Frame<'_>, model: &Model, look: Look, now: Instant) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{} x {}: 80 x 24 are needed", area.width, area.height);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let page = Page {
        model,
        look,
        now,
        columns: usize::from(area.width),
        lines: usize::from(area.height),
    };
    let mut lines = page.head();
    match &model.ladder {
        Some(ladder) => lines.extend(page.ladder(ladder)),
        None => lines.extend(page.table()),
    }
    lines.resize_with(page.lines.saturating_sub(2), Line::default);
    lines.push(page.status());
    lines.push(page.foot());
    frame.render_widget(Paragraph::new(lines), area);
    if model.above == Above::Help {
        page.help(frame, area);
    }
}

struct Page<'a> {
    model: &'a Model,
    look: Look,
    now: Instant,
    columns: usize,
    lines: usize,
}

impl Page<'_> {
    fn style(&self, tone: Tone) -> Style {
        self.look.style(tone)
    }

    fn span(&self, text: impl Into<String>, tone: Tone) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }

    /// Data, which is dim while it is old.
    fn data(&self, text: impl Into<String>, tone: Tone) -> Span<'static> {
        let style = if self.model.is_old() {
            Style::new().add_modifier(Modifier::DIM)
        } else {
            self.style(tone)
        };
        Span::styled(text.into(), style)
    }

    /// A line of this width, no more.
    fn line(&self, text: &str, tone: Tone) -> Line<'static> {
        Line::from(self.data(cut(text, self.columns), tone))
    }

    /// The server's moment, counted on since it last spoke.
    fn server_ms(&self) -> Option<u64> {
        let pulse = self.model.pulse.as_ref()?;
        let since = self.now.saturating_duration_since(self.model.heard?);
        Some(pulse.ts_us / 1_000 + polypy_core::metrics::millis(since))
    }

    fn head(&self) -> Vec<Line<'static>> {
        let model = self.model;
        let (link, tone) = match &model.link {
            Link::Connecting => ("connecting".to_owned(), Tone::Doubtful),
            Link::Open => ("linked".to_owned(), Tone::Good),
            Link::Silent => (self.since("nothing heard"), Tone::Bad),
            Link::Lost { .. } => (self.since("LINK LOST"), Tone::Bad),
        };
        let time = self.server_ms().map(clock).unwrap_or_default();
        let up = model.pulse.as_ref();
        let up = up.map_or_else(String::new, |pulse| {
            format!("  up {}  {}", uptime(pulse), cost(pulse))
        });
        let first = Line::from(vec![
            self.span("polypy top  ", Tone::Quiet),
            self.span(link, tone),
            self.span(format!("  {time}{up}"), Tone::Quiet),
        ]);
        let Some(pulse) = &model.pulse else {
            return vec![first, Line::default(), Line::default(), Line::default()];
        };
        let (health, words) = verdict(pulse);
        let tone = match health {
            Health::Good => Tone::Good,
            Health::Doubtful => Tone::Doubtful,
            Health::Bad => Tone::Bad,
        };
        let [books, flow] = totals(pulse);
        vec![
            first,
            self.line(&words, tone),
            self.line(&books, Tone::Plain),
            self.line(&flow, Tone::Plain),
        ]
    }

    fn since(&self, what: &str) -> String {
        let pulse = self.model.pulse.as_ref();
        let last = pulse.map(|pulse| clock(pulse.ts_us / 1_000));
        last.map_or_else(
            || what.to_owned(),
            |last| format!("{what} since {last}: what is shown is old"),
        )
    }

    // ---- tables ---------------------------------------------------------------

    fn table(&self) -> Vec<Line<'static>> {
        let (model, place) = (self.model, self.model.place());
        let room = self.lines.saturating_sub(FRAME);
        let mut lines = vec![match model.kind {
            Kind::Markets => {
                // The line below the table has no room for it beside a question that is cut here.
                self.row_head(&MARKET_COLUMNS, &format!("QUESTION, by {}", model.sort()))
            }
            Kind::Connections => self.row_head(&CONNECTION_COLUMNS, "LAST END"),
        }];
        for row in place.first..(place.first + room).min(model.rows()) {
            let line = match model.kind {
                Kind::Markets => {
                    let market = &model.markets[row];
                    let tone = Look::of_state(state_of(market).0);
                    let question = plain(&market.question);
                    let mut cells = market_cells(market);
                    // A reason without room is that of the row below the table.
                    if width(&cells[0]) > MARKET_COLUMNS[0].width {
                        state_of(market).0.clone_into(&mut cells[0]);
                    }
                    self.row(&cells, &MARKET_COLUMNS, 0, tone, &question)
                }
                Kind::Connections => {
                    let connection = &model.connections[row];
                    let tone = Look::of_state(&connection.state);
                    let end = last_end(connection);
                    let cells = connection_cells(connection);
                    self.row(&cells, &CONNECTION_COLUMNS, 1, tone, &end)
                }
            };
            lines.push(if row == place.row {
                line.patch_style(self.style(Tone::Cursor))
            } else {
                line
            });
        }
        if model.rows() == 0 {
            lines.push(self.line(&self.nothing(), Tone::Quiet));
        }
        lines
    }

    /// Why a table is empty.
    fn nothing(&self) -> String {
        let model = self.model;
        match (model.kind, model.is_asking()) {
            (_, true) => "asking the server...".to_owned(),
            (Kind::Markets, false) if model.words.is_empty() => {
                "no market is followed yet".to_owned()
            }
            (Kind::Markets, false) => {
                format!(
                    "no followed market has these words: {}",
                    plain(&model.words)
                )
            }
            (Kind::Connections, false) => "there is no connection to the venue yet".to_owned(),
        }
    }

    fn row_head(&self, columns: &[Column], last: &str) -> Line<'static> {
        let mut text: String = columns
            .iter()
            .map(|column| column.cell(column.name))
            .collect();
        text.push_str(last);
        let text = padded(&cut(&text, self.columns), self.columns);
        Line::styled(text, self.style(Tone::Head))
    }

    /// A row; the cell `stated` is the state, and has the tone.
    fn row(
        &self,
        cells: &[String],
        columns: &[Column],
        stated: usize,
        tone: Tone,
        last: &str,
    ) -> Line<'static> {
        let room = self.room_of_last(columns);
        let cells = cells.iter().zip(columns).enumerate();
        let mut spans: Vec<_> = cells
            .map(|(at, (text, column))| {
                let tone = if at == stated { tone } else { Tone::Plain };
                self.data(column.cell(text), tone)
            })
            .collect();
        spans.push(self.data(padded(&cut(last, room), room), Tone::Plain));
        Line::from(spans)
    }

    /// What the columns of a table leave to its last one.
    fn room_of_last(&self, columns: &[Column]) -> usize {
        let used: usize = columns.iter().map(|column| column.width + 1).sum();
        self.columns.saturating_sub(used)
    }

    // ---- below ----------------------------------------------------------------

    fn status(&self) -> Line<'static> {
        let model = self.model;
        if let Above::Search(words) = &model.above {
            let text = format!("search: {}_", plain(words));
            return Line::from(self.span(cut(&text, self.columns), Tone::Plain));
        }
        if let Link::Lost { cause, retry } = &model.link {
            let wait = retry.saturating_duration_since(self.now).as_secs_f64();
            let text = format!("{}; trying again in {wait:.0} s", plain(cause));
            return Line::from(self.span(cut(&text, self.columns), Tone::Bad));
        }
        if let Some(why) = &model.unread {
            let text = format!("the table is not as new as it should be: {}", plain(why));
            return Line::from(self.span(cut(&text, self.columns), Tone::Bad));
        }
        let text = match (&model.ladder, model.kind) {
            (Some(_), _) => String::new(),
            (None, Kind::Connections) => {
                let row = model.connections.get(model.place().row);
                let end = row.map(last_end).filter(|end| !end.is_empty());
                end.map_or_else(
                    || self.count(),
                    |end| format!("last end: {end}  {}", self.count()),
                )
            }
            (None, Kind::Markets) => self.market(),
        };
        self.line(&text, Tone::Quiet)
    }

    /// What the table cuts of the chosen row: why its books are not live, and its question.
    fn market(&self) -> String {
        let model = self.model;
        let Some(market) = model.markets.get(model.place().row) else {
            return self.count();
        };
        let (_, state) = state_of(market);
        let question = plain(&market.question);
        let is_cut = width(&question) > self.room_of_last(&MARKET_COLUMNS);
        let place = if is_cut {
            format!("{}{}  {question}", self.position(), self.search())
        } else {
            self.count()
        };
        if width(&state) > MARKET_COLUMNS[0].width {
            format!("{state}  {place}")
        } else {
            place
        }
    }

    /// How many rows there are, and in which order.
    fn count(&self) -> String {
        let (name, sort) = (self.model.kind.name(), self.model.sort());
        let (position, search) = (self.position(), self.search());
        format!("{position} {name}, sorted by {sort}{search}")
    }

    /// Which row of how many.
    fn position(&self) -> String {
        let model = self.model;
        let row = (model.place().row + 1).min(model.rows());
        format!("{row} of {}", model.matched)
    }

    /// The words that the rows have, and dots while others are awaited.
    fn search(&self) -> String {
        let model = self.model;
        let mut text = String::new();
        if model.kind == Kind::Markets && !model.words.is_empty() {
            text = format!(", with: {}", plain(&model.words));
        }
        if model.is_asking() {
            text.push_str("...");
        }
        text
    }

    fn foot(&self) -> Line<'static> {
        let keys = match (&self.model.above, &self.model.ladder) {
            (Above::Search(_), _) => "Enter search  Esc leave it",
            (_, Some(_)) => LADDER_KEYS,
            (_, None) => KEYS,
        };
        Line::from(self.span(cut(keys, self.columns), Tone::Quiet))
    }

    fn help(&self, frame: &mut Frame<'_>, area: Rect) {
        let names = HELP.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let mut lines: Vec<Line<'_>> = HELP
            .iter()
            .map(|(name, does)| Line::from(format!(" {}  {does} ", padded(name, names))))
            .collect();
        lines.push(Line::default());
        lines.push(Line::from(" Any key goes on. More: polypy top --help "));
        let wide = lines.iter().map(Line::width).max().unwrap_or(0) + 2;
        let wide = u16::try_from(wide).unwrap_or(area.width).min(area.width);
        let high = u16::try_from(lines.len() + 2)
            .unwrap_or(area.height)
            .min(area.height);
        let place = Rect {
            x: (area.width - wide) / 2,
            y: (area.height - high) / 2,
            width: wide,
            height: high,
        };
        frame.render_widget(Clear, place);
        let block = Block::bordered().title(" Keys ");
        frame.render_widget(Paragraph::new(lines).block(block), place);
    }
}
