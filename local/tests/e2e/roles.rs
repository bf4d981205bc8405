//! What each function's role lets it do, and what it is refused, tried with the role's own credentials.
//!
//! MiniStack enforces the roles for whatever is asked of it over HTTP, except publishing to a topic. What Lambda does
//! in a function's name (receiving, sending to the failures queue), and S3's permission to invoke, it does not check.
//! And it tells an absent key from a forbidden one without `s3:ListBucket`, where AWS does not.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use common::contract::{catalog_key, claim_key, clean_key, receipt_key};

use crate::invoke::role_of;
use crate::system::System;
use crate::told;
use crate::{recipes, sdk};

/// Of the functions' zips: none of the stack's buckets.
const OTHER_BUCKET: &str = "penstock-code";
const OTHER_KEY: &str = "consumer.zip";

/// Something to be tried, on a key of a bucket, on a queue, a secret or a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Get,
    GetVersion,
    /// Of a key that is not there, which is to be told from one that is forbidden.
    GetAbsent,
    List,
    Put,
    /// In parts.
    Upload,
    Delete,
    DeleteVersion,
    DeleteBucket,
    Send,
    Receive,
    Purge,
    Attributes,
    /// What a secret says.
    Reveal,
    /// Something onto a bus.
    PutEvent,
}

/// What is tried, and where: a bucket and a key, or a queue, a secret or a bus and nothing.
type Attempt = (Act, String, String);

/// Clients that are a function.
struct Impostor {
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    events: aws_sdk_eventbridge::Client,
    /// The version that `GetVersion` and `DeleteVersion` mean.
    version_id: Option<String>,
}

/// The processor reads the input, the recipes and the mask key, writes its three prefixes, and that is all.
pub(crate) async fn processor(system: Arc<System>) -> anyhow::Result<()> {
    let key = "roles/processor.csv";
    let (receipt, entry) = system.send(key, b"id\n1\n").await?;
    let (input, output) = (system.input_bucket(), system.output_bucket());
    let outputs = system.stack.outputs();
    let catalogued = catalog_key(&receipt.event_id, receipt.timing.finished_at);
    let claimed = claim_key(&entry.event_id);
    let may = [
        (Act::GetVersion, input, key),
        (Act::GetAbsent, input, "roles/absent.csv"),
        (Act::GetAbsent, output, "clean/roles/absent.csv"),
        (Act::Get, output, &*receipt_key(key)?),
        (Act::Put, output, "clean/roles/put"),
        (Act::Put, output, "rejects/roles/put"),
        (Act::Put, output, "receipts/roles/put"),
        (Act::Upload, output, "clean/roles/upload"),
        (Act::Upload, output, "rejects/roles/upload"),
        (Act::Get, recipes::BUCKET, &*recipes::pointer()),
        (Act::GetAbsent, recipes::BUCKET, &*format!("{}/roles-absent", recipes::PREFIX)),
        (Act::Reveal, recipes::SECRET_NAME, ""),
        (Act::Delete, output, "clean/roles/put"),
    ];
    let may_not = [
        (Act::Put, input, "roles/put/"),
        (Act::Put, input, key),
        (Act::Upload, input, "roles/upload"),
        (Act::Put, output, "root"),
        (Act::Put, output, "cleaner/put"),
        (Act::Put, output, "catalog/put"),
        (Act::Put, output, &*catalogued),
        (Act::Put, output, &*claimed),
        (Act::Upload, output, "claims/upload"),
        (Act::Get, output, &*catalogued),
        (Act::Get, OTHER_BUCKET, OTHER_KEY),
        (Act::List, OTHER_BUCKET, ""),
        (Act::Put, OTHER_BUCKET, OTHER_KEY),
        (Act::Delete, input, key),
        (Act::DeleteVersion, input, key),
        (Act::DeleteVersion, output, &*clean_key(key)?),
        (Act::Delete, output, "rejects/roles/put"),
        (Act::Delete, output, &*receipt_key(key)?),
        (Act::Delete, output, &*catalogued),
        (Act::Delete, OTHER_BUCKET, OTHER_KEY),
        (Act::DeleteBucket, input, ""),
        (Act::DeleteBucket, output, ""),
        (Act::Send, &*outputs.event_queue_url, ""),
        (Act::Send, &*outputs.dead_letter_queue_url, ""),
        (Act::Receive, &*outputs.event_queue_url, ""),
        (Act::Receive, &*outputs.failures_queue_url, ""),
        (Act::Purge, &*outputs.failures_queue_url, ""),
        (Act::Get, told::CONFIG_BUCKET, told::CONFIG_KEY),
        (Act::Put, recipes::BUCKET, &*recipes::pointer()),
        (Act::Put, recipes::BUCKET, &*format!("{}/roles-put", recipes::PREFIX)),
        (Act::Delete, recipes::BUCKET, &*recipes::pointer()),
        (Act::Get, recipes::BUCKET, recipes::OUTSIDE),
        (Act::Reveal, told::SECRET_NAME, ""),
        (Act::PutEvent, told::BUS, ""),
    ];
    let processor = impostor(&system, &outputs.processor_function, receipt.source.version_id.clone()).await?;
    hold(&system, &processor, key, &owned(&may), &owned(&may_not)).await
}

