"""Runs LocalStack as the leader of its process group, and kills the group when its starter is gone.

    launch.py RUN_FOLDER

Standard input is a pipe whose other end the starter holds, and never writes to: it closes when the starter ends,
however that happens, and then the run folder is removed too.
"""

import datetime
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

(folder,) = map(Path, sys.argv[1:])


def outlive_nobody() -> None:
    os.read(0, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def certificate() -> bytes:
    """LocalStack wants one even where it is spoken to without TLS, and fails to make its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    end = now + datetime.timedelta(days=2)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, end)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


threading.Thread(target=outlive_nobody, daemon=True).start()
pem = folder / "localhost.pem"
pem.write_bytes(certificate())
os.environ["CUSTOM_SSL_CERT_PATH"] = str(pem)
sys.argv = ["localstack"]

from localstack.runtime.main import main  # noqa: E402

main()
