#!/bin/bash
# rabbitmq-c 0.11.0 (Debian 12: librabbitmq-dev), amqp_parse_url(): in RabbitMQ's URI scheme (rabbitmq.com/docs/uri-spec)
# whatever is not an unreserved ASCII character is percent-encoded, so a password in UTF-8 is written `p%C3%A4ss`. The function
# answers AMQP_STATUS_BAD_URL for %80 to %FF, in user, password and vhost alike, as it does for an address that is none; the same
# password with its bytes written raw, which no URI may hold, is taken. `?heartbeat=30`, which the scheme has, too, is refused in
# the same way. So whoever hands it an address as users have it refuses logins that are valid, and cannot say why.
# Needs: Debian 12, apt-get, gcc.
set -euo pipefail
version=0.11.0-1+deb12u3
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
apt-get download -q "librabbitmq-dev=$version" "librabbitmq4=$version" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
cat > try.c <<'C'
#include <amqp.h>
#include <stdio.h>
#include <string.h>

static void try(const char* url) {
  char text[200];
  struct amqp_connection_info to;
  strcpy(text, url);
  int status = amqp_parse_url(text, &to);
  printf("%s: %s", url, status == AMQP_STATUS_OK ? "taken" : amqp_error_string2(status));
  if (status == AMQP_STATUS_OK)
    printf(", password of %zu bytes", strlen(to.password));
  putchar('\n');
}

int main(void) {
  printf("%s\n", amqp_version());
  try("amqp://u:p%24ss@localhost/v");
  try("amqp://u:p%C3%A4ss@localhost/v");
  try("amqp://u:p\xc3\xa4ss@localhost/v");
  try("amqp://u:pass@localhost/%C3%A4");
  try("amqp://u:pass@localhost/v?heartbeat=30");
}
C
lib=root/usr/lib/$(gcc -dumpmachine)
gcc -Iroot/usr/include try.c -o try "$lib"/librabbitmq.so.4
seen=$(LD_LIBRARY_PATH=$lib ./try)
echo "$seen"
grep -qF 'p%24ss@localhost/v: taken, password of 4 bytes' <<<"$seen" || { echo "changed: an ASCII byte" >&2; exit 1; }
grep -qF 'p%C3%A4ss@localhost/v: could not parse AMQP URL' <<<"$seen" || { echo "changed: bytes beyond ASCII in a password" >&2; exit 1; }
grep -qaF 'localhost/v: taken, password of 5 bytes' <<<"$seen" || { echo "changed: raw bytes" >&2; exit 1; }
grep -qF '/%C3%A4: could not parse AMQP URL' <<<"$seen" || { echo "changed: bytes beyond ASCII in a vhost" >&2; exit 1; }
grep -qF 'heartbeat=30: could not parse AMQP URL' <<<"$seen" || { echo "changed: a query" >&2; exit 1; }