/// The consumer reads the output and writes claims and catalogue; of the input it sees nothing. It reads who is to be told,
/// and has the secret and the bus that it was given, and no other.
pub(crate) async fn consumer(system: Arc<System>) -> anyhow::Result<()> {
    let key = "roles/consumer.csv";
    let (receipt, entry) = system.send(key, b"id\n1\n").await?;
    let (input, output) = (system.input_bucket(), system.output_bucket());
    let outputs = system.stack.outputs();
    let catalogued = catalog_key(&receipt.event_id, receipt.timing.finished_at);
    let claimed = claim_key(&entry.event_id);
    let may = [
        (Act::Get, output, &*clean_key(key)?),
        (Act::Get, output, &*receipt_key(key)?),
        (Act::Get, output, &*catalogued),
        (Act::GetAbsent, output, "claims/roles-absent"),
        (Act::Put, output, "claims/roles-put"),
        (Act::Put, output, "catalog/roles-put"),
        (Act::Attributes, &*outputs.event_queue_url, ""),
        (Act::Send, &*outputs.dead_letter_queue_url, ""),
        (Act::Get, told::CONFIG_BUCKET, told::CONFIG_KEY),
        (Act::Reveal, told::SECRET_NAME, ""),
        (Act::PutEvent, told::BUS, ""),
    ];
    let may_not = [
        (Act::Get, input, key),
        (Act::GetVersion, input, key),
        (Act::List, input, ""),
        (Act::Put, input, key),
        (Act::Put, output, "root"),
        (Act::Put, output, &*clean_key(key)?),
        (Act::Put, output, "rejects/roles/put"),
        (Act::Put, output, &*receipt_key(key)?),
        (Act::Put, output, "catalogue/put"),
        (Act::Upload, output, "clean/roles/upload"),
        (Act::Get, OTHER_BUCKET, OTHER_KEY),
        (Act::List, OTHER_BUCKET, ""),
        (Act::Delete, input, key),
        (Act::DeleteVersion, input, key),
        (Act::Delete, output, &*clean_key(key)?),
        (Act::Delete, output, &*receipt_key(key)?),
        (Act::Delete, output, &*catalogued),
        (Act::Delete, output, &*claimed),
        (Act::DeleteBucket, output, ""),
        (Act::Send, &*outputs.event_queue_url, ""),
        (Act::Send, &*outputs.failures_queue_url, ""),
        (Act::Receive, &*outputs.dead_letter_queue_url, ""),
        (Act::Purge, &*outputs.event_queue_url, ""),
        (Act::Put, told::CONFIG_BUCKET, told::CONFIG_KEY),
        (Act::Get, told::CONFIG_BUCKET, "another.yml"),
        (Act::List, told::CONFIG_BUCKET, ""),
        (Act::Reveal, told::OTHER_SECRET_NAME, ""),
        (Act::Get, recipes::BUCKET, &*recipes::pointer()),
        (Act::Reveal, recipes::SECRET_NAME, ""),
        (Act::PutEvent, told::OTHER_BUS, ""),
        (Act::PutEvent, "default", ""),
    ];
    let consumer = impostor(&system, &outputs.consumer_function, receipt.source.version_id.clone()).await?;
    hold(&system, &consumer, key, &owned(&may), &owned(&may_not)).await
}

fn owned(attempts: &[(Act, &str, &str)]) -> Vec<Attempt> {
    attempts.iter().map(|(act, place, key)| (*act, (*place).to_owned(), (*key).to_owned())).collect()
}

