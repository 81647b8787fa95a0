//! Any engine, with each call counted for `/metrics`.
use super::{
    Connection, ContainerInfo, ContainerSpec, Created, EngineInfo, Image, LogOptions, Output, Process, Result, Runtime, RuntimeError,
    RuntimeEvent, Stats,
};
use crate::metrics::{Operation, called};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::sync::Arc;

pub(crate) struct Counted(pub(crate) Arc<dyn Runtime>);

#[async_trait]
impl Runtime for Counted {
    async fn info(&self) -> Result<EngineInfo> {
        called(Operation::Version, self.0.info()).await
    }
    async fn list(&self) -> Result<Vec<ContainerInfo>> {
        called(Operation::List, self.0.list()).await
    }
    async fn inspect(&self, id: &str) -> Result<ContainerInfo> {
        called(Operation::Inspect, self.0.inspect(id)).await
    }
    async fn create(&self, spec: &ContainerSpec) -> Result<Created> {
        called(Operation::Create, self.0.create(spec)).await
    }
    async fn start(&self, created: Created) -> Result<ContainerInfo> {
        called(Operation::Start, self.0.start(created)).await
    }
    async fn stop(&self, id: &str, grace_seconds: i64) -> Result<()> {
        called(Operation::Stop, self.0.stop(id, grace_seconds)).await
    }
    async fn remove(&self, id: &str) -> Result<()> {
        called(Operation::Remove, self.0.remove(id)).await
    }
    async fn image(&self, image: &str) -> Result<Option<Image>> {
        called(Operation::ImageStatus, self.0.image(image)).await
    }
    async fn pull(&self, image: &str) -> Result<()> {
        called(Operation::Pull, self.0.pull(image)).await
    }
    async fn load_image(&self, image: &str, root: Bytes, entrypoint: &[String]) -> Result<()> {
        called(Operation::LoadImage, self.0.load_image(image, root, entrypoint)).await
    }
    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        self.0.events()
    }
    async fn logs(&self, id: &str, options: &LogOptions) -> Result<BoxStream<'static, std::result::Result<Output, RuntimeError>>> {
        called(Operation::Logs, self.0.logs(id, options)).await
    }
    async fn exec(&self, id: &str, command: &[String], tty: bool, stdin: bool, user: &str) -> Result<Process> {
        called(Operation::Exec, self.0.exec(id, command, tty, stdin, user)).await
    }
    async fn attach(&self, id: &str, tty: bool, stdin: bool) -> Result<Process> {
        called(Operation::Attach, self.0.attach(id, tty, stdin)).await
    }
    async fn connect(&self, info: &ContainerInfo, port: u16) -> Result<Box<dyn Connection>> {
        called(Operation::PortForward, self.0.connect(info, port)).await
    }
    async fn stats(&self, id: &str) -> Result<Stats> {
        called(Operation::Stats, self.0.stats(id)).await
    }
}
