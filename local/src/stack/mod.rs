//! The whole system on this machine: MiniStack, and the deployed template in it with the real functions.
//!
//! # Layout
//!
//! - [`Stack::start`]: the steps, in order; [`Ground`], where something else has to be there before the template.
//! - `python`: MiniStack, installed.
//! - `server`: MiniStack, running, in a process `group` of its own.
//! - `functions`: the functions, built and zipped.
//! - `template`: a packaged template, made fit for MiniStack; pure.
//! - `deploy`: zips and template into MiniStack.
//! - `clients`: AWS clients that talk to it.

mod clients;
mod deploy;
mod functions;
mod group;
mod python;
mod server;
mod template;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use common::config::environment;
use common::trace::Destination;

pub use clients::{ACCESS_KEY, Clients, SECRET_KEY};
pub use deploy::{Outputs, STACK_NAME};
pub use group::Group;
pub use python::Pinned;
pub use server::{ACCOUNT, Detached, REGION};
pub use template::Dropped;

use functions::Zips;
use python::MINISTACK;
use server::{Server, ServerOptions};

use crate::terminal::Terminal;
use crate::workspace;

/// How the system is run.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The packaged template to deploy.
    pub template: Cow<'static, str>,
    /// Values of its parameters that are not the defaults.
    pub parameters: BTreeMap<String, String>,
    /// After how many seconds a message that was not dealt with is received again. Deployed it is minutes.
    pub visibility_seconds: u32,
    /// Whether it outlives this process.
    pub detached: bool,
    /// Where the functions find AWS, if not at MiniStack itself: something that hands requests on to it.
    pub functions_through: Option<String>,
    /// Where the functions send their spans. By default where this process's environment says.
    pub spans_to: Destination,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            template: template::GOLDEN.into(),
            parameters: BTreeMap::new(),
            visibility_seconds: 2,
            detached: false,
            functions_through: None,
            spans_to: Destination::from_lookup(environment),
        }
    }
}

/// MiniStack, running, before anything is deployed to it. Dropping it ends it.
#[derive(Debug)]
pub struct Ground {
    server: Server,
    clients: Clients,
    zips: Zips,
}

impl Ground {
    /// Installs, builds and starts what is missing; tells each step on `terminal`.
    pub async fn prepare(options: &StackOptions, terminal: &Terminal) -> anyhow::Result<Self> {
        let target = workspace::target()?;
        let python = MINISTACK.provide(&target, terminal).await?;
        let zips = functions::pack(terminal).await?;
        terminal.step(&format!("starting MiniStack {}", MINISTACK.version()));
        let server = ServerOptions {
            enforce_roles: true,
            detached: options.detached,
            functions_through: options.functions_through.clone(),
            spans_to: options.spans_to.clone(),
        };
        let server = Server::start(&python, &server).await?;
        let clients = Clients::new(server.endpoint());
        Ok(Self { server, clients, zips })
    }

    /// Where MiniStack answers.
    pub fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    /// Clients that talk to it.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Deploys the template.
    pub async fn deploy(self, options: &StackOptions, terminal: &Terminal) -> anyhow::Result<Stack> {
        let Self { server, clients, zips } = self;
        let deployed = Box::pin(deploy::deploy(server.endpoint(), &clients, &zips, options)).await;
        let (outputs, dropped) = deployed.context("deploy the system to MiniStack")?;
        terminal.step(&format!("deployed to {}", server.endpoint()));
        for (because, ids) in template::by_reason(&dropped) {
            terminal.step(&format!("left out, because {because}: {}", ids.join(", ")));
        }
        Ok(Stack { server, clients, outputs, dropped })
    }
}

/// The system, running. Dropping it ends everything that was started for it.
#[derive(Debug)]
pub struct Stack {
    server: Server,
    clients: Clients,
    outputs: Outputs,
    dropped: Vec<Dropped>,
}

impl Stack {
    /// Installs, builds, starts and deploys what is missing; tells each step on `terminal`.
    pub async fn start(options: &StackOptions, terminal: &Terminal) -> anyhow::Result<Self> {
        Ground::prepare(options, terminal).await?.deploy(options, terminal).await
    }

    /// Whether MiniStack has not ended by itself.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        self.server.is_running()
    }

    /// The process group of MiniStack and the functions, while it runs.
    pub fn process_group(&self) -> Option<i32> {
        self.server.process_group()
    }

    /// Where MiniStack answers.
    pub fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    /// Clients that talk to it.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Names and addresses of what was deployed.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// What the template has and this system lacks.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// What MiniStack and the functions have said so far.
    pub fn log_text(&self) -> String {
        self.server.log_text()
    }

    /// Where they say it.
    pub fn log(&self) -> PathBuf {
        self.server.log()
    }

    /// Copies the log to where it stays after the stack's end.
    pub fn keep_log(&self) -> anyhow::Result<PathBuf> {
        self.server.keep_log()
    }

    /// Ends MiniStack and the functions.
    pub async fn stop(self) {
        self.server.stop().await;
    }

    /// Leaves it running after this process; it must have been started detached.
    pub fn detach(self) -> anyhow::Result<Detached> {
        self.server.detach()
    }
}