/// Tries all; what is refused must have left everything of `key` as it was.
async fn hold(
    system: &System,
    impostor: &Impostor,
    key: &str,
    may: &[Attempt],
    may_not: &[Attempt],
) -> anyhow::Result<()> {
    let before = system.listed(key).await?;
    for (act, place, key) in may_not {
        let refusal = impostor.attempt(*act, place, key).await?;
        ensure!(
            refusal.as_deref().is_some_and(|code| code.starts_with("AccessDenied")),
            "{act:?} {place} {key} should be refused, and the answer was {refusal:?}"
        );
    }
    for (act, place, key) in may {
        let refusal = impostor.attempt(*act, place, key).await?;
        let expected = (*act == Act::GetAbsent).then_some("NoSuchKey");
        ensure!(
            refusal.as_deref() == expected,
            "{act:?} {place} {key} should be allowed, and the answer was {refusal:?}"
        );
    }
    ensure!(system.listed(key).await? == before, "something that was refused changed {key} all the same");
    let input = system.stack.clients().s3.head_object().bucket(system.input_bucket()).key(key).send().await;
    input.with_context(|| format!("{key} is gone from the input"))?;
    Ok(())
}

/// The clients that a function's role makes.
async fn impostor(system: &System, function: &str, version_id: Option<String>) -> anyhow::Result<Impostor> {
    let role = role_of(system, function).await?;
    let sdk = sdk::config(system.stack.clients(), system.stack.endpoint());
    let credentials = sdk::assume(&sdk, &role).await?;
    let sdk = sdk::acting_as(&sdk, credentials.clone());
    let s3 = system.stack.clients().s3.config().to_builder().credentials_provider(credentials).build();
    Ok(Impostor {
        s3: aws_sdk_s3::Client::from_conf(s3),
        sqs: aws_sdk_sqs::Client::new(&sdk),
        secrets: aws_sdk_secretsmanager::Client::new(&sdk),
        events: aws_sdk_eventbridge::Client::new(&sdk),
        version_id,
    })
}

impl Impostor {
    /// The code of the refusal; none where it was done.
    async fn attempt(&self, act: Act, place: &str, key: &str) -> anyhow::Result<Option<String>> {
        let Self { s3, sqs, secrets, events, version_id } = self;
        let body = ByteStream::from_static(b"roles");
        match act {
            Act::Get | Act::GetAbsent => refusal(s3.get_object().bucket(place).key(key).send().await),
            Act::GetVersion => {
                let get = s3.get_object().bucket(place).key(key).set_version_id(version_id.clone());
                refusal(get.send().await)
            }
            Act::List => refusal(s3.list_objects_v2().bucket(place).send().await),
            Act::Put => refusal(s3.put_object().bucket(place).key(key).body(body).send().await),
            Act::Upload => {
                let created = s3.create_multipart_upload().bucket(place).key(key).send().await;
                if let Ok(created) = &created {
                    let abort = s3.abort_multipart_upload().bucket(place).key(key);
                    let abort = abort.set_upload_id(created.upload_id.clone()).send().await;
                    abort.with_context(|| format!("abort the upload to {key}"))?;
                }
                refusal(created)
            }
            Act::Delete => refusal(s3.delete_object().bucket(place).key(key).send().await),
            Act::DeleteVersion => {
                let delete = s3.delete_object().bucket(place).key(key).set_version_id(version_id.clone());
                refusal(delete.send().await)
            }
            Act::DeleteBucket => refusal(s3.delete_bucket().bucket(place).send().await),
            Act::Send => refusal(sqs.send_message().queue_url(place).message_body("roles").send().await),
            Act::Receive => refusal(sqs.receive_message().queue_url(place).send().await),
            Act::Purge => refusal(sqs.purge_queue().queue_url(place).send().await),
            Act::Attributes => refusal(sqs.get_queue_attributes().queue_url(place).send().await),
            Act::Reveal => refusal(secrets.get_secret_value().secret_id(place).send().await),
            Act::PutEvent => {
                let entry = PutEventsRequestEntry::builder().event_bus_name(place).source("roles");
                let entry = entry.detail_type("roles").detail("{}").build();
                let answer = events.put_events().entries(entry).send().await;
                // An event that was not taken is no error of the request.
                let untaken = answer.as_ref().map_or(0, PutEventsOutput::failed_entry_count);
                ensure!(untaken == 0, "{place} did not take an event: {answer:?}");
                refusal(answer)
            }
        }
    }
}

/// The service's word for a refusal; whatever is no answer of the service is an error.
fn refusal<T, E, R>(result: Result<T, SdkError<E, R>>) -> anyhow::Result<Option<String>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(None),
        Err(SdkError::ServiceError(error)) => {
            Ok(Some(error.err().code().unwrap_or("an error without a code").to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
