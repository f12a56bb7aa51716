//! What a selection names and nothing listed has: most often a slip of the pen.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use polypy_core::catalogue::{CatalogueView, Folded, Glob, Ids, Kinds, Label, Phrase, Selection};
use polypy_core::slug::folded;

use crate::config::nearest;

/// Names of one kind that are told apart; the others are counted.
const MOST: usize = 8;
/// Of patterns and phrases, each of which is held against all markets, so many of one key
/// are tried at most.
const MOST_TRIED: usize = 64;

/// A sentence for each name that no listed market has. Of a tag and a category, the nearest
/// one that there is.
pub fn warnings(selection: &Selection, view: &CatalogueView) -> Vec<String> {
    let known = Known::of(view);
    let (include, exclude) = (&selection.filter.include, &selection.filter.exclude);
    let mut warnings = Vec::new();
    for (prefix, kinds) in [("", include), ("exclude_", exclude)] {
        known.told(kinds, &mut |key, what, unknown| {
            if key == "tags" && !unknown.is_empty() && states_no_tags(view) {
                warnings.push(unstated(&format!("{prefix}{key}"), &unknown));
                return;
            }
            let nearest = |wrong: &str| match key {
                "tags" => nearest_tag(wrong, view),
                "categories" => known.nearest_category(wrong),
                _ => None,
            };
            tell(
                &mut warnings,
                &format!("{prefix}{key}"),
                what,
                &unknown,
                nearest,
            );
        });
    }
    let also = &selection.also;
    let slugs = also.slugs.iter();
    let slugs = slugs.filter(|slug| !known.slugs.contains(slug) && !known.events.contains(slug));
    let mut unknown: Vec<&str> = known.strangers(&also.ids);
    tell(&mut warnings, "also", "condition id", &unknown, |_| None);
    unknown = slugs.collect();
    tell(
        &mut warnings,
        "also",
        "slug, nor its event,",
        &unknown,
        |_| None,
    );
    warnings
}

fn tell(
    warnings: &mut Vec<String>,
    key: &str,
    what: &str,
    unknown: &[&str],
    nearest: impl Fn(&str) -> Option<String>,
) {
    for name in unknown.iter().take(MOST) {
        let meant =
            nearest(name).map_or_else(String::new, |meant| format!(", did you mean {meant:?}?"));
        warnings.push(format!(
            "{key}: no listed market has the {what} {name:?}{meant}"
        ));
    }
    if let Some(more @ 1..) = unknown.len().checked_sub(MOST) {
        warnings.push(format!("{key}: nor has any one of {more} more of them"));
    }
}

/// Whether markets are listed, and none of them with tags: the venue gave none.
fn states_no_tags(view: &CatalogueView) -> bool {
    !view.is_empty() && view.tags().is_empty()
}

/// Of tags that nobody knows: whether there are such is not known either.
fn unstated(key: &str, names: &[&str]) -> String {
    let (first, more) = (names.iter().take(MOST), names.len().saturating_sub(MOST));
    let first: Vec<_> = first.map(|name| format!("{name:?}")).collect();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "{key}: whether a market has {}{more} is not known: the venue has given no tags",
        first.join(", ")
    )
}

fn nearest_tag(wrong: &str, view: &CatalogueView) -> Option<String> {
    let labels = view.tags().iter().map(|(_, tag)| {
        let shown = if tag.label.is_empty() {
            &tag.slug
        } else {
            &tag.label
        };
        (Folded::new(shown), shown)
    });
    let labels: Vec<_> = labels
        .filter_map(|(folded, shown)| Some((folded?, shown)))
        .collect();
    let folded = Folded::new(wrong)?;
    let near = nearest(
        folded.as_str(),
        labels.iter().map(|(folded, _)| folded.as_str()),
    )?;
    let (_, shown) = labels.iter().find(|(folded, _)| folded.as_str() == near)?;
    Some(shown.to_string())
}

/// Slugs, in any capitals.
#[derive(Default)]
struct Slugs<'a>(HashSet<Cow<'a, str>>);

