//! The tags that markets have, by number.

use std::collections::HashMap;

use super::entry::{Tag, TagId};
use super::text::Folded;

/// Tags kept at most: many times what the venue has.
const MOST: usize = 65_536;
/// Bytes of a tag's names at most.
const LONGEST: usize = 128;

/// All tags that were ever stated. Two whose label or slug is the same when folded are
/// one: the venue states slugs in one place and labels in another.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    list: Vec<Tag>,
    by_name: HashMap<Folded, TagId>,
}

impl Tags {
    /// The tag of this number.
    pub fn get(&self, id: TagId) -> Option<&Tag> {
        self.list.get(usize::try_from(id.0).ok()?)
    }

    /// The tag of this name, be it slug or label.
    pub fn named(&self, name: &Folded) -> Option<TagId> {
        self.by_name.get(name).copied()
    }

    /// All tags, each with its number.
    pub fn iter(&self) -> impl Iterator<Item = (TagId, &Tag)> {
        (0..).map(TagId).zip(&self.list)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The tag's number, if it is known under all its names.
    pub(super) fn known(&self, tag: &Tag) -> Option<TagId> {
        let mut names = names(tag).map(|name| self.named(&name));
        let first = names.next()??;
        names.all(|other| other.is_some()).then_some(first)
    }

    /// Takes a tag in. `None` if it has no name, too long a name, or there are too many.
    pub(super) fn take_in(&mut self, tag: Tag) -> Option<TagId> {
        if tag.slug.len().max(tag.label.len()) > LONGEST {
            return None;
        }
        let known = names(&tag).find_map(|name| self.named(&name));
        let id = match known {
            Some(id) => id,
            None if self.list.len() >= MOST => return None,
            None => TagId(u32::try_from(self.list.len()).ok()?),
        };
        let mut has_name = false;
        for name in names(&tag) {
            has_name = true;
            self.by_name.entry(name).or_insert(id);
        }
        if !has_name {
            return None;
        }
        if known.is_none() {
            self.list.push(tag);
        }
        Some(id)
    }
}

fn names(tag: &Tag) -> impl Iterator<Item = Folded> {
    [&tag.label, &tag.slug]
        .into_iter()
        .filter_map(|name| Folded::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(slug: &str, label: &str) -> Tag {
        Tag {
            slug: slug.into(),
            label: label.into(),
        }
    }

    #[test]
    fn a_tag_is_one_under_its_slug_and_its_label() {
        let mut tags = Tags::default();
        let east = tags.take_in(tag("middle-east", "Middle East")).unwrap();
        let politics = tags.take_in(tag("us-politics", "U.S. Politics")).unwrap();
        assert_ne!(east, politics);
        for (slug, label, id) in [
            ("", "middle east", east),
            ("middle-east", "", east),
            ("us-politics", "", politics),
            ("", "u.s. politics", politics),
        ] {
            assert_eq!(tags.known(&tag(slug, label)), Some(id), "{slug} {label}");
            assert_eq!(tags.take_in(tag(slug, label)), Some(id), "{slug} {label}");
        }
        assert_eq!(tags.len(), 2);
        // A further name of a known one.
        let mideast = tag("mideast", "Middle East");
        assert_eq!(tags.known(&mideast), None);
        assert_eq!(tags.take_in(mideast), Some(east));
        assert_eq!(tags.named(&Folded::new("MIDEAST").unwrap()), Some(east));
        for bad in [tag("", "?"), tag("", ""), tag(&"x".repeat(129), "x")] {
            assert_eq!(tags.take_in(bad), None);
        }
        assert_eq!(tags.len(), 2);
    }
}
