//! A connection's requests and answers as hyper sees them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service as HyperService;
use hyper::{Request, Response};

use crate::activity::Activity;
use crate::body::Body;
use crate::responder::{Connected, Served};

/// The service of one connection.
#[derive(Clone)]
pub(crate) struct Responder(pub(crate) Arc<Connected>);

/// An answer, made at once where that is possible: most are, and a future in memory of its
/// own would cost them as much as the rest.
pub(crate) enum Answering {
    Made(Option<Response<Outgoing>>),
    Waiting(Pin<Box<dyn Future<Output = Response<Outgoing>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<Outgoing>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            // A future that is ready is not asked again.
            Self::Made(response) => response
                .take()
                .map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            Self::Waiting(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

impl HyperService<Request<Incoming>> for Responder {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.0.activity.begin_answering();
        let (mut asked, body) = self.0.asked(request);
        let matched = match self.0.accept(&asked) {
            Ok(matched) => matched,
            Err(reply) => return Answering::Made(Some(self.0.respond(asked, None, *reply))),
        };
        let index = Some(matched.index);
        match self.0.at_once(&mut asked, matched) {
            Served::Reply(reply) => {
                let reply = self.0.keep_place(reply, &asked);
                Answering::Made(Some(self.0.respond(asked, index, reply)))
            }
            Served::Later(rest) => {
                let connected = Arc::clone(&self.0);
                Answering::Waiting(Box::pin(async move {
                    let reply = connected.later(&mut asked, rest, body).await;
                    let reply = connected.keep_place(reply, &asked);
                    connected.respond(asked, index, reply)
                }))
            }
        }
    }
}

/// The body of an answer, which is being given until this is dropped.
#[derive(Debug)]
pub(crate) struct Outgoing {
    body: Body,
    activity: Arc<Activity>,
}

impl Outgoing {
    pub(crate) fn new(body: Body, activity: &Arc<Activity>) -> Self {
        let activity = Arc::clone(activity);
        Self { body, activity }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.activity.answered();
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