impl Slugs<'_> {
    fn contains(&self, slug: &str) -> bool {
        self.0.contains(&*folded(slug))
    }

    /// Those that nobody has, whole or with `*`.
    fn strangers<'g>(&self, globs: &'g [Glob]) -> Vec<&'g str> {
        let (patterns, whole): (Vec<_>, Vec<_>) =
            globs.iter().partition(|glob| glob.as_str().contains('*'));
        let whole = whole
            .into_iter()
            .filter(|glob| !self.contains(glob.as_str()));
        let patterns = patterns.into_iter().take(MOST_TRIED);
        let patterns = patterns.filter(|glob| !self.0.iter().any(|slug| glob.matches(slug)));
        whole.chain(patterns).map(Glob::as_str).collect()
    }
}

/// What markets are called.
struct Known<'a> {
    view: &'a CatalogueView,
    slugs: Slugs<'a>,
    events: Slugs<'a>,
    /// As they are compared, and as they are written.
    categories: HashMap<Folded, &'a str>,
}

impl<'a> Known<'a> {
    fn of(view: &'a CatalogueView) -> Self {
        let (mut slugs, mut events) = (Slugs::default(), Slugs::default());
        let mut names = HashSet::new();
        for found in view.iter() {
            let market = &found.entry.market;
            slugs.0.extend(market.slug.as_deref().map(folded));
            let event = market.event.as_ref();
            events.0.extend(event.map(|event| folded(&event.slug)));
            names.extend(market.category.as_deref());
        }
        let names = names.into_iter();
        let categories = names.filter_map(|name| Some((Folded::new(name)?, name)));
        Self {
            view,
            slugs,
            events,
            categories: categories.collect(),
        }
    }

    /// Tells of each key its unknown values, and what these are.
    fn told<'k>(&self, kinds: &'k Kinds, tell: &mut dyn FnMut(&str, &str, Vec<&'k str>)) {
        let tags = kinds.tags.iter();
        let tags = tags.filter(|tag| self.view.tags().named(tag.folded()).is_none());
        tell("tags", "tag", tags.map(Label::as_str).collect());
        let categories = kinds.categories.iter();
        let categories = categories.filter(|one| !self.categories.contains_key(one.folded()));
        tell(
            "categories",
            "category",
            categories.map(Label::as_str).collect(),
        );
        tell(
            "events",
            "event of slug",
            self.events.strangers(&kinds.events),
        );
        tell("slugs", "slug", self.slugs.strangers(&kinds.slugs));
        let texts = kinds.text.iter().take(MOST_TRIED);
        let texts = texts.filter(|phrase| self.view.search(phrase).next().is_none());
        tell("text", "words", texts.map(Phrase::as_str).collect());
        tell("ids", "condition id", self.strangers(&kinds.ids));
    }

