//! Whether a type's fields are touched in the file that declares it.
//!
//! A struct is either a *record*, all of whose fields its users may read and write, or
//! an *owner*, all of whose fields are private. An owner has its inherent methods in
//! the file that declares it, and no module below that file reaches into it, though the
//! language would let it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source;
use crate::tree::File;

/// A struct with named fields.
#[derive(Debug)]
struct Struct {
    name: String,
    path: String,
    line: usize,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    is_visible: bool,
}

impl Struct {
    fn is_record(&self) -> bool {
        self.fields.iter().all(|field| field.is_visible)
    }

    fn is_owner(&self) -> bool {
        self.fields.iter().all(|field| !field.is_visible)
    }
}

/// Where the files of one crate's sources do not keep to that, each with a reason.
pub fn violations(files: &[File]) -> Vec<String> {
    let structs: Vec<_> = files.iter().flat_map(structs_of).collect();
    let mut found = Vec::new();
    for one in &structs {
        if !one.is_record() && !one.is_owner() {
            let place = format!("{}:{}", one.path, one.line);
            found.push(format!("{place}: {} is neither record nor owner", one.name));
        }
    }
    let mut declared: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in &structs {
        declared.entry(&one.name).or_default().insert(&one.path);
    }
    let visible: BTreeSet<_> = structs
        .iter()
        .flat_map(|one| &one.fields)
        .filter(|field| field.is_visible)
        .map(|field| field.name.as_str())
        .collect();
    for file in files {
        for (number, line) in source::product_lines(file) {
            if let Some(name) = inherent_impl(line)
                && let Some(paths) = declared.get(name)
                && !paths.contains(file.path.as_str())
            {
                found.push(format!("{}:{number}: methods of {name}", file.path));
            }
        }
        let own: BTreeSet<_> = structs
            .iter()
            .filter(|one| one.path == file.path)
            .flat_map(|one| &one.fields)
            .map(|field| field.name.as_str())
            .collect();
        let above = structs
            .iter()
            .filter(|one| one.is_owner() && is_below(&file.path, &one.path));
        for one in above {
            for field in &one.fields {
                let name = field.name.as_str();
                if own.contains(name) || visible.contains(name) {
                    continue;
                }
                for (number, line) in source::product_lines(file) {
                    if reads_field(line, name) {
                        let place = format!("{}:{number}", file.path);
                        found.push(format!("{place}: field {name} of {}", one.name));
                    }
                }
            }
        }
    }
    found
}

/// The structs with named fields that a file declares.
fn structs_of(file: &File) -> Vec<Struct> {
    let mut found: Vec<Struct> = Vec::new();
    let mut open = None;
    for (number, line) in source::product_lines(file) {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if let Some(at) = open {
            if indent <= at && text.starts_with('}') {
                open = None;
            } else if indent == at + 4
                && let Some(field) = field_of(text)
                && let Some(last) = found.last_mut()
            {
                last.fields.push(field);
            }
        } else if let Some(name) = struct_name(text)
            && text.ends_with('{')
        {
            open = Some(indent);
            found.push(Struct {
                name: name.to_owned(),
                path: file.path.clone(),
                line: number,
                fields: Vec::new(),
            });
        }
    }
    found.retain(|one| !one.fields.is_empty());
    found
}

fn struct_name(text: &str) -> Option<&str> {
    let (before, after) = text.split_once("struct ")?;
    let is_declared = before.is_empty() || before.trim_end().starts_with("pub");
    is_declared
        .then(|| word(after))
        .filter(|name| !name.is_empty())
}

fn field_of(text: &str) -> Option<Field> {
    let is_visible = text.starts_with("pub");
    let rest = match text.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => text.strip_prefix("pub ").unwrap_or(text),
    };
    let name = word(rest);
    let is_field = !name.is_empty() && rest[name.len()..].starts_with(": ");
    is_field.then(|| Field {
        name: name.to_owned(),
        is_visible,
    })
}

/// The type of an inherent `impl`.
fn inherent_impl(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(generics) => generics.split_once("> ")?.1,
        None => rest.strip_prefix(' ')?,
    };
    (!rest.contains(" for ")).then(|| word(rest))
}

/// Whether the module of the file `below` stands below that of `above`.
fn is_below(below: &str, above: &str) -> bool {
    let folder = ["/mod.rs", "/lib.rs", "/main.rs"]
        .iter()
        .find_map(|name| above.strip_suffix(name))
        .or_else(|| above.strip_suffix(".rs"));
    let rest = folder.and_then(|folder| below.strip_prefix(folder));
    below != above && rest.is_some_and(|rest| rest.starts_with('/'))
}

fn reads_field(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        before.ends_with('.') && !before.ends_with("..") && !after.starts_with(is_word_or_call)
    })
}

fn is_word_or_call(next: char) -> bool {
    next == '(' || next == '_' || next.is_alphanumeric()
}

fn word(text: &str) -> &str {
    let end = text.find(|next: char| next != '_' && !next.is_alphanumeric());
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
            unit_test: false,
        }
    }

    const OWNER: &str = "pub(crate) struct Owner<'a> {\n    secret: &'a str,\n}\n\nimpl Owner<'_> {\n    fn read(&self) -> &str {\n        self.secret\n    }\n}\n";

    #[test]
    fn owners_and_records_are_let_be() {
        let record = "struct Record {\n    pub(crate) seen: u8,\n    pub also: u8,\n}\n";
        let user = "fn read(record: &Record, owner: &Owner<'_>) -> u8 {\n    owner.secret();\n    record.seen\n}\n";
        let files = [
            file("c/src/owner.rs", OWNER),
            file("c/src/record.rs", record),
            file("c/src/owner/user.rs", user),
        ];
        assert_eq!(violations(&files), Vec::<String>::new());
    }

    #[test]
    fn whatever_reaches_into_an_owner_is_found() {
        for (path, text) in [
            ("c/src/other.rs", "impl<'a> Owner<'a> {\n}\n"),
            (
                "c/src/owner/below.rs",
                "fn f(owner: &Owner<'_>) -> bool {\n    owner.secret.is_empty()\n}\n",
            ),
            (
                "c/src/mixed.rs",
                "struct Mixed {\n    pub seen: u8,\n    hidden: u8,\n}\n",
            ),
        ] {
            let files = [file("c/src/owner.rs", OWNER), file(path, text)];
            let found = violations(&files);
            assert_eq!(found.len(), 1, "{path}: {found:?}");
            assert!(found[0].starts_with(path), "{found:?}");
        }
    }
}
