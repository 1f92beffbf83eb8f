use async_trait::async_trait;

use crate::{
    CreateOptions, Created, Deleted, Follow, Head, Offset, Page, StreamError, StreamPath,
    StreamStore, Write, Written,
};

/// A store that does what another one does, but where it is told otherwise: for tests of those who
/// use a store. Whatever is this is a [`StreamStore`]; implement what is to be disturbed.
#[async_trait]
pub trait Disturb: Send + Sync {
    /// The store as it is.
    fn inner(&self) -> &dyn StreamStore;

    /// What [`StreamStore::create`] does.
    async fn on_create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        self.inner().create(path, options).await
    }

    /// What [`StreamStore::write`] does; appends and closes come here too.
    async fn on_write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        self.inner().write(path, write).await
    }

    /// What [`StreamStore::read`] does.
    async fn on_read(
        &self,
        path: &StreamPath,
        from: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.inner().read(path, from, max).await
    }

    /// What [`StreamStore::follow`] does.
    async fn on_follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        self.inner().follow(path, from).await
    }

    /// What [`StreamStore::head`] does.
    async fn on_head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        self.inner().head(path).await
    }

    /// What [`StreamStore::delete`] does.
    async fn on_delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        self.inner().delete(path).await
    }

    /// What [`StreamStore::remembers_producers`] says.
    fn does_remember_producers(&self) -> bool {
        self.inner().remembers_producers()
    }
}

#[async_trait]
impl<D: Disturb> StreamStore for D {
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        self.on_create(path, options).await
    }

    async fn write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        self.on_write(path, write).await
    }

    async fn read(&self, path: &StreamPath, from: Offset, max: usize) -> Result<Page, StreamError> {
        self.on_read(path, from, max).await
    }

    async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.inner().read_back(path, before, max).await
    }

    async fn follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        self.on_follow(path, from).await
    }

    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        self.on_head(path).await
    }

    async fn delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        self.on_delete(path).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        self.inner().list(prefix, after, max).await
    }

    fn remembers_producers(&self) -> bool {
        self.does_remember_producers()
    }

    async fn ready(&self) -> Result<(), StreamError> {
        self.inner().ready().await
    }
}
