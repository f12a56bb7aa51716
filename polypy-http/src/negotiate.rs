//! Which of several forms of an answer a client likes best: `Accept` by its ranges
//! and weights (RFC 9110 section 12.5.1).

use hyper::header::{ACCEPT, HeaderMap};

/// A form of an answer.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) kind: &'static str,
    pub(crate) subtype: &'static str,
    /// What a range may ask for as `version`.
    pub(crate) versions: &'static [&'static str],
    /// Whether only a range that names it asks for it, and `application/*` does not.
    pub(crate) by_name: bool,
}

/// The offer that a client gives the greatest weight, the first of several. Of the
/// ranges that an offer matches the most specific has its weight. `None` when nothing
/// is acceptable; without a word about types everything is.
pub(crate) fn best(headers: &HeaderMap, offers: &[Offer]) -> Option<usize> {
    if !headers.contains_key(ACCEPT) {
        return (!offers.is_empty()).then_some(0);
    }
    let mut best = None;
    for (at, offer) in offers.iter().enumerate() {
        let weight = weight_of(headers, offer);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((at, weight));
        }
    }
    best.map(|(at, _)| at)
}

/// Thousandths; zero for what is not acceptable.
fn weight_of(headers: &HeaderMap, offer: &Offer) -> u32 {
    let values = headers.get_all(ACCEPT).iter();
    let ranges = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut found = (0, 0);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let (Some(weight), Some(specificity)) =
            (weight(parts.clone()), specificity(name, parts, offer))
        else {
            continue;
        };
        if specificity > found.0 {
            found = (specificity, weight);
        } else if specificity == found.0 {
            found.1 = found.1.max(weight);
        }
    }
    found.1
}

/// How closely a range names the offer, if it does.
fn specificity<'a>(
    name: &str,
    parameters: impl Iterator<Item = &'a str>,
    offer: &Offer,
) -> Option<u8> {
    let (kind, subtype) = name.split_once('/')?;
    if subtype == "*" && offer.by_name {
        return None;
    }
    if kind == "*" && subtype == "*" {
        return Some(1);
    }
    if !kind.eq_ignore_ascii_case(offer.kind) {
        return None;
    }
    if subtype == "*" {
        return Some(2);
    }
    if !subtype.eq_ignore_ascii_case(offer.subtype) {
        return None;
    }
    for parameter in parameters {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.trim().eq_ignore_ascii_case("version") {
            let value = value.trim().trim_matches('"');
            return offer.versions.contains(&value).then_some(4);
        }
    }
    Some(3)
}

/// The weight among parameters, in thousandths; `None` for a weight that is none.
pub(crate) fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<u32> {
    for parameter in parameters {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("q") {
            return thousandths(value.trim());
        }
    }
    Some(1_000)
}

fn thousandths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || fraction.len() > 3 || !digits(fraction) {
        return None;
    }
    let value = format!("{whole}{fraction:0<3}").parse().ok()?;
    (value <= 1_000).then_some(value)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const TEXT: &str = "text";
    const OPEN: &str = "open";

    fn chosen(accept: &[&'static str]) -> Option<&'static str> {
        let offers = [
            Offer {
                kind: "text",
                subtype: "plain",
                versions: &["0.0.4"],
                by_name: false,
            },
            Offer {
                kind: "application",
                subtype: "openmetrics-text",
                versions: &["1.0.0", "0.0.1"],
                by_name: true,
            },
        ];
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        best(&headers, &offers).map(|at| [TEXT, OPEN][at])
    }

    #[test]
    fn the_most_specific_range_and_the_greatest_weight_decide() {
        for (accept, expected) in [
            ("", None),
            ("*/*", Some(TEXT)),
            ("text/*", Some(TEXT)),
            ("text/plain", Some(TEXT)),
            ("TEXT/Plain;version=0.0.4", Some(TEXT)),
            ("text/plain;version=0.0.3", None),
            ("application/openmetrics-text", Some(OPEN)),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                Some(OPEN),
            ),
            ("application/openmetrics-text;version=\"0.0.1\"", Some(OPEN)),
            ("application/openmetrics-text;version=2.0.0", None),
            (
                "application/openmetrics-text;version=2.0.0, */*;q=0.1",
                Some(TEXT),
            ),
            // No client means OpenMetrics by that.
            ("application/*", None),
            ("application/*, text/*;q=0.1", Some(TEXT)),
            (
                "application/openmetrics-text;q=0.1, application/*",
                Some(OPEN),
            ),
            ("application/json", None),
            ("application/json, */*;q=0.5", Some(TEXT)),
            // Equal weights: ours comes first.
            ("application/openmetrics-text, text/plain", Some(TEXT)),
            ("application/openmetrics-text, text/plain;q=0.9", Some(OPEN)),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.9",
                Some(TEXT),
            ),
            // What is named counts as it is named, whatever the rest may have.
            ("text/plain;q=0.1, */*", Some(TEXT)),
            ("text/plain;q=0, */*", None),
            (
                "text/plain;q=0.1, application/openmetrics-text;q=0.2, */*",
                Some(OPEN),
            ),
            ("*/*;q=0", None),
            ("*/*;q=0, text/*", Some(TEXT)),
            ("text/plain;q=x", None),
            ("text/plain;q=1.1", None),
            ("text", None),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Some(OPEN),
            ),
            // Prometheus 3, as it is and with the text format alone.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Some(OPEN),
            ),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.2",
                Some(TEXT),
            ),
        ] {
            assert_eq!(chosen(&[accept]), expected, "{accept}");
        }
        assert_eq!(chosen(&[]), Some(TEXT));
        let two = ["text/plain;q=0.5", "application/openmetrics-text;q=0.6"];
        assert_eq!(chosen(&two), Some(OPEN));
    }
}
