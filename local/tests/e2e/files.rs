//! What is right: every sample, every kind of key.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use common::contract::receipt_key;
use local::demo::{Expected, expectations};

use crate::system::{System, name_of};

/// Every sample's counts are those that were counted by other means, its bytes those of the engine.
pub(crate) async fn samples(system: Arc<System>) -> anyhow::Result<()> {
    let expected = expectations()?;
    for path in local::demo::samples()? {
        let name = name_of(&path)?;
        let input = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let (receipt, entry) = system.send(&format!("samples/{name}"), &input).await?;
        let counts = receipt.counts;
        let found = Expected {
            rows_in: counts.rows_in,
            rows_out: counts.rows_out,
            rows_rejected: counts.rows_rejected,
        };
        let expected = expected.get(name).with_context(|| format!("nobody knows what comes of {name}"))?;
        ensure!(found == *expected, "{name}: {found}; expected are {expected}");
        system.is_what_the_engine_makes(&input, &receipt, &entry).await?;
    }
    Ok(())
}

/// A key comes out as it went in: URL-decoded once, and not twice.
pub(crate) async fn keys(system: Arc<System>) -> anyhow::Result<()> {
    let keys = [
        "keys/with space + plus.csv",
        "keys/100% sure %41 %2F.csv",
        "keys/ünï—日本語 😀.csv",
        "keys/a=b&c=d?e#f;g,h@i:j!k'l(m)[n].csv",
        "keys/no suffix",
    ];
    for (index, key) in keys.into_iter().enumerate() {
        let input = format!("id,key\n{index},x\n");
        let (receipt, entry) = system.send(key, input.as_bytes()).await?;
        ensure!(receipt.source.key == key && entry.source_key == key, "{key} became {}", receipt.source.key);
        ensure!(entry.receipt_key == receipt_key(key)?, "{key} has its receipt at {}", entry.receipt_key);
        system.is_what_the_engine_makes(input.as_bytes(), &receipt, &entry).await?;
    }
    Ok(())
}
