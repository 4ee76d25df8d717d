#!/bin/bash
# CLI11 2.1.2 (Debian 12: libcli11-dev): `--name=`, with nothing after the equals sign, is not the empty value that it looks like: the
# next word is the value, also if that is an option of its own, which then counts as not given. As `--name=$UNSET` expands so in a
# shell, an unset variable moves all that follows. A flag written so, `--flag=`, counts as given and true.
# Needs: Debian 12, apt-get, g++.
set -euo pipefail
version=2.1.2+ds-1
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
apt-get download -q "libcli11-dev=$version" >/dev/null 2>&1
dpkg -x libcli11-dev_*.deb root
cat > try.cpp <<'CPP'
#include <CLI/CLI.hpp>

#include <iostream>

int main(int argc, char** argv) {
  CLI::App app;
  std::string name = "(not given)", size = "(not given)";
  bool flag = false;
  app.add_option("--name", name);
  app.add_option("--size", size);
  app.add_flag("--flag", flag);
  app.allow_extras();
  CLI11_PARSE(app, argc, argv);
  std::cout << "name " << name << ", size " << size << ", flag " << flag << ", left over " << app.remaining().size() << "\n";
}
CPP
g++ -std=c++17 -isystem root/usr/include try.cpp -o try
{
  for words in "--name=a --size 3" "--name= --size 3" "--flag="; do
    # shellcheck disable=SC2086 # words are wanted
    echo "$words: $(./try $words)"
  done
} | tee seen
cat > expected <<'TEXT'
--name=a --size 3: name a, size 3, flag 0, left over 0
--name= --size 3: name --size, size (not given), flag 0, left over 1
--flag=: name (not given), size (not given), flag 1, left over 0
TEXT
diff expected seen && echo "as it was: CLI11 $version"
