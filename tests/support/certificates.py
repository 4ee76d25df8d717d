"""Certificates for tests: an authority of our own, and what it signs, made by the openssl command. They have what strict readers
of RFC 5280 want, as Python is from 3.13 on (VERIFY_X509_STRICT): what a key is for, and whose key signed."""

import subprocess


def openssl(folder, *arguments):
    """Runs it in the folder, and returns what it prints."""
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def make_authority(folder, name="ca"):
    """NAME.pem and NAME.key."""
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", 2,
            "-subj", f"/CN=tessera test {name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")


def make_certificate(folder, name, extension="subjectAltName=IP:127.0.0.1", by="ca"):
    """NAME.pem and NAME.key, signed by an authority; by default for 127.0.0.1, and no name."""
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN=tessera test {name}")
    (folder / f"{name}.ext").write_text(f"{extension}\nauthorityKeyIdentifier=keyid\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
            "-days", 2, "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def make_intermediate(folder, name):
    """NAME.pem and NAME.key: an authority that `ca` signed, of which nobody knows but who is shown it."""
    make_certificate(folder, name, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                                   "subjectKeyIdentifier=hash")
