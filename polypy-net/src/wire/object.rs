//! The objects of the wire, their fields still as raw text.
//!
//! One struct holds every field of every event, because `event_type` stands
//! last on the wire: a struct per event would mean a second pass, a tagged enum
//! a copy of the whole message. Keeping each value as raw text means that no
//! number goes through a binary float, that a wrong type refuses its own field
//! and not the object, and that unread fields cost a skip.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::WireError;

/// Defines an object: fields may be missing, in any order, repeated (the last
/// one counts) or among unknown ones.
macro_rules! wire_object {
    ($(#[$doc:meta])* $name:ident { $($field:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Clone, Copy)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: Option<&'a RawValue>,)+
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(field_identifier)]
                #[expect(non_camel_case_types, reason = "named as on the wire")]
                enum Key {
                    $($field,)+
                    #[serde(other)]
                    unknown_,
                }

                struct Fields;

                impl<'de> Visitor<'de> for Fields {
                    type Value = $name<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key()? {
                            match key {
                                $(Key::$field => object.$field = Some(map.next_value()?),)+
                                Key::unknown_ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

wire_object! {
    /// An event of any type, or a REST book.
    Event {
        event_type, market, asset_id, timestamp, hash,
        bids, asks, tick_size, last_trade_price, min_order_size, neg_risk, version,
        price_changes,
        price, size, side, transaction_hash,
        best_bid, best_ask,
        old_tick_size, new_tick_size,
        condition_id, assets_ids, clob_token_ids, winning_asset_id,
    }
}

wire_object! {
    /// An entry of `price_changes`.
    Entry { asset_id, price, size, side, hash, best_bid, best_ask }
}

wire_object! {
    /// A level of a book.
    RawLevel { price, size }
}

/// Reads one object from a text that holds nothing else.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, WireError> {
    serde_json::from_str(text).map_err(|error| {
        // The visitors take any object whatever: data of the wrong shape is
        // data of another type.
        if error.is_data() {
            WireError::NotAnObject
        } else {
            WireError::Json(error)
        }
    })
}
