// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One message there and one back, over TCP (RFC 7766): every server has it, no answer is cut off, and nobody off the path
//! can slip an answer in.

use std::{io, net::SocketAddr, sync::Arc};

use hickory_proto::op::{Message, MessageType, OpCode};
use mandate_runtime::{Ambient, Clock, Entropy, Net, clock::within, entropy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{DnsError, TIMEOUT};

#[derive(Debug, Clone)]
pub(super) struct Exchange {
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Exchange {
    pub(super) fn new(ambient: &Ambient) -> Self {
        let Ambient { net, clock, entropy, .. } = ambient.clone();
        Self { net, clock, entropy }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// An empty message with a number that nobody can guess.
    pub(super) fn message(&self, kind: OpCode) -> Message {
        let id = u16::from_be_bytes(entropy::bytes(self.entropy.as_ref()));
        Message::new(id, MessageType::Query, kind)
    }

    /// The answer's bytes and what they say. A message has 64 KiB at most, which its length prefix sees to.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        message: &Message,
    ) -> Result<(Vec<u8>, Message), DnsError> {
        let bytes = message.to_vec().map_err(|e| DnsError::Encode(e.to_string()))?;
        let answer = within(self.clock.as_ref(), TIMEOUT, self.exchange(server, &bytes)).await;
        let answer = answer.ok_or(DnsError::Timeout { server })?;
        let answer = answer.map_err(|source| DnsError::Io { server, source })?;
        let wrong = |what: String| DnsError::Answer { server, what };
        let parsed = Message::from_vec(&answer).map_err(|e| wrong(format!("not a DNS message: {e}")))?;
        match parsed.message_type == MessageType::Response && parsed.id == message.id {
            true => Ok((answer, parsed)),
            false => Err(wrong("not the answer to what was asked".to_owned())),
        }
    }

    async fn exchange(&self, server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.net.connect(&server.ip().to_string(), server.port()).await?;
        let length = u16::try_from(message.len()).map_err(io::Error::other)?;
        // In one write: some servers want the length and the message in one segment.
        let framed = [length.to_be_bytes().as_slice(), message].concat();
        stream.write_all(&framed).await?;
        stream.flush().await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}
