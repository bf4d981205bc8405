//! Targets, as `notifications.yml` names them.

use std::sync::Arc;

use common::config::ConsumerConfig;
use common::secrets::{Secrets, SecretsManager};
use common::topic::{SnsTopic, Topic};

use super::bus::BusTarget;
use super::rules::{Notifications, TargetPlan};
use super::webhook::WebhookTarget;
use super::{ALERTS, Console, Notifier, SnsTarget, Target};
use crate::http::HttpClient;

/// What targets are made with.
pub struct Builder {
    /// For topics.
    pub sns: aws_sdk_sns::Client,
    /// For buses.
    pub eventbridge: aws_sdk_eventbridge::Client,
    /// For webhooks.
    pub secrets: Arc<dyn Secrets>,
    /// The topic that hears of every failure.
    pub alert_topic_arn: Option<String>,
    /// Where texts link to.
    pub console: Console,
}

impl Builder {
    /// The account's own services.
    pub fn new(sdk: &aws_config::SdkConfig, config: &ConsumerConfig) -> Self {
        Self {
            sns: aws_sdk_sns::Client::new(sdk),
            eventbridge: aws_sdk_eventbridge::Client::new(sdk),
            secrets: Arc::new(SecretsManager::new(sdk)),
            alert_topic_arn: config.alert_topic_arn.clone(),
            console: Console::new(config.region.clone()),
        }
    }

    /// Tells whom `notifications` name, through a client of their own for webhooks.
    pub fn build(&self, notifications: Notifications) -> Notifier {
        let client = HttpClient::new(notifications.allowed_hosts.iter().cloned());
        self.build_with(notifications, &Arc::new(client))
    }

    /// The same, with webhooks through `client`.
    pub fn build_with(&self, notifications: Notifications, client: &Arc<HttpClient>) -> Notifier {
        let mut notifier = Notifier::silent().with_console(self.console.clone());
        let topic = |arn: &String| {
            Arc::new(SnsTarget::new(Arc::new(SnsTopic::new(self.sns.clone(), arn)) as Arc<dyn Topic>))
        };
        if let Some(arn) = &self.alert_topic_arn {
            notifier = notifier.with_target(ALERTS, topic(arn));
        }
        for (name, plan) in &notifications.targets {
            let target: Arc<dyn Target> = match plan {
                TargetPlan::Sns(arn) => topic(arn),
                TargetPlan::Bus(bus) => Arc::new(BusTarget::new(self.eventbridge.clone(), bus.clone())),
                TargetPlan::Webhook(webhook) => {
                    let secrets = Arc::clone(&self.secrets);
                    Arc::new(WebhookTarget::new(Arc::clone(client), secrets, webhook.clone()))
                }
            };
            notifier = notifier.with_target(name, target);
        }
        notifier.with_rules(notifications)
    }
}
