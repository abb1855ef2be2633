//! A dump on its way into a tool.

use super::plain;

/// How a stream broke off; None: it did not.
pub(super) type Broken = std::sync::Arc<std::sync::Mutex<Option<std::io::Error>>>;

/// A stream that remembers how it broke off: a provider's `run` may tell that in other words.
pub(super) struct Watched {
    stream: plain::Stream,
    broken: Broken,
}

impl Watched {
    pub(super) fn new(stream: plain::Stream) -> (Self, Broken) {
        let broken = Broken::default();
        let watched = Self {
            stream,
            broken: broken.clone(),
        };
        (watched, broken)
    }
}

impl tokio::io::AsyncRead for Watched {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let polled = std::pin::Pin::new(&mut self.stream).poll_read(context, buffer);
        if let std::task::Poll::Ready(Err(error)) = &polled
            && let Ok(mut broken) = self.broken.lock()
        {
            *broken = Some(std::io::Error::new(error.kind(), error.to_string()));
        }
        polled
    }
}
