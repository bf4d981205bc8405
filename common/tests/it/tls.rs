//! Objects are fetched by TLS from who the machine's root certificates vouch for, and from nobody else.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::sim::SimServer;
use common::store::{MemoryStore, S3Store};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::task::AbortOnDropHandle;

use crate::objects::{bytes, put};
use crate::read::{plan, read_all};

/// What the child is told: the certificate that its server has.
const FOLDER: &str = "PENSTOCK_TEST_CERTIFICATE";
/// The file there in which it says how it went.
const SAID: &str = "said";

#[test]
fn objects_come_by_tls_from_who_is_vouched_for() {
    // Root certificates are the process's, so each case is a process.
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("other.pem"), other.cert.pem()).unwrap();
    assert_eq!(fetch_trusting(folder.path(), "cert.pem"), "fetched, whole");
    let refused = fetch_trusting(folder.path(), "other.pem");
    assert!(refused.starts_with("Transient") && refused.contains("certificate"), "{refused}");
}

/// What a process that trusts this certificate says.
fn fetch_trusting(folder: &Path, roots: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::fetch"])
        .env("SSL_CERT_FILE", folder.join(roots))
        .env_remove("SSL_CERT_DIR")
        .env(FOLDER, folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::read_to_string(folder.join(SAID)).unwrap()
}

/// The child's part; alone it has nothing to do.
#[tokio::test]
async fn fetch() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let content = bytes(300 * 1024);
    let memory = Arc::new(MemoryStore::new());
    let etag = put(&*memory, "in", content.clone()).await;
    let server = SimServer::start(memory).await.unwrap();
    let (port, _terminator) = terminate(Path::new(&folder), server.address()).await;
    let config = server.client(1).config().to_builder().endpoint_url(format!("https://localhost:{port}"));
    let store = Arc::new(S3Store::new(aws_sdk_s3::Client::from_conf(config.build())));
    let said = match read_all(store, &etag, content.len(), plan(64 * 1024, 2)).await {
        Ok(read) => format!("fetched, {}", if read == content { "whole" } else { "wrong" }),
        Err(error) => format!("{:?}: {}", error.kind, common::telemetry::chain(&error)),
    };
    std::fs::write(Path::new(&folder).join(SAID), said).unwrap();
}

/// Takes TLS off what comes, and passes it on.
async fn terminate(folder: &Path, server: SocketAddr) -> (u16, AbortOnDropHandle<()>) {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that trusts nobody here goes away.
                let Ok(mut secure) = acceptor.accept(stream).await else { return };
                let mut plain = TcpStream::connect(server).await.unwrap();
                tokio::io::copy_bidirectional(&mut secure, &mut plain).await.unwrap_or_default();
            });
        }
    });
    (port, AbortOnDropHandle::new(task))
}
