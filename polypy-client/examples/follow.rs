//! Follows everything that a server streams, and prints a line for each message.

use polypy_client::{Client, Event, Filter, Message};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it sees")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1);
    let client = Client::new(server.as_deref().unwrap_or("http://localhost:8080"))?;
    let mut stream = client.subscribe(Filter::everything());
    loop {
        match stream.next().await? {
            Event::Message(received) => {
                let token = received.message.token_id();
                let book = token.and_then(|token| stream.books().get(token.as_str()));
                match (&received.message, book) {
                    (Message::Delta(delta), Some(book)) => {
                        let (bid, ask) = (book.levels().best_bid(), book.levels().best_ask());
                        println!("delta {} {bid:?} {ask:?}", delta.token_id);
                    }
                    (other, _) => println!("{other:?}"),
                }
            }
            // It would come back by itself.
            Event::Lost { cause, .. } => {
                println!("closing {cause}");
                return Ok(());
            }
            other => println!("{other:?}"),
        }
    }
}
