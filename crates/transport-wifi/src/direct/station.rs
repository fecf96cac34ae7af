//! The task that forms groups: facts from wpa_supplicant to the machine, commands of the machine to
//! wpa_supplicant.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::config::DirectConfig;
use super::formation::{Command, Fact, Formation};
use super::gathering::Gathering;
use super::power::{SUPPLIES, is_mains};
use super::service::Tag;
use super::supplicant::{News, Supplicant, SupplicantError, connect};
use crate::discovery::Stopwatch;
use crate::lan::Lan;

/// First wait before wpa_supplicant is looked for again, doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// Longest one.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// How long wpa_supplicant may take to answer anything: it does in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a group's addresses and links are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often while it has no address, which takes one to two seconds, and thirty at most: by then a
/// group without links is left.
const WATCH: Duration = Duration::from_millis(50);

/// Takes part in Wi-Fi Direct until the transport ends. What is missing is told once, and waited for.
pub(crate) async fn station(lan: Arc<Lan>, config: DirectConfig) {
    let mut retry = FIRST_RETRY;
    let mut told = None;
    loop {
        let opening = async {
            let bus = connect(&config).await?;
            Supplicant::open(bus, &config, lan.identity.peer()).await
        };
        let opened = tokio::select! {
            opened = tokio::time::timeout(PATIENCE, opening) => opened,
            () = lan.stopped() => return,
        };
        let silent = || SupplicantError::NoDaemon(format!("it said nothing for {PATIENCE:?}"));
        let ended = match opened.unwrap_or_else(|_| Err(silent())) {
            Ok(supplicant) => {
                (retry, told) = (FIRST_RETRY, None);
                Station::new(&lan, &config, supplicant).run().await
            }
            Err(error) => Some(error),
        };
        let Some(error) = ended else { return };
        if told.as_ref() != Some(&error) {
            tracing::warn!(%error, "no Wi-Fi Direct; it is tried again");
            told = Some(error);
        }
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = lan.stopped() => return,
        }
        retry = (retry * 2).min(MAX_RETRY);
    }
}

struct Station<'a> {
    lan: &'a Arc<Lan>,
    config: &'a DirectConfig,
    supplicant: Supplicant,
    machine: Formation,
    group: Option<Gathering>,
    time: Stopwatch,
}

impl<'a> Station<'a> {
    fn new(lan: &'a Arc<Lan>, config: &'a DirectConfig, supplicant: Supplicant) -> Self {
        let time = Stopwatch::start();
        let own = Tag::of(&lan.identity.peer());
        let machine = Formation::new(own, config.company.clone(), time.now());
        Self { lan, config, supplicant, machine, group: None, time }
    }

    /// Why it ended; `None` when the transport did.
    async fn run(mut self) -> Option<SupplicantError> {
        for fact in self.supplicant.known() {
            self.machine.learn(fact, self.time.now());
        }
        let lost = loop {
            self.look();
            self.act().await;
            let now = self.time.now();
            let deadline = self.machine.deadline(now).map_or(LOOK, |deadline| deadline.since(now));
            let wait = match &self.group {
                Some(group) if group.is_deaf() => deadline.min(WATCH),
                Some(_) => deadline.min(LOOK),
                None => deadline,
            };
            let message = tokio::select! {
                message = self.supplicant.next() => message,
                () = tokio::time::sleep(wait) => continue,
                () = self.lan.stopped() => break None,
            };
            match message {
                Ok(message) => {
                    let news = self.supplicant.understand(&message);
                    if let Ok(Some(news)) = tokio::time::timeout(PATIENCE, news).await {
                        self.learn(news).await;
                    }
                }
                Err(error) => break Some(error),
            }
        };
        let path = self.group.as_ref().map(|group| group.path.clone());
        let closing = self.supplicant.close(path.as_deref());
        if lost.is_none() && tokio::time::timeout(PATIENCE, closing).await.is_err() {
            tracing::warn!("wpa_supplicant did not end the Wi-Fi Direct group within {PATIENCE:?}");
        }
        if let Some(group) = self.group {
            group.end(self.lan).await;
        }
        lost
    }

    fn look(&mut self) {
        let mut over = 0;
        if let Some(group) = &mut self.group {
            group.look(self.lan, self.config);
            over = group.links(self.lan);
        }
        let degree = self.lan.exchange.count(|_| true);
        let mains = is_mains(Path::new(SUPPLIES));
        self.machine.learn(Fact::Standing { over, degree, mains }, self.time.now());
    }

    async fn act(&mut self) {
        for command in self.machine.advance(self.time.now()) {
            let path = self.group.as_ref().map(|group| group.path.clone());
            let done = self.supplicant.execute(command, path.as_deref());
            let done = tokio::time::timeout(PATIENCE, done).await;
            tracing::debug!(?command, ?done, "Wi-Fi Direct");
            if matches!(done, Ok(Ok(()))) {
                continue;
            }
            match command {
                Command::Connect { .. } | Command::Invite(..) => {
                    self.machine.learn(Fact::Failed, self.time.now());
                }
                Command::Leave => self.finish().await,
                Command::Find { .. } | Command::Ask(_) | Command::Admit(_) | Command::Cancel => {}
            }
        }
    }

    async fn learn(&mut self, news: News) {
        tracing::debug!(?news, "Wi-Fi Direct");
        match news {
            News::Fact(fact) => self.machine.learn(fact, self.time.now()),
            News::Started { role, path, name } => {
                self.finish().await;
                self.group = Some(Gathering::new(path, name));
                self.machine.learn(Fact::Started(role), self.time.now());
            }
            News::Finished { path } => {
                if self.group.as_ref().is_some_and(|group| group.path == path) {
                    self.finish().await;
                }
            }
        }
    }

    async fn finish(&mut self) {
        if let Some(group) = self.group.take() {
            group.end(self.lan).await;
            self.machine.learn(Fact::Finished, self.time.now());
        }
    }
}
