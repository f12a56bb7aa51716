//! What a server has at a moment: markets by their words, events, books and best prices.
//!
//! ```no_run
//! use polypy_client::Client;
//! use polypy_client::reads::{Query, Sort};
//! # async fn example() -> Result<(), polypy_client::reads::ReadError> {
//! let client = Client::new("http://localhost:8080")?;
//! let query = Query::default().text("bitcoin").ends_before("7d").sort(Sort::Spread).tops();
//! let mut markets = client.markets(&query);
//! while let Some(market) = markets.next().await? {
//!     println!("{}: {:?}", market.question, market.tokens[0].top);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | file | |
//! |---|---|
//! | `query` | what is asked for |
//! | `market`, `event`, `book`, `top`, `connection` | what is answered |
//! | `pages` | lists, a page at a time |
//! | `get` | one question over HTTP |

mod book;
mod connection;
mod error;
mod event;
mod get;
mod market;
mod pages;
mod query;
mod top;

pub use book::{BookRead, BooksRead, MissingBook, Wanted};
pub use connection::{Connection, ConnectionEnd, Connections};
pub use error::{Problem, ReadError};
pub use event::{Event, EventMarkets, RawEvent};
pub use market::{EventOf, Market, RawMarket, Resolution, Tag, Token};
pub use pages::{Head, Listed, Pages};
pub use query::{Followed, Query, Sort, Status};
pub use top::{MarketTops, TokenTop, Top, Tops};
