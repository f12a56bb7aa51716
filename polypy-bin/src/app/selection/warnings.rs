//! What a selection names and nothing listed has: most often a slip of the pen.

use std::collections::{HashMap, HashSet};

use polypy_core::catalogue::{CatalogueView, Folded, Glob, Selection};

use crate::config::nearest;

/// Names of one kind that are told apart; the others are counted.
const MOST: usize = 8;

/// A sentence for each name that no listed market has. Of a tag and a category, the nearest
/// one that there is.
pub fn warnings(selection: &Selection, view: &CatalogueView) -> Vec<String> {
    let mut warnings = Vec::new();
    let (include, exclude) = (&selection.filter.include, &selection.filter.exclude);
    for (key, tags) in [("tags", &include.tags), ("exclude_tags", &exclude.tags)] {
        let known = |tag: &Folded| view.tags().named(tag).is_some();
        let unknown = tags.iter().filter(|tag| !known(tag)).map(Folded::as_str);
        tell(&mut warnings, key, "tag", unknown.collect(), |tag| {
            nearest_tag(tag, view)
        });
    }
    let known = Known::of(view);
    for (key, categories) in [
        ("categories", &include.categories),
        ("exclude_categories", &exclude.categories),
    ] {
        let is_known = |category: &&Folded| known.categories.contains_key(*category);
        let unknown = categories.iter().filter(|category| !is_known(category));
        let unknown = unknown.map(Folded::as_str).collect();
        tell(&mut warnings, key, "category", unknown, |wrong| {
            let near = nearest(wrong, known.categories.keys().map(Folded::as_str))?;
            let named = known.categories.iter();
            let mut named = named.filter(|(folded, _)| folded.as_str() == near);
            named.next().map(|(_, shown)| (*shown).to_owned())
        });
    }
    for (key, globs) in [
        ("events", &include.events),
        ("exclude_events", &exclude.events),
    ] {
        let unknown = nobody_has(globs, &known.events);
        tell(&mut warnings, key, "event of slug", unknown, |_| None);
    }
    for (key, globs) in [("slugs", &include.slugs), ("exclude_slugs", &exclude.slugs)] {
        let unknown = nobody_has(globs, &known.slugs);
        tell(&mut warnings, key, "slug", unknown, |_| None);
    }
    let is_known = |slug: &&str| known.slugs.contains(slug) || known.events.contains(slug);
    let also = selection.also.slugs.iter().map(|slug| &**slug);
    let mut also: Vec<_> = also.filter(|slug| !is_known(slug)).collect();
    also.sort_unstable();
    tell(&mut warnings, "also", "slug, nor its event,", also, |_| {
        None
    });
    warnings
}

fn tell(
    warnings: &mut Vec<String>,
    key: &str,
    what: &str,
    unknown: Vec<&str>,
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

/// Whole names: with `*` nothing is said, for what it is to match may come yet.
fn nobody_has<'a>(globs: &'a [Glob], known: &HashSet<&str>) -> Vec<&'a str> {
    let names = globs.iter().map(Glob::as_str);
    names
        .filter(|name| !name.contains('*') && !known.contains(name))
        .collect()
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
    let near = nearest(wrong, labels.iter().map(|(folded, _)| folded.as_str()))?;
    let (_, shown) = labels.iter().find(|(folded, _)| folded.as_str() == near)?;
    Some(shown.to_string())
}

/// What markets are called.
struct Known<'a> {
    slugs: HashSet<&'a str>,
    events: HashSet<&'a str>,
    /// As they are compared, and as they are written.
    categories: HashMap<Folded, &'a str>,
}

impl<'a> Known<'a> {
    fn of(view: &'a CatalogueView) -> Self {
        let (mut slugs, mut events) = (HashSet::new(), HashSet::new());
        let mut names = HashSet::new();
        for found in view.iter() {
            let market = &found.entry.market;
            slugs.extend(market.slug.as_deref());
            events.extend(market.event.as_ref().map(|event| &*event.slug));
            names.extend(market.category.as_deref());
        }
        let names = names.into_iter();
        let folded = names.filter_map(|name| Some((Folded::new(name)?, name)));
        Self {
            slugs,
            events,
            categories: folded.collect(),
        }
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
            r#"{"tags": "cripto, middle-east", "exclude_tags": "Midle East, weather",
                "categories": "pop culture, Pop-Cultur", "exclude_categories": "weather",
                "events": "world-cup, world-cop", "slugs": "will-spain-win, will-*, wil-spain-win",
                "also": "world-cup, will-spain-win, other, 0x7"}"#,
        );
        assert_eq!(
            found,
            [
                "tags: no listed market has the tag \"cripto\", did you mean \"crypto\"?",
                "exclude_tags: no listed market has the tag \"midle east\", did you mean \
                 \"Middle East\"?",
                "exclude_tags: no listed market has the tag \"weather\"",
                "categories: no listed market has the category \"pop cultur\", did you mean \
                 \"Pop Culture\"?",
                "exclude_categories: no listed market has the category \"weather\"",
                "events: no listed market has the event of slug \"world-cop\"",
                "slugs: no listed market has the slug \"wil-spain-win\"",
                "also: no listed market has the slug, nor its event, \"other\"",
            ]
        );
        assert_eq!(warned("{}"), Vec::<String>::new());
    }

    #[test]
    fn of_many_the_first_are_named_and_the_others_counted() {
        let many: Vec<String> = (0..MOST + 3).map(|n| format!("nothing {n}")).collect();
        let found = warned(&serde_json::json!({ "tags": many }).to_string());
        assert_eq!(found.len(), MOST + 1);
        assert_eq!(found[MOST], "tags: nor has any one of 3 more of them");
    }
}
