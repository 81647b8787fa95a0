//! A watcher: a position in the shared history and a bell.
use crate::board::{Board, Newest};
use crate::{Error, Event, Revision, Watch};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch::Receiver;

/// Holds no events of its own, so that a slow watcher costs nothing and falls off only when history does.
pub(crate) struct Watcher {
    board: Arc<Board>,
    newest: Receiver<Newest>,
    position: Revision,
}

impl Watcher {
    pub fn new(board: Arc<Board>, newest: Receiver<Newest>, position: Revision) -> Watcher {
        Watcher { board, newest, position }
    }
}

#[async_trait]
impl Watch for Watcher {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let newest = *self.newest.borrow_and_update();
            if newest.revision > self.position {
                let group = self.board.group(self.position, newest.revision)?;
                self.position = group.last().map_or(newest.revision, |event| event.revision);
                return Ok(group);
            }
            if newest.closed || self.newest.changed().await.is_err() {
                return Err(Error::Unavailable("the store was closed".to_owned()));
            }
        }
    }

    fn revision(&self) -> Revision {
        self.position
    }
}
