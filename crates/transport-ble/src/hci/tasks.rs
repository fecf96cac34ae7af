use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

/// Something that a radio does beside everything else.
pub(super) type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a radio does at once, all under one waker: `trouble_host` remembers one waker for all that
/// wait for the same thing, so that tasks with wakers of their own would wake each other for ever.
pub(super) struct Tasks<'a> {
    begun: mpsc::Receiver<Task<'a>>,
    running: Vec<Task<'a>>,
}

impl<'a> Tasks<'a> {
    /// Takes what comes from `begun`.
    pub(super) fn new(begun: mpsc::Receiver<Task<'a>>) -> Self {
        Self { begun, running: Vec::new() }
    }

    /// Goes on with each of them.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Infallible> {
        self.running.retain_mut(|task| task.as_mut().poll(context).is_pending());
        while let Poll::Ready(Some(mut task)) = self.begun.poll_recv(context) {
            if task.as_mut().poll(context).is_pending() {
                self.running.push(task);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_another_one_begins_runs() {
        let (begin, begun) = mpsc::channel::<Task<'_>>(2);
        let (told, heard) = tokio::sync::oneshot::channel();
        let again = begin.clone();
        let first: Task<'_> = Box::pin(async move {
            tokio::task::yield_now().await;
            let second: Task<'_> = Box::pin(async move { told.send(7).unwrap() });
            again.try_send(second).ok().unwrap();
        });
        begin.try_send(first).ok().unwrap();
        let mut tasks = Tasks::new(begun);
        tokio::select! {
            never = std::future::poll_fn(|context| tasks.poll(context)) => match never {},
            heard = heard => assert_eq!(heard, Ok(7)),
        }
        assert!(tasks.running.is_empty());
    }
}
