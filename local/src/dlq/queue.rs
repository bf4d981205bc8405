//! Looking into a queue without taking away what is in it, and taking.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, MessageSystemAttributeName};

use super::Which;
use super::letter::Letter;
use crate::deployed::Deployed;

/// How long what is looked at is hidden from others, in seconds: for as long as the looking may take.
pub(super) const TO_LOOK: i32 = 60;

/// The same where something is done with each.
pub(super) const TO_HAND_ON: i32 = 300;

/// What SQS hands out, and takes, at once.
const AT_ONCE: usize = 10;

/// What is looked at, at most: a screen can't show more, nor a person read it.
const MOST: usize = 1000;

/// What a look into a queue has shown.
pub(super) struct Peek {
    pub(super) letters: Vec<Letter>,
    /// Whether that is all there is, for all that can be told.
    pub(super) is_whole: bool,
    /// How many could not be let go of at once.
    pub(super) held: usize,
}

/// A queue's URL.
pub(super) fn url(deployed: &Deployed, which: Which) -> &str {
    match which {
        Which::Failures => &deployed.outputs.failures_queue_url,
        Which::DeadLetters | Which::Both => &deployed.outputs.dead_letter_queue_url,
    }
}

/// What lies in a queue; it stays there, and others see it again at once.
pub(super) async fn peek(deployed: &Deployed, which: Which) -> anyhow::Result<Peek> {
    let mut letters: Vec<Letter> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut is_whole = false;
    while letters.len() < MOST {
        let received = take(deployed, which, TO_LOOK).await?;
        // One that comes again has been hidden for too short a time: everything has been seen.
        let fresh: Vec<Letter> =
            received.into_iter().filter(|letter| seen.insert(letter.id.clone())).collect();
        if fresh.is_empty() {
            is_whole = true;
            break;
        }
        letters.extend(fresh);
    }
    let held = let_go(deployed, which, &letters).await?;
    Ok(Peek { letters, is_whole, held })
}

/// Shows messages to others again at once; how many it could not, which show themselves when their time is over.
pub(super) async fn let_go(deployed: &Deployed, which: Which, letters: &[Letter]) -> anyhow::Result<usize> {
    let url = url(deployed, which);
    let mut held = 0;
    for some in letters.chunks(AT_ONCE) {
        let mut request = deployed.sqs.change_message_visibility_batch().queue_url(url);
        for (at, letter) in some.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
            let entry = entry.receipt_handle(&letter.receipt_handle).visibility_timeout(0).build();
            request = request.entries(entry.context("name a message")?);
        }
        let answer = request.send().await.with_context(|| format!("let go of messages of {url}"))?;
        held += answer.failed().len();
    }
    Ok(held)
}

/// The next messages, hidden from others for so many seconds; none where the queue is empty.
pub(super) async fn take(deployed: &Deployed, which: Which, hidden: i32) -> anyhow::Result<Vec<Letter>> {
    let url = url(deployed, which);
    let request = deployed.sqs.receive_message().queue_url(url).max_number_of_messages(10);
    // Asked for at once, SQS looks at some of its servers only.
    let request = request.visibility_timeout(hidden).wait_time_seconds(1).message_attribute_names("All");
    let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
    let received = request.send().await.with_context(|| format!("receive from {url}"))?;
    let messages = received.messages.unwrap_or_default().into_iter();
    Ok(messages.map(|message| Letter::new(which, message)).collect())
}
