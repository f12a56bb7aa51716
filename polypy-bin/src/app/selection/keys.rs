//! The keys of `[markets]` as JSON: what is in force, and which layer says so.

use serde_json::{Map, Number, Value, json};

use crate::config::{KEYS, Key, Loaded};

/// How much is said of where a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Detail {
    /// The layer's name.
    Layer,
    /// The file, the variable or the flag as well.
    Origin,
}

/// Every key but the place of the overlay's file, by its name.
pub(in crate::app) fn keys(loaded: &Loaded, detail: Detail) -> Value {
    let shown = |key: &&Key| key.section == "markets" && key.field != "overlay_file";
    let keys = KEYS.iter().filter(shown).map(|key| {
        let source = loaded.origin(key);
        let mut about = json!({ "value": value(key, loaded), "layer": source.layer() });
        if detail == Detail::Origin {
            about["origin"] = source.to_string().into();
        }
        (key.field.to_owned(), about)
    });
    Value::Object(keys.collect::<Map<_, _>>())
}

/// A list as an array, a number as a number, and everything else as text; null where
/// nothing is set.
fn value(key: &Key, loaded: &Loaded) -> Value {
    if key.field == "max_markets" {
        return Number::from(loaded.config.markets.max_markets).into();
    }
    let shown = key.show(&loaded.config);
    if key.list {
        let items = shown.split(',').map(str::trim);
        return items.filter(|item| !item.is_empty()).collect();
    }
    Some(shown).filter(|shown| !shown.is_empty()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overlay};

    #[test]
    fn each_key_has_its_value_and_its_layer_and_paths_are_for_administrators() {
        let mut config = Config::default();
        config.markets.max_markets = 9;
        config.markets.overlay_file = Some("/secret/place".into());
        let overlay = r#"{"tags": "crypto, Middle East", "min_volume": 5}"#;
        let overlay = Overlay::parse(overlay).unwrap();
        let loaded = Loaded::of_program(config).with_overlay(overlay).unwrap();
        let public = keys(&loaded, Detail::Layer);
        assert_eq!(
            public["tags"],
            json!({ "value": ["crypto", "Middle East"], "layer": "overlay" })
        );
        assert_eq!(
            public["min_volume"],
            json!({ "value": "5", "layer": "overlay" })
        );
        assert_eq!(
            public["max_markets"],
            json!({ "value": 9, "layer": "program" })
        );
        assert_eq!(public["events"], json!({ "value": [], "layer": "default" }));
        assert_eq!(
            public["shard"],
            json!({ "value": null, "layer": "default" })
        );
        assert_eq!(
            public["neg_risk"],
            json!({ "value": "any", "layer": "default" })
        );
        assert_eq!(public["overlay_file"], Value::Null);
        assert!(!public.to_string().contains("secret"));
        let all = keys(&loaded, Detail::Origin);
        assert_eq!(all["tags"]["origin"], "overlay");
        let markets = KEYS.iter().filter(|key| key.section == "markets").count();
        assert_eq!(all.as_object().map(Map::len), Some(markets - 1));
    }
}
