// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTPS to an ACME authority over the injected network. The library's own client leaves Nagle's algorithm on, which
//! makes an order ten times slower, and knows neither caps nor deadlines.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use mandate_runtime::{Ambient, Clock};
use rustls::RootCertStore;

use crate::http::{Connector, parse_retry_after};

const MAX_ANSWER: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// The client. Clones share their connections.
#[derive(Clone)]
pub(super) struct AcmeHttp {
    client: Client<Connector, BodyWrapper<Bytes>>,
    clock: Arc<dyn Clock>,
}

/// When an authority that had enough wants to be asked again, as its last such answer within one piece of work said. The
/// library keeps this header to itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish(Arc<Mutex<Option<Duration>>>);

tokio::task_local! {
    static WISH: Wish;
}

/// Listens for a [`Wish`] while `work` runs.
pub(super) fn with_wish<F: Future>(work: F) -> (Wish, impl Future<Output = F::Output>) {
    let wish = Wish::default();
    (wish.clone(), WISH.scope(wish, work))
}

impl Wish {
    /// How long to wait.
    pub(super) fn after(&self) -> Option<Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear<B>(answer: &Response<B>, now: Duration) {
        if !matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        let text = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = text.and_then(|text| parse_retry_after(text, now));
        // Outside such a piece of work nobody wants to know.
        let _ = WISH.try_with(|wish| *wish.0.lock().unwrap_or_else(PoisonError::into_inner) = after);
    }
}

impl AcmeHttp {
    pub(super) fn new(roots: Arc<RootCertStore>, ambient: &Ambient) -> Result<Self, rustls::Error> {
        let connector = Connector::new(roots, Arc::clone(&ambient.net))?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, clock: Arc::clone(&ambient.clock) })
    }
}

impl AcmeHttp {
    /// An answer with its whole body, for what the library does not do.
    pub(super) async fn whole(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Error> {
        let whole = async {
            let answer = self.client.request(request).await.map_err(|e| Error::Other(Box::new(e)))?;
            Wish::hear(&answer, self.clock.unix_time());
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(Error::Other)?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, whole).await.map_err(|_| Error::Timeout(None))?
    }
}

impl HttpClient for AcmeHttp {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let (sent, clock) = (self.client.request(request), Arc::clone(&self.clock));
        Box::pin(async move {
            let answer = tokio::time::timeout(TIMEOUT, sent).await.map_err(|_| Error::Timeout(None))?;
            let answer = answer.map_err(|e| Error::Other(Box::new(e)))?;
            Wish::hear(&answer, clock.unix_time());
            Ok(answer.map(|body| Limited::new(body, MAX_ANSWER)).into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wish_is_heard_by_the_work_that_it_was_told_to() {
        let answer = |code: u16| Response::builder().status(code).header(RETRY_AFTER, "7").body(()).unwrap();
        let (limited, work) = with_wish(async { Wish::hear(&answer(429), Duration::ZERO) });
        let (other, idle) = with_wish(async { Wish::hear(&answer(200), Duration::ZERO) });
        tokio::join!(work, idle);
        assert_eq!((limited.after(), other.after()), (Some(Duration::from_secs(7)), None));
    }
}
