//! A selection that means none of the markets that the venue lists: a slip of the pen, or a
//! tag that has no open market today. The server is ready all the same, so the log says it.

use polypy_core::catalogue::{NotFollowed, VerdictCounts};

use crate::config::{KEYS, Loaded, Source};

/// Names the keys that say so, where each was written, and what leaves how many out.
pub(super) fn tell(loaded: &Loaded, verdicts: &VerdictCounts) {
    tracing::warn!(
        open = verdicts.open(),
        selection = written(loaded),
        not_followed = left_out(verdicts),
        "no market is followed: the selection matches none of those that are open; `polypy \
         markets --dry-run` shows what a change of it would follow"
    );
}

/// `tags = cripto (environment POLYPY_MARKETS__TAGS)`, for each key that was written.
fn written(loaded: &Loaded) -> String {
    let keys = KEYS.iter().filter(|key| key.section == "markets");
    let keys = keys.filter(|key| !matches!(loaded.origin(key), Source::Default));
    let keys = keys.filter(|key| key.field != "overlay_file");
    let keys = keys.map(|key| {
        let (shown, origin) = (key.show(&loaded.config), loaded.origin(key));
        format!("{} = {shown} ({origin})", key.field)
    });
    keys.collect::<Vec<_>>().join("; ")
}

/// `tags: 40`, the check that leaves most of them out first.
fn left_out(verdicts: &VerdictCounts) -> String {
    let counts = NotFollowed::ALL.into_iter();
    let counts = counts.map(|reason| (verdicts.not_followed(reason), reason.name()));
    let mut counts: Vec<_> = counts.filter(|(count, _)| *count > 0).collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let counts = counts
        .iter()
        .map(|(count, name)| format!("{name}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overlay};

    #[test]
    fn the_keys_are_named_with_their_layers() {
        let mut config = Config::default();
        config.markets.max_markets = 9;
        let overlay = Overlay::parse(r#"{"tags": ["cripto", "sprots"]}"#).unwrap();
        let loaded = Loaded::of_program(config).with_overlay(overlay).unwrap();
        assert_eq!(
            written(&loaded),
            "tags = cripto, sprots (overlay); max_markets = 9 (program)"
        );
        assert_eq!(written(&Loaded::of_program(Config::default())), "");
    }
}
