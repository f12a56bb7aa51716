//! The ladder of a market: its levels around the middle, how far to trust them, and beside
//! them, where there is room, its trades.

use polypy_core::{Level, SignedDecimal, Size};
use ratatui::text::Line;

use super::Page;
use crate::follow::{cut, padded, plain};
use crate::top::look::Tone;
use crate::top::model::{FRAME, Ladder, Sight};
use crate::top::words::{NOTHING, age, clock, decimals, with_decimals};

/// From so many columns on trades stand beside a ladder.
const WIDE: usize = 100;
const TRADES: usize = 40;

impl Page<'_> {
    pub(super) fn ladder(&self, ladder: &Ladder) -> Vec<Line<'static>> {
        let outcome = ladder.tokens.get(ladder.at);
        let outcome = outcome.map_or_else(String::new, |(_, outcome)| plain(outcome));
        let title = format!("{}  {outcome}", plain(&ladder.question));
        let mut lines = vec![Line::styled(
            padded(&cut(&title, self.columns), self.columns),
            self.style(Tone::Head),
        )];
        let Some(sight) = ladder.sight().filter(|sight| !sight.state.is_empty()) else {
            lines.push(self.line("asking for the book...", Tone::Quiet));
            return lines;
        };
        lines.push(self.trust(sight));
        let room = self.lines.saturating_sub(FRAME + 2);
        let (above, below) = (room / 2, room - room / 2);
        let is_live = sight.state == "live" && sight.is_followed;
        let most = sight
            .bids
            .iter()
            .chain(&sight.asks)
            .map(|level| level.size)
            .max();
        let has_trades = self.columns >= WIDE;
        let columns = if has_trades {
            self.columns - TRADES
        } else {
            self.columns
        };
        let asks = &sight.asks[..above.min(sight.asks.len())];
        let bids = &sight.bids[..below.min(sight.bids.len())];
        // Points stand below each other: what is longer is not read as more.
        let most_decimals = |number: fn(&Level) -> String| {
            let all = asks.iter().chain(bids);
            all.map(|level| decimals(&number(level))).max().unwrap_or(0)
        };
        let price_decimals = most_decimals(|level| level.price.to_string());
        let size_decimals = most_decimals(|level| level.size.to_string());
        let ladder_row = |level: &Level, tone: Tone| {
            let bars = columns.saturating_sub(36);
            let bar = bar(level.size, most, bars);
            let side = if tone == Tone::Bid { "bid" } else { "ask" };
            let text = format!(
                "  {side} {:>9} {:>16}  {bar}",
                with_decimals(&level.price.to_string(), price_decimals),
                at_its_point(&level.size.to_string(), size_decimals)
            );
            (
                padded(&cut(&text, columns), columns),
                if is_live { tone } else { Tone::Quiet },
            )
        };
        let mut ladder_rows: Vec<(String, Tone)> = Vec::new();
        ladder_rows.extend(vec![(" ".repeat(columns), Tone::Plain); above - asks.len()]);
        ladder_rows.extend(asks.iter().rev().map(|level| ladder_row(level, Tone::Ask)));
        ladder_rows.push((padded(&middle(sight), columns), Tone::Quiet));
        ladder_rows.extend(bids.iter().map(|level| ladder_row(level, Tone::Bid)));
        let trades = if has_trades {
            self.trades(ladder)
        } else {
            Vec::new()
        };
        let rows = ladder_rows.len().max(trades.len().min(room + 1));
        for at in 0..rows {
            let (text, tone) = ladder_rows
                .get(at)
                .cloned()
                .unwrap_or((" ".repeat(columns), Tone::Plain));
            let mut spans = vec![self.data(text, tone)];
            if let Some((text, tone)) = trades.get(at) {
                spans.push(self.data(cut(text, TRADES), *tone));
            }
            lines.push(Line::from(spans));
        }
        lines
    }

    /// How far to trust a book, in words.
    fn trust(&self, sight: &Sight) -> Line<'static> {
        let (word, tone) = match (sight.state.as_str(), sight.is_followed) {
            (_, false) => ("NOT FOLLOWED: what is shown is old".to_owned(), Tone::Bad),
            ("live", true) => match sight.verified {
                Some(true) => ("live, verified by the venue's hash".to_owned(), Tone::Good),
                _ => ("live, no hash confirms it".to_owned(), Tone::Good),
            },
            ("stale", true) => {
                let why = sight.reason.as_deref().map_or_else(String::new, plain);
                (format!("STALE: {why}: do not trade on it"), Tone::Doubtful)
            }
            (other, true) => (plain(other), Tone::Quiet),
        };
        let changed = sight.ts_event_ms.zip(self.server_ms());
        let changed = changed.map(|(event, now)| age(Some(now.saturating_sub(event))));
        let changed = changed.map_or_else(String::new, |age| format!("  changed {age} ago"));
        Line::from(vec![self.data(word, tone), self.data(changed, Tone::Quiet)])
    }

    /// The newest trades of the token that is shown.
    fn trades(&self, ladder: &Ladder) -> Vec<(String, Tone)> {
        let Some((token, _)) = ladder.tokens.get(ladder.at) else {
            return Vec::new();
        };
        let own = ladder
            .trades
            .iter()
            .filter(|trade| trade.token_id == *token);
        let mut lines = own.map(|trade| {
            let (side, tone) = match trade.aggressor_side {
                Some(polypy_core::Side::Bid) => ("bought", Tone::Bid),
                Some(polypy_core::Side::Ask) => ("sold", Tone::Ask),
                None => ("traded", Tone::Plain),
            };
            let time = clock(trade.ts_recv_us / 1_000);
            let (price, size) = (trade.price.to_string(), trade.size.to_string());
            (format!("{time} {side:<6} {size:>10} at {price}"), tone)
        });
        let newest = lines
            .next()
            .unwrap_or_else(|| ("no trade since this was opened".to_owned(), Tone::Quiet));
        std::iter::once(newest).chain(lines).collect()
    }
}

/// A size beside the greatest that is shown.
fn bar(size: Size, most: Option<Size>, columns: usize) -> String {
    let most = most.map_or(0, |most| most.millionths()).max(1);
    let share = polypy_core::metrics::ratio(size.millionths(), most);
    // The root, so that small sizes are seen beside large ones.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "not below zero, and not above the columns of a screen"
    )]
    let long = (share.sqrt() * columns as f64).round() as usize;
    "|".repeat(long.min(columns))
}

/// A number with blanks in the place of digits that it lacks behind the point.
fn at_its_point(number: &str, most: usize) -> String {
    let own = decimals(number);
    let point = usize::from(own == 0 && most > 0);
    format!("{number}{}", " ".repeat(most - own + point))
}

/// What stands between the best prices.
fn middle(sight: &Sight) -> String {
    match (sight.bids.first(), sight.asks.first()) {
        (Some(bid), Some(ask)) => {
            let [bid, ask] = [bid, ask].map(|level| i64::from(level.price.millionths()));
            let spread = SignedDecimal::from_ten_millionths((ask - bid) * 10);
            let mid = SignedDecimal::from_ten_millionths((ask + bid) * 5);
            format!("      spread {spread}, middle {mid}")
        }
        (None, None) => "      no orders".to_owned(),
        (None, Some(_)) => format!("      no bids, spread {NOTHING}"),
        (Some(_), None) => format!("      no asks, spread {NOTHING}"),
    }
}
