//! The hub's numbers, as `/stats` and `/metrics` show them.

use polypy_core::metrics::{Entry, Kind, Row, Sheet, Unit, count};

use crate::client::Door;
use crate::component::StreamHub;

type Stream = Entry<StreamHub>;

const GAPS: &str = "Gaps told to clients, by whose doing they are.";
const RESUMES: &str = "Clients that came back with a cursor, by what came of it.";

static CLIENTS: Row = Row::by(
    Kind::Gauge,
    "clients",
    "polypy_stream_clients",
    "door",
    "Open clients, by the way they came.",
);

static ROWS: &[Stream] = &[
    Stream::gauge(
        "subscriptions",
        "polypy_stream_subscriptions",
        "Subscriptions of all clients.",
        |hub| hub.numbers().subscriptions.get().into(),
    ),
    Stream::gauge(
        "followed_books",
        "polypy_stream_followed_books",
        "Books of which the hub keeps a copy.",
        |hub| hub.numbers().followed.get().into(),
    ),
    Stream::counter(
        "published",
        "polypy_stream_published_total",
        "Messages rendered, each once for all its receivers.",
        |hub| hub.numbers().published.get().into(),
    ),
    Stream::counter(
        "delivered",
        "polypy_stream_delivered_total",
        "Published messages put into clients' queues.",
        |hub| hub.numbers().delivered.get().into(),
    ),
    Stream::counter(
        "openings",
        "polypy_stream_openings_total",
        "Snapshots, tops and states with which tokens were opened for one client.",
        |hub| hub.numbers().openings.get().into(),
    ),
    Stream::shown("position", "Place of the latest message.", |hub| {
        hub.numbers().position.get().into()
    }),
    Stream::gauge(
        "ring_bytes",
        "polypy_stream_ring_bytes",
        "Messages kept for clients that come back.",
        |hub| hub.numbers().ring_bytes.get().into(),
    )
    .unit(Unit::Bytes),
    Stream::counter(
        "slow_warnings",
        "polypy_stream_slow_warnings_total",
        "Clients told that half of what may wait for them does.",
        |hub| hub.numbers().warned.get().into(),
    ),
    Stream::counter(
        "emptied_queues",
        "polypy_stream_emptied_queues_total",
        "Queues of slow clients that were emptied.",
        |hub| hub.numbers().overflows.get().into(),
    ),
    Stream::counter(
        "slow_closed",
        "polypy_stream_slow_closed_total",
        "Clients closed because that happened three times within a minute.",
        |hub| hub.numbers().closed_slow.get().into(),
    ),
    Stream::counter(
        "left_out_trades",
        "polypy_stream_left_out_trades_total",
        "Trades left out for clients of mode=conflated that read too slowly.",
        |hub| hub.numbers().left_out.get().into(),
    ),
    Stream::counter(
        "gaps_venue",
        "polypy_stream_gaps_total",
        "Gaps of the venue's doing.",
        |hub| hub.numbers().gaps_venue.get().into(),
    )
    .label("owner=\"venue\"")
    .family(GAPS),
    Stream::counter(
        "gaps_network",
        "polypy_stream_gaps_total",
        "Gaps because a connection to the venue failed.",
        |hub| hub.numbers().gaps_network.get().into(),
    )
    .label("owner=\"network\"")
    .family(GAPS),
    Stream::counter(
        "gaps_us",
        "polypy_stream_gaps_total",
        "Gaps of this program's doing.",
        |hub| hub.numbers().gaps_us.get().into(),
    )
    .label("owner=\"us\"")
    .family(GAPS),
    Stream::counter(
        "gaps_client",
        "polypy_stream_gaps_total",
        "Gaps because the client was too slow, or away for too long.",
        |hub| hub.numbers().gaps_client.get().into(),
    )
    .label("owner=\"client\"")
    .family(GAPS),
    Stream::counter(
        "resumed",
        "polypy_stream_resumes_total",
        "Clients that came back and lacked nothing.",
        |hub| hub.numbers().resumed.get().into(),
    )
    .label("outcome=\"exact\"")
    .family(RESUMES),
    Stream::counter(
        "resumes_refused",
        "polypy_stream_resumes_total",
        "Clients that came back and were told of a gap.",
        |hub| hub.numbers().resume_refused.get().into(),
    )
    .label("outcome=\"refused\"")
    .family(RESUMES),
    Stream::counter(
        "overfull_lanes",
        "polypy_stream_overfull_lanes_total",
        "Times a worker wrote more than the hub could take.",
        |hub| hub.numbers().lost_lanes.get().into(),
    ),
    Stream::counter(
        "mismatches",
        "polypy_stream_mismatches_total",
        "Changes that did not follow the hub's copy: a defect.",
        |hub| hub.numbers().mismatches.get().into(),
    ),
    Stream::counter(
        "lost_market_changes",
        "polypy_stream_lost_market_changes_total",
        "Changes of markets that came faster than the hub took them.",
        |hub| hub.numbers().lost_markets.get().into(),
    ),
    Stream::counter(
        "restarts",
        "polypy_stream_restarts_total",
        "Times the hub was restarted after a panic.",
        |hub| hub.numbers().restarts.get().into(),
    ),
];

/// Shows all of them.
pub(crate) fn show(hub: &StreamHub, sheet: &mut dyn Sheet) {
    let clients = Door::ALL.map(|door| (door.name(), count(hub.shared().clients(door))));
    sheet.members(&CLIENTS, &mut clients.into_iter());
    sheet.table(ROWS, hub);
}
