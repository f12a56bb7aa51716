//! Ids of which only the beginning was typed: which token is meant, and which are like one
//! that nobody knows.

use polypy::exit::Exit;
use polypy_core::AssetId;
use serde_json::Value;

use super::Target;
use super::book::ask;
use super::line::plain;
use super::trades::encoded;
use crate::terminal;

/// Digits from which on an id is taken as whole: the venue's have 70 and more.
const LEAST_WHOLE: usize = 60;
/// Ids, or slugs, that are proposed for one that is unknown.
const PROPOSED: usize = 3;
/// Beginnings of a slug that are tried, each a word shorter.
const TRIED: usize = 6;

/// What a server has under the beginning of an id.
#[derive(Debug, Default)]
struct Begun {
    tokens: Vec<Known>,
    /// How many ids begin so; not all of them are here.
    matched: usize,
    /// Where none does.
    nearest: Vec<Known>,
}

/// A token of a market that is listed.
#[derive(Debug)]
struct Known {
    id: String,
    /// What it pays for.
    about: String,
    condition_id: String,
    is_followed: bool,
}

impl Begun {
    fn read(body: &Value) -> Self {
        let known = |token: &Value| {
            let text = |field: &str| token[field].as_str().unwrap_or_default().to_owned();
            Known {
                id: text("token_id"),
                about: format!("{}: {}", text("outcome"), text("question")),
                condition_id: text("condition_id"),
                is_followed: token["followed"] == true,
            }
        };
        let list = |field: &str| {
            let tokens = body[field].as_array().into_iter().flatten();
            tokens.map(known).collect()
        };
        let matched = body["matched"].as_u64().unwrap_or(0);
        Self {
            tokens: list("tokens"),
            matched: usize::try_from(matched).unwrap_or(usize::MAX),
            nearest: list("nearest"),
        }
    }
}

async fn begun(target: &Target, digits: &AssetId, followed: &str) -> Result<Begun, Exit> {
    let path = format!("/v1/tokens?begins={digits}&followed={followed}&limit={PROPOSED}");
    Ok(Begun::read(&ask(target, &path).await?.body))
}

/// The token whose id was typed, or the only one whose id begins so.
pub(super) async fn meant(target: &Target, typed: AssetId) -> Result<AssetId, Exit> {
    if typed.as_str().len() >= LEAST_WHOLE {
        return Ok(typed);
    }
    // Be it that nobody has it, or that there is no right to see it: the caller's next step says so.
    let begun = begun(target, &typed, "true").await?;
    choose(&begun, typed).map_err(|several| {
        terminal::say(&format_args!("{}: {several}", target.url));
        Exit::Failure
    })
}

/// What is meant, or all that may be.
fn choose(begun: &Begun, typed: AssetId) -> Result<AssetId, String> {
    if begun.tokens.iter().any(|token| token.id == typed.as_str()) {
        return Ok(typed);
    }
    match &begun.tokens[..] {
        [] => Ok(typed),
        [one] if begun.matched <= 1 => Ok(one.id.parse().unwrap_or(typed)),
        several => {
            let mut text = format!(
                "{typed}: the ids of several tokens begin so:{}",
                lines(several)
            );
            let more = begun.matched.saturating_sub(several.len());
            if more > 0 {
                text.push_str(&format!("\n  and {more} more"));
            }
            Err(text)
        }
    }
}

/// What is to be said of a token of which there is no book.
pub(super) async fn unknown(target: &Target, token: &AssetId) -> String {
    // Without an answer nothing more is known.
    let begun = begun(target, token, "any").await.unwrap_or_default();
    said_of(&begun, token)
}