    /// Condition ids of no listed market.
    fn strangers<'i>(&self, ids: &'i Ids) -> Vec<&'i str> {
        if ids.is_empty() {
            return Vec::new();
        }
        let markets = self.view.iter().map(|found| &found.entry.market);
        let known: HashSet<_> = markets
            .map(|market| market.condition_id.canonical())
            .collect();
        let ids = ids.sorted().into_iter();
        let unknown = ids.filter(|id| !known.contains(&id.canonical()));
        unknown.map(|id| id.as_str()).collect()
    }

    fn nearest_category(&self, wrong: &str) -> Option<String> {
        let folded = Folded::new(wrong)?;
        let near = nearest(folded.as_str(), self.categories.keys().map(Folded::as_str))?;
        let mut named = self.categories.iter();
        let (_, shown) = named.find(|(folded, _)| folded.as_str() == near)?;
        Some((*shown).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use polypy_core::catalogue::{CatalogueTable, Figures, Listed, Tag};
    use polypy_core::{EventRef, Market};

    use super::*;
    use crate::config::{Config, Loaded, Overlay};

    fn listed() -> Arc<CatalogueView> {
        let event = EventRef {
            id: None,
            slug: "world-cup".into(),
            title: "World Cup".into(),
            neg_risk: false,
            neg_risk_augmented: false,
        };
        let market = Market {
            slug: Some("will-spain-win".into()),
            event: Some(Arc::new(event)),
            category: Some("Pop Culture".into()),
            ..Market::new("0x1".parse().unwrap(), Vec::new())
        };
        let tag = |slug: &str, label: &str| Tag {
            slug: slug.into(),
            label: label.into(),
        };
        let mut table = CatalogueTable::default();
        table.take_in(Listed {
            market,
            figures: Figures::default(),
            tags: Some(vec![tag("middle-east", "Middle East"), tag("crypto", "")]),
        });
        table.view()
    }

    fn warned(overlay: &str) -> Vec<String> {
        let overlay = Overlay::parse(overlay).unwrap();
        let loaded = Loaded::of_program(Config::default()).with_overlay(overlay);
        warnings(&loaded.unwrap().selection(), &listed())
    }

    #[test]
    fn what_nobody_has_is_named_with_the_nearest_tag() {
        let found = warned(
            r#"{"tags": "Cripto, middle-east", "exclude_tags": "Midle East, weather",
                "categories": "pop culture, Pop-Cultur", "exclude_categories": "weather",
                "events": "World-Cup, world-cop", "exclude_events": "*-cup, *-cop",
                "slugs": "will-spain-win, Will-*, wil-spain-win, wil-*",
                "text": "Spain win, spain wim", "exclude_text": "🚀 cup, cap",
                "ids": "0x01, 0x7", "exclude_ids": "0x1, 0X00A",
                "also": "World-Cup, will-spain-win, Other, 0x7, 0x1"}"#,
        );
        assert_eq!(
            found,
            [
                "tags: no listed market has the tag \"Cripto\", did you mean \"crypto\"?",
                "categories: no listed market has the category \"Pop-Cultur\", did you mean \
                 \"Pop Culture\"?",
                "events: no listed market has the event of slug \"world-cop\"",
                "slugs: no listed market has the slug \"wil-spain-win\"",
                "slugs: no listed market has the slug \"wil-*\"",
                "text: no listed market has the words \"spain wim\"",
                "ids: no listed market has the condition id \"0x7\"",
                "exclude_tags: no listed market has the tag \"Midle East\", did you mean \
                 \"Middle East\"?",
                "exclude_tags: no listed market has the tag \"weather\"",
                "exclude_categories: no listed market has the category \"weather\"",
                "exclude_events: no listed market has the event of slug \"*-cop\"",
                "exclude_text: no listed market has the words \"cap\"",
                "exclude_ids: no listed market has the condition id \"0x00A\"",
                "also: no listed market has the condition id \"0x7\"",
                "also: no listed market has the slug, nor its event, \"Other\"",
            ]
        );
        assert_eq!(warned("{}"), Vec::<String>::new());
    }

    #[test]
    fn of_a_venue_that_gives_no_tags_nobody_says_that_a_tag_is_not_there() {
        let mut table = CatalogueTable::default();
        table.take_in(Listed {
            market: Market::new("0x1".parse().unwrap(), Vec::new()),
            figures: Figures::default(),
            tags: None,
        });
        let overlay = Overlay::parse(r#"{"tags": "crypto, sports"}"#).unwrap();
        let loaded = Loaded::of_program(Config::default()).with_overlay(overlay);
        let selection = loaded.unwrap().selection();
        assert_eq!(
            warnings(&selection, &table.view()),
            [
                "tags: whether a market has \"crypto\", \"sports\" is not known: the venue has \
                 given no tags"
            ]
        );
    }

    #[test]
    fn of_many_the_first_are_named_and_the_others_counted() {
        let many: Vec<String> = (0..MOST + 3).map(|n| format!("nothing {n}")).collect();
        let found = warned(&serde_json::json!({ "tags": many }).to_string());
        assert_eq!(found.len(), MOST + 1);
        assert_eq!(found[MOST], "tags: nor has any one of 3 more of them");
    }
}