/// What is to be said behind the name of a market that nobody knows: why a beginning is not
/// enough, or which slugs begin in the same way.
pub(super) async fn like(target: &Target, name: &str) -> String {
    if name.starts_with("0x") || name.starts_with("0X") {
        return ": a condition id has to be whole, 0x and 64 digits; a slug, or the beginning of a \
                token's id, will do as well"
            .to_owned();
    }
    let mut begin = name;
    for _ in 0..TRIED {
        let path = format!(
            "/v1/markets?slugs={}*&followed=any&status=any&limit={PROPOSED}&fields=slug,question",
            encoded(begin)
        );
        // Without an answer nothing more is known.
        let Ok(answer) = ask(target, &path).await else {
            return String::new();
        };
        let markets = answer.body["markets"].as_array().into_iter().flatten();
        let lines: String = markets
            .map(|market| {
                let text = |field: &str| plain(market[field].as_str().unwrap_or_default());
                format!("\n  {}  {}", text("slug"), text("question"))
            })
            .collect();
        if !lines.is_empty() {
            return format!("; most like it:{lines}");
        }
        match begin.rsplit_once('-') {
            Some((before, _)) if !before.is_empty() => begin = before,
            _ => break,
        }
    }
    ": `polypy markets WORDS --all` finds markets".to_owned()
}

fn said_of(begun: &Begun, token: &AssetId) -> String {
    let listed = match &begun.tokens[..] {
        // The beginning of one id, and of no other.
        [one] if begun.matched <= 1 => Some(one),
        several => several.iter().find(|one| one.id == token.as_str()),
    };
    match listed {
        Some(one) if !one.is_followed => {
            let id = plain(&one.condition_id);
            format!(
                "{token}: its market is listed and not followed here: \
                 /v1/markets/{id}?explain=selection says why. To follow it, add {id} to \
                 markets.also in the configuration, or to \"also\" by PUT /v1/selection at the \
                 administration listener while the server runs"
            )
        }
        _ if begun.nearest.is_empty() => format!("{token}: no such token here"),
        _ => format!(
            "{token}: no such token here; most like it:{}",
            lines(&begun.nearest)
        ),
    }
}

/// A line for each.
fn lines(tokens: &[Known]) -> String {
    let lines = tokens.iter();
    let lines = lines.map(|one| {
        let about = plain(&one.about);
        let not = if one.is_followed {
            ""
        } else {
            " (not followed)"
        };
        format!("\n  {}  {about}{not}", plain(&one.id))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn begun(ids: &[&str], matched: usize) -> Begun {
        let token = |id: &&str| {
            json!({
                "token_id": id, "outcome": "Yes", "question": "Rain\u{1b}[2J?",
                "condition_id": "0x1", "followed": true,
            })
        };
        let tokens: Vec<_> = ids.iter().map(token).collect();
        Begun::read(&json!({ "tokens": tokens, "matched": matched, "nearest": [] }))
    }

    #[test]
    fn of_what_is_not_followed_it_is_said_how_to_follow_it() {
        let said = |ids: &[&str], matched, is_followed| {
            let mut begun = begun(ids, matched);
            for token in &mut begun.tokens {
                token.is_followed = is_followed;
            }
            said_of(&begun, &"123".parse().unwrap())
        };
        for text in [said(&["12345"], 1, false), said(&["123", "1234"], 2, false)] {
            for part in [
                "not followed here",
                "explain=selection",
                "add 0x1 to markets.also",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
        // Of several that begin so none is meant, and one that is followed is none of these.
        for text in [said(&["1234", "1235"], 2, false), said(&["123"], 1, true)] {
            assert!(text.contains("no such token here"), "{text}");
        }
    }

    #[test]
    fn one_id_that_begins_so_is_meant_and_several_are_shown() {
        let choose = |ids: &[&str], matched| choose(&begun(ids, matched), "123".parse().unwrap());
        assert_eq!(choose(&["12345"], 1).unwrap().as_str(), "12345");
        assert_eq!(choose(&[], 0).unwrap().as_str(), "123");
        // Whole, though others begin so, too.
        assert_eq!(choose(&["123", "1234"], 2).unwrap().as_str(), "123");
        let several = choose(&["12345", "12346", "12347"], 9).unwrap_err();
        assert!(
            several.contains("several tokens begin so:\n  12345  Yes: Rain"),
            "{several}"
        );
        assert!(several.ends_with("\n  and 6 more"), "{several}");
        assert!(!several.contains('\u{1b}'), "{several:?}");
    }
}
